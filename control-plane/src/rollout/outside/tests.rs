use serde_json::json;

use super::*;
use crate::rollout::begin::{Begin, Terms, begin};
use crate::rollout::strategy::Strategy;
use crate::rollout::webhook::Answer;

fn rollout(state: State) -> Rollout {
    let strategy: Strategy = serde_json::from_value(json!({
        "waves": [{"percent": 100, "webhooks": [
            {"name": "board", "url": "http://b/", "when": "before"},
            {"name": "probe", "url": "http://p/", "on_error": "fail"},
        ]}],
        "gates": {"webhooks": [{"name": "all", "url": "http://a/"}]},
    }))
    .unwrap();
    let what = Begin {
        id: "r",
        fleet: "f",
        from: 1,
        to: 2,
        strategy: &strategy,
        reason: "",
        by: "ann",
        validators: false,
        instead_of: None,
        terms: Terms {
            not_before: Some(Timestamp::from_micros(100)),
            ..Terms::default()
        },
    };
    let (rollout, _) = begin(what, Timestamp::default());
    Rollout { state, ..rollout }
}

fn said(rollout: &Rollout, answers: &[(&str, Reply)]) -> Observed {
    let answer = |(name, reply): &(&str, Reply)| Answer {
        occasion: Occasion::of(rollout),
        name: (*name).to_owned(),
        reply: *reply,
        message: "why".to_owned(),
    };
    Observed {
        answers: answers.iter().map(answer).collect(),
        ..Observed::default()
    }
}

#[test]
fn webhooks_pass_together_and_silence_is_no_pass() {
    use Reply::{Error, Fail, Pass, Wait};
    let baking = rollout(State::Baking);
    for (answers, outcome) in [
        (&[][..], Outcome::Hold),
        (&[("all", Pass)], Outcome::Hold),
        (&[("all", Pass), ("board", Pass)], Outcome::Hold),
        (&[("all", Pass), ("probe", Pass)], Outcome::Pass),
        (&[("all", Wait), ("probe", Pass)], Outcome::Hold),
        (&[("all", Error), ("probe", Pass)], Outcome::Hold),
        (&[("all", Pass), ("probe", Error)], Outcome::Fail),
        (&[("all", Fail), ("probe", Pass)], Outcome::Fail),
        (&[("probe", Fail)], Outcome::Fail),
    ] {
        let verdict = webhooks(&baking, &said(&baking, answers)).unwrap();
        assert_eq!(verdict.outcome, outcome, "{answers:?}: {}", verdict.detail);
    }
    let verdict = webhooks(&baking, &said(&baking, &[("all", Wait)])).unwrap();
    assert_eq!(
        verdict.detail,
        "all says wait: why; probe has not answered yet"
    );
    assert_eq!(
        verdict.numbers["replies"],
        json!({"all": "wait", "probe": null})
    );
}

#[test]
fn what_was_said_to_one_wave_is_no_answer_to_the_next() {
    let baking = rollout(State::Baking);
    let observed = said(&baking, &[("all", Reply::Pass), ("probe", Reply::Pass)]);
    let next = Rollout {
        wave_at: Some(Timestamp::from_micros(9)),
        ..baking
    };
    let verdict = webhooks(&next, &observed).unwrap();
    assert_eq!(verdict.outcome, Outcome::Hold, "{}", verdict.detail);
}

#[test]
fn before_a_wave_others_are_asked_than_while_it_bakes_and_in_between_nobody() {
    let names = |rollout: &Rollout| {
        let asked = webhook::asked(rollout).into_iter();
        asked.map(|hook| hook.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&rollout(State::Advancing)), ["board"]);
    assert_eq!(names(&rollout(State::Baking)), ["all", "probe"]);
    for state in [State::Settling, State::AwaitingApproval, State::Paused] {
        assert!(names(&rollout(state)).is_empty(), "{state}");
    }
}

#[test]
fn what_is_urgent_waits_neither_for_webhooks_nor_for_the_end_of_a_window() {
    let now = Timestamp::from_micros(50);
    let observed = Observed {
        freeze: vec![window::Freeze {
            name: "x".to_owned(),
            ..window::Freeze::default()
        }],
        ..Observed::default()
    };
    let gates = |rollout: &Rollout| {
        let verdicts = judge(rollout, &observed, now).into_iter();
        verdicts.map(|verdict| verdict.gate).collect::<Vec<_>>()
    };
    let waits = rollout(State::Advancing);
    assert_eq!(
        gates(&waits),
        [Gate::Schedule, Gate::Freeze, Gate::Webhooks]
    );
    let urgent = Rollout {
        urgent: true,
        not_before: None,
        ..waits
    };
    assert_eq!(gates(&urgent), []);
    assert!(
        judge(
            &rollout(State::Advancing),
            &Observed::default(),
            Timestamp::from_micros(100)
        )
        .len()
            == 1
    );
}
