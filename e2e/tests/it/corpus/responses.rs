//! A case of a response: the client asks, the upstream writes what the case says, and another request shows that nothing of it
//! is left for anybody else.

use anyhow::{Context as _, Result, bail, ensure};
use e2e::reading::{End, Message, Reading, Shown};
use e2e::recorder;

use super::case::{Case, Kind, Outcome, Step};
use super::requests::check;
use super::stage::{Client, LAST_WORD, Stage, is_probe, is_probes_answer};

/// What the client asks when the case does not say.
const REQUEST: &[u8] = b"GET /case HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// Plays one case and judges what came of it.
pub(super) fn play(stage: &Stage, case: &Case) -> Result<()> {
    let steps = asked(case);
    let method = method(&steps)?;
    let failed = case
        .outcomes
        .iter()
        .find_map(|outcome| match &outcome.kind {
            Kind::Failed(_, cause) => Some(cause.as_str()),
            _ => None,
        });
    let count = |cause| stage.failures(cause);
    let before = failed.map(count).transpose()?;

    stage.recorder.play(script(&case.upstream)?);
    let mut methods = vec![method.as_str()];
    let mut client = stage.connect()?;
    client.play(&steps, &methods)?;
    let is_broken = |outcome: &Outcome| matches!(outcome.kind, Kind::Broken(_));
    if case.outcomes.iter().any(is_broken) {
        client.read_to_end()?;
    } else {
        client.read_answers(&methods)?;
    }
    stage.recorder.answered();
    stage.recorder.played()?;
    if !is_old(&steps) && stays(stage, &client, &methods)? {
        client.write(LAST_WORD);
        methods.push("GET");
        client.read_to_end()?;
    } else {
        client.read_to_end()?;
        ask_again(stage)?;
    }

    let recorded = stage.recorder.take()?;
    let requests = stage.requests(&recorded)?;
    let responses = stage.responses(&client, &methods)?;
    judge_responses(&client, &responses, &case.outcomes, methods.len() > 1)
        .with_context(|| format!("client got {}", Shown(&client.received)))?;
    judge_requests(&requests, &case.outcomes)
        .with_context(|| format!("upstream got {requests:?}"))?;
    if let (Some(cause), Some(before)) = (failed, before) {
        ensure!(count(cause)? > before, "{cause} was not counted");
    }
    Ok(())
}

fn asked(case: &Case) -> Vec<Step> {
    if case.client.is_empty() {
        vec![Step::Write(REQUEST.to_vec())]
    } else {
        case.client.clone()
    }
}

fn method(steps: &[Step]) -> Result<String> {
    let Some(Step::Write(line)) = steps.first() else {
        bail!("the client begins with a request");
    };
    let method = line.split(|&byte| byte == b' ').next().unwrap_or_default();
    Ok(String::from_utf8_lossy(method).into_owned())
}

/// A client of HTTP/1.0 has one answer on a connection.
fn is_old(steps: &[Step]) -> bool {
    matches!(steps.first(), Some(Step::Write(line)) if line.ends_with(b" HTTP/1.0\r\n"))
}

fn script(steps: &[Step]) -> Result<Vec<recorder::Step>> {
    let mut script = Vec::new();
    let mut waiting = Vec::new();
    for step in steps {
        let next = match step {
            Step::Write(bytes) => {
                waiting.extend_from_slice(bytes);
                continue;
            }
            Step::Apart => recorder::Step::Apart,
            Step::Answered => recorder::Step::Answered,
            Step::Close => recorder::Step::Close,
            Step::Reset => recorder::Step::Reset,
            Step::HalfClose => bail!("an upstream closes or does not"),
        };
        script.push(recorder::Step::Send(std::mem::take(&mut waiting)));
        script.push(next);
    }
    script.push(recorder::Step::Send(waiting));
    script.retain(|step| *step != recorder::Step::Send(Vec::new()));
    Ok(script)
}

/// Whether the client may go on with its connection.
fn stays(stage: &Stage, client: &Client, methods: &[&str]) -> Result<bool> {
    let reading = stage.responses(client, methods)?;
    let last = reading.messages.last();
    let says_no = |message: &Message| {
        let mut options = message.all("connection");
        message.status() == Some(101) || options.any(|option| option.eq_ignore_ascii_case(b"close"))
    };
    Ok(!client.is_closed && reading.end == End::Clean && !last.is_none_or(says_no))
}

/// Another client gets its own answer.
fn ask_again(stage: &Stage) -> Result<()> {
    let mut client = stage.connect()?;
    client.write(LAST_WORD);
    client.read_to_end()?;
    let reading = stage.responses(&client, &["GET"])?;
    let is_fine = reading.messages.len() == 1 && is_probes_answer(&reading.messages[0]);
    ensure!(is_fine, "the next client got {reading:?}");
    Ok(())
}

fn judge_responses(
    client: &Client,
    reading: &Reading,
    outcomes: &[Outcome],
    is_open: bool,
) -> Result<()> {
    let mut messages = reading.messages.iter();
    for outcome in outcomes {
        let wanted = match &outcome.kind {
            Kind::Interim(status) | Kind::Received(status) | Kind::Failed(status, _) => *status,
            Kind::Broken(status) => {
                let begin = format!("HTTP/1.1 {status} ");
                ensure!(client.received.starts_with(begin.as_bytes()), "not {begin}");
                ensure!(reading.end == End::Incomplete, "{:?}", reading.end);
                continue;
            }
            Kind::Kept | Kind::Dropped => continue,
            other => bail!("{other:?} is no outcome of a response"),
        };
        let message = messages
            .next()
            .with_context(|| format!("no {:?}", outcome.kind))?;
        ensure!(message.status() == Some(wanted), "{message:?}");
        for detail in &outcome.details {
            check(message, detail)?;
        }
        ensure!(message.trailers.is_empty(), "trailers went on");
    }
    if is_open {
        let last = messages.next().context("no answer to the last request")?;
        ensure!(is_probes_answer(last), "{last:?} for the last request");
    }
    ensure!(messages.next().is_none(), "one answer too many");
    let is_broken = |outcome: &Outcome| matches!(outcome.kind, Kind::Broken(_));
    ensure!(reading.end == End::Clean || outcomes.iter().any(is_broken));
    Ok(())
}

/// The request and the one after it arrived, each once, on one connection or on two.
fn judge_requests(readings: &[Reading], outcomes: &[Outcome]) -> Result<()> {
    let counts = |reading: &Reading| reading.messages.len();
    let used: Vec<_> = readings
        .iter()
        .map(counts)
        .filter(|count| *count > 0)
        .collect();
    let last = readings.iter().flat_map(|reading| &reading.messages).last();
    ensure!(
        last.is_some_and(is_probe),
        "the last request did not arrive"
    );
    for outcome in outcomes {
        match outcome.kind {
            Kind::Kept => ensure!(used == [2], "the connection was not used again"),
            Kind::Dropped => ensure!(used == [1, 1], "the connection was used again"),
            _ => {}
        }
    }
    ensure!(used.iter().sum::<usize>() == 2, "not each request once");
    Ok(())
}
