//! A pattern as a table of transitions, for the one question whether it matches a whole text: a step a byte, no scratch
//! memory, nothing shared between threads, and a few hundred bytes for the patterns that people write.
//! A pattern that needs a large table has none; who asks then falls back to a slower automaton.

use std::collections::HashMap;

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};
use regex_syntax::hir::Hir;

/// Bounds on the steps towards the table, in bytes: the number of states may be exponential in the length of a pattern.
const NFA_MAX: usize = 64 * 1024;
const DFA_MAX: usize = 64 * 1024;
/// Largest table, in bytes: about what the slower automaton weighs.
const TABLE_MAX: usize = 8 * 1024;
/// States are bytes.
const STATES_MAX: usize = 256;

const BYTES: usize = 256;
/// From here no text matches any more.
const DEAD: u8 = 0;
const START: u8 = 1;

/// The table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// The class of each byte, then for each state whether the text may end there, then for each state its successor by
    /// class.
    content: Box<[u8]>,
    states: u16,
    classes: u16,
}

impl Table {
    /// The table of a pattern that is anchored at both ends; `None` if it would be large, or no table can say it.
    pub(super) fn new(anchored: &Hir) -> Option<Self> {
        let nfa = thompson::Config::new()
            .utf8(false)
            .nfa_size_limit(Some(NFA_MAX))
            .which_captures(WhichCaptures::None);
        let nfa = thompson::Compiler::new()
            .configure(nfa)
            .build_from_hir(anchored)
            .ok()?;
        let dfa = dense::Config::new()
            .accelerate(false)
            .start_kind(StartKind::Anchored)
            .match_kind(MatchKind::All)
            .dfa_size_limit(Some(DFA_MAX))
            .determinize_size_limit(Some(DFA_MAX));
        let dfa = dense::Builder::new()
            .configure(dfa)
            .build_from_nfa(&nfa)
            .ok()?;
        Self::of(&dfa)
    }

    fn of(dfa: &dense::DFA<Vec<u32>>) -> Option<Self> {
        let classes = dfa.byte_classes();
        let class_of: Vec<u8> = (0..=u8::MAX).map(|byte| classes.get(byte)).collect();
        // Without the one for the end of the text, which has no byte.
        let class_count = dfa.alphabet_len() - 1;
        let byte_of: Vec<u8> = (0..class_count)
            .filter_map(|class| (0..=u8::MAX).find(|byte| usize::from(classes.get(*byte)) == class))
            .collect();
        let (rows, found) = rows(dfa, &byte_of)?;
        let ends = found.iter().map(|state| {
            let state = state.filter(|state| dfa.is_match_state(dfa.next_eoi_state(*state)));
            u8::from(state.is_some())
        });
        let content: Box<[u8]> = class_of.into_iter().chain(ends).chain(rows).collect();
        (content.len() <= TABLE_MAX).then_some(Self {
            content,
            states: found.len() as u16,
            classes: byte_of.len() as u16,
        })
    }

    /// Its size in bytes.
    #[cfg(test)]
    pub(super) fn weight(&self) -> usize {
        self.content.len()
    }

    /// Whether the whole text matches.
    pub(super) fn is_match(&self, text: &[u8]) -> bool {
        let (class_of, rest) = self.content.split_at(BYTES);
        let (ends, rows) = rest.split_at(usize::from(self.states));
        let classes = usize::from(self.classes);
        let mut state = START;
        for byte in text {
            let class = usize::from(class_of[usize::from(*byte)]);
            state = rows[usize::from(state) * classes + class];
            if state == DEAD {
                return false;
            }
        }
        ends[usize::from(state)] == 1
    }
}

/// The successors of all states that can be reached, and those states; the dead one has none.
fn rows(dfa: &dense::DFA<Vec<u32>>, byte_of: &[u8]) -> Option<(Vec<u8>, Vec<Option<StateID>>)> {
    let start = start::Config::new().anchored(Anchored::Yes);
    let start = dfa.start_state(&start).ok()?;
    let mut found = vec![None, Some(start)];
    let mut numbers = HashMap::from([(start, START)]);
    let mut rows = vec![DEAD; byte_of.len()];
    let mut next = 1;
    while let Some(state) = found.get(next).copied().flatten() {
        next += 1;
        for byte in byte_of {
            let successor = dfa.next_state(state, *byte);
            if dfa.is_quit_state(successor) {
                return None;
            }
            if dfa.is_dead_state(successor) {
                rows.push(DEAD);
                continue;
            }
            let number = match numbers.get(&successor) {
                Some(number) => *number,
                None => {
                    let number = u8::try_from(found.len()).ok()?;
                    found.push(Some(successor));
                    numbers.insert(successor, number);
                    number
                }
            };
            rows.push(number);
        }
    }
    (found.len() <= STATES_MAX).then_some((rows, found))
}
