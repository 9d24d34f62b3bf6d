//! Requests as clients may send them, any that a generator can think of: what they mean is what the upstream reads, whether it
//! reads with h11, with hyper or with the strict reader.

use anyhow::{Context as _, Result, ensure};
use e2e::reading::{End, Message, Start, hyper};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use tokio::runtime::Handle;

use super::stage::{LAST_WORD, Stage, is_probe};

/// Connections with a few requests each. Bounded by time: they take a few seconds.
const CONNECTIONS: u32 = 100;

/// How long a smaller counterexample is looked for, in milliseconds: what hangs takes seconds each time.
const SHRINKING: u32 = 30_000;

/// One request, and how it is written.
#[derive(Clone, Debug)]
struct Sent {
    method: &'static str,
    target: String,
    fields: Vec<(String, Vec<u8>)>,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    None,
    Length(Vec<u8>),
    Chunks {
        chunks: Vec<Vec<u8>>,
        extension: &'static str,
        trailers: &'static str,
        is_upper: bool,
    },
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_forwarded_means_the_same_to_h11_and_to_hyper() -> Result<()> {
    let mut stage = Stage::start().await?;
    tokio::task::block_in_place(|| {
        let mut runner = TestRunner::new(Config {
            cases: CONNECTIONS,
            max_shrink_time: SHRINKING,
            failure_persistence: None,
            ..Config::default()
        });
        let connection = (
            prop::collection::vec(sent(), 1..5),
            any::<prop::sample::Index>(),
        );
        let outcome = runner.run(&connection, |(sent, cut)| {
            let played = play(&stage, &sent, cut);
            // A failed one leaves nothing to the next.
            stage.recorder.take().map_err(|error| fail(&error))?;
            played.map_err(|error| fail(&error))
        });
        match outcome {
            Ok(()) => stage.check_alive(),
            Err(TestError::Fail(why, (sent, _))) => anyhow::bail!("{why}\nfor {sent:#?}"),
            Err(error) => Err(error.into()),
        }
    })
}

fn fail(error: &anyhow::Error) -> TestCaseError {
    TestCaseError::fail(format!("{error:#}"))
}

/// Sends them in two packets, and compares.
fn play(stage: &Stage, sent: &[Sent], cut: prop::sample::Index) -> Result<()> {
    let mut bytes = Vec::new();
    for sent in sent {
        sent.encode(&mut bytes);
    }
    let mut methods: Vec<&str> = sent.iter().map(|sent| sent.method).collect();
    let mut client = stage.connect()?;
    let (first, second) = bytes.split_at(cut.index(bytes.len()));
    client.write(first);
    client.write(second);
    client.read_answers(&methods)?;
    client.write(LAST_WORD);
    methods.push("GET");
    client.read_to_end()?;
    let recorded = stage.recorder.take()?;
    let answers = stage.responses(&client, &methods)?;
    ensure!(answers.messages.len() == methods.len(), "{answers:?}");

    let mut arrived = Vec::new();
    for (reading, recorded) in stage.requests(&recorded)?.into_iter().zip(&recorded) {
        ensure!(reading.end == End::Clean, "{:?}", reading.end);
        let hyper = hyper::requests(&recorded.bytes);
        let hyper = Handle::current().block_on(hyper)?;
        ensure!(
            sorted(&hyper) == sorted(&reading.messages),
            "hyper reads {hyper:?}, not {:?}",
            reading.messages
        );
        arrived.extend(reading.messages);
    }
    ensure!(
        arrived.pop().is_some_and(|last| is_probe(&last)),
        "no last request"
    );
    ensure!(arrived.len() == sent.len(), "{} arrived", arrived.len());
    for (sent, arrived) in sent.iter().zip(&arrived) {
        sent.is_meant_by(arrived)
            .with_context(|| format!("{arrived:?} for {sent:?}"))?;
    }
    Ok(())
}

/// hyper puts repeated fields together; among those of one name the order stays.
fn sorted(messages: &[Message]) -> Vec<Message> {
    let mut messages = messages.to_vec();
    for message in &mut messages {
        message.fields.sort_by(|one, other| one.0.cmp(&other.0));
    }
    messages
}

impl Sent {
    fn encode(&self, out: &mut Vec<u8>) {
        let line = format!(
            "{} {} HTTP/1.1\r\nHost: a.example\r\n",
            self.method, self.target
        );
        out.extend_from_slice(line.as_bytes());
        for (name, value) in &self.fields {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        match &self.body {
            Body::None => out.extend_from_slice(b"\r\n"),
            Body::Length(body) => {
                let length = format!("Content-Length: {}\r\n\r\n", body.len());
                out.extend_from_slice(length.as_bytes());
                out.extend_from_slice(body);
            }
            Body::Chunks {
                chunks,
                extension,
                trailers,
                is_upper,
            } => {
                out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                for chunk in chunks {
                    let len = chunk.len();
                    let size = if *is_upper {
                        format!("{len:X}")
                    } else {
                        format!("{len:x}")
                    };
                    out.extend_from_slice(format!("{size}{extension}\r\n").as_bytes());
                    out.extend_from_slice(chunk);
                    out.extend_from_slice(b"\r\n");
                }
                out.extend_from_slice(format!("0{extension}\r\n{trailers}\r\n").as_bytes());
            }
        }
    }

    fn is_meant_by(&self, message: &Message) -> Result<()> {
        let start = Start::Request {
            method: self.method.to_owned(),
            target: self.target.clone(),
        };
        ensure!(message.start == start, "another request");
        let is_ours = |(name, _): &&(String, Vec<u8>)| name.starts_with("x-ours-");
        let mut fields: Vec<_> = message.fields.iter().filter(is_ours).cloned().collect();
        let meant = self
            .fields
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim_ascii().to_vec()));
        let mut meant: Vec<_> = meant.collect();
        // Fields of one name keep their order, and that is all that counts (RFC 9110 section 5.3).
        meant.sort_by(|one, other| one.0.cmp(&other.0));
        fields.sort_by(|one, other| one.0.cmp(&other.0));
        ensure!(fields == meant, "other fields");
        let body = match &self.body {
            Body::None => Vec::new(),
            Body::Length(body) => body.clone(),
            Body::Chunks { chunks, .. } => chunks.concat(),
        };
        ensure!(message.body == body, "another body");
        ensure!(message.trailers.is_empty(), "trailers");
        Ok(())
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    let method = prop::sample::select(vec![
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE", "get",
    ]);
    // In its canonical form, so that it goes on as it is; rules for paths are not asked for here.
    let target = "/x(/[a-z0-9_~-]{1,9}){0,4}(\\?[a-z0-9=&%/.;:+]{0,20})?";
    let value = prop::collection::vec(
        prop_oneof![6 => b'!'..=b'~', 1 => Just(b' '), 1 => Just(b'\t'), 1 => 0x80..=0xff_u8],
        0..40,
    );
    let fields = prop::collection::vec(("[Xx]-[Oo]urs-[A-Za-z0-9_]{1,12}", value), 0..6);
    (method, target, fields, body()).prop_map(|(method, target, fields, body)| Sent {
        method,
        target,
        fields,
        body,
    })
}

fn body() -> impl Strategy<Value = Body> {
    let bytes = |most: usize| prop::collection::vec(any::<u8>(), 1..most);
    let chunks = prop::collection::vec(bytes(2000), 0..6);
    let extension = prop::sample::select(vec!["", "", ";a", ";a=b", ";a=\"b;c\""]);
    let trailers = prop::sample::select(vec![
        "",
        "",
        "X-Sum: 1\r\n",
        "Content-Length: 3\r\nHost: b.example\r\n",
    ]);
    let chunks = (chunks, extension, trailers, any::<bool>());
    prop_oneof![
        3 => Just(Body::None),
        1 => Just(Body::Length(Vec::new())),
        3 => bytes(9000).prop_map(Body::Length),
        3 => chunks.prop_map(|(chunks, extension, trailers, is_upper)| Body::Chunks {
            chunks,
            extension,
            trailers,
            is_upper,
        }),
    ]
}
