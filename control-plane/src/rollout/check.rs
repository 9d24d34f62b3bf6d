//! What is wrong with a strategy, and with what a fleet's settings say of rollouts; which strategy an operator means.
//! Problems name the field.

mod outside;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::model::duration::Duration;
use crate::model::problem::{Check, Code, Problem};
use crate::model::text;

use super::built_in::{self, built_in};
use super::strategy::{Compare, Gates, HealthGate, RolloutSettings, Strategy, StrategyRef, Wave};
use super::webhook::AllowList;

pub use self::outside::reachable;
use self::outside::{webhooks, windows};

/// Most waves of a strategy.
pub const WAVES_MAX: usize = 50;
/// Most nodes and zones that all waves of a strategy name together: a rollout carries them in its row.
pub const NAMED_MAX: usize = 10_000;
/// Most labels of a wave.
pub const LABELS_MAX: usize = 64;
/// Longest id of a node, zone, key and value of a label, and name of a wave, in bytes.
pub const TEXT_MAX: usize = 253;
/// Most strategies of a fleet.
pub const STRATEGIES_MAX: usize = 100;
/// No node serves a revision in less; with 0 every wave would fail.
const SETTLE_MIN: Duration = Duration::from_millis(1_000);
/// A shorter lease would run out in any restart of a control plane, and between two renewals on a slow network.
const LEASE_MIN: Duration = Duration::from_millis(1_000);
/// With less any coin could be tossed; nothing that requests tell is surer than the most.
const CONFIDENCE: RangeInclusive<f64> = 0.5..=0.999_999;

/// The strategy that an operator means: one of the fleet's, one that is built in, or the one that is given, if it is right.
pub fn resolve(
    strategies: &BTreeMap<String, Strategy>,
    reference: &StrategyRef,
) -> Result<Strategy, Problem> {
    match reference {
        StrategyRef::Named(name) => strategies
            .get(name)
            .cloned()
            .or_else(|| built_in(name))
            .ok_or_else(|| unknown(name)),
        StrategyRef::Inline(one) => {
            let mut check = Check::new(None);
            strategy(&mut check, one);
            match check.finish().into_iter().next() {
                Some(problem) => Err(problem),
                None => Ok(one.clone()),
            }
        }
    }
}

/// Checks what a fleet's settings say of rollouts; `check` stands at the settings, `allowed` are the hosts that webhooks may
/// be at.
pub fn settings(
    check: &mut Check,
    rollout: &RolloutSettings,
    strategies: &BTreeMap<String, Strategy>,
    allowed: &AllowList,
) {
    check.at("strategies", |check| {
        at_most(check, strategies.len(), STRATEGIES_MAX, "strategies");
        for (name, one) in strategies {
            check.rule(name.as_str(), text::name(name));
            check.at(name.as_str(), |check| {
                strategy(check, one);
                reachable(check, one, allowed);
            });
        }
    });
    check.at("rollout", |check| {
        check.at("strategy", |check| match &rollout.strategy {
            StrategyRef::Inline(one) => {
                strategy(check, one);
                reachable(check, one, allowed);
            }
            StrategyRef::Named(_) => {
                if let Err(problem) = resolve(strategies, &rollout.strategy) {
                    check.problem(problem.code, problem.detail);
                }
            }
        });
        windows(check, &rollout.freeze);
    });
}

/// Checks a strategy; `check` stands at it.
pub fn strategy(check: &mut Check, strategy: &Strategy) {
    if strategy.waves.is_empty() {
        check.problem_at("waves", Code::Required, "a strategy has one wave at least");
    }
    check.at("waves", |check| {
        at_most(check, strategy.waves.len(), WAVES_MAX, "waves");
        let named = strategy.waves.iter().map(named).sum();
        at_most(check, named, NAMED_MAX, "named nodes and zones");
    });
    check.each("waves", &strategy.waves, wave);
    check.each("waves", &strategy.waves, |check, wave| {
        webhooks(check, &wave.webhooks, &strategy.gates.webhooks);
    });
    order(check, &strategy.waves);
    check.at("gates", |check| gates(check, &strategy.gates));
    if strategy.max_step == Some(0) {
        check.problem_at("max_step", Code::Invalid, "a step moves one node at least");
    }
}

