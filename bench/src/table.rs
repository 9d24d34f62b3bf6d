//! How many routes there are and what tells them apart. Pure: names of hosts, prefixes of paths, and the requests that are spread
//! over all of them.

use std::fmt;

/// Requests that differ, if the table is large enough.
const TARGETS: usize = 1_000;
/// Neighbours in the table do not follow each other: a prime above [`TARGETS`], so that each is met once.
const STRIDE: usize = 7_919;

/// All routes lead to the same upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    /// One route for everything.
    One,
    /// A route for each of so many hosts.
    Hosts(usize),
    /// A route for each of so many path prefixes of one host.
    Paths(usize),
}

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) path: String,
}

impl Table {
    pub(crate) fn routes(self) -> usize {
        match self {
            Self::One => 1,
            Self::Hosts(count) | Self::Paths(count) => count,
        }
    }

    /// The host of route `n`.
    pub(crate) fn host(self, n: usize) -> String {
        match self {
            Self::Hosts(_) => format!("h{n}.example"),
            Self::One | Self::Paths(_) => "h.example".to_owned(),
        }
    }

    /// The prefix of route `n`.
    pub(crate) fn prefix(self, n: usize) -> String {
        match self {
            Self::Paths(_) => format!("/p{n}/"),
            Self::One | Self::Hosts(_) => "/".to_owned(),
        }
    }

    /// A request that takes route `n`.
    pub(crate) fn target(self, n: usize) -> Target {
        Target {
            host: self.host(n),
            path: format!("{}x", self.prefix(n)),
        }
    }

    pub(crate) fn targets(self) -> Vec<Target> {
        let routes = self.routes();
        let count = TARGETS.min(routes);
        let spread = (0..count).map(|n| n * STRIDE % count * routes / count);
        spread.map(|n| self.target(n)).collect()
    }
}

/// `one`, `hosts:1000`, `paths:1000`, as [`std::str::FromStr`] reads it.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One => f.write_str("one"),
            Self::Hosts(count) => write!(f, "hosts:{count}"),
            Self::Paths(count) => write!(f, "paths:{count}"),
        }
    }
}

impl std::str::FromStr for Table {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let count = |text: &str| {
            let count = text.parse::<usize>().ok().filter(|count| *count > 0);
            count.ok_or_else(|| format!("no number of routes: {text:?}"))
        };
        match text.split_once(':') {
            None if text == "one" => Ok(Self::One),
            Some(("hosts", number)) => Ok(Self::Hosts(count(number)?)),
            Some(("paths", number)) => Ok(Self::Paths(count(number)?)),
            _ => Err(format!("not one, hosts:N or paths:N: {text:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn requests_are_different_and_spread_over_the_whole_table() {
        for table in [
            Table::Hosts(1_000),
            Table::Hosts(10_000),
            Table::Paths(100_000),
        ] {
            let targets = table.targets();
            let different: HashSet<_> = targets.iter().map(|t| (&t.host, &t.path)).collect();
            assert_eq!(different.len(), 1_000, "{table}");
        }
        let last_half = (50_000..100_000).map(|n| Table::Hosts(100_000).host(n));
        let last_half: HashSet<_> = last_half.collect();
        let targets = Table::Hosts(100_000).targets();
        let there = targets
            .iter()
            .filter(|t| last_half.contains(&t.host))
            .count();
        assert!((400..600).contains(&there), "{there}");
        assert_eq!(Table::One.targets().len(), 1);
    }

    #[test]
    fn a_table_is_read_as_it_is_written() {
        for table in [Table::One, Table::Hosts(7), Table::Paths(100_000)] {
            assert_eq!(table.to_string().parse(), Ok(table));
        }
        for wrong in ["", "two", "hosts", "hosts:", "hosts:0", "names:3"] {
            assert!(wrong.parse::<Table>().is_err(), "{wrong:?}");
        }
    }
}
