//! Which nodes a wave takes: the next selection, made from the last one and the nodes that are connected.
//!
//! A selection only grows, and at most `max_step` of the connected nodes move by it. A wave with more goes in several steps:
//! all but the last name the nodes that move; the last one writes what the wave says, for those too that come later.

use std::collections::BTreeMap;

use super::Rollout;
use super::observed::Node;
use super::selection::{HASH_END, Selection, has, hash};
use super::strategy::Wave;

/// What was chosen.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Choice {
    /// The selection as it is to be.
    pub(super) selection: Selection,
    /// The connected nodes that move by it, by zone.
    pub(super) moved: BTreeMap<String, Vec<String>>,
}

/// Chooses the next nodes of a wave, `again` if nodes of it have been chosen before. `None` if no connected node is one that
/// the wave could be about: it waits for one.
pub(super) fn choose(
    wave: &Wave,
    rollout: &Rollout,
    nodes: &[Node],
    again: bool,
) -> Option<Choice> {
    let chooser = Chooser {
        wave,
        selection: &rollout.selection,
        salt: &rollout.salt,
        again,
    };
    let connected: Vec<&Node> = to_choose_from(nodes).collect();
    let target = chooser.target(&connected)?;
    let mut moved: Vec<&Node> = connected
        .into_iter()
        .filter(|node| !chooser.chosen(node) && target.contains(chooser.salt, node.member()))
        .collect();
    moved.sort_by_cached_key(|node| (hash(chooser.salt, &node.id), &node.id));
    let most = rollout.strategy.max_step;
    let most = most.map_or(usize::MAX, |most| most.max(1) as usize);
    let mut selection = target;
    if moved.len() > most {
        moved.truncate(most);
        selection = rollout.selection.clone();
        selection
            .nodes
            .extend(moved.iter().map(|node| node.id.clone()));
        selection.partial = true;
    }
    let mut by_zone: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for node in moved {
        let zone = by_zone.entry(node.zone.clone()).or_default();
        zone.push(node.id.clone());
    }
    Some(Choice {
        selection,
        moved: by_zone,
    })
}

/// Whether a zone is left that has not had its turn in a wave of one zone after the other.
pub(super) fn has_another_zone(wave: &Wave, rollout: &Rollout, nodes: &[Node]) -> bool {
    let chooser = Chooser {
        wave,
        selection: &rollout.selection,
        salt: &rollout.salt,
        again: true,
    };
    wave.each_zone && chooser.next_zone(to_choose_from(nodes)).is_some()
}

/// The nodes that waves are made of: validators are in none.
fn to_choose_from(nodes: &[Node]) -> impl Iterator<Item = &Node> {
    nodes
        .iter()
        .filter(|node| node.connected && !node.member().is_validator())
}

/// What a wave is chosen from.
struct Chooser<'a> {
    wave: &'a Wave,
    selection: &'a Selection,
    salt: &'a str,
    again: bool,
}

