//! How much a fleet may have. What a request may bring is bounded elsewhere: its body and time in `api`, its depth and
//! names in `model`.

use crate::model::{Config, Kind as ResourceKind};

use super::problem::{Kind, Problem, Result};

/// Most resources of each kind. Proxies are measured with 100,000 routes.
const RESOURCES_MAX: [(ResourceKind, usize); 3] = [
    (ResourceKind::Listener, 1_000),
    (ResourceKind::Cluster, 50_000),
    (ResourceKind::Route, 200_000),
];
/// Most endpoints of one cluster.
const ENDPOINTS_MAX: usize = 10_000;

/// Refuses a config that has more of a kind than it had, and more than there may be: who has too much already can
/// still take some away.
pub(super) fn check_growth(base: &Config, next: &Config) -> Result<()> {
    for (kind, max) in RESOURCES_MAX {
        let (before, after) = (count(base, kind), count(next, kind));
        if after > max && after > before {
            let what = format!("{} {}", after, kind.plural());
            return Err(too_many(&what, "fleet", max));
        }
    }
    Ok(())
}

/// Refuses more endpoints than a cluster may have.
pub(super) fn check_endpoints(count: usize) -> Result<()> {
    if count > ENDPOINTS_MAX {
        return Err(too_many(
            &format!("{count} endpoints"),
            "cluster",
            ENDPOINTS_MAX,
        ));
    }
    Ok(())
}

fn count(config: &Config, kind: ResourceKind) -> usize {
    match kind {
        ResourceKind::Listener => config.listeners.len(),
        ResourceKind::Cluster => config.clusters.len(),
        ResourceKind::Route => config.routes.len(),
    }
}

fn too_many(what: &str, whose: &str, max: usize) -> Problem {
    let detail = format!("this {whose} would have {what}; it may have {max}");
    Problem::new(Kind::TooMany, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::document::tests::config;
    use crate::model::{Cluster, Listener};

    #[test]
    fn a_fleet_that_has_too_much_may_shrink_and_may_not_grow() {
        let listeners = |count: usize| {
            let one = config("listeners: [{name: web, address: 0.0.0.0, port: 80}]");
            let mut config = config("clusters: [{name: a, discovery: api}]");
            for index in 0..count {
                config.put(Listener {
                    name: format!("l{index}"),
                    ..(*one.listeners["web"]).clone()
                });
            }
            config
        };
        let refused = |before, after| check_growth(&listeners(before), &listeners(after)).is_err();
        assert!(!refused(0, 1_000));
        assert!(refused(0, 1_001) && refused(1_001, 1_002));
        assert!(!refused(1_002, 1_001) && !refused(1_001, 1_001));
        assert!(listeners(0).get::<Cluster>("a").is_some());
        assert!(check_endpoints(10_000).is_ok() && check_endpoints(10_001).is_err());
    }
}
