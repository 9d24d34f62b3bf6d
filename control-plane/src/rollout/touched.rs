//! What a revision touches: the routes, clusters and hosts whose requests may fare otherwise than before. Pure: two configs
//! come in, names go out, by which nodes report.

use std::collections::BTreeSet;

use crate::model::delta::{Changed, between};
use crate::model::{Config, Route};

/// What a revision touches. Everything else is the same in both configs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Routes that differ, and those that lead to a cluster that differs.
    pub routes: BTreeSet<String>,
    /// Clusters that differ, and those that a route leads to that differs: clients with load reports tell of clusters alone.
    pub clusters: BTreeSet<String>,
    /// Hosts on which a route differs.
    pub hosts: BTreeSet<String>,
}

impl Touched {
    /// What turns one config into the other touches. `None` if that is everything: all requests come through a listener.
    pub fn between(old: &Config, new: &Config) -> Option<Self> {
        if between(&old.listeners, &new.listeners).next().is_some() {
            return None;
        }
        let changed_clusters = between(&old.clusters, &new.clusters);
        let changed_clusters: BTreeSet<&str> = changed_clusters.map(|it| &**it.name).collect();
        let changed: Vec<Changed<'_, Route>> = between(&old.routes, &new.routes).collect();
        let versions = || changed.iter().flat_map(Changed::versions);
        let leads_there =
            |route: &&std::sync::Arc<Route>| targets(route).any(|it| changed_clusters.contains(it));
        let behind = old.routes.values().chain(new.routes.values());
        let behind = behind.filter(leads_there);
        let own = |name: &str| name.to_owned();
        Some(Self {
            routes: versions().chain(behind).map(|it| own(&it.name)).collect(),
            clusters: versions()
                .flat_map(|route| targets(route))
                .chain(changed_clusters.iter().copied())
                .map(own)
                .collect(),
            hosts: versions()
                .flat_map(|route| route.host_patterns())
                .map(own)
                .collect(),
        })
    }

    /// Whether a virtual host, by its xDS name (`<listener>/<host>`), is touched.
    pub fn host(&self, virtual_host: &str) -> bool {
        let host = virtual_host.split_once('/').map(|(_, host)| host);
        host.is_some_and(|host| self.hosts.contains(host))
    }
}

fn targets(route: &Route) -> impl Iterator<Item = &str> {
    let forwards = route.forward.iter();
    forwards.flat_map(|forward| forward.targets().map(|(name, _)| name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::document::tests::config;

    const BASE: &str = "
        listeners: [{name: web, address: 127.0.0.1, port: 80}]
        clusters: [{name: a, discovery: api}, {name: b, discovery: api}, {name: c, discovery: api}]
        routes:
        - {name: to-a, hosts: [x.example], forward: {cluster: a}}
        - {name: to-b, hosts: [x.example], forward: {clusters: [{name: b, weight: 1}, {name: c, weight: 1}]}}
        - {name: to-c, forward: {cluster: c}}";

    fn names(of: &BTreeSet<String>) -> Vec<&str> {
        of.iter().map(String::as_str).collect()
    }

    #[test]
    fn a_route_touches_itself_its_host_and_where_it_leads() {
        let other = BASE.replace("to-a, hosts: [x.example]", "to-a, hosts: [y.example]");
        let touched = Touched::between(&config(BASE), &config(&other)).unwrap();
        assert_eq!(names(&touched.routes), ["to-a"]);
        assert_eq!(names(&touched.clusters), ["a"]);
        assert_eq!(names(&touched.hosts), ["x.example", "y.example"]);
        assert!(touched.host("web/y.example") && !touched.host("web/*"));
    }

    #[test]
    fn a_cluster_touches_every_route_that_leads_to_it() {
        let other = BASE.replace(
            "{name: c, discovery",
            "{name: c, connect_timeout: 3s, discovery",
        );
        let touched = Touched::between(&config(BASE), &config(&other)).unwrap();
        assert_eq!(names(&touched.routes), ["to-b", "to-c"]);
        assert_eq!(names(&touched.clusters), ["c"]);
        assert!(touched.hosts.is_empty());
    }

    #[test]
    fn a_listener_touches_everything() {
        let other = BASE.replace("port: 80", "port: 81");
        assert_eq!(Touched::between(&config(BASE), &config(&other)), None);
    }

    #[test]
    fn nothing_touches_nothing() {
        let touched = Touched::between(&config(BASE), &config(BASE));
        assert_eq!(touched, Some(Touched::default()));
    }
}