/// What waves ask of those before them.
fn order(check: &mut Check, waves: &[Wave]) {
    check.at("waves", |check| {
        if let Some((last, wave)) = waves.iter().enumerate().next_back()
            && !wave.takes_everybody()
        {
            check.problem_at(
                last,
                Code::Invalid,
                "the last wave takes everybody, or the rollout could never end: `percent: 100` or `labels: {}`",
            );
        }
        if let Some((last, wave)) = waves.iter().enumerate().next_back()
            && wave.lease.is_some_and(|lease| lease.as_millis() > 0)
        {
            let detail = "the last wave has no lease: nothing would confirm it";
            check.at(last, |check| check.problem_at("lease", Code::Invalid, detail));
        }
        let mut highest = 0.0;
        for (index, wave) in waves.iter().enumerate() {
            let Some(percent) = wave.share_of_fleet().filter(|percent| *percent > 0.0) else {
                continue;
            };
            if percent <= highest {
                check.at(index, |check| {
                    let detail = format!("an earlier wave takes {highest} percent already");
                    check.problem_at(wave.selector(), Code::Invalid, detail);
                });
            }
            highest = highest.max(percent);
        }
    });
}

fn wave(check: &mut Check, wave: &Wave) {
    selectors(check, wave);
    short(check, "name", &wave.name);
    if wave.settle < SETTLE_MIN {
        check.problem_at("settle", Code::Invalid, "nodes have one second at least");
    }
    if let Some(lease) = wave.lease
        && lease.as_millis() > 0
        && lease < LEASE_MIN
    {
        let detail = "a lease lasts one second at least; `0s` is none";
        check.problem_at("lease", Code::Invalid, detail);
    }
    ratio(check, "share", Some(wave.share));
}

/// Exactly one selector, and one that can choose somebody.
fn selectors(check: &mut Check, wave: &Wave) {
    let mut given = wave.selectors();
    if given.next().is_none() {
        check.problem(
            Code::Required,
            "a wave has `nodes`, `count`, `percent`, `labels`, `zones` or `each_zone`",
        );
    }
    for field in given {
        check.problem_at(
            field,
            Code::Invalid,
            "a wave has one of `nodes`, `count`, `percent`, `labels`, `zones` and `each_zone`",
        );
    }
    if let Some(nodes) = &wave.nodes {
        names(check, "nodes", nodes, "node");
    }
    if let Some(zones) = &wave.zones {
        names(check, "zones", zones, "zone");
    }
    if wave.count == Some(0) {
        check.problem_at("count", Code::Invalid, "a wave has one node at least");
    }
    if wave
        .percent
        .is_some_and(|percent| !(percent > 0.0 && percent <= 100.0))
    {
        check.problem_at(
            "percent",
            Code::Invalid,
            "a percentage is above 0 and 100 at most",
        );
    }
    if let Some(labels) = &wave.labels {
        check.at("labels", |check| {
            at_most(check, labels.len(), LABELS_MAX, "labels");
            for (key, value) in labels {
                short(check, key, key);
                short(check, key, value);
            }
        });
    }
}

fn names(check: &mut Check, field: &str, names: &[String], what: &str) {
    if names.is_empty() {
        let detail = format!("the wave names one {what} at least");
        check.problem_at(field, Code::Required, detail);
    }
    check.distinct(field, names, what);
    check.each(field, names, |check, name| {
        if name.is_empty() || name.len() > TEXT_MAX {
            let detail = format!("a {what} is named by 1 to {TEXT_MAX} bytes");
            check.problem(Code::Invalid, detail);
        }
    });
}

fn gates(check: &mut Check, gates: &Gates) {
    ratio(check, "max_changed", gates.max_changed);
    webhooks(check, &gates.webhooks, &[]);
    if let Some(gate) = &gates.health {
        check.at("health", |check| health(check, gate));
    }
}

fn health(check: &mut Check, gate: &HealthGate) {
    if gate.min_requests == 0 {
        check.problem_at(
            "min_requests",
            Code::Invalid,
            "without a request nothing is known",
        );
    }
    ratio(check, "max_error_ratio", gate.max_error_ratio);
    ratio(check, "max_no_route_ratio", gate.max_no_route_ratio);
    if gate.max_p99.is_some_and(|limit| limit.as_millis() == 0) {
        check.problem_at("max_p99", Code::Invalid, "a limit is longer than 0");
    }
    let asks = gate.max_error_ratio.is_some()
        || gate.max_no_route_ratio.is_some()
        || gate.max_p99.is_some()
        || gate.compare.is_some();
    if !asks {
        check.problem(
            Code::Required,
            "the gate has `max_error_ratio`, `max_no_route_ratio`, `max_p99` or `compare`",
        );
    }
    if let Some(by) = &gate.compare {
        check.at("compare", |check| compare(check, by));
    }
}

