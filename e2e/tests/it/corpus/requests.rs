//! A case of a request: the client writes, the upstream answers plainly what it can read, and both sides are judged.

use anyhow::{Context as _, Result, bail, ensure};
use e2e::reading::{End, Message, Reading, Shown, Start};
use e2e::recorder::BODY;

use super::case::{Case, Detail, Kind, Outcome, Step};
use super::stage::{LAST_WORD, Stage, is_probe, is_probes_answer};

/// Fields that belong to one connection, and never go on (RFC 9110 section 7.6.1).
const OF_THE_HOP: [&str; 5] = [
    "keep-alive",
    "proxy-connection",
    "trailer",
    "http2-settings",
    "expect",
];

/// Plays one case and judges what came of it.
pub(super) fn play(stage: &Stage, case: &Case) -> Result<()> {
    let mut methods: Vec<&str> = case.outcomes.iter().filter_map(answered_method).collect();
    let mut is_open = case.outcomes.iter().all(|outcome| !closes(&outcome.kind));
    let mut client = stage.connect()?;
    client.play(&case.client, &methods)?;
    let is_gone = case.client.contains(&Step::Close);
    if is_gone {
        // The proxy has one worker: when this has gone to the upstream and back, what came before it has gone there too.
        stage.ask_elsewhere()?;
        stage.recorder.abandoned()?;
    } else if is_open {
        client.read_answers(&methods)?;
        let has_choice = |outcome: &Outcome| outcome.kind == Kind::Either;
        is_open = !case.outcomes.iter().any(has_choice) || stage.stays(&client, &methods)?;
        if is_open {
            client.write(LAST_WORD);
            methods.push("GET");
        }
        client.read_to_end()?;
    } else {
        client
            .read_to_end()
            .context("the connection should be closed")?;
    }
    let recorded = stage.recorder.take()?;
    let requests = stage.requests(&recorded)?;
    let responses = stage.responses(&client, &methods)?;
    judge_responses(&responses, &case.outcomes, is_open)
        .with_context(|| format!("client got {}", Shown(&client.received)))?;
    judge_requests(&requests, &case.outcomes, is_open || is_gone)
        .with_context(|| format!("upstream got {requests:?}"))
}

/// The method of a request that gets an answer; what is refused cannot be trusted to have one.
fn answered_method(outcome: &Outcome) -> Option<&str> {
    match &outcome.kind {
        Kind::Forwarded { method, .. } | Kind::Maybe { method, .. } => Some(method),
        Kind::Answered(_) | Kind::Refused(_) | Kind::Cut => Some("GET"),
        _ => None,
    }
}

fn closes(kind: &Kind) -> bool {
    matches!(
        kind,
        Kind::Maybe { .. } | Kind::Refused(_) | Kind::Cut | Kind::Closed
    )
}

fn judge_responses(reading: &Reading, outcomes: &[Outcome], is_open: bool) -> Result<()> {
    let mut messages = reading.messages.iter();
    for outcome in outcomes {
        let wanted = &outcome.kind;
        if matches!(wanted, Kind::Closed | Kind::Either) {
            continue;
        }
        let Some(message) = messages.next() else {
            let may_be_none = matches!(wanted, Kind::Cut | Kind::Maybe { .. });
            ensure!(may_be_none, "no answer for {wanted:?}");
            continue;
        };
        let (status, is_ours) = (message.status(), message.body != BODY.as_bytes());
        let is_so = match wanted {
            Kind::Interim(wanted) => status == Some(*wanted),
            Kind::Forwarded { method, .. } | Kind::Maybe { method, .. } => {
                status == Some(200) && (method == "HEAD" || !is_ours)
            }
            Kind::Answered(wanted) => status == Some(*wanted) && is_ours,
            Kind::Refused(wanted) => status.is_some_and(|status| wanted.contains(&status)),
            Kind::Cut => status.is_some_and(|status| (400..500).contains(&status)),
            other => bail!("{other:?} is no outcome of a request"),
        };
        ensure!(is_so, "{message:?} for {wanted:?}");
        if matches!(wanted, Kind::Answered(_)) {
            for detail in &outcome.details {
                check(message, detail)?;
            }
        }
    }
    if is_open {
        let last = messages.next().context("no answer to the last request")?;
        ensure!(is_probes_answer(last), "{last:?} for the last request");
    }
    ensure!(messages.next().is_none(), "one answer too many");
    ensure!(reading.end == End::Clean, "{:?}", reading.end);
    Ok(())
}

