//! A case of a response: the client asks, the upstream writes what the case says, and another request shows that nothing of it
//! is left for anybody else.

use anyhow::{Context as _, Result, bail, ensure};
use e2e::reading::{End, Message, Reading, Shown, Start};
use e2e::recorder;

use super::case::{Case, Kind, Outcome, Step};
use super::requests::check;
use super::stage::{Client, LAST_WORD, Stage, is_probe, is_probes_answer};

/// What the client asks when the case does not say.
const REQUEST: &[u8] = b"GET /case HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// Where the last request is answered.
#[derive(Clone, Copy, PartialEq)]
enum Last {
    /// On the client's connection.
    Here,
    /// There, unless that closes.
    Maybe,
    /// On another connection.
    Elsewhere,
}

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
    let is_early = case.upstream.first() == Some(&Step::Early);
    let last = if !is_old(&steps) && stage.stays(&client, &methods)? {
        client.write(LAST_WORD);
        methods.push("GET");
        // Behind an early answer the proxy may close, or read the rest of the request first.
        if is_early { Last::Maybe } else { Last::Here }
    } else {
        Last::Elsewhere
    };
    client.read_to_end()?;
    if last != Last::Here {
        stage.ask_elsewhere()?;
    }

    let recorded = stage.recorder.take()?;
    let requests = stage.requests(&recorded)?;
    let responses = stage.responses(&client, &methods)?;
    judge_responses(&client, &responses, &case.outcomes, last)
        .with_context(|| format!("client got {}", Shown(&client.received)))?;
    judge_requests(&requests, &case.outcomes, is_early)
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
            Step::Early => recorder::Step::Early,
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

fn judge_responses(
    client: &Client,
    reading: &Reading,
    outcomes: &[Outcome],
    last: Last,
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
    match messages.next() {
        Some(message) if last != Last::Elsewhere => {
            ensure!(
                is_probes_answer(message),
                "{message:?} for the last request"
            );
        }
        None if last == Last::Here => bail!("no answer to the last request"),
        Some(message) => bail!("one answer too many: {message:?}"),
        None => {}
    }
    ensure!(messages.next().is_none(), "one answer too many");
    let is_broken = |outcome: &Outcome| matches!(outcome.kind, Kind::Broken(_));
    ensure!(reading.end == End::Clean || outcomes.iter().any(is_broken));
    Ok(())
}

/// The request and the one after it arrived, each once, on one connection or on two.
fn judge_requests(readings: &[Reading], outcomes: &[Outcome], is_early: bool) -> Result<()> {
    let messages = || readings.iter().flat_map(|reading| &reading.messages);
    let is_smuggled = |message: &Message| matches!(&message.start, Start::Request { target, .. } if target == "/smuggled");
    ensure!(!messages().any(is_smuggled), "a body was read as a request");
    let last = messages().last();
    ensure!(
        last.is_some_and(is_probe),
        "the last request did not arrive"
    );
    let is_kept = readings.iter().any(|reading| {
        let probes = reading.messages.iter().filter(|message| is_probe(message));
        (1..reading.messages.len()).contains(&probes.count())
    });
    for outcome in outcomes {
        match outcome.kind {
            Kind::Kept => ensure!(is_kept, "the connection was not used again"),
            Kind::Dropped => ensure!(!is_kept, "the connection was used again"),
            _ => {}
        }
    }
    // A request that was answered before all of it was there may have ended there, and the last one may have come twice.
    let others = messages().filter(|message| !is_probe(message)).count();
    ensure!(others == 1 || (is_early && others == 0), "not once");
    Ok(())
}