fn compare(check: &mut Check, compare: &Compare) {
    ratio(check, "error_ratio", Some(compare.error_ratio));
    ratio(check, "no_route_ratio", Some(compare.no_route_ratio));
    for (field, factor) in [
        ("p50_factor", compare.p50_factor),
        ("p99_factor", compare.p99_factor),
    ] {
        if factor.is_some_and(|factor| !(factor.is_finite() && factor >= 1.0)) {
            check.problem_at(field, Code::Invalid, "a factor is 1 or more");
        }
    }
    if !CONFIDENCE.contains(&compare.confidence) {
        let detail = "a confidence is 0.5 to 0.999999; 0.99 if it is not given";
        check.problem_at("confidence", Code::Invalid, detail);
    }
}

fn ratio(check: &mut Check, field: &str, value: Option<f64>) {
    if value.is_some_and(|value| !(0.0..=1.0).contains(&value)) {
        check.problem_at(field, Code::Invalid, "a share is 0 to 1");
    }
}

fn at_most(check: &mut Check, count: usize, most: usize, what: &str) {
    if count > most {
        let detail = format!("{count} {what} are too many: {most} at most");
        check.problem(Code::Invalid, detail);
    }
}

fn short(check: &mut Check, field: &str, text: &str) {
    if text.len() > TEXT_MAX {
        let detail = format!(
            "a text of {} bytes is too long: {TEXT_MAX} at most",
            text.len()
        );
        check.problem_at(field, Code::Invalid, detail);
    }
}

fn unknown(name: &str) -> Problem {
    Problem {
        resource: None,
        pointer: String::new(),
        code: Code::MissingReference,
        detail: format!(
            "there is no strategy {name:?}: it is none of the fleet's, and not {}",
            built_in::NAMES.join(", ")
        ),
    }
}

fn named(wave: &Wave) -> usize {
    wave.nodes.as_ref().map_or(0, Vec::len) + wave.zones.as_ref().map_or(0, Vec::len)
}

