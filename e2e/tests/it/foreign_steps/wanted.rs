//! What must come of a step: what the client says, and what requests get.

use std::fmt;

/// Answers of the sample upstreams, and of a port that nobody listens on.
pub(super) const A: &str = "200 a GET /";
pub(super) const B: &str = "200 b GET /";
pub(super) const REFUSED: &str = "connection refused";

/// A request, and what must come of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected {
    pub(super) port: usize,
    pub(super) host: &'static str,
    pub(super) path: &'static str,
    pub(super) outcome: &'static str,
}

/// What a client must say to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// No refusal.
    Ack,
    /// A refusal that holds this, which names the resource.
    Nack(&'static str),
    /// Nothing, for there is nobody to say it to.
    Nothing,
}

/// What must come of a step.
pub(super) struct Wanted<'a> {
    pub(super) said: Said,
    pub(super) answers: &'a [Expected],
    /// Why that is better than what Envoy does, if it does something else.
    pub(super) why: &'static str,
}

/// `GET path` at the first port comes to this outcome.
pub(super) fn get(path: &'static str, outcome: &'static str) -> Expected {
    Expected {
        port: 0,
        host: "any.example",
        path,
        outcome,
    }
}

/// The step is taken, and requests get this.
pub(super) fn ack(answers: &[Expected]) -> Wanted<'_> {
    Wanted {
        said: Said::Ack,
        answers,
        why: "no wrong answer on the way",
    }
}

/// This resource is refused, and requests get what they got.
pub(super) fn nack<'a>(name: &'static str, answers: &'a [Expected]) -> Wanted<'a> {
    Wanted {
        said: Said::Nack(name),
        answers,
        why: "the refusal names the resource",
    }
}

impl Expected {
    pub(super) fn host(mut self, host: &'static str) -> Self {
        self.host = host;
        self
    }

    /// At the second port.
    pub(super) fn second_port(mut self) -> Self {
        self.port = 1;
        self
    }

    /// The request, without what must come of it.
    pub(super) fn request(&self) -> (usize, &'static str, &'static str) {
        (self.port, self.host, self.path)
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = if self.port == 0 { "" } else { "second port " };
        write!(f, "{port}{}", self.path)
    }
}

impl fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.said {
            Said::Ack => f.write_str("ACK")?,
            Said::Nack(name) => write!(f, "NACK {name}")?,
            Said::Nothing => f.write_str("-")?,
        }
        for expected in self.answers {
            write!(f, ", {expected}: {}", expected.outcome)?;
        }
        Ok(())
    }
}