impl Chooser<'_> {
    /// The selection with the whole wave.
    fn target(&self, connected: &[&Node]) -> Option<Selection> {
        let wave = self.wave;
        if wave.takes_everybody() {
            return Some(Selection::everybody());
        }
        let mut next = Selection {
            partial: false,
            ..self.selection.clone()
        };
        let somebody =
            |is: &dyn Fn(&Node) -> bool| self.again || connected.iter().any(|node| is(node));
        if let Some(nodes) = &wave.nodes {
            if !somebody(&|node| nodes.contains(&node.id)) {
                return None;
            }
            next.nodes.extend(nodes.iter().cloned());
        } else if let Some(zones) = &wave.zones {
            if !somebody(&|node| zones.contains(&node.zone)) {
                return None;
            }
            next.zones.extend(zones.iter().cloned());
        } else if let Some(labels) = &wave.labels {
            if !somebody(&|node| has(&node.labels, labels)) {
                return None;
            }
            if !next.labels.contains(labels) {
                next.labels.push(labels.clone());
            }
        } else if !somebody(&|_| true) {
            return None;
        } else if let Some(count) = wave.count {
            self.take_count(count as usize, connected, &mut next);
        } else if let Some(percent) = wave.percent {
            self.take_percent(percent, connected, &mut next);
        } else if wave.each_zone {
            if !somebody(&|node| !node.zone.is_empty()) {
                return None;
            }
            next.zones
                .extend(self.next_zone(connected.iter().copied()).map(str::to_owned));
        }
        Some(next)
    }

    /// The lowest hashes of all zones. Who was chosen before counts; within the wave also if it is gone by now, or a node
    /// that dies of the new revision would have the next one follow.
    fn take_count(&self, count: usize, connected: &[&Node], next: &mut Selection) {
        let here = connected.iter().filter(|node| self.chosen(node));
        let taken = if self.again {
            let others = here.filter(|node| !self.selection.nodes.contains(&node.id));
            self.selection.nodes.len() + others.count()
        } else {
            here.count()
        };
        let mut free: Vec<_> = connected.iter().filter(|node| !self.chosen(node)).collect();
        free.sort_by_cached_key(|node| (hash(self.salt, &node.id), &node.id));
        let wanted = free.into_iter().take(count.saturating_sub(taken));
        next.nodes.extend(wanted.map(|node| node.id.clone()));
    }

    /// The lowest hashes of each zone: as many of its connected nodes as the percentage says, rounded up.
    ///
    /// The cutoff is the percentage itself, or lower where that would take too many; what it leaves out is named. A cutoff
    /// that is raised to reach the last of few nodes would take most of those that join later.
    fn take_percent(&self, percent: f64, connected: &[&Node], next: &mut Selection) {
        let fraction = (percent / 100.0 * HASH_END as f64) as u64;
        next.default_cutoff = next.default_cutoff.max(fraction);
        for cutoff in next.cutoffs.values_mut() {
            *cutoff = fraction.max(*cutoff);
        }
        let mut zones: BTreeMap<&str, Vec<(u64, &Node)>> = BTreeMap::new();
        for node in connected {
            let place = (hash(self.salt, &node.id), *node);
            zones.entry(&node.zone).or_default().push(place);
        }
        for (zone, mut nodes) in zones {
            nodes.sort_by_key(|(hash, node)| (*hash, &node.id));
            // Multiplied first: 55 / 100 * 20 is more than 11.
            let wanted = (percent * nodes.len() as f64 / 100.0).ceil() as usize;
            let cutoff = nodes
                .get(wanted)
                .map_or(fraction, |(first_out, _)| fraction.min(*first_out));
            let cutoff = cutoff.max(self.selection.cutoff(zone));
            next.cutoffs.insert(zone.to_owned(), cutoff);
            for (_, node) in nodes.into_iter().take(wanted) {
                if !next.contains(self.salt, node.member()) {
                    next.nodes.insert(node.id.clone());
                }
            }
        }
    }

    /// The first zone, by name, with a connected node that has not been chosen and that says its zone.
    fn next_zone<'n>(&self, nodes: impl Iterator<Item = &'n Node>) -> Option<&'n str> {
        nodes
            .filter(|node| !node.zone.is_empty() && !self.chosen(node))
            .map(|node| node.zone.as_str())
            .min()
    }

    fn chosen(&self, node: &Node) -> bool {
        self.selection.contains(self.salt, node.member())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::timestamp::Timestamp;
    use crate::rollout::begin::{Begin, Terms, begin};
    use crate::rollout::strategy::{Gates, OnFailure, Strategy};
    use proptest::prelude::*;

    fn node(id: u32, zone: &str) -> Node {
        Node {
            id: format!("n{id}"),
            zone: zone.to_owned(),
            labels: BTreeMap::new(),
            connected: true,
            has: Some(1),
            stages: false,
            staged: None,
            doubtful: false,
        }
    }

    fn rollout(wave: &Wave, max_step: Option<u32>) -> Rollout {
        let strategy = Strategy {
            waves: vec![wave.clone()],
            gates: Gates::default(),
            max_step,
            on_failure: OnFailure::default(),
        };
        let what = Begin {
            id: "r",
            fleet: "f",
            from: 1,
            to: 2,
            strategy: &strategy,
            reason: "",
            by: "",
            validators: false,
            instead_of: None,
            terms: Terms::default(),
        };
        begin(what, Timestamp::default()).0
    }

    fn count(wave: u32) -> Wave {
        Wave {
            count: Some(wave),
            ..Wave::default()
        }
    }

    #[test]
    fn a_canary_that_dies_is_not_followed_by_the_next_one() {
        let wave = count(2);
        let mut rollout = rollout(&wave, Some(1));
        let mut nodes: Vec<Node> = (0..5).map(|id| node(id, "a")).collect();
        let first = choose(&wave, &rollout, &nodes, false).unwrap();
        assert!(first.selection.partial);
        rollout.selection = first.selection;
        for node in &mut nodes {
            node.connected = !rollout.selection.nodes.contains(&node.id);
        }
        let second = choose(&wave, &rollout, &nodes, true).unwrap();
        assert!(!second.selection.partial);
        assert_eq!(second.selection.nodes.len(), 2);
    }

    #[test]
    fn zones_take_turns_by_name_and_nodes_without_one_wait() {
        let wave = Wave {
            each_zone: true,
            ..Wave::default()
        };
        let mut rollout = rollout(&wave, None);
        let nodes: Vec<Node> = (0..)
            .zip(["b", "", "a", "b"])
            .map(|(id, zone)| node(id, zone))
            .collect();
        assert!(choose(&wave, &rollout, &nodes[1..2], false).is_none());
        for zone in ["a", "b"] {
            assert!(has_another_zone(&wave, &rollout, &nodes));
            let choice = choose(&wave, &rollout, &nodes, zone != "a").unwrap();
            assert_eq!(choice.moved.keys().collect::<Vec<_>>(), [zone]);
            rollout.selection = choice.selection;
        }
        assert!(!has_another_zone(&wave, &rollout, &nodes));
    }

    #[test]
    fn everybody_needs_nobody_and_others_wait_for_one() {
        let all = Wave {
            percent: Some(100.0),
            ..Wave::default()
        };
        let choice = choose(&all, &rollout(&all, None), &[], false).unwrap();
        assert_eq!(choice.selection, Selection::everybody());
        let mut away = node(0, "a");
        away.connected = false;
        let wave = count(1);
        assert_eq!(choose(&wave, &rollout(&wave, None), &[away], false), None);
    }

    proptest! {
        /// As many of each zone as the percentage says, and of those who join later no larger share.
        #[test]
        fn a_percentage_is_taken_of_each_zone(
            percent in 1.0..99.0_f64,
            zones in prop::collection::vec(0..3_usize, 1..60),
        ) {
            let wave = Wave { percent: Some(percent), ..Wave::default() };
            let names = ["a", "b", "c"];
            let nodes: Vec<Node> = (0..).zip(&zones).map(|(id, zone)| node(id, names[*zone])).collect();
            let choice = choose(&wave, &rollout(&wave, None), &nodes, false).unwrap();
            for (index, zone) in names.iter().enumerate() {
                let all = zones.iter().filter(|one| **one == index).count();
                let wanted = (percent * all as f64 / 100.0).ceil() as usize;
                prop_assert_eq!(choice.moved.get(*zone).map_or(0, Vec::len), wanted);
                let fraction = (percent / 100.0 * HASH_END as f64) as u64;
                prop_assert!(choice.selection.cutoff(zone) <= fraction);
            }
        }
    }
}
