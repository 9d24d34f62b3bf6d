//! How much two shares of requests say about each other, in nats: `ln 100` of them are as much as one chance in a hundred of
//! seeing it by luck. Pure arithmetic that is finite for every input.
//!
//! Looked at every second, a test that errs once in a hundred looks errs for certain. So what stops a rollout is measured by a
//! likelihood that stays valid however often one looks (an e-process: Ramdas et al., "Game-theoretic statistics and safe
//! anytime-valid inference", 2023). See docs/adr/0023.

/// A part of a number of requests. Both are at least 0, and the part is no more than all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Share {
    part: f64,
    all: f64,
}

/// No share is allowed or ruled out beyond this: nothing is certain, and every logarithm is finite.
const NEARLY_NONE: f64 = 1e-9;
/// Each leaves three fifths of an interval within 0 to 1: 2e-11 at last.
const NARROWINGS: u32 = 48;

impl Share {
    /// What is no number, or out of its bounds, is taken for the closest that is.
    pub(super) fn new(part: f64, all: f64) -> Self {
        let all = if all.is_finite() { all.max(0.0) } else { 0.0 };
        let part = if part.is_finite() { part } else { 0.0 };
        Self {
            part: part.clamp(0.0, all),
            all,
        }
    }

    pub(super) fn of(part: u64, all: u64) -> Self {
        Self::new(part as f64, all as f64)
    }

    pub(super) fn all(self) -> f64 {
        self.all
    }

    /// 0 if there is nothing.
    pub(super) fn ratio(self) -> f64 {
        if self.all > 0.0 {
            self.part / self.all
        } else {
            0.0
        }
    }

    /// The same share of as many as weigh as much as these and `others` in a difference: 1/n = 1/these + 1/others.
    pub(super) fn beside(self, others: f64) -> Self {
        let weight = if self.all + others > 0.0 {
            others / (self.all + others)
        } else {
            0.0
        };
        Self::new(self.part * weight, self.all * weight)
    }

    /// What speaks against its being drawn with this chance, in nats: n · KL(seen ‖ chance).
    fn against(self, chance: f64) -> f64 {
        let chance = chance.clamp(NEARLY_NONE, 1.0 - NEARLY_NONE);
        let seen = self.ratio();
        let term = |seen: f64, chance: f64| {
            if seen > 0.0 {
                seen * (seen / chance).ln()
            } else {
                0.0
            }
        };
        (self.all * (term(seen, chance) + term(1.0 - seen, 1.0 - chance))).max(0.0)
    }

    /// What a likelihood gives away when it has to learn the chance from the very requests that it judges: the regret of
    /// Krichevsky and Trofimov (1981), ½ ln n + ln 2 at most.
    fn learning(self) -> f64 {
        0.5 * self.all.ln_1p() + std::f64::consts::LN_2
    }
}

/// How much the new share may be, by what the old one is; it rises with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Allowed {
    /// By what the old share is multiplied, 1 at least.
    pub(super) times: f64,
    /// What is added then, 0 at least.
    pub(super) more: f64,
}

impl Allowed {
    pub(super) fn by(self, old: f64) -> f64 {
        (old * self.times + self.more).clamp(0.0, 1.0)
    }

    /// The old share from which on everything is allowed.
    fn all_from(self) -> f64 {
        ((1.0 - self.more) / self.times).clamp(0.0, 1.0)
    }

    /// More by so much.
    pub(super) fn and(self, more: f64) -> Self {
        Self {
            more: self.more + more,
            ..self
        }
    }
}

/// What speaks against the new share's being as low as is allowed, in nats, when one looks once; 0 at least.
pub(super) fn doubt(new: Share, old: Share, allowed: Allowed) -> f64 {
    if new.ratio() <= allowed.by(old.ratio()) {
        return 0.0;
    }
    apart(new, old, allowed)
}

/// What is left of a doubt however often one looks; 0 at least.
pub(super) fn however_often(doubt: f64, new: Share, old: Share) -> f64 {
    (doubt - new.learning() - old.learning()).max(0.0)
}

/// What speaks against the new share's being as high as that or higher, in nats, when one looks once; 0 at least.
pub(super) fn is_below(new: Share, old: Share, bound: Allowed) -> f64 {
    if new.ratio() >= bound.by(old.ratio()) {
        return 0.0;
    }
    apart(new, old, bound)
}

