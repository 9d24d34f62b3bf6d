//! Which strategy an operator means.

use std::collections::BTreeMap;

use crate::model::problem::{Code, Problem};

use super::strategy::{ALL_AT_ONCE, Gates, OnFailure, Strategy, StrategyRef, Wave};

/// The strategy that an operator means.
pub fn resolve(
    strategies: &BTreeMap<String, Strategy>,
    reference: &StrategyRef,
) -> Result<Strategy, Problem> {
    match reference {
        StrategyRef::Inline(strategy) => Ok(strategy.clone()),
        StrategyRef::Named(name) => strategies
            .get(name)
            .cloned()
            .or_else(|| built_in(name))
            .ok_or_else(|| Problem {
                resource: None,
                pointer: String::new(),
                code: Code::Invalid,
                detail: format!("there is no strategy {name:?}"),
            }),
    }
}

fn built_in(name: &str) -> Option<Strategy> {
    let everybody = Wave {
        percent: Some(100.0),
        ..Wave::default()
    };
    (name == ALL_AT_ONCE).then(|| Strategy {
        waves: vec![everybody],
        gates: Gates::default(),
        max_step: None,
        on_failure: OnFailure::default(),
    })
}