fn judge_requests(readings: &[Reading], outcomes: &[Outcome], is_open: bool) -> Result<()> {
    let mut messages = readings.iter().flat_map(|reading| &reading.messages);
    for outcome in outcomes {
        let (Kind::Forwarded { method, target } | Kind::Maybe { method, target }) = &outcome.kind
        else {
            continue;
        };
        let Some(message) = messages.next() else {
            let may_be_none = matches!(outcome.kind, Kind::Maybe { .. });
            ensure!(may_be_none, "{method} {target} did not arrive");
            continue;
        };
        let start = Start::Request {
            method: method.clone(),
            target: target.clone(),
        };
        ensure!(message.start == start, "{message:?} for {method} {target}");
        check_forwarded(message, outcome)?;
    }
    if is_open {
        let last = messages.next().context("the last request did not arrive")?;
        ensure!(is_probe(last), "{last:?} in the place of the last request");
    }
    if let Some(message) = messages.next() {
        bail!("one request too many: {message:?}");
    }
    let may_be_partly = |outcome: &Outcome| {
        outcome.is_partly() || matches!(outcome.kind, Kind::Cut | Kind::Maybe { .. })
    };
    let may_be_partly = outcomes.iter().any(may_be_partly);
    for reading in readings {
        ensure!(
            reading.end == End::Clean || may_be_partly,
            "upstream got the beginning of a request: {reading:?}"
        );
    }
    Ok(())
}

/// What is true of every request that goes on, and what this one must be.
fn check_forwarded(message: &Message, outcome: &Outcome) -> Result<()> {
    for name in OF_THE_HOP {
        check(message, &Detail::Absent(name.to_owned()))?;
    }
    for value in message.all("te") {
        ensure!(value == b"trailers", "te: {}", Shown(value));
    }
    if message.field("upgrade").is_none() {
        for value in message.all("connection") {
            let is_fine = value == b"keep-alive" || value == b"te";
            ensure!(is_fine, "connection: {}", Shown(value));
        }
    }
    let forwarded_for = message.field("x-forwarded-for").unwrap_or_default();
    let last = forwarded_for.rsplit(|&byte| byte == b',').next();
    ensure!(
        last.map(<[u8]>::trim_ascii) == Some(b"127.0.0.1")
            && message.all("x-forwarded-for").count() == 1,
        "x-forwarded-for: {}",
        Shown(forwarded_for)
    );
    ensure!(message.trailers.is_empty(), "trailers went on");
    let has_body = |detail: &Detail| matches!(detail, Detail::Body(_));
    if !outcome.details.iter().any(has_body) {
        check(message, &Detail::Body(Vec::new()))?;
    }
    for detail in &outcome.details {
        check(message, detail)?;
    }
    Ok(())
}

/// One thing that must be true of a message.
pub(super) fn check(message: &Message, detail: &Detail) -> Result<()> {
    let is_so = match detail {
        Detail::Host(host) => message.field("host") == Some(host),
        Detail::Body(body) => message.body == *body,
        Detail::Field(name, value) => message.all(name).any(|known| known == value),
        Detail::Absent(name) => message.field(name).is_none(),
        Detail::Partly => true,
    };
    ensure!(is_so, "not {detail:?}: {message:?}");
    Ok(())
}
