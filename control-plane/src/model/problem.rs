//! What is wrong with an operator's document, as data: the resource, a JSON pointer into it, a code, a sentence.
//! [`Check`] collects them while a resource is read and keeps the pointer to where the reader stands.

use std::fmt;
use std::fmt::Write as _;

pub use xds::problem::Code;

use super::ResourceId;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The resource it was found in; `None` if it is not in one (the document as a whole, the endpoints of a cluster).
    pub resource: Option<ResourceId>,
    /// JSON pointer (RFC 6901) from the resource, or from the document, to the field: `/match/path/regex`.
    /// Empty if the whole is meant.
    pub pointer: String,
    /// What kind of fault it is.
    pub code: Code,
    /// A sentence for people.
    pub detail: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(resource) = &self.resource {
            write!(f, "{resource}")?;
        }
        write!(f, "{}: {}", self.pointer, self.detail)
    }
}

/// Collects the problems of one resource.
#[derive(Debug)]
pub struct Check {
    resource: Option<ResourceId>,
    pointer: String,
    problems: Vec<Problem>,
}

impl Check {
    /// A check of a resource, or of what is none.
    pub fn new(resource: Option<ResourceId>) -> Self {
        Self {
            resource,
            pointer: String::new(),
            problems: Vec::new(),
        }
    }

    /// Runs `read` one step further down.
    pub fn at<T>(&mut self, step: impl Into<Step>, read: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.pointer.len();
        step.into().push_to(&mut self.pointer);
        let value = read(self);
        self.pointer.truncate(length);
        value
    }

    /// Runs `read` for each item of a list that is a field.
    pub fn each<T>(&mut self, field: &str, items: &[T], mut read: impl FnMut(&mut Self, &T)) {
        self.at(field, |check| {
            for (index, item) in items.iter().enumerate() {
                check.at(index, |check| read(check, item));
            }
        });
    }

    /// Notes a problem at the place where the reader stands.
    pub fn problem(&mut self, code: Code, detail: impl Into<String>) {
        self.problems.push(Problem {
            resource: self.resource.clone(),
            pointer: self.pointer.clone(),
            code,
            detail: detail.into(),
        });
    }

    /// Notes a problem one step further down.
    pub fn problem_at(&mut self, step: impl Into<Step>, code: Code, detail: impl Into<String>) {
        self.at(step, |check| check.problem(code, detail));
    }

    /// Notes what a rule of `text` has against a field.
    pub fn rule(&mut self, field: impl Into<Step>, verdict: Result<(), String>) {
        if let Err(detail) = verdict {
            self.problem_at(field, Code::Invalid, detail);
        }
    }

    /// Notes every item of a list that equals an earlier one.
    pub fn distinct<T: Ord>(
        &mut self,
        field: &str,
        items: impl IntoIterator<Item = T>,
        what: &str,
    ) {
        let mut seen = std::collections::BTreeSet::new();
        self.at(field, |check| {
            for (index, item) in items.into_iter().enumerate() {
                if !seen.insert(item) {
                    check.problem_at(
                        index,
                        Code::Duplicate,
                        format!("this {what} stands in the list twice"),
                    );
                }
            }
        });
    }

    /// What was found.
    pub fn finish(self) -> Vec<Problem> {
        self.problems
    }
}

/// One step of a JSON pointer.
#[derive(Clone, Debug)]
pub enum Step {
    /// A key of an object.
    Key(String),
    /// A position in an array.
    Index(usize),
}

impl Step {
    /// Appends the step, with the escapes of RFC 6901 section 3.
    pub fn push_to(&self, pointer: &mut String) {
        match self {
            Self::Key(key) => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Self::Index(index) => {
                let _ = write!(pointer, "/{index}");
            }
        }
    }
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Kind;

    #[test]
    fn a_problem_points_at_its_field_with_escaped_keys() {
        let mut check = Check::new(Some(ResourceId::new(Kind::Route, "a")));
        check.at("request_headers", |check| {
            check.at("set", |check| check.problem_at("x/~y", Code::Invalid, "no"));
        });
        check.problem(Code::Required, "something is missing");
        let problems: Vec<String> = check.finish().iter().map(Problem::to_string).collect();
        assert_eq!(
            problems,
            [
                "routes/a/request_headers/set/x~1~0y: no",
                "routes/a: something is missing"
            ]
        );
    }
}
