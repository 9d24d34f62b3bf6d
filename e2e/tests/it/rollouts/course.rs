//! What the events of a rollout that has ended must say, whatever happened to whoever drove it: every wave in its turn,
//! nothing twice, no bake shortened, one end. In: the rollout as the API shows it.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use control_plane::model::duration::Duration;
use serde_json::Value;

/// A bake is reckoned from when the driver read the database's clock, and told with the time of the transaction that wrote
/// it: so much later that may be.
const WRITTEN_WITHIN_US: u64 = 500_000;
const DAY_US: u64 = 86_400_000_000;

/// An event, as far as it is looked at here.
struct Event<'a> {
    /// RFC 3339, of one length and in UTC: later times are greater texts.
    at: &'a str,
    kind: &'a str,
    state: &'a str,
    wave: u64,
    whole: &'a Value,
}

/// Checks a rollout that has ended; how long each bake that was gone through lasted, in seconds.
pub(crate) fn check(rollout: &Value) -> Result<Vec<f64>> {
    let told = rollout["events"].as_array().context("events")?;
    let events = told.iter().map(Event::read).collect::<Result<Vec<_>>>()?;
    for (index, event) in told.iter().enumerate() {
        ensure!(event["seq"] == index as u64 + 1, "one is missing: {event}");
    }
    ensure!(events.is_sorted_by_key(|event| event.at), "{rollout:#}");
    let ends = events.iter().filter(|event| event.kind == "ended");
    ensure!(ends.count() == 1, "more or less than one end: {rollout:#}");
    let last = events.last().context("an event")?;
    ensure!(last.kind == "ended" && last.state == rollout["state"]);
    ensure!(last.at == rollout["ended_at"]);
    let advanced: Vec<_> = events
        .iter()
        .filter(|event| event.kind == "advanced")
        .map(|event| event.wave)
        .collect();
    ensure!(
        advanced.iter().copied().eq(0..=last.wave),
        "the waves were begun in the order {advanced:?}"
    );
    nothing_twice(&events)?;
    let passed = last.wave + u64::from(last.state == "completed");
    (0..passed)
        .map(|wave| bake(rollout, &events, wave))
        .collect()
}

/// Each state of each wave is entered once; a pause is none of them.
fn nothing_twice(events: &[Event<'_>]) -> Result<()> {
    let mut path: Vec<_> = events
        .iter()
        .filter(|event| event.state != "paused")
        .map(|event| (event.wave, event.state))
        .collect();
    path.dedup();
    let places: BTreeSet<_> = path.iter().collect();
    ensure!(places.len() == path.len(), "twice the same: {path:?}");
    Ok(())
}

/// How long a wave baked, which must not be less than it says; time in which it was paused does not count.
fn bake(rollout: &Value, events: &[Event<'_>], wave: u64) -> Result<f64> {
    let asked: Duration =
        serde_json::from_value(rollout["strategy"]["waves"][wave as usize]["bake"].clone())?;
    let bakes = |event: &Event<'_>| event.state == "baking" && event.wave == wave;
    let baked = events
        .windows(2)
        .filter(|pair| bakes(&pair[0]))
        .map(|pair| between(pair[0].at, pair[1].at))
        .sum::<Option<u64>>()
        .context("times of day")?;
    let asked = asked.as_millis() * 1_000;
    ensure!(
        baked + WRITTEN_WITHIN_US >= asked,
        "wave {wave} baked for {baked} µs of {asked}"
    );
    // To the microsecond: it was left after the deadline that the row had.
    let (_, left) = events
        .iter()
        .zip(&events[1..])
        .rfind(|(event, _)| bakes(event))
        .with_context(|| format!("wave {wave} did not bake"))?;
    let verdicts = left.whole["data"]["verdicts"].as_array();
    let verdict = verdicts
        .into_iter()
        .flatten()
        .find(|verdict| verdict["gate"] == "bake")
        .with_context(|| format!("the bake was not judged: {}", left.whole))?;
    let until = verdict["numbers"]["until"].as_str().context("a deadline")?;
    ensure!(left.at >= until, "left too early: {}", left.whole);
    Ok(baked as f64 / 1e6)
}

/// Microseconds from one time to a later one, less than a day after it.
fn between(earlier: &str, later: &str) -> Option<u64> {
    let of_day = |text: &str| {
        let of_day = text.get(11..26)?.splitn(3, ':');
        let parts: Vec<f64> = of_day.filter_map(|part| part.parse().ok()).collect();
        let [hour, minute, second] = parts[..] else {
            return None;
        };
        Some(((hour * 60.0 + minute) * 60e6 + second * 1e6).round() as u64)
    };
    Some((of_day(later)? + DAY_US - of_day(earlier)?) % DAY_US)
}

impl<'a> Event<'a> {
    fn read(event: &'a Value) -> Result<Self> {
        let text = |field: &str| event[field].as_str().context("an event's field is text");
        Ok(Self {
            at: text("at")?,
            kind: text("kind")?,
            state: text("state")?,
            wave: event["wave"].as_u64().context("a wave")?,
            whole: event,
        })
    }
}
