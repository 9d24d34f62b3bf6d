//! Which endpoint of a cluster gets the next request. Immutable and shared by all workers; what moves (a worker's
//! cursor, the requests in flight) is passed in, so choosing takes no lock and building happens off the request path.
//! Envoy's semantics: data plane documentation "Supported load balancers" and "Panic threshold".

use xds::resource::cluster::LbPolicy;
use xds::resource::endpoint::{Endpoint, HealthStatus};

use crate::metrics::Counter;

/// Envoy's `overprovisioning_factor`: a level counts as full while 1 / 1.4 = 72 % of it are healthy.
const OVERPROVISIONING_PERCENT: u64 = 140;
/// Envoy's `healthy_panic_threshold`: below it every endpoint is used, whatever its health.
const PANIC_THRESHOLD_PERCENT: u64 = 50;

/// The chooser of one cluster.
#[derive(Debug)]
pub(crate) struct Balancer {
    policy: LbPolicy,
    preferred: Group,
    fallback: Group,
    /// How many of 100 requests go to `preferred`.
    preferred_percent: u8,
}

impl Balancer {
    /// A chooser among `endpoints`; the indices it gives are positions in that list.
    pub(crate) fn new(policy: LbPolicy, endpoints: &[Endpoint]) -> Self {
        let with = |health| Group::new(endpoints, |endpoint| endpoint.health == health);
        let healthy = with(HealthStatus::Healthy);
        let degraded = with(HealthStatus::Degraded);
        match split(endpoints.len(), healthy.len(), degraded.len()) {
            Some(preferred_percent) => Self {
                policy,
                preferred: healthy,
                fallback: degraded,
                preferred_percent,
            },
            None => Self {
                policy,
                preferred: Group::new(endpoints, |_| true),
                fallback: Group::default(),
                preferred_percent: 100,
            },
        }
    }

    /// The position of the endpoint for the next request; `None` if there is no endpoint at all.
    /// `active` is the number of requests in flight to an endpoint, as far as this worker knows.
    pub(crate) fn pick(&self, cursor: &Counter, active: impl Fn(usize) -> u64) -> Option<usize> {
        let group = self.group();
        match self.policy {
            LbPolicy::RoundRobin => group.in_turn(cursor),
            LbPolicy::Random => group.at_random(),
            LbPolicy::LeastRequest => group.less_loaded(cursor, active),
        }
    }

    fn group(&self) -> &Group {
        let prefers = self.preferred_percent == 100 || fastrand::u8(..100) < self.preferred_percent;
        if prefers {
            &self.preferred
        } else {
            &self.fallback
        }
    }
}

/// How many of 100 requests the healthy endpoints get, the degraded ones get the rest; `None` is panic.
fn split(total: usize, healthy: usize, degraded: usize) -> Option<u8> {
    let available = |count: usize| {
        let percent = count as u64 * OVERPROVISIONING_PERCENT / (total as u64).max(1);
        percent.min(100)
    };
    let healthy_load = available(healthy);
    let degraded_load = available(degraded).min(100 - healthy_load);
    let usable_percent = (healthy + degraded) as u64 * 100;
    if healthy_load + degraded_load < 100 && usable_percent < PANIC_THRESHOLD_PERCENT * total as u64
    {
        return None;
    }
    // What is missing to 100 is spread in proportion; what rounding leaves goes to the healthy ones.
    let degraded_share = degraded_load * 100 / (healthy_load + degraded_load).max(1);
    Some(100 - degraded_share as u8)
}

/// Endpoints that are chosen among by weight.
///
/// Think of a wheel with as many teeth as the weights sum up to, each endpoint owning as many as it weighs. Going round
/// by a step that has no divisor in common with the number of teeth visits each tooth once a turn: every endpoint gets
/// exactly its weight, as with Envoy's earliest-deadline-first queue. A step near the golden section spreads the
/// teeth of one endpoint over the turn. The place on the wheel is one number, so the wheel is never rebuilt or locked.
#[derive(Debug, Default)]
struct Group {
    members: Box<[u32]>,
    /// For each member the sum of the weights up to and with it; empty if all weigh the same.
    upto: Box<[u64]>,
    step: u64,
}

impl Group {
    fn new(endpoints: &[Endpoint], belongs: impl Fn(&Endpoint) -> bool) -> Self {
        let chosen = (0u32..)
            .zip(endpoints)
            .filter(|(_, endpoint)| belongs(endpoint));
        let (members, weights): (Vec<u32>, Vec<u64>) = chosen
            .map(|(index, endpoint)| (index, u64::from(endpoint.weight.max(1))))
            .unzip();
        let mut group = Self {
            members: members.into(),
            ..Self::default()
        };
        if weights.windows(2).any(|pair| pair[0] != pair[1]) {
            let sums = weights.iter().scan(0u64, |sum, weight| {
                *sum += weight;
                Some(*sum)
            });
            group.upto = sums.collect();
            group.step = golden_step(group.teeth());
        }
        group
    }

    fn len(&self) -> usize {
        self.members.len()
    }

    fn teeth(&self) -> u64 {
        self.upto
            .last()
            .copied()
            .unwrap_or(self.members.len() as u64)
    }

    fn in_turn(&self, cursor: &Counter) -> Option<usize> {
        self.member(self.next(cursor)?)
    }

    fn at_random(&self) -> Option<usize> {
        self.member(self.draw()?)
    }

    /// The next in turn, unless one drawn at random has less to do for its weight.
    ///
    /// Envoy walks a queue by weight ÷ (active + 1) when weights differ. Two choices compared by load for weight
    /// do the same with less: with nothing in flight both give each endpoint its weight, and one that is slow gets less.
    fn less_loaded(&self, cursor: &Counter, active: impl Fn(usize) -> u64) -> Option<usize> {
        let (a, b) = (self.next(cursor)?, self.draw()?);
        let (first, second) = (self.member(a)?, self.member(b)?);
        // active ÷ weight, compared without dividing.
        let first_load = u128::from(active(first)) * u128::from(self.weight(b));
        let second_load = u128::from(active(second)) * u128::from(self.weight(a));
        Some(if second_load < first_load {
            second
        } else {
            first
        })
    }

    /// The place of the member whose turn it is.
    fn next(&self, cursor: &Counter) -> Option<usize> {
        let turn = cursor.get().checked_rem(self.teeth())?;
        cursor.inc();
        if self.upto.is_empty() {
            return Some(turn as usize);
        }
        let tooth = u128::from(turn) * u128::from(self.step) % u128::from(self.teeth());
        Some(self.place(tooth as u64))
    }

    fn draw(&self) -> Option<usize> {
        if self.members.is_empty() {
            return None;
        }
        Some(self.place(fastrand::u64(..self.teeth())))
    }

    /// The place of the member that owns a tooth.
    fn place(&self, tooth: u64) -> usize {
        if self.upto.is_empty() {
            return tooth as usize;
        }
        self.upto.partition_point(|upto| *upto <= tooth)
    }

    fn weight(&self, place: usize) -> u64 {
        match self.upto.get(place) {
            Some(upto) => upto - place.checked_sub(1).map_or(0, |before| self.upto[before]),
            None => 1,
        }
    }

    fn member(&self, place: usize) -> Option<usize> {
        self.members.get(place).map(|index| *index as usize)
    }
}

/// The number nearest below `teeth` ÷ 1.618 that has no divisor in common with `teeth`.
fn golden_step(teeth: u64) -> u64 {
    let near = (teeth as f64 / 1.618_033_988_75) as u64;
    (1..=near)
        .rev()
        .find(|step| gcd(*step, teeth) == 1)
        .unwrap_or(1)
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests;
