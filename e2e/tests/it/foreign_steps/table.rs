//! The table: each step, what both clients did wrong, and so which did better.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// All steps so far.
#[derive(Default)]
pub(super) struct Table(Vec<Row>);

/// One step.
pub(super) struct Row {
    pub(super) step: &'static str,
    pub(super) wanted: String,
    pub(super) ours: Seen,
    pub(super) envoys: Seen,
    pub(super) why: &'static str,
}

/// What a client did in a step.
pub(super) struct Seen {
    pub(super) faults: Vec<Fault>,
    /// Until it was as wanted, or time was up.
    pub(super) took: Duration,
}

/// Something that was not as wanted.
#[derive(Clone)]
pub(super) struct Fault {
    /// What it comes to; two clients with the same are equally wrong.
    pub(super) what: String,
    /// The client's own words.
    pub(super) words: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Same,
    Better,
    Worse,
}

impl Table {
    pub(super) fn push(&mut self, row: Row) {
        self.0.push(row);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The steps in which our proxy does worse.
    pub(super) fn worse(&self) -> Vec<&'static str> {
        let worse = self.0.iter().filter(|row| row.verdict() == Verdict::Worse);
        worse.map(|row| row.step).collect()
    }

    fn count(&self, verdict: Verdict) -> usize {
        let rows = self.0.iter();
        rows.filter(|row| row.verdict() == verdict).count()
    }
}

impl Fault {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            words: String::new(),
        }
    }
}

impl Row {
    fn verdict(&self) -> Verdict {
        let (ours, envoys) = (self.ours.what(), self.envoys.what());
        if ours == envoys {
            Verdict::Same
        } else if ours.is_subset(&envoys) {
            Verdict::Better
        } else {
            Verdict::Worse
        }
    }
}

impl Seen {
    fn what(&self) -> BTreeSet<&str> {
        let faults = self.faults.iter();
        faults.map(|fault| fault.what.as_str()).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "step | wanted | ours | Envoy's | verdict")?;
        for row in &self.0 {
            writeln!(f, "{row}")?;
        }
        let counts = [Verdict::Same, Verdict::Better, Verdict::Worse]
            .map(|verdict| format!("{} {verdict:?}", self.count(verdict)));
        write!(f, "{} steps: {}", self.len(), counts.join(", "))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ours, envoys, verdict) = (&self.ours, &self.envoys, self.verdict());
        write!(
            f,
            "{} | {} | {ours} | {envoys} | {verdict:?}",
            self.step, self.wanted
        )?;
        if verdict == Verdict::Better {
            write!(f, ": {}", self.why)?;
        }
        Ok(())
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.faults.is_empty() {
            f.write_str("as wanted")?;
        }
        for (index, fault) in self.faults.iter().enumerate() {
            write!(f, "{}{fault}", if index == 0 { "" } else { "; " })?;
        }
        write!(f, ", {} ms", self.took.as_millis())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if !self.words.is_empty() {
            write!(f, " ({:.100})", self.words)?;
        }
        Ok(())
    }
}
