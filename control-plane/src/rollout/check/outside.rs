//! What is wrong with what holds a wave from outside: webhooks and freeze windows. Problems name the field.

use crate::model::problem::{Check, Code};

use super::super::strategy::Strategy;
use super::super::webhook::{AllowList, INTERVAL_MIN, TIMEOUT_MAX, Target, Webhook};
use super::super::window::Freeze;
use super::{TEXT_MAX, at_most};

/// Most webhooks that a wave asks, with those of the gates: each is asked again and again.
const WEBHOOKS_MAX: usize = 20;
/// Longest URL of a webhook, in bytes.
const URL_MAX: usize = 2_048;
/// Most freeze windows of a fleet.
const WINDOWS_MAX: usize = 100;

/// Checks the freeze windows of a fleet; `check` stands at what is said of its rollouts.
pub(super) fn windows(check: &mut Check, freeze: &[Freeze]) {
    check.at("freeze", |check| {
        at_most(check, freeze.len(), WINDOWS_MAX, "freeze windows");
    });
    check.distinct("freeze", freeze.iter().map(|one| &one.name), "name");
    check.each("freeze", freeze, |check, one| {
        called(check, &one.name, "window");
        check.distinct("days", &one.days, "day");
        if let Err(fault) = one.read() {
            check.problem_at(fault.field, Code::Invalid, fault.detail);
        }
    });
}

/// Checks that this server may ask the webhooks of a strategy; `check` stands at it. Apart from the check of the strategy itself:
/// what one server may not, another may.
pub fn reachable(check: &mut Check, strategy: &Strategy, allowed: &AllowList) {
    let one = |check: &mut Check, hook: &Webhook| {
        let refusal = Target::of(&hook.url).ok();
        if let Some(refusal) = refusal.and_then(|target| allowed.refusal(&target)) {
            check.problem_at("url", Code::Invalid, refusal);
        }
    };
    check.at("gates", |check| {
        check.each("webhooks", &strategy.gates.webhooks, one);
    });
    check.each("waves", &strategy.waves, |check, wave| {
        check.each("webhooks", &wave.webhooks, one);
    });
}

/// Checks webhooks; `others` are asked by the same wave.
pub(super) fn webhooks(check: &mut Check, hooks: &[Webhook], others: &[Webhook]) {
    check.at("webhooks", |check| {
        let count = hooks.len() + others.len();
        if !hooks.is_empty() {
            at_most(check, count, WEBHOOKS_MAX, "webhooks of a wave");
        }
    });
    check.distinct("webhooks", hooks.iter().map(|hook| &hook.name), "name");
    check.each("webhooks", hooks, |check, hook| {
        called(check, &hook.name, "webhook");
        if others.iter().any(|other| other.name == hook.name) {
            let detail = "a webhook of the gates, which every wave asks, has this name";
            check.problem_at("name", Code::Duplicate, detail);
        }
        match hook.fault() {
            Some(fault) => check.problem_at("url", Code::Invalid, fault),
            None if hook.url.len() > URL_MAX => {
                let detail = format!("a URL has {URL_MAX} bytes at most");
                check.problem_at("url", Code::Invalid, detail);
            }
            None => {}
        }
        if hook.timeout.as_millis() == 0 || hook.timeout > TIMEOUT_MAX {
            let detail = format!("an answer may take more than 0, and {TIMEOUT_MAX} at most");
            check.problem_at("timeout", Code::Invalid, detail);
        }
        if hook.interval < INTERVAL_MIN {
            let detail = format!("a webhook is asked every {INTERVAL_MIN} at most");
            check.problem_at("interval", Code::Invalid, detail);
        }
    });
}

/// A name that verdicts and events call something by.
fn called(check: &mut Check, name: &str, what: &str) {
    if name.is_empty() || name.len() > TEXT_MAX || name.chars().any(char::is_control) {
        let detail =
            format!("a {what} is named by 1 to {TEXT_MAX} bytes without control characters");
        check.problem_at("name", Code::Invalid, detail);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::settings;
    use super::*;
    use crate::rollout::strategy::RolloutSettings;

    #[test]
    fn a_host_that_the_server_does_not_ask_is_a_problem_that_names_the_flag() {
        let hook = serde_json::json!([{"name": "a", "url": "https://gates.example/x"}]);
        let mut one: Strategy = serde_json::from_value(serde_json::json!({
            "waves": [{"percent": 100}],
            "gates": {"webhooks": hook},
        }))
        .unwrap();
        one.waves[0].webhooks = serde_json::from_value(hook).unwrap();
        let problems = |allowed: &[&str]| {
            let allowed: Vec<_> = allowed.iter().map(|host| host.parse().unwrap()).collect();
            let mut check = Check::new(None);
            reachable(&mut check, &one, &AllowList::from(allowed));
            check.finish()
        };
        assert_eq!(problems(&["gates.example"]), []);
        let found = problems(&[]);
        let pointers: Vec<_> = found.iter().map(|it| it.pointer.as_str()).collect();
        assert_eq!(
            pointers,
            ["/gates/webhooks/0/url", "/waves/0/webhooks/0/url"]
        );
        assert!(found[0].detail.contains("--webhook-allow"), "{}", found[0]);
    }

    #[test]
    fn freeze_windows_are_checked_one_by_one() {
        let freeze = serde_json::json!([
            {"name": "a", "days": ["fri", "fri"], "from": "16:00", "until": "24:00"},
            {"name": "a", "days": ["fri"], "from": "16", "until": "24:00"},
            {"name": "", "from": "2026-12-24T00:00:00Z", "until": "2026-12-24T00:00:00Z"},
        ]);
        let rollout = RolloutSettings {
            freeze: serde_json::from_value(freeze).unwrap(),
            ..RolloutSettings::default()
        };
        let mut check = Check::new(None);
        settings(
            &mut check,
            &rollout,
            &BTreeMap::new(),
            &AllowList::default(),
        );
        let pointers: Vec<String> = check.finish().into_iter().map(|it| it.pointer).collect();
        assert_eq!(
            pointers,
            [
                "/rollout/freeze/1",
                "/rollout/freeze/0/days/1",
                "/rollout/freeze/1/from",
                "/rollout/freeze/2/name",
                "/rollout/freeze/2/until"
            ]
        );
    }
}
