//! A config that is compiled after another is the one that would have been compiled alone, whatever was changed between them.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use xds::compile::{Before, compile, compile_after};
use xds::config::Config;
use xds::resource::Resource;
use xds::route_table::Lookup;
use xds::snapshot::Snapshot;
use xds::type_url::ResourceType;

use crate::tables;

/// Hosts of the first snapshot; some edits add more.
const HOSTS: u16 = 100;
/// Each host has a domain of its own, and may have one of these, that another may have too.
const COMMON: [&str; 3] = ["common.example", "*.common.example", "common.*"];

/// What a virtual host is to be: gone, or with a cluster and maybe a common domain.
#[derive(Clone, Debug)]
enum Host {
    Gone,
    There { cluster: u8, common: Option<usize> },
}

fn any_host() -> impl Strategy<Value = Host> {
    // Most have no common domain, so that most edits are made without a look at all hosts.
    let common = prop_oneof![12 => Just(None), 1 => (0..COMMON.len()).prop_map(Some)];
    let there = (0u8..3, common).prop_map(|(cluster, common)| Host::There { cluster, common });
    prop_oneof![1 => Just(Host::Gone), 4 => there]
}

/// What is edited in one step.
#[derive(Clone, Debug)]
enum Edit {
    Hosts(Vec<(u16, Host)>),
    Cluster(u8, bool),
    MaxBody(u32),
}

fn any_edit() -> impl Strategy<Value = Edit> {
    let hosts = prop::collection::vec((0..HOSTS + 20, any_host()), 1..6);
    let many = prop::collection::vec((0..HOSTS * 8, any_host()), 150..400);
    prop_oneof![
        8 => hosts.prop_map(Edit::Hosts),
        1 => many.prop_map(Edit::Hosts),
        2 => (0u8..3, any::<bool>()).prop_map(|(cluster, there)| Edit::Cluster(cluster, there)),
        1 => (0u32..6).prop_map(Edit::MaxBody),
    ]
}

fn decode(json: &Value) -> Arc<Resource> {
    let (type_url, bytes) = proto::json::from_json(json).unwrap();
    let ty = ResourceType::from_type_url(&type_url).unwrap();
    Arc::new(Resource::decode(ty, bytes.into(), None).unwrap())
}

fn listener() -> Value {
    let ads = json!({"ads": {}, "resource_api_version": "V3"});
    let router =
        json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"});
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "rds": {"route_config_name": "main", "config_source": ads},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
    });
    json!({
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": "web",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 10000}},
        "filter_chains": [{"filters": [
            {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager},
        ]}],
    })
}

fn routes(max_body: u32) -> Value {
    let ads = json!({"ads": {}, "resource_api_version": "V3"});
    json!({
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": "main",
        "vhds": {"config_source": ads},
        "max_direct_response_body_size_bytes": max_body,
    })
}

fn cluster(number: u8) -> Value {
    let name = format!("c{number}");
    json!({
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": name,
        "type": "STATIC",
        "load_assignment": {"cluster_name": name},
    })
}

fn host(number: u16, cluster: u8, common: Option<usize>) -> Arc<Resource> {
    let own = Some(format!("h{number}.example"));
    let domains = own
        .into_iter()
        .chain(common.map(|it| COMMON[it].to_owned()));
    let json = json!({
        "@type": "type.googleapis.com/envoy.config.route.v3.VirtualHost",
        "name": host_name(number),
        "domains": domains.collect::<Vec<_>>(),
        "routes": [
            {"match": {"path": "/self"}, "direct_response": {"status": 200, "body": {"inline_string": "four"}}},
            {"match": {"prefix": "/"}, "route": {"cluster": format!("c{cluster}")}},
        ],
    });
    decode(&json)
}

fn host_name(number: u16) -> String {
    format!("main/h{number}")
}

fn first() -> Snapshot {
    let frame = [listener(), routes(4096), cluster(0), cluster(1), cluster(2)];
    let hosts = (0..HOSTS).map(|number| host(number, 0, None));
    frame.iter().map(decode).chain(hosts).collect()
}

