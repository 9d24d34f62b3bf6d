//! The scenarios, as data: what is asked of the peers, and what we want to reach.

use crate::exchange::Exchange;
use crate::table::Table;

/// Something to be measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) goal: &'static str,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Traffic(Traffic),
    /// One route more among so many, each with a host of its own, while requests come at a fixed rate.
    Reload {
        hosts: usize,
    },
    /// Memory at rest, and of connections that rest: so many twice.
    Idle {
        connections: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Traffic {
    pub(crate) exchange: Exchange,
    pub(crate) connections: usize,
    pub(crate) table: Table,
    /// Requests per second in the open loop; without it the loop is closed.
    pub(crate) rate: Option<u32>,
    pub(crate) placement: Placement,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// One worker on one core, load and upstream on another.
    OnePinned,
    /// Two workers, and everybody where the kernel puts them.
    TwoUnpinned,
}

impl Placement {
    pub(crate) fn workers(self) -> usize {
        match self {
            Self::OnePinned => 1,
            Self::TwoUnpinned => 2,
        }
    }
}

const GET_64: Traffic = Traffic {
    exchange: Exchange::Small,
    connections: 64,
    table: Table::One,
    rate: None,
    placement: Placement::OnePinned,
};

const fn with(exchange: Exchange, connections: usize) -> Kind {
    Kind::Traffic(Traffic {
        exchange,
        connections,
        ..GET_64
    })
}

const fn unpinned(connections: usize) -> Kind {
    Kind::Traffic(Traffic {
        connections,
        placement: Placement::TwoUnpinned,
        ..GET_64
    })
}

const fn routes(table: Table) -> Kind {
    Kind::Traffic(Traffic { table, ..GET_64 })
}

const fn scenario(
    name: &'static str,
    what: &'static str,
    goal: &'static str,
    kind: Kind,
) -> Scenario {
    Scenario {
        name,
        what,
        goal,
        kind,
    }
}

/// What peers cost as the design wants it: of the L4 forwarder, and of nginx, HAProxy and Envoy against ours.
const SMALL_GOAL: &str = "L4 ≤ 1.30; 1.5, 1.5, 6";

/// All of them, in the order in which they run.
pub(crate) const ALL: &[Scenario] = &[
    scenario(
        "small-64",
        "small GET, 64 connections, one worker",
        SMALL_GOAL,
        Kind::Traffic(GET_64),
    ),
    scenario(
        "small-64-two",
        "small GET, 64 connections, two workers",
        SMALL_GOAL,
        unpinned(64),
    ),
    scenario(
        "small-1",
        "small GET, 1 connection, one worker",
        "",
        with(Exchange::Small, 1),
    ),
    scenario(
        "small-512",
        "small GET, 512 connections, one worker",
        "1.6, 1.6, –",
        with(Exchange::Small, 512),
    ),
    scenario(
        "small-512-two",
        "small GET, 512 connections, two workers",
        "1.6, 1.6, –",
        unpinned(512),
    ),
    scenario(
        "ten-kib",
        "10 KiB, 64 connections",
        "L4 ≤ 1.2",
        with(Exchange::TenKib, 64),
    ),
    scenario(
        "mib",
        "1 MiB, 16 connections",
        "L4 ≤ 1.05",
        with(Exchange::Mib, 16),
    ),
    scenario(
        "mib-chunked",
        "1 MiB in chunks, 16 connections",
        "L4 ≤ 1.05",
        with(Exchange::MibChunked, 16),
    ),
    scenario(
        "post",
        "POST of 64 KiB, 64 connections",
        "L4 ≤ 1.15",
        with(Exchange::Post, 64),
    ),
    scenario("hosts-1000", "1,000 hosts", "", routes(Table::Hosts(1_000))),
    scenario(
        "hosts-10000",
        "10,000 hosts",
        "",
        routes(Table::Hosts(10_000)),
    ),
    scenario(
        "hosts-100000",
        "100,000 hosts",
        "1 route + 10 %",
        routes(Table::Hosts(100_000)),
    ),
    scenario(
        "paths-1000",
        "1,000 paths of one host",
        "",
        routes(Table::Paths(1_000)),
    ),
    scenario(
        "paths-10000",
        "10,000 paths of one host",
        "",
        routes(Table::Paths(10_000)),
    ),
    scenario(
        "paths-100000",
        "100,000 paths of one host",
        "1 route + 10 %",
        routes(Table::Paths(100_000)),
    ),
    scenario(
        "latency",
        "3,000 requests a second, 64 connections, one worker",
        "L4: p50 + 5 %, p99 + 15 %",
        Kind::Traffic(Traffic {
            rate: Some(3_000),
            ..GET_64
        }),
    ),
    scenario(
        "reload-10000",
        "one route more among 10,000",
        "≤ 20 ms, 0 failed",
        Kind::Reload { hosts: 10_000 },
    ),
    scenario(
        "reload-100000",
        "one route more among 100,000",
        "≤ 20 ms, 0 failed",
        Kind::Reload { hosts: 100_000 },
    ),
    scenario(
        "idle",
        "at rest, two workers",
        "≤ 5 MiB, ≤ 2 KiB",
        Kind::Idle { connections: 2_500 },
    ),
];

/// What `quick` measures.
pub(crate) const QUICK: &[&str] = &["small-64", "small-64-two"];
/// What `compare` measures: where a change of the request path shows.
pub(crate) const COMPARE: &[&str] = &["small-64", "small-1", "small-512", "ten-kib", "post"];

/// Those of a list that the user wants; a name that is none is an error with all names.
pub(crate) fn choose(default: &[&str], only: &[String]) -> Result<Vec<Scenario>, String> {
    if let Some(wrong) = only.iter().find(|name| find(name).is_none()) {
        let names: Vec<_> = ALL.iter().map(|scenario| scenario.name).collect();
        return Err(format!(
            "no scenario {wrong:?}; there are {}",
            names.join(", ")
        ));
    }
    let is_chosen = |scenario: &&Scenario| match only {
        [] => default.is_empty() || default.contains(&scenario.name),
        only => only.iter().any(|name| name == scenario.name),
    };
    Ok(ALL.iter().filter(is_chosen).copied().collect())
}

pub(crate) fn find(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_the_short_lists_name_scenarios() {
        let names: HashSet<_> = ALL.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names.len(), ALL.len());
        for name in QUICK.iter().chain(COMPARE) {
            assert!(names.contains(name), "{name}");
        }
    }

    #[test]
    fn what_is_wanted_goes_before_the_default() {
        let chosen = |only: &[&str]| {
            let only: Vec<_> = only.iter().map(|&name| name.to_owned()).collect();
            choose(QUICK, &only).map(|chosen| chosen.iter().map(|s| s.name).collect::<Vec<_>>())
        };
        assert_eq!(chosen(&[]), Ok(vec!["small-64", "small-64-two"]));
        assert_eq!(chosen(&["idle"]), Ok(vec!["idle"]));
        assert!(chosen(&["small"]).unwrap_err().contains("small-512"));
        assert_eq!(choose(&[], &[]).unwrap().len(), ALL.len());
    }
}
