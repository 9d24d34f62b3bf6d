//! The next change of a rollout: its row, what was observed and the time go in; its next row and the events that say why come
//! out, or nothing. Reading and writing are elsewhere; a change that was made from a row that has moved since is thrown away.
//!
//! A step goes as far as what it has been shown allows. It stops where nodes were chosen or are sent back: what was observed
//! before that says nothing about it.

use serde_json::{Value, json};

use crate::model::duration::Duration;
use crate::model::timestamp::Timestamp;

use super::advance::{self, Choice};
use super::gate::{self, Count, Staging};
use super::observed::{Observed, Refused, Traffic};
use super::outside;
use super::strategy::OnFailure;
use super::verdict::{Gate, Outcome, Verdict};
use super::{Change, EventKind, Rollout, State};

/// Most refusals and nodes that are told one by one at once.
const TOLD_MAX: usize = 100;

/// What becomes of a rollout. `None`: nothing, there is nothing to write.
pub fn step(rollout: &Rollout, observed: &Observed, now: Timestamp) -> Option<Change> {
    if rollout.state.is_terminal() {
        return None;
    }
    let mut course = Course {
        change: Change {
            next: rollout.clone(),
            events: Vec::new(),
        },
        observed,
        now,
    };
    course.note_refusals();
    course.go();
    let change = course.change;
    (!change.events.is_empty()).then_some(change)
}

/// The first step of a rollout that has just begun, if it can be taken blind: where the first wave takes everybody at once, nothing
/// that could be observed would change who that is. So a commit in a fleet that moves all at once is wanted by the time that its
/// author is answered. A wave whose nodes are to get ready together first has to know which these are. `known` is what is known
/// without asking nodes: the fleet's freeze windows.
pub fn first(rollout: &Rollout, known: &Observed, now: Timestamp) -> Option<Change> {
    let is_blind = rollout.state == State::Advancing
        && rollout.strategy.max_step.is_none()
        && rollout.strategy.gates.max_changed.is_none()
        && rollout
            .current()
            .is_some_and(|wave| wave.takes_everybody() && !wave.stages());
    is_blind.then(|| step(rollout, known, now)).flatten()
}

/// A change in the making.
struct Course<'a> {
    change: Change,
    observed: &'a Observed,
    now: Timestamp,
}

