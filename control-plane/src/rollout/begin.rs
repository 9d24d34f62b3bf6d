//! How a rollout begins, alone or in the place of another: its first row, and the last of the other.

use serde_json::json;

use crate::model::timestamp::Timestamp;

use super::selection::Selection;
use super::strategy::Strategy;
use super::{Change, Event, EventKind, Rollout, State};

/// A rollout to be begun.
#[derive(Clone, Copy, Debug)]
pub struct Begin<'a> {
    /// What it is to be named: a UUID.
    pub id: &'a str,
    /// The fleet.
    pub fleet: &'a str,
    /// The fleet's stable revision.
    pub from: u64,
    /// The revision to go to.
    pub to: u64,
    /// How. It has been checked.
    pub strategy: &'a Strategy,
    /// Why.
    pub reason: &'a str,
    /// Who begins it; empty if nobody asked for it.
    pub by: &'a str,
    /// Whether validators of the fleet are connected.
    pub validators: bool,
    /// The active rollout whose place it takes, if it takes one's.
    pub instead_of: Option<&'a Rollout>,
    /// What else is said of it.
    pub terms: Terms<'a>,
}

/// What is said of a rollout beside where it goes and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms<'a> {
    /// No wave begins before this.
    pub not_before: Option<Timestamp>,
    /// It waits for nodes alone.
    pub urgent: bool,
    /// The rollout that it is a repetition of.
    pub retries: Option<&'a str>,
}

/// The first row of a rollout.
///
/// One that takes another's place has its salt, so that the same nodes go first, and the nodes that it has activated: they are to
/// have the new revision at once, for what they have now is what somebody is in a hurry to replace. Unless they are on their way
/// back: what they go back to is known to be good.
pub fn begin(begin: Begin<'_>, now: Timestamp) -> (Rollout, Vec<Event>) {
    let salt = begin.instead_of.map_or(begin.id, |other| &other.salt);
    let rollout = Rollout {
        id: begin.id.to_owned(),
        fleet: begin.fleet.to_owned(),
        from: begin.from,
        to: begin.to,
        strategy: begin.strategy.clone(),
        salt: salt.to_owned(),
        state: State::Advancing,
        paused: None,
        wave: 0,
        selection: begin.instead_of.map(taken_over).unwrap_or_default(),
        activated: None,
        confirmed: Some(Selection::default()),
        wave_at: None,
        deadline: None,
        promoted: false,
        verdicts: Vec::new(),
        refusals_judged: 0,
        reason: begin.reason.to_owned(),
        created_by: begin.by.to_owned(),
        created_at: now,
        approved_by: None,
        ended_at: None,
        outcome: None,
        row_version: 0,
        not_before: begin.terms.not_before,
        urgent: begin.terms.urgent,
    };
    let settle = rollout.current().map(|wave| now.after(wave.settle));
    let rollout = Rollout {
        state: if begin.validators {
            State::Validating
        } else {
            rollout.entry()
        },
        deadline: settle.filter(|_| begin.validators),
        ..rollout
    };
    let mut detail = match begin.instead_of {
        None => format!("revision {} is to follow {}", begin.to, begin.from),
        Some(other) => format!(
            "revision {} is to follow {}, in place of {}",
            begin.to, begin.from, other.to
        ),
    };
    if !begin.validators {
        detail.push_str("; no validator is connected");
    }
    let Terms {
        not_before,
        urgent,
        retries,
    } = begin.terms;
    if urgent {
        detail = format!("{detail}, urgently: {}", begin.reason);
    }
    if let Some(at) = not_before {
        detail = format!("{detail}, not before {at}");
    }
    let data = json!({
        "from": begin.from,
        "to": begin.to,
        "validators": begin.validators,
        "supersedes": begin.instead_of.map(|other| &other.id),
        "not_before": not_before,
        "urgent": urgent,
        "retries": retries,
    });
    let event = rollout.event(EventKind::Started, detail, Some(data));
    (rollout, vec![event])
}

/// The end of a rollout whose place another takes.
pub fn superseded(rollout: &Rollout, by: &Rollout, now: Timestamp) -> Change {
    let detail = format!("revision {} takes the place of {}", by.to, rollout.to);
    let next = Rollout {
        state: State::Superseded,
        paused: None,
        deadline: None,
        ended_at: Some(now),
        outcome: Some(detail.clone()),
        ..rollout.clone()
    };
    let data = json!({ "superseded_by": by.id });
    let event = next.event(EventKind::Ended, detail, Some(data));
    Change {
        next,
        events: vec![event],
    }
}

fn taken_over(other: &Rollout) -> Selection {
    if other.state == State::RollingBack {
        return Selection::default();
    }
    Selection {
        partial: false,
        ..other.activated().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::built_in::built_in;
    use crate::rollout::strategy::Approval;

    fn strategy() -> Strategy {
        built_in("canary-then-all").unwrap()
    }

    fn first(id: &str, strategy: &Strategy, other: Option<&Rollout>) -> Rollout {
        let what = Begin {
            id,
            fleet: "f",
            from: 1,
            to: 2,
            strategy,
            reason: "",
            by: "a",
            validators: false,
            instead_of: other,
            terms: Terms::default(),
        };
        let (rollout, events) = begin(what, Timestamp::from_micros(5));
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].state, rollout.state);
        rollout
    }

    #[test]
    fn it_begins_with_the_first_wave_or_with_the_word_that_the_wave_asks_for() {
        let rollout = first("r", &strategy(), None);
        assert_eq!((rollout.state, rollout.wave), (State::Advancing, 0));
        assert_eq!(rollout.salt, "r");
        let mut asks = strategy();
        asks.waves[0].approval = Some(Approval::default());
        assert_eq!(first("r", &asks, None).state, State::AwaitingApproval);
    }

    #[test]
    fn who_was_chosen_goes_forward_unless_it_is_on_its_way_back() {
        let mut other = first("r", &strategy(), None);
        other.selection.nodes.insert("n".to_owned());
        other.selection.partial = true;
        let next = first("s", &strategy(), Some(&other));
        assert_eq!(next.salt, "r");
        assert!(next.selection.nodes.contains("n") && !next.selection.partial);
        other.state = State::RollingBack;
        assert!(first("s", &strategy(), Some(&other)).selection.is_empty());
    }

    #[test]
    fn the_other_one_ends() {
        let other = first("r", &strategy(), None);
        let next = first("s", &strategy(), Some(&other));
        let change = superseded(&other, &next, Timestamp::from_micros(9));
        assert_eq!(change.next.state, State::Superseded);
        assert_eq!(change.next.ended_at, Some(Timestamp::from_micros(9)));
        assert_eq!(change.events.len(), 1);
    }
}
