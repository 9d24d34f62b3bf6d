//! `validate`: config files, checked here as a control plane checks them: translated for every class of client, decoded
//! and compiled by the code that proxies run.

use std::collections::HashSet;

use clap::Args;

use crate::model::document::{self, Submitted};
use crate::model::{Problem, ResourceId};
use crate::revision::Draft;

use super::failure::{Failure, Fault};
use super::output::Report;
use super::source::Files;

/// The arguments of `validate`.
#[derive(Args)]
pub struct Validate {
    /// Files that are a whole config: what they refer to must stand in them.
    #[command(flatten)]
    files: Files,
}

impl Validate {
    pub(super) fn run(&self) -> Result<Report, Failure> {
        let source = self.files.read()?;
        let mut faults = match document::config(&source.document()) {
            Ok(submitted) => check(&submitted, &HashSet::new()),
            Err(unreadable) => {
                // What is wrong with the rest belongs into the same answer.
                let mut faults: Vec<_> = unreadable.problems.iter().map(of_document).collect();
                faults.extend(check(&unreadable.rest, &unreadable.stand_ins));
                faults
            }
        };
        if faults.is_empty() {
            return Ok(Report::new("valid"));
        }
        source.place(&mut faults);
        Err(Failure::invalid(faults))
    }
}

/// What is wrong, but for the resources in `except`.
fn check(submitted: &Submitted, except: &HashSet<ResourceId>) -> Vec<Fault> {
    let verdict = Draft::new(submitted.config.clone()).validate(None, &[]);
    let problems = verdict.err().unwrap_or_default().into_iter();
    let meant = problems.filter(|problem| {
        let resource = problem.resource.as_ref();
        resource.is_none_or(|resource| !except.contains(resource))
    });
    meant
        .map(|problem| of_resource(submitted, problem))
        .collect()
}

fn of_document(problem: &Problem) -> Fault {
    Fault {
        pointer: Some(problem.pointer.clone()),
        detail: problem.detail.clone(),
        ..Fault::default()
    }
}

/// A problem points into its resource; a fault points into the document.
fn of_resource(submitted: &Submitted, problem: Problem) -> Fault {
    let id = problem.resource.as_ref();
    let position = id.and_then(|id| Some((id, submitted.positions.get(id)?)));
    let pointer = position
        .map(|(id, position)| format!("/{}/{position}{}", id.kind.plural(), problem.pointer));
    Fault {
        place: None,
        pointer,
        resource: id.map(ResourceId::to_string),
        detail: problem.detail,
    }
}