fn apply(edit: &Edit, snapshot: &mut Snapshot) {
    match edit {
        Edit::Hosts(hosts) => {
            for (number, wanted) in hosts {
                match wanted {
                    Host::Gone => {
                        snapshot.remove(ResourceType::VirtualHost, &host_name(*number));
                    }
                    Host::There { cluster, common } => {
                        snapshot.insert(host(*number, *cluster, *common));
                    }
                }
            }
        }
        Edit::Cluster(number, true) => snapshot.insert(decode(&cluster(*number))),
        Edit::Cluster(number, false) => {
            snapshot.remove(ResourceType::Cluster, &format!("c{number}"));
        }
        Edit::MaxBody(max) => snapshot.insert(decode(&routes(*max))),
    }
}

/// The virtual host that answers for each of many hosts, by its address.
fn answers(config: &Config) -> Vec<Option<*const ()>> {
    let own = (0..=HOSTS * 8).map(|number| format!("h{number}.example"));
    let common = ["common.example", "a.common.example", "common.other", "no"];
    let asked = own.chain(common.map(str::to_owned));
    let table = &config.listeners[0].routes;
    let found = asked.map(|asked| match table.find(&tables::get(asked, "/")) {
        Lookup::Found { virtual_host, .. } | Lookup::NoRoute(virtual_host) => {
            Some(Arc::as_ptr(virtual_host).cast())
        }
        Lookup::NoHost => None,
    });
    found.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_compiled_after_another_is_what_would_be_compiled_alone(
        edits in prop::collection::vec(any_edit(), 1..8),
    ) {
        let mut snapshot = first();
        let (mut before, mut problems) = compile(&snapshot);
        prop_assert!(problems.is_empty(), "{problems:?}");
        for edit in edits {
            let mut next = snapshot.clone();
            apply(&edit, &mut next);
            let known = problems.is_empty().then_some(Before { snapshot: &snapshot, config: &before });
            let (edited, found) = compile_after(&next, known);
            let (alone, wanted) = compile(&next);
            prop_assert_eq!(&found, &wanted);
            prop_assert!(answers(&edited) == answers(&alone), "{edit:?}");
            (snapshot, before, problems) = (next, edited, found);
        }
    }
}

#[test]
fn a_table_that_is_edited_keeps_what_did_not_change() {
    let (before, after) = (first(), {
        let mut after = first();
        after.insert(host(7, 1, None));
        after
    });
    let table = |snapshot: &Snapshot| {
        let hosts = snapshot.set(ResourceType::VirtualHost).values();
        let hosts: Vec<_> = hosts
            .filter_map(|resource| resource.body().as_virtual_host())
            .cloned()
            .collect();
        (tables::table(&hosts), hosts)
    };
    let (old, hosts) = table(&before);
    let (_, changed) = table(&after);
    let at = hosts
        .iter()
        .position(|host| *host.name == *host_name(7))
        .unwrap();
    let edited = old.edited(&[&hosts[at]], &[&changed[at]]).unwrap();
    for (index, host) in hosts.iter().enumerate() {
        let asked = host.name.strip_prefix("main/").unwrap();
        let wanted = if index == at { &changed[at] } else { host };
        let found = edited.virtual_host(&format!("{asked}.example")).unwrap();
        assert!(Arc::ptr_eq(found, wanted), "{asked}");
    }
    // A domain that another has, and one with a wildcard, take a look at all.
    let twice = host(HOSTS, 0, None);
    let twice = twice.body().as_virtual_host().unwrap();
    assert!(old.edited(&[], &[twice]).is_some());
    assert!(old.edited(&[], &[&changed[at]]).is_none());
    let wild = host(HOSTS, 0, Some(1));
    assert!(
        old.edited(&[], &[wild.body().as_virtual_host().unwrap()])
            .is_none()
    );
}