/// What speaks against the closest pair of chances whose second is exactly what the first allows: the least over all of them.
/// Both terms are convex in the first as long as it does not allow everything, so the least is found by narrowing.
fn apart(new: Share, old: Share, allowed: Allowed) -> f64 {
    let at = |chance: f64| old.against(chance) + new.against(allowed.by(chance));
    let (mut low, mut high) = (0.0_f64, allowed.all_from());
    for _ in 0..NARROWINGS {
        let (left, right) = (low + (high - low) * 0.4, low + (high - low) * 0.6);
        if at(left) <= at(right) {
            high = right;
        } else {
            low = left;
        }
    }
    at(f64::midpoint(low, high))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn is_worse(new: Share, old: Share, allowed: Allowed) -> f64 {
        however_often(doubt(new, old, allowed), new, old)
    }

    fn share() -> impl Strategy<Value = Share> {
        let all = prop_oneof![Just(0_u64), 1..200_u64, 1..10_000_000_u64];
        (all, 0.0..=1.0_f64).prop_map(|(all, part)| Share::of((all as f64 * part) as u64, all))
    }

    fn allowed() -> impl Strategy<Value = Allowed> {
        (1.0..2.0_f64, 0.0..0.2_f64).prop_map(|(times, more)| Allowed { times, more })
    }

    proptest! {
        #[test]
        fn every_answer_is_a_number(part: f64, all: f64, old in share(), times in 1.0..9.0_f64, more in 0.0..1.0_f64) {
            let allowed = Allowed { times, more };
            for (new, old) in [(Share::new(part, all), old), (old, Share::new(part, all))] {
                for nats in [is_worse(new, old, allowed), is_below(new, old, allowed)] {
                    prop_assert!(nats.is_finite() && nats >= 0.0, "{nats}");
                }
            }
        }

        #[test]
        fn more_errors_speak_more_for_worse_and_less_for_better(new in share(), old in share(), by in allowed(), more in 1..1_000_u64) {
            let worse = Share::new(new.part + more as f64, new.all);
            prop_assert!(is_worse(worse, old, by) >= is_worse(new, old, by) - 1e-6);
            prop_assert!(is_below(worse, old, by) <= is_below(new, old, by) + 1e-6);
            // On the other side they excuse.
            let worse = Share::new(old.part + more as f64, old.all);
            prop_assert!(is_worse(new, worse, by) <= is_worse(new, old, by) + 1e-6);
        }

        #[test]
        fn what_allows_more_is_harder_to_break(new in share(), old in share(), by in allowed(), more in 0.0..0.3_f64) {
            prop_assert!(is_worse(new, old, by.and(more)) <= is_worse(new, old, by) + 1e-6);
            prop_assert!(is_below(new, old, by.and(more)) >= is_below(new, old, by) - 1e-6);
        }

        /// Ten times the requests say more, never the opposite.
        #[test]
        fn scale_makes_sure_and_changes_no_direction(new in share(), old in share(), by in allowed()) {
            let ten = |share: Share| Share::new(share.part * 10.0, share.all * 10.0);
            prop_assert!(apart(ten(new), ten(old), by) >= apart(new, old, by) - 1e-6);
            let sides = (is_worse(new, old, by) > 0.0, is_worse(ten(new), ten(old), by) > 0.0);
            prop_assert!(!sides.0 || sides.1);
        }

        /// Worse one way is better the other way.
        #[test]
        fn nothing_is_both_worse_and_below(new in share(), old in share(), by in allowed()) {
            prop_assert!(is_worse(new, old, by) == 0.0 || is_below(new, old, by) == 0.0);
        }

        /// Where nothing more is allowed, what speaks against equality does not depend on who is called new.
        #[test]
        fn a_difference_is_the_same_from_both_sides(one in share(), other in share()) {
            let same = Allowed { times: 1.0, more: 0.0 };
            let (here, there) = (apart(one, other, same), apart(other, one, same));
            prop_assert!((here - there).abs() <= 1e-6 * here.max(1.0), "{here} {there}");
        }
    }

    /// The numbers of docs/health-gates.md: what is allowed, what is ruled out beyond it, what fails on both sides.
    #[test]
    fn some_hundred_requests_show_that_a_revision_is_no_worse() {
        for (more, beyond, ratio, within) in [
            (0.01, 0.005, 0.002, 250..350),
            (0.01, 0.005, 0.005, 350..450),
            (0.005, 0.005, 0.002, 450..550),
            (0.005, 0.005, 0.005, 650..750),
        ] {
            let share = |all: f64| Share::new(all * ratio, all);
            let bound = Allowed { times: 1.0, more }.and(beyond);
            let shows = |n: &u32| is_below(share(f64::from(*n)), share(1e6), bound) >= 20_f64.ln();
            let first = (1..10_000).find(shows).unwrap();
            assert!(within.contains(&first), "{more} {ratio}: {first}");
        }
    }

    /// What the rule promises, by brute force: of 2,000 rollouts whose new share is exactly what is allowed, looked at after every
    /// 20 requests of the canary, no more than one in twenty is ever said to be worse at ln 20.
    #[test]
    fn looking_again_and_again_does_not_make_false_alarms() {
        let mut random = super::super::random::Random::new(7);
        let allowed = Allowed {
            times: 1.0,
            more: 0.01,
        };
        let mut alarms = 0;
        for _ in 0..2_000 {
            let (mut new, mut old, mut all) = (0, 0, (0, 0));
            for _ in 0..100 {
                all = (all.0 + 20, all.1 + 200);
                new += random.poisson(20.0 * 0.02);
                old += random.poisson(200.0 * 0.01);
                let (new, old) = (Share::of(new, all.0), Share::of(old, all.1));
                if is_worse(new, old, allowed) >= 20_f64.ln() {
                    alarms += 1;
                    break;
                }
            }
        }
        assert!(alarms <= 100, "{alarms}");
    }
}
