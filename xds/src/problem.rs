//! What is wrong with a configuration, as data: a [`Problem`] goes unchanged into the NACK, the 422 answer and the
//! console. [`Check`] collects them while a message is read, and keeps the path to where the reader stands.

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::names::Names;
use crate::type_url::ResourceType;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The resource it was found in; `None` if the bytes did not tell.
    pub resource: Option<ResourceRef>,
    /// Path of the field in the resource, as protobuf names it: `virtual_hosts[2].routes[0].match.safe_regex`.
    /// Empty if the resource as a whole is meant.
    pub path: String,
    /// What kind of fault it is.
    pub code: Code,
    /// A sentence for people.
    pub detail: String,
}

/// The name of a resource with its type.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceRef {
    /// Its type.
    pub ty: ResourceType,
    /// Its name, unique within the type.
    pub name: Arc<str>,
}

/// The kind of a fault. Stable: programs may decide by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// The bytes are not a message of their type.
    Undecodable,
    /// A field that must be set is not.
    Required,
    /// A value is outside of what the field allows.
    Invalid,
    /// A field or an extension is valid but not supported; accepting it would mean ignoring it.
    Unsupported,
    /// The same name, domain, address or endpoint twice.
    Duplicate,
    /// It refers to a resource that does not exist (yet).
    MissingReference,
}

impl Code {
    /// The code as it stands in API answers: `missing-reference`, …
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Undecodable => "undecodable",
            Self::Required => "required",
            Self::Invalid => "invalid",
            Self::Unsupported => "unsupported",
            Self::Duplicate => "duplicate",
            Self::MissingReference => "missing-reference",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for ResourceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.ty, self.name)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(resource) = &self.resource {
            write!(f, "{resource}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.detail)
    }
}

/// One step of a field path.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// A field by its protobuf name.
    Field(&'static str),
    /// A position in a repeated field.
    Index(usize),
}

impl From<&'static str> for Step {
    fn from(field: &'static str) -> Self {
        Self::Field(field)
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// Collects the problems of one resource. The path is kept as steps and becomes text only where something is wrong.
#[derive(Debug)]
pub struct Check {
    resource: Option<ResourceRef>,
    path: Vec<Step>,
    problems: Vec<Problem>,
    names: Names,
}

impl Check {
    /// A check of the named resource.
    pub fn new(ty: ResourceType, name: &str) -> Self {
        Self {
            resource: Some(ResourceRef {
                ty,
                name: Arc::from(name),
            }),
            path: Vec::new(),
            problems: Vec::new(),
            names: Names::default(),
        }
    }

    /// Has the names that others refer to shared with what was read before.
    pub(crate) fn sharing(mut self, names: &mut Names) -> Self {
        self.names = std::mem::take(names);
        self
    }

    /// Gives the names back, with those that were read.
    pub(crate) fn give_back(&mut self, names: &mut Names) {
        *names = std::mem::take(&mut self.names);
    }

    /// A name that other resources refer to as well.
    pub(crate) fn share(&mut self, name: &str) -> Arc<str> {
        self.names.share(name)
    }

    /// Runs `read` one step further down the path.
    pub fn at<T>(&mut self, step: impl Into<Step>, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(step.into());
        let value = read(self);
        self.path.pop();
        value
    }

    /// Notes a problem at the place where the reader stands.
    pub fn problem(&mut self, code: Code, detail: impl Into<String>) {
        let path = render(&self.path);
        self.problems.push(Problem {
            resource: self.resource.clone(),
            path,
            code,
            detail: detail.into(),
        });
    }

    /// Notes a problem one step further down.
    pub fn problem_at(&mut self, step: impl Into<Step>, code: Code, detail: impl Into<String>) {
        self.at(step, |check| check.problem(code, detail));
    }

    /// Refuses a field that is set although we do not honour it.
    pub fn unsupported<T: Default + PartialEq>(&mut self, field: &'static str, value: &T) {
        if *value != T::default() {
            self.refuse(field);
        }
    }

    /// Refuses a field that we do not honour.
    pub fn refuse(&mut self, field: &'static str) {
        self.problem_at(
            field,
            Code::Unsupported,
            "this field is not supported; leave it out",
        );
    }

    /// The value, if nothing was wrong.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Vec<Problem>> {
        match value {
            Some(value) if self.problems.is_empty() => Ok(value),
            _ => Err(self.problems),
        }
    }
}

/// Refuses every named local variable that holds something else than its default. Used after a whole message was
/// destructured, so that a field which is not read is named here or does not compile.
macro_rules! refuse_if_set {
    ($check:expr, $($field:ident),+ $(,)?) => {
        $( $check.unsupported(stringify!($field).trim_start_matches("r#"), &$field); )+
    };
}
pub(crate) use refuse_if_set;

fn render(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Field(name) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(name);
            }
            Step::Index(index) => {
                let _ = write!(text, "[{index}]");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_the_resource_the_field_and_the_fault() {
        let mut check = Check::new(ResourceType::RouteConfiguration, "web");
        check.at("virtual_hosts", |check| {
            check.at(2, |check| {
                check.problem_at(
                    "domains",
                    Code::Required,
                    "a virtual host needs at least one domain",
                );
            });
        });
        let problems = check.finish(Some(())).unwrap_err();
        assert_eq!(
            problems[0].to_string(),
            "RouteConfiguration \"web\": virtual_hosts[2].domains: a virtual host needs at least one domain"
        );
    }

    #[test]
    fn a_field_that_holds_its_default_is_not_refused() {
        let mut check = Check::new(ResourceType::Cluster, "a");
        check.unsupported("alt_stat_name", &String::new());
        assert_eq!(check.finish(Some(1)), Ok(1));
    }
}
