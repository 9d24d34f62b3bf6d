//! Responses as servers may send them, any that a generator can think of: what they mean is what the client reads, whether it
//! reads with h11 or with the strict reader.

use anyhow::{Context as _, Result, bail, ensure};
use e2e::reading::{End, Message};
use e2e::recorder::Step;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};

use super::stage::{LAST_WORD, Stage, is_probes_answer};

/// Bounded by time: they take a few seconds.
const RESPONSES: u32 = 150;

/// How long a smaller counterexample is looked for, in milliseconds: what hangs takes seconds each time.
const SHRINKING: u32 = 30_000;

/// One response, how it is written, and what it is for.
#[derive(Clone, Debug)]
struct Sent {
    method: &'static str,
    interim: usize,
    status: u16,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<Vec<u8>>,
    framing: Framing,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Framing {
    Length,
    Chunks {
        extension: &'static str,
        trailers: &'static str,
    },
    Close,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_answered_means_the_same_to_h11() -> Result<()> {
    let mut stage = Stage::start().await?;
    tokio::task::block_in_place(|| {
        let mut runner = TestRunner::new(Config {
            cases: RESPONSES,
            max_shrink_time: SHRINKING,
            failure_persistence: None,
            ..Config::default()
        });
        let fail = |error: anyhow::Error| TestCaseError::fail(format!("{error:#}"));
        let outcome = runner.run(&(sent(), any::<prop::sample::Index>()), |(sent, cut)| {
            let played = play(&stage, &sent, cut);
            // A failed one leaves nothing to the next.
            stage.recorder.take().map_err(fail)?;
            played.map_err(fail)
        });
        match outcome {
            Ok(()) => stage.check_alive(),
            Err(TestError::Fail(why, (sent, _))) => bail!("{why}\nfor {sent:#?}"),
            Err(error) => Err(error.into()),
        }
    })
}

/// Sends it in two packets, and compares.
fn play(stage: &Stage, sent: &Sent, cut: prop::sample::Index) -> Result<()> {
    let bytes = sent.encode();
    let (first, second) = bytes.split_at(cut.index(bytes.len()));
    let mut script = vec![Step::Send(first.to_vec()), Step::Send(second.to_vec())];
    if sent.framing == Framing::Close {
        script.push(Step::Close);
    }
    stage.recorder.play(script);
    let mut client = stage.connect()?;
    let asked = format!("{} /case HTTP/1.1\r\nHost: a.example\r\n\r\n", sent.method);
    client.write(asked.as_bytes());
    let methods = [sent.method, "GET"];
    client.read_answers(&methods[..1])?;
    client.write(LAST_WORD);
    client.read_to_end()?;
    let reading = stage.responses(&client, &methods)?;
    ensure!(reading.end == End::Clean, "{:?}", reading.end);
    let [.., answer, last] = &reading.messages[..] else {
        bail!("{reading:?}");
    };
    ensure!(is_probes_answer(last), "{last:?} for the last request");
    sent.is_meant_by(answer)
        .with_context(|| format!("{answer:?}"))
}

impl Sent {
    fn has_body(&self) -> bool {
        self.method != "HEAD" && self.status != 204 && self.status != 304
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(self.interim);
        out.extend_from_slice(format!("HTTP/1.1 {} Some reason\r\n", self.status).as_bytes());
        for (name, value) in &self.fields {
            out.extend_from_slice(format!("{name}: ").as_bytes());
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        }
        let len: usize = self.body.iter().map(Vec::len).sum();
        let framing = match self.framing {
            _ if self.status == 204 => String::new(),
            Framing::Length => format!("Content-Length: {len}\r\n"),
            Framing::Chunks { .. } => "Transfer-Encoding: chunked\r\n".to_owned(),
            Framing::Close => String::new(),
        };
        out.extend_from_slice(framing.as_bytes());
        out.extend_from_slice(b"\r\n");
        if self.has_body() {
            self.encode_body(&mut out);
        }
        out
    }

    fn encode_body(&self, out: &mut Vec<u8>) {
        for piece in &self.body {
            if let Framing::Chunks { extension, .. } = self.framing {
                out.extend_from_slice(format!("{:x}{extension}\r\n", piece.len()).as_bytes());
            }
            out.extend_from_slice(piece);
            if let Framing::Chunks { .. } = self.framing {
                out.extend_from_slice(b"\r\n");
            }
        }
        if let Framing::Chunks {
            extension,
            trailers,
        } = self.framing
        {
            out.extend_from_slice(format!("0{extension}\r\n{trailers}\r\n").as_bytes());
        }
    }

    fn is_meant_by(&self, message: &Message) -> Result<()> {
        ensure!(message.status() == Some(self.status), "another status");
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
        let body = if self.has_body() {
            self.body.concat()
        } else {
            Vec::new()
        };
        ensure!(message.body == body, "another body");
        ensure!(message.trailers.is_empty(), "trailers");
        Ok(())
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    let method = prop::sample::select(vec!["GET", "GET", "POST", "HEAD"]);
    let status = prop::sample::select(vec![200, 200, 201, 204, 206, 302, 304, 404, 500, 599]);
    let value = prop::collection::vec(
        prop_oneof![6 => b'!'..=b'~', 1 => Just(b' '), 1 => Just(b'\t'), 1 => 0x80..=0xff_u8],
        0..40,
    );
    let fields = prop::collection::vec(("[Xx]-[Oo]urs-[A-Za-z0-9_]{1,12}", value), 0..6);
    let body = prop::collection::vec(prop::collection::vec(any::<u8>(), 1..4000), 0..5);
    let chunks = (
        prop::sample::select(vec!["", ";a", ";a=\"b;c\""]),
        prop::sample::select(vec!["", "X-Sum: 1\r\n", "Content-Length: 3\r\n"]),
    );
    let framing = prop_oneof![
        3 => Just(Framing::Length),
        3 => chunks.prop_map(|(extension, trailers)| Framing::Chunks { extension, trailers }),
        1 => Just(Framing::Close),
    ];
    (method, 0..3_usize, status, fields, body, framing).prop_map(
        |(method, interim, status, fields, body, framing)| Sent {
            method,
            interim,
            status,
            fields,
            body,
            framing,
        },
    )
}