impl Course<'_> {
    fn go(&mut self) {
        if self.change.next.state == State::RollingBack {
            return self.go_back();
        }
        let verdicts = self.judge();
        if let Some(failed) = verdicts.iter().find(|it| it.outcome == Outcome::Fail) {
            let failed = failed.clone();
            return self.fail(&failed, verdicts);
        }
        match self.change.next.state {
            State::Validating => self.validate(verdicts),
            State::Advancing => self.advance(verdicts),
            State::Staging => self.stage(verdicts),
            State::Settling => self.settle(verdicts),
            State::Baking => self.bake(verdicts),
            _ => self.note(verdicts),
        }
    }

    /// The validators have it: the first wave may begin.
    fn validate(&mut self, verdicts: Vec<Verdict>) {
        if self.holds(&verdicts, &[Gate::Validators]) {
            return self.note(verdicts);
        }
        let next = &mut self.change.next;
        next.deadline = None;
        next.state = next.entry();
        next.verdicts.clone_from(&verdicts);
        let asks = next.state == State::AwaitingApproval;
        let detail = if asks {
            format!("every validator has it; {} asks for approval", next.title())
        } else {
            "every validator has it".to_owned()
        };
        self.tell(EventKind::Moved, detail, Some(based_on(&verdicts)));
        if !asks {
            let verdicts = self.judge();
            self.advance(verdicts);
        }
    }

    fn advance(&mut self, verdicts: Vec<Verdict>) {
        if self.holds(&verdicts, &[Gate::Changed, Gate::Nodes, Gate::Identity]) {
            self.note(verdicts);
        } else {
            self.choose(verdicts, false);
        }
    }

    /// Nobody serves the new revision before all who are to get ready are, or enough of them when their time is over.
    fn stage(&mut self, verdicts: Vec<Verdict>) {
        if self.holds(&verdicts, &[Gate::Staged]) {
            return self.wait(verdicts);
        }
        let ready = Staging::of(&self.change.next, self.observed).ready;
        self.activate();
        let next = &self.change.next;
        let detail = format!(
            "{}: {ready} proxies are ready and switch to revision {}",
            next.title(),
            next.to
        );
        self.tell(EventKind::Moved, detail, Some(based_on(&verdicts)));
    }

    fn settle(&mut self, verdicts: Vec<Verdict>) {
        if self.holds(&verdicts, &[Gate::Share, Gate::Nodes, Gate::Identity]) {
            return self.wait(verdicts);
        }
        if self.change.next.selection.partial {
            return self.choose(verdicts, true);
        }
        let next = &mut self.change.next;
        let Some(wave) = next.current() else {
            return;
        };
        next.deadline = Some(self.now.after(wave.bake));
        next.state = State::Baking;
        next.promoted |= next.urgent;
        let detail = format!("{} has settled", next.title());
        self.tell(EventKind::Moved, detail, Some(based_on(&verdicts)));
        let verdicts = self.judge();
        self.change.next.verdicts.clone_from(&verdicts);
        self.bake(verdicts);
    }

    /// Goes on waiting for nodes to settle. While no node of the fleet is connected their time does not run out: nobody has
    /// failed to do anything.
    fn wait(&mut self, verdicts: Vec<Verdict>) {
        self.note(verdicts);
        let next = &mut self.change.next;
        let over = next.deadline.is_some_and(|deadline| self.now >= deadline);
        let connected = Count::of(next, self.observed).connected;
        if let Some(wave) = next.current()
            && over
            && connected == 0
        {
            next.deadline = Some(self.now.after(wave.settle));
            let detail = "no node of the fleet is connected: the time to settle begins again";
            self.tell(EventKind::Judged, detail.to_owned(), None);
        }
    }

    fn bake(&mut self, verdicts: Vec<Verdict>) {
        let all = [
            Gate::Nodes,
            Gate::Requests,
            Gate::Health,
            Gate::Identity,
            Gate::Bake,
            Gate::Webhooks,
        ];
        if self.holds(&verdicts, &all) {
            return self.note(verdicts);
        }
        let next = &mut self.change.next;
        if next
            .current()
            .is_some_and(|wave| advance::has_another_zone(wave, next, &self.observed.nodes))
        {
            return self.choose(verdicts, true);
        }
        next.deadline = None;
        next.verdicts.clone_from(&verdicts);
        if next.wave as usize + 1 >= next.strategy.waves.len() {
            next.state = State::Completed;
            next.ended_at = Some(self.now);
            let detail = format!("revision {} is the stable one", next.to);
            next.outcome = Some(detail.clone());
            return self.tell(EventKind::Ended, detail, Some(based_on(&verdicts)));
        }
        let passed = next.title();
        next.confirmed = Some(next.selection.clone());
        next.wave += 1;
        next.approved_by = None;
        next.state = next.entry();
        let asks = next.state == State::AwaitingApproval;
        let detail = if asks {
            format!("{passed} has passed; {} asks for approval", next.title())
        } else {
            format!("{passed} has passed")
        };
        self.tell(EventKind::Moved, detail, Some(based_on(&verdicts)));
        if !asks {
            self.choose(verdicts, false);
        }
    }

    /// Chooses the next nodes of the wave; `again` if some of its nodes have been chosen before.
    fn choose(&mut self, mut verdicts: Vec<Verdict>, again: bool) {
        let next = &mut self.change.next;
        // Whoever ends a bake has said nothing of the next wave; one that has begun goes on.
        if !next.selection.partial {
            let before = outside::before(next, self.observed, self.now);
            verdicts.retain(|verdict| before.iter().all(|it| it.gate != verdict.gate));
            let holds = before.iter().any(|it| it.outcome != Outcome::Pass);
            verdicts.extend(before);
            if holds {
                return self.note(verdicts);
            }
        }
        let Some(wave) = next.current() else {
            return;
        };
        let (settle, stages) = (wave.settle, wave.stages());
        let Some(choice) = advance::choose(wave, next, &self.observed.nodes, again) else {
            verdicts.retain(|verdict| verdict.gate != Gate::Nodes);
            verdicts.push(gate::nobody(next));
            return self.note(verdicts);
        };
        let data = told(&choice, &verdicts);
        let detail = sentence(next, &choice);
        next.activated = Some(next.activated().clone());
        next.selection = choice.selection;
        next.promoted = false;
        if stages && Staging::of(next, self.observed).members > 0 {
            next.state = State::Staging;
            self.begin_to_wait(settle);
        } else {
            self.activate();
        }
        self.tell(EventKind::Advanced, detail, Some(data));
    }

    /// Everybody who is chosen is to serve the new revision.
    fn activate(&mut self) {
        let next = &mut self.change.next;
        let settle = next.current().map(|wave| wave.settle).unwrap_or_default();
        next.activated = None;
        next.state = State::Settling;
        self.begin_to_wait(settle);
    }

    /// Nodes have this time from now on, and requests are counted anew.
    fn begin_to_wait(&mut self, settle: Duration) {
        let next = &mut self.change.next;
        next.wave_at = Some(self.now);
        next.deadline = Some(self.now.after(settle));
        let fresh = Observed {
            new: Traffic::default(),
            old: Traffic::default(),
            parts: None,
            ..self.observed.clone()
        };
        next.verdicts = gate::judge(next, &fresh, self.now);
    }

    fn fail(&mut self, failed: &Verdict, verdicts: Vec<Verdict>) {
        let next = &self.change.next;
        // What validators refuse nobody with traffic has seen: there is nothing to look at, and nothing to go on with.
        let pauses =
            next.strategy.on_failure == OnFailure::Pause && next.state != State::Validating;
        let why = failed.detail.clone();
        if pauses && next.state == State::Paused {
            self.note(verdicts);
            if !self.change.events.is_empty() {
                self.change.next.outcome = Some(why);
                self.stop();
            }
            return;
        }
        let mut failing = if pauses {
            next.paused_at(self.now)
        } else {
            next.going_back(why.clone(), self.now)
        };
        failing.outcome = Some(why.clone());
        // Whoever resumes a wave that has not settled in its time gives it that time again.
        if let Some(paused) = &mut failing.paused
            && matches!(failed.gate, Gate::Staged | Gate::Share | Gate::Nodes)
        {
            let settle = next.current().map_or(0, |wave| wave.settle.as_millis());
            paused.left_us = Some(settle as i64 * 1_000);
        }
        let data = based_on(&verdicts);
        failing.verdicts = verdicts;
        self.change.next = failing;
        self.stop();
        self.tell(EventKind::Moved, why, Some(data));
    }

    /// A pause because of what has failed stops those too that are chosen and have not moved yet. Who refuses the new revision was
    /// sent it, and is sent the old one again.
    fn stop(&mut self) {
        let next = &mut self.change.next;
        if let Some(paused) = &mut next.paused {
            let nodes = self.observed.nodes.iter();
            let have = nodes.filter(|node| node.has == Some(next.to));
            paused
                .only
                .get_or_insert_with(|| have.map(|node| node.id.clone()).collect());
        }
    }

    /// A node is back when it has the old revision. Before its first revision a fleet has none that could be had.
    fn go_back(&mut self) {
        let next = &mut self.change.next;
        let waited_for: Vec<&str> = self
            .observed
            .nodes
            .iter()
            .filter(|node| {
                let moved = next.selection.contains(&next.salt, node.member());
                node.connected && (moved || node.member().is_validator())
            })
            .filter(|node| node.has != Some(next.from) && next.from != 0)
            .map(|node| node.id.as_str())
            .collect();
        if waited_for.is_empty() {
            next.state = State::RolledBack;
            next.deadline = None;
            next.ended_at = Some(self.now);
            let detail = format!(
                "every node that is connected has revision {} again",
                next.from
            );
            return self.tell(EventKind::Ended, detail, None);
        }
        if next.deadline.is_some_and(|deadline| self.now >= deadline) {
            next.deadline = None;
            let first = &waited_for[..waited_for.len().min(TOLD_MAX)];
            let data = json!({ "count": waited_for.len(), "nodes": first });
            let detail = format!(
                "{} nodes do not have revision {} again yet",
                waited_for.len(),
                next.from
            );
            self.tell(EventKind::Judged, detail, Some(data));
        }
    }

    fn note_refusals(&mut self) {
        let judged = self.change.next.refusals_judged as usize;
        let refusals = self.observed.refusals.get(judged..).unwrap_or_default();
        if refusals.is_empty() {
            return;
        }
        self.change.next.refusals_judged = self.observed.refusals.len() as u64;
        for refused in refusals.iter().take(TOLD_MAX) {
            let Refused {
                node,
                type_url,
                resources,
                message,
                reverted,
                at,
            } = refused;
            let data = json!({
                "node": node,
                "type_url": type_url,
                "resources": resources,
                "message": message,
                "reverted": reverted,
                "at": at,
            });
            self.tell(EventKind::Refused, refused.sentence(), Some(data));
        }
        if refusals.len() > TOLD_MAX {
            let detail = format!("{} more nodes did not keep it", refusals.len() - TOLD_MAX);
            self.tell(EventKind::Refused, detail, None);
        }
    }

    /// Keeps verdicts, if one is not as it was or the row is written anyway.
    fn note(&mut self, verdicts: Vec<Verdict>) {
        for verdict in &verdicts {
            let mut before = self.change.next.verdicts.iter();
            let before = before.find(|before| before.gate == verdict.gate);
            let is_news = match before {
                Some(before) => !verdict.stands_as(before),
                None => verdict.outcome != Outcome::Pass,
            };
            if is_news {
                let data = json!({ "verdicts": [verdict] });
                self.tell(EventKind::Judged, verdict.detail.clone(), Some(data));
            }
        }
        if !self.change.events.is_empty() {
            self.change.next.verdicts = verdicts;
        }
    }

    fn judge(&self) -> Vec<Verdict> {
        let mut verdicts = gate::judge(&self.change.next, self.observed, self.now);
        verdicts.extend(outside::judge(&self.change.next, self.observed, self.now));
        verdicts
    }

    /// Whether one of these gates holds. An operator who promotes does not wait for what is not known.
    fn holds(&self, verdicts: &[Verdict], gates: &[Gate]) -> bool {
        !self.change.next.promoted
            && verdicts
                .iter()
                .any(|it| it.outcome == Outcome::Hold && gates.contains(&it.gate))
    }

    fn tell(&mut self, kind: EventKind, detail: String, data: Option<Value>) {
        let event = self.change.next.event(kind, detail, data);
        self.change.events.push(event);
    }
}

fn based_on(verdicts: &[Verdict]) -> Value {
    json!({ "verdicts": verdicts })
}

fn told(choice: &Choice, verdicts: &[Verdict]) -> Value {
    let zones: serde_json::Map<String, Value> = choice
        .moved
        .iter()
        .map(|(zone, nodes)| (zone.clone(), json!(nodes.len())))
        .collect();
    let nodes: Vec<&String> = choice.moved.values().flatten().take(TOLD_MAX).collect();
    json!({
        "moved": choice.moved.values().map(Vec::len).sum::<usize>(),
        "zones": zones,
        "nodes": nodes,
        "partial": choice.selection.partial,
        "selection": choice.selection,
        "verdicts": verdicts,
    })
}

fn sentence(rollout: &Rollout, choice: &Choice) -> String {
    let moved: usize = choice.moved.values().map(Vec::len).sum();
    let part = if choice.selection.partial {
        ", and more to come"
    } else {
        ""
    };
    format!(
        "{}: {moved} connected nodes are to have revision {}{part}",
        rollout.title(),
        rollout.to
    )
}

#[cfg(test)]
mod tests;
