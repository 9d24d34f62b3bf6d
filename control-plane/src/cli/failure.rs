//! What goes wrong, as a person reads it: one sentence, and a line for each fault of a config with its place in a file.
//! In: answers of the API (RFC 9457), or what went wrong on this side. Which exit code it makes is in `cli`.

use std::fmt;

use http::StatusCode;
use serde::Deserialize;

use super::output::printable;

/// Why a command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Nothing reached the server, or nothing came back.
    #[error("{server} does not answer: {cause}")]
    Unreachable {
        /// Its URL.
        server: String,
        /// What happened.
        cause: String,
    },
    /// The server said no.
    #[error("{sentence}")]
    Answer {
        /// Its status.
        status: StatusCode,
        /// What it said.
        sentence: String,
        /// Each thing that is wrong.
        faults: Vec<Fault>,
    },
    /// A config that no server would take.
    #[error("{0}; nothing was sent")]
    Invalid(Count, Vec<Fault>),
    /// A rollout did not end as it should.
    #[error("the rollout is {state}{}", cause(.outcome))]
    RolledBack {
        /// Its state in the end.
        state: String,
        /// Why.
        outcome: String,
    },
    /// A revision was stored, and nothing takes it to the nodes.
    #[error("{0}")]
    NotDelivered(String),
    /// Something on this side: a file, an argument.
    #[error("{0}")]
    Local(String),
}

/// So many things are wrong.
#[derive(Debug)]
pub(super) struct Count(usize);

/// One thing that is wrong with a config.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Fault {
    /// The file and the line, if it stands in a file.
    #[serde(skip)]
    pub(super) place: Option<String>,
    /// JSON pointer into the document.
    pub(super) pointer: Option<String>,
    /// The resource.
    pub(super) resource: Option<String>,
    /// What is wrong.
    pub(super) detail: String,
}

/// The parts of a problem document that are shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ProblemDocument {
    title: String,
    detail: Option<String>,
    request_id: Option<String>,
    errors: Vec<Fault>,
}

impl Failure {
    /// A config that is refused before it is sent.
    pub(super) fn invalid(faults: Vec<Fault>) -> Self {
        Self::Invalid(Count(faults.len()), faults)
    }

    /// An answer that is no success.
    pub(super) fn of_answer(status: StatusCode, body: &[u8]) -> Self {
        let Ok(problem) = serde_json::from_slice::<ProblemDocument>(body) else {
            let sentence = format!("the server answered {status}, not as a control plane does");
            return Self::Answer {
                status,
                sentence,
                faults: Vec::new(),
            };
        };
        let mut sentence = match problem.detail {
            Some(detail) => format!("{}: {detail}", problem.title),
            None => problem.title,
        };
        // Whoever runs the server finds more under this id in its log.
        if let Some(id) = problem.request_id.filter(|_| status.is_server_error()) {
            sentence = format!("{sentence} (request {id})");
        }
        Self::Answer {
            status,
            sentence: printable(&sentence),
            faults: problem.errors,
        }
    }

    /// Whether somebody decided against it, so that the same again leads nowhere: exit code 3.
    pub(super) fn is_refusal(&self) -> bool {
        match self {
            Self::Invalid(..) | Self::NotDelivered(_) => true,
            Self::Answer { status, .. } => matches!(
                *status,
                StatusCode::CONFLICT
                    | StatusCode::PRECONDITION_FAILED
                    | StatusCode::UNPROCESSABLE_ENTITY
            ),
            Self::Unreachable { .. } | Self::RolledBack { .. } | Self::Local(_) => false,
        }
    }

    /// Whether a rollout did not end as it should: exit code 4.
    pub(super) fn is_rolled_back(&self) -> bool {
        matches!(self, Self::RolledBack { .. })
    }

    /// Whether the same may succeed later: nobody has decided against it.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Answer { status, .. } => status.is_server_error(),
            _ => false,
        }
    }

    /// Whether what was asked for is not there.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Answer { status, .. } if *status == StatusCode::NOT_FOUND)
    }

    /// Each thing that is wrong.
    pub(super) fn faults(&self) -> &[Fault] {
        match self {
            Self::Invalid(_, faults) | Self::Answer { faults, .. } => faults,
            _ => &[],
        }
    }

    /// With each fault changed, to give it its place.
    pub(super) fn map_faults(mut self, change: impl FnOnce(&mut [Fault])) -> Self {
        if let Self::Invalid(_, faults) | Self::Answer { faults, .. } = &mut self {
            change(faults);
        }
        self
    }
}

fn cause(outcome: &str) -> String {
    match outcome {
        "" => String::new(),
        outcome => format!(": {}", printable(outcome)),
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("not valid: one thing is wrong"),
            count => write!(f, "not valid: {count} things are wrong"),
        }
    }
}

impl fmt::Display for Fault {
    /// `shop.yaml:31: /routes/4/match/path/regex: …`, with what is known of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pointer = self
            .pointer
            .as_deref()
            .filter(|pointer| !pointer.is_empty());
        let subject = pointer.or(self.resource.as_deref());
        for part in [self.place.as_deref(), subject].into_iter().flatten() {
            write!(f, "{}: ", printable(part))?;
        }
        f.write_str(&printable(&self.detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_one_sentence_and_a_line_for_each_fault() {
        let body = br#"{"title": "The config is not valid", "status": 422, "detail": "2 things are wrong",
            "errors": [{"pointer": "/routes/0/forward/cluster", "resource": "routes/a", "code": "x", "detail": "no such cluster"},
                       {"resource": "clusters/b", "code": "x", "detail": "it is used"}]}"#;
        let failure = Failure::of_answer(StatusCode::UNPROCESSABLE_ENTITY, body);
        assert!(failure.is_refusal());
        assert_eq!(
            failure.to_string(),
            "The config is not valid: 2 things are wrong"
        );
        let lines: Vec<String> = failure.faults().iter().map(Fault::to_string).collect();
        assert_eq!(
            lines,
            [
                "/routes/0/forward/cluster: no such cluster",
                "clusters/b: it is used"
            ]
        );
    }

    #[test]
    fn an_answer_of_something_else_is_told_as_such() {
        let failure = Failure::of_answer(StatusCode::BAD_GATEWAY, b"<html>");
        assert!(!failure.is_refusal());
        assert_eq!(
            failure.to_string(),
            "the server answered 502 Bad Gateway, not as a control plane does"
        );
    }

    #[test]
    fn what_a_server_says_cannot_drive_the_terminal() {
        let failure = Failure::of_answer(StatusCode::BAD_REQUEST, b"{\"title\": \"a\\u001b[2Jb\"}");
        assert_eq!(failure.to_string(), "a\\u{1b}[2Jb");
    }
}
