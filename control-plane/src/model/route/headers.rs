//! Edits of a head: fields set, appended and removed.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::is_default;
use crate::model::problem::{Check, Code};
use crate::model::text;

/// Edits of a request's or a response's head. Removals come first; a name stands in one of the three alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderEdits {
    /// Fields that get this value, whatever they had.
    #[serde(default, skip_serializing_if = "is_default")]
    pub set: BTreeMap<String, String>,
    /// Fields that get this value after those they have.
    #[serde(default, skip_serializing_if = "is_default")]
    pub append: BTreeMap<String, String>,
    /// Fields that are taken out.
    #[serde(default, skip_serializing_if = "is_default")]
    pub remove: Vec<String>,
}

impl HeaderEdits {
    pub(super) fn check(&self, check: &mut Check) {
        check.at("set", |check| check_values(check, &self.set));
        check.at("append", |check| check_values(check, &self.append));
        check.each("remove", &self.remove, |check, name| {
            if let Err(detail) = text::editable_header_name(name) {
                check.problem(Code::Invalid, detail);
            }
        });
        check.distinct(
            "remove",
            self.remove.iter().map(|name| name.to_ascii_lowercase()),
            "field",
        );
        self.check_overlap(check);
    }

    fn check_overlap(&self, check: &mut Check) {
        let set: BTreeSet<_> = self
            .set
            .keys()
            .map(|name| name.to_ascii_lowercase())
            .collect();
        let append: BTreeSet<_> = self
            .append
            .keys()
            .map(|name| name.to_ascii_lowercase())
            .collect();
        for name in self
            .append
            .keys()
            .filter(|name| set.contains(&name.to_ascii_lowercase()))
        {
            check.at("append", |check| {
                check.problem_at(name.as_str(), Code::Duplicate, "`set` has this field too");
            });
        }
        for (index, name) in self.remove.iter().enumerate() {
            let name = name.to_ascii_lowercase();
            if set.contains(&name) || append.contains(&name) {
                let detail = "a field that is set or appended is not removed";
                check.at("remove", |check| {
                    check.problem_at(index, Code::Duplicate, detail);
                });
            }
        }
    }
}

/// Checks names and values, and that no two names differ in case alone.
pub(super) fn check_values(check: &mut Check, values: &BTreeMap<String, String>) {
    let mut seen = BTreeSet::new();
    for (name, value) in values {
        check.rule(
            name.as_str(),
            text::editable_header_name(name).and_then(|()| text::header_value(value)),
        );
        if !seen.insert(name.to_ascii_lowercase()) {
            check.problem_at(
                name.as_str(),
                Code::Duplicate,
                "header names do not differ in case",
            );
        }
    }
}
