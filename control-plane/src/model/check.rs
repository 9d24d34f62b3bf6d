//! What is wrong with a config as a whole: each resource in itself, then what they say of each other.
//! Whether Envoy's messages that come out of it are valid is asked elsewhere (`revision`).

use std::collections::BTreeMap;

use super::delta::between;
use super::problem::{Check, Code, Problem};
use super::{Cluster, Config, Kind, Listener, Resource, ResourceId, Route, Set};

impl Config {
    /// Every problem, kind by kind and name by name.
    pub fn check(&self) -> Vec<Problem> {
        self.check_after(&Self::default())
    }

    /// As [`Self::check`], of what came of `base`, which has no problem: what did not change is looked at only if something
    /// is gone that it may refer to.
    pub fn check_after(&self, base: &Self) -> Vec<Problem> {
        let mut problems = Vec::new();
        problems.extend(each::<Listener>(self, base, |_, _| {}));
        problems.extend(each::<Cluster>(self, base, |_, _| {}));
        if is_something_gone(&base.listeners, &self.listeners)
            || is_something_gone(&base.clusters, &self.clusters)
        {
            let mut changed = between(&base.routes, &self.routes).peekable();
            for (name, route) in &self.routes {
                while changed.next_if(|changed| changed.name < name).is_some() {}
                let is_changed = changed.next_if(|changed| changed.name == name).is_some();
                problems.extend(one(&**route, |route, check| {
                    if is_changed {
                        Resource::check(route, check);
                    }
                    self.check_references(route, check);
                }));
            }
        } else {
            problems.extend(each::<Route>(self, base, |route, check| {
                self.check_references(route, check);
            }));
        }
        problems.extend(self.check_addresses());
        problems
    }

    /// The resources that refer to this one and would not be valid without it.
    pub fn users(&self, id: &ResourceId) -> Vec<ResourceId> {
        let uses = |route: &Route| match id.kind {
            Kind::Cluster => clusters(route).any(|name| name == &*id.name),
            Kind::Listener => route.listeners.iter().any(|name| **name == *id.name),
            Kind::Route => false,
        };
        let routes = self.routes.values().filter(|route| uses(route));
        routes
            .map(|route| ResourceId::new(Kind::Route, &route.name))
            .collect()
    }

    fn check_references(&self, route: &Route, check: &mut Check) {
        for (index, name) in route.listeners.iter().enumerate() {
            if !self.listeners.contains_key(name.as_str()) {
                check.at("listeners", |check| {
                    check.problem_at(index, Code::MissingReference, unknown(Kind::Listener, name));
                });
            }
        }
        let Some(forward) = &route.forward else {
            return;
        };
        check.at("forward", |check| {
            if let Some(name) = forward
                .cluster
                .as_ref()
                .filter(|name| !known(&self.clusters, name))
            {
                check.problem_at(
                    "cluster",
                    Code::MissingReference,
                    unknown(Kind::Cluster, name),
                );
            }
            check.each("clusters", &forward.clusters, |check, target| {
                if !known(&self.clusters, &target.name) {
                    check.problem_at(
                        "name",
                        Code::MissingReference,
                        unknown(Kind::Cluster, &target.name),
                    );
                }
            });
        });
    }

    /// Two listeners cannot hold one socket address.
    fn check_addresses(&self) -> Vec<Problem> {
        let mut taken = BTreeMap::new();
        let mut problems = Vec::new();
        for listener in self.listeners.values() {
            if let Some(first) = taken.insert((listener.address, listener.port), listener) {
                let mut check = Check::new(Some(ResourceId::new(Kind::Listener, &listener.name)));
                let detail = format!("listener {:?} has this address and port", first.name);
                check.problem_at("port", Code::Duplicate, detail);
                problems.extend(check.finish());
            }
        }
        problems
    }
}

/// The problems of every resource of a kind that changed, in itself and by `more`.
fn each<T: Resource>(
    config: &Config,
    base: &Config,
    more: impl Fn(&T, &mut Check),
) -> Vec<Problem> {
    let changed = between(T::set(base), T::set(config)).filter_map(|changed| changed.after);
    let check = |resource: &T| {
        one(resource, |resource, check| {
            resource.check(check);
            more(resource, check);
        })
    };
    changed.flat_map(|resource| check(resource)).collect()
}

/// The problems of one resource.
fn one<T: Resource>(resource: &T, read: impl FnOnce(&T, &mut Check)) -> Vec<Problem> {
    let mut check = Check::new(Some(ResourceId::new(T::KIND, resource.name())));
    read(resource, &mut check);
    check.finish()
}

fn is_something_gone<T: PartialEq>(before: &Set<T>, after: &Set<T>) -> bool {
    between(before, after).any(|changed| changed.after.is_none())
}

fn clusters(route: &Route) -> impl Iterator<Item = &str> {
    route
        .forward
        .iter()
        .flat_map(|forward| forward.targets().map(|(name, _)| name))
}

fn known<T>(set: &Set<T>, name: &str) -> bool {
    set.contains_key(name)
}

fn unknown(kind: Kind, name: &str) -> String {
    format!("there is no {kind} {name:?}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::document::tests::config;

    fn found(yaml: &str) -> Vec<String> {
        let problem = |problem: Problem| {
            let resource = problem
                .resource
                .expect("every problem here is in a resource");
            format!("{resource}{} {}", problem.pointer, problem.code)
        };
        config(yaml).check().into_iter().map(problem).collect()
    }

    #[test]
    fn references_to_what_is_not_there_are_found_each_with_its_field() {
        let yaml = "
            clusters: [{name: a, discovery: api}]
            listeners: [{name: web, address: 0.0.0.0, port: 80}]
            routes:
              - {name: r1, forward: {cluster: b}, listeners: [web, nope]}
              - {name: r2, forward: {clusters: [{name: a}, {name: c, weight: 0}]}}";
        assert_eq!(
            found(yaml),
            [
                "routes/r1/listeners/1 missing-reference",
                "routes/r1/forward/cluster missing-reference",
                "routes/r2/forward/clusters/1/name missing-reference"
            ]
        );
    }

    #[test]
    fn two_listeners_on_one_address_are_found() {
        let yaml = "
            listeners:
              - {name: a, address: 0.0.0.0, port: 80}
              - {name: b, address: 0.0.0.0, port: 81}
              - {name: c, address: 0.0.0.0, port: 80}";
        assert_eq!(found(yaml), ["listeners/c/port duplicate"]);
    }

    #[test]
    fn users_of_a_resource_are_those_that_would_not_be_valid_without_it() {
        let config = config(
            "
            clusters: [{name: a, discovery: api}]
            listeners: [{name: web, address: 0.0.0.0, port: 80}]
            routes:
              - {name: r1, forward: {cluster: a}, listeners: [web]}
              - {name: r2, forward: {clusters: [{name: a}]}}",
        );
        let users = |kind, name| -> Vec<String> {
            config
                .users(&ResourceId::new(kind, name))
                .iter()
                .map(ResourceId::to_string)
                .collect()
        };
        assert_eq!(users(Kind::Cluster, "a"), ["routes/r1", "routes/r2"]);
        assert_eq!(users(Kind::Listener, "web"), ["routes/r1"]);
        assert!(users(Kind::Route, "r1").is_empty());
    }
}