impl Wave {
    /// The selectors that are given.
    fn selectors(&self) -> impl Iterator<Item = &'static str> + use<> {
        let all = [
            ("nodes", self.nodes.is_some()),
            ("count", self.count.is_some()),
            ("percent", self.percent.is_some()),
            ("labels", self.labels.is_some()),
            ("zones", self.zones.is_some()),
            ("each_zone", self.each_zone),
        ];
        all.into_iter()
            .filter_map(|(field, is_given)| is_given.then_some(field))
    }

    fn selector(&self) -> &'static str {
        self.selectors().next().unwrap_or_default()
    }

    /// Whether no node stays out.
    pub fn takes_everybody(&self) -> bool {
        self.share_of_fleet()
            .is_some_and(|percent| percent >= 100.0)
    }

    /// How much of the fleet it takes, in percent, if that is what it says.
    fn share_of_fleet(&self) -> Option<f64> {
        let all = self.labels.as_ref().is_some_and(BTreeMap::is_empty);
        self.percent.or(all.then_some(100.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(json: serde_json::Value) -> Vec<String> {
        let one: Strategy = serde_json::from_value(json).unwrap();
        let mut check = Check::new(None);
        strategy(&mut check, &one);
        let problems = check.finish();
        problems
            .into_iter()
            .map(|problem| problem.pointer)
            .collect()
    }

    #[test]
    fn what_is_built_in_is_right() {
        for name in built_in::NAMES {
            let mut check = Check::new(None);
            strategy(&mut check, &built_in(name).unwrap());
            assert_eq!(check.finish(), [], "{name}");
        }
    }

    fn gated(webhooks: serde_json::Value) -> serde_json::Value {
        serde_json::json!({"waves": [{"percent": 100}], "gates": {"webhooks": webhooks}})
    }

    #[test]
    fn problems_name_the_field() {
        use serde_json::json;
        let all = json!({"percent": 100});
        for (strategy, pointer) in [
            (json!({"waves": []}), "/waves"),
            (json!({"waves": vec![all.clone(); 51]}), "/waves"),
            (json!({"waves": [{"percent": 10}]}), "/waves/0"),
            (json!({"waves": [{}, all]}), "/waves/0"),
            (json!({"waves": [{"percent": 0}, all]}), "/waves/0/percent"),
            (
                json!({"waves": [{"percent": 101}, {"labels": {}}]}),
                "/waves/0/percent",
            ),
            (
                json!({"waves": [{"percent": 50}, {"percent": 10}, all]}),
                "/waves/1/percent",
            ),
            (json!({"waves": [{"labels": {}}, all]}), "/waves/1/percent"),
            (
                json!({"waves": [{"count": 1, "zones": ["a"]}, all]}),
                "/waves/0/zones",
            ),
            (json!({"waves": [{"count": 0}, all]}), "/waves/0/count"),
            (json!({"waves": [{"nodes": []}, all]}), "/waves/0/nodes"),
            (
                json!({"waves": [{"nodes": ["a", "a"]}, all]}),
                "/waves/0/nodes/1",
            ),
            (
                json!({"waves": [{"zones": ["a", ""]}, all]}),
                "/waves/0/zones/1",
            ),
            (
                json!({"waves": [{"percent": 100, "share": 1.5}]}),
                "/waves/0/share",
            ),
            (
                json!({"waves": [{"percent": 100, "settle": "0s"}]}),
                "/waves/0/settle",
            ),
            (
                json!({"waves": [{"count": 1, "lease": "10ms"}, all]}),
                "/waves/0/lease",
            ),
            (
                json!({"waves": [{"percent": 100, "lease": "1m"}]}),
                "/waves/0/lease",
            ),
            (json!({"waves": [all], "max_step": 0}), "/max_step"),
            (
                gated(json!([{"name": "a", "url": "ftp://a"}])),
                "/gates/webhooks/0/url",
            ),
            (
                gated(json!([{"name": "", "url": "http://a"}])),
                "/gates/webhooks/0/name",
            ),
            (
                gated(json!([{"name": "a", "url": "http://a"}, {"name": "a", "url": "http://b"}])),
                "/gates/webhooks/1",
            ),
            (
                gated(json!([{"name": "a", "url": "http://a", "timeout": "61s"}])),
                "/gates/webhooks/0/timeout",
            ),
            (
                gated(json!([{"name": "a", "url": "http://a", "interval": "999ms"}])),
                "/gates/webhooks/0/interval",
            ),
            (
                json!({
                    "waves": [{"percent": 100, "webhooks": [{"name": "a", "url": "http://b"}]}],
                    "gates": {"webhooks": [{"name": "a", "url": "http://a"}]},
                }),
                "/waves/0/webhooks/0/name",
            ),
            (
                json!({"waves": [all], "gates": {"health": {}}}),
                "/gates/health",
            ),
            (
                json!({"waves": [all], "gates": {"max_changed": 1.5}}),
                "/gates/max_changed",
            ),
            (
                json!({"waves": [all], "gates": {"health": {"max_error_ratio": 2}}}),
                "/gates/health/max_error_ratio",
            ),
            (
                json!({"waves": [all], "gates": {"health": {"compare": {"p99_factor": 0.5}}}}),
                "/gates/health/compare/p99_factor",
            ),
            (
                json!({"waves": [all], "gates": {"health": {"compare": {"p50_factor": 0}}}}),
                "/gates/health/compare/p50_factor",
            ),
            (
                json!({"waves": [all], "gates": {"health": {"compare": {"confidence": 1}}}}),
                "/gates/health/compare/confidence",
            ),
        ] {
            let pointers = found(strategy.clone());
            assert!(
                pointers.iter().any(|one| one == pointer),
                "{strategy}: {pointers:?}"
            );
        }
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        let mut one = built_in("canary-then-all").unwrap();
        one.waves[1].percent = Some(f64::NAN);
        one.waves[2].share = f64::INFINITY;
        let mut check = Check::new(None);
        strategy(&mut check, &one);
        let pointers: Vec<String> = check.finish().into_iter().map(|it| it.pointer).collect();
        assert_eq!(pointers, ["/waves/1/percent", "/waves/2/share"]);
    }

    #[test]
    fn a_strategy_of_the_fleet_goes_before_one_that_is_built_in() {
        let own = built_in("by-zone").unwrap();
        let strategies = BTreeMap::from([("all-at-once".to_owned(), own.clone())]);
        let named = |name: &str| resolve(&strategies, &StrategyRef::Named(name.to_owned()));
        assert_eq!(named("all-at-once"), Ok(own));
        assert_eq!(named("canary-then-all").ok(), built_in("canary-then-all"));
        assert_eq!(named("other").unwrap_err().code, Code::MissingReference);
    }

    #[test]
    fn settings_name_a_strategy_that_there_is() {
        let rollout = RolloutSettings {
            strategy: StrategyRef::Named("mine".to_owned()),
            ..RolloutSettings::default()
        };
        let empty = Strategy {
            waves: Vec::new(),
            ..built_in("by-zone").unwrap()
        };
        let mut check = Check::new(None);
        let allowed = AllowList::default();
        settings(&mut check, &rollout, &BTreeMap::new(), &allowed);
        settings(
            &mut check,
            &rollout,
            &BTreeMap::from([("mine".to_owned(), empty)]),
            &allowed,
        );
        let pointers: Vec<String> = check.finish().into_iter().map(|it| it.pointer).collect();
        assert_eq!(pointers, ["/rollout/strategy", "/strategies/mine/waves"]);
    }
}
