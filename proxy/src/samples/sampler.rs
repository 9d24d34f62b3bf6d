//! Which requests are taken: one in N, where N follows the traffic so that about so many a second are. How many are passed
//! over before the next one is drawn anew each time, so that traffic with a rhythm is not seen at one of its beats alone.
//! A sample stands for those that were passed over before it and for itself, so the sum of all is the number of requests.

use std::cell::Cell;
use std::sync::Arc;

use http_wire::head::RequestHead;
use tokio::time::Instant;

use super::{Basket, sample};

/// N grows and shrinks by this factor at most from one sample to the next: two requests say little of how many there are.
const STEP_MAX: u32 = 8;
/// N at most: a worker that serves a million requests a second needs 100,000.
const EVERY_MAX: u32 = 1 << 24;
/// While nothing is to be taken, that is looked at again after so many requests.
const LOOK_AGAIN: u32 = 1 << 16;
/// When none was taken for so many times the time that should be between two, traffic has become less and N is halved.
const QUIET: u32 = 4;

/// One worker's choice of requests.
#[derive(Debug)]
pub(crate) struct Sampler {
    /// Requests up to the next one that is taken, itself among them.
    left: Cell<u32>,
    /// What `left` began with: so many requests the next sample stands for.
    gap: Cell<u32>,
    /// N.
    every: Cell<u32>,
    /// When the last one was taken.
    last: Cell<Option<Instant>>,
    basket: Arc<Basket>,
}

impl Sampler {
    /// A sampler that has seen nothing; it puts what it takes into `basket`.
    pub(crate) fn new(basket: Arc<Basket>) -> Self {
        Self {
            left: Cell::new(1),
            gap: Cell::new(1),
            every: Cell::new(1),
            last: Cell::new(None),
            basket,
        }
    }

    /// Sees a request that came to a listener at a time, and perhaps takes it.
    #[inline]
    pub(crate) fn see(&self, now: Instant, listener: &str, head: &RequestHead) {
        let left = self.left.get();
        if left > 1 {
            self.left.set(left - 1);
        } else {
            self.take(now, listener, head);
        }
    }

    #[cold]
    fn take(&self, now: Instant, listener: &str, head: &RequestHead) {
        if let Some(requests) = self.choose(now, |below| fastrand::u32(..below)) {
            match sample::of(listener, head, requests.into()) {
                Some(sample) => self.basket.put(sample),
                None => self.basket.leave_out(requests.into()),
            }
        }
    }

    /// How many requests the one that has come stands for, if it is to be taken; and how many are passed over after it. `draw`
    /// gives a number below the one it gets.
    fn choose(&self, now: Instant, draw: impl FnOnce(u32) -> u32) -> Option<u32> {
        let stands_for = self.gap.get();
        let Some(spacing) = self.basket.spacing() else {
            self.arm(LOOK_AGAIN);
            self.last.set(None);
            return None;
        };
        let last = self.last.replace(Some(now));
        if let Some(last) = last {
            let took = now.saturating_duration_since(last).as_secs_f64();
            let fitting = f64::from(stands_for) * spacing.as_secs_f64() / took.max(1e-9);
            let every = self.every.get();
            let (least, most) = (every / STEP_MAX, every.saturating_mul(STEP_MAX));
            // Of what is larger than 32 bits hold `as` makes the largest number.
            let every = (fitting as u32).clamp(least, most).clamp(1, EVERY_MAX);
            self.every.set(every);
        }
        // From 1 to 2N - 1, each as likely: N on average.
        self.arm(1 + draw(2 * self.every.get() - 1));
        // What came while nothing was taken is stood for by nobody.
        Some(if last.is_some() { stands_for } else { 1 })
    }

    /// Time has passed, with or without requests: when traffic becomes less, N must not wait for the requests that it counts.
    pub(crate) fn time_passes(&self, now: Instant) {
        let (Some(last), Some(spacing)) = (self.last.get(), self.basket.spacing()) else {
            return;
        };
        let left = self.left.get();
        if left > 1 && now.saturating_duration_since(last) >= spacing * QUIET {
            let fewer = left / 2;
            self.left.set(fewer);
            self.gap.set(self.gap.get() - (left - fewer));
            self.every.set((self.every.get() / 2).max(1));
        }
    }

    fn arm(&self, gap: u32) {
        self.left.set(gap);
        self.gap.set(gap);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Plays traffic of a number of requests a second for some seconds; how many were taken, and what they stand for.
    fn play(sampler: &Sampler, clock: &mut Instant, per_second: u32, seconds: u32) -> (u32, u64) {
        let mut random = fastrand::Rng::with_seed(7);
        let (mut taken, mut stand_for) = (0, 0);
        let mut tick = *clock;
        for _ in 0..per_second * seconds {
            *clock += Duration::from_secs(1) / per_second;
            while *clock >= tick + Duration::from_millis(100) {
                tick += Duration::from_millis(100);
                sampler.time_passes(tick);
            }
            let left = sampler.left.get();
            if left > 1 {
                sampler.left.set(left - 1);
            } else if let Some(requests) = sampler.choose(*clock, |below| random.u32(..below)) {
                taken += 1;
                stand_for += u64::from(requests);
            }
        }
        (taken, stand_for)
    }

    #[tokio::test]
    async fn about_so_many_a_second_are_taken_however_many_there_are() {
        let basket = Arc::new(Basket::default());
        basket.open(10);
        let sampler = Sampler::new(basket);
        let mut clock = Instant::now();
        let (mut all, mut all_stood_for) = (0, 0);
        for per_second in [100_000, 20, 2_000, 3, 50_000] {
            let seconds = 20;
            let (taken, stand_for) = play(&sampler, &mut clock, per_second, seconds);
            let most = 10 * seconds * 3 / 2 + 10;
            let least = (10 * seconds / 2).min(per_second * seconds * 2 / 3);
            assert!((least..=most).contains(&taken), "{taken} of {per_second}");
            all += u64::from(per_second * seconds);
            all_stood_for += stand_for;
            let passed_over = sampler.gap.get() - sampler.left.get();
            assert_eq!(all_stood_for + u64::from(passed_over), all);
        }
    }

    #[tokio::test]
    async fn nothing_is_taken_unless_it_is_asked_for() {
        let basket = Arc::new(Basket::default());
        let sampler = Sampler::new(basket.clone());
        let mut clock = Instant::now();
        assert_eq!(play(&sampler, &mut clock, 1_000, 10), (0, 0));
        basket.open(10);
        let (taken, stand_for) = play(&sampler, &mut clock, 100_000, 10);
        assert!(taken > 20, "{taken}");
        assert!(stand_for <= 1_000_000, "{stand_for}");
    }
}
