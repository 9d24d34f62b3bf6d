//! Large tables: the index finds what a walk down the list finds, in bounded time, and what did not change is shared.

use std::sync::Arc;
use std::time::{Duration, Instant};

use envoy_types::pb::envoy::config::route::v3::RouteConfiguration as RouteConfigurationMessage;
use prost::Message as _;
use xds::resource::Resource;
use xds::resource::virtual_host::VirtualHost;
use xds::reuse::{recompiled, virtual_hosts_in};
use xds::route_table::{Lookup, RouteTable};
use xds::snapshot::Snapshot;
use xds::type_url::ResourceType;

use crate::tables::{self, Request};

/// Generous: a build without optimisation on a busy machine. A walk down 100,000 routes takes longer by far.
const LOOKUP_MAX: Duration = Duration::from_millis(1);

/// Asks every request and returns the positions of the winners in the lists of their hosts.
fn ask(table: &RouteTable, requests: &[Request]) -> Vec<Option<usize>> {
    let start = Instant::now();
    let found: Vec<Lookup<'_>> = requests.iter().map(|request| table.find(request)).collect();
    let took = start.elapsed() / requests.len() as u32;
    assert!(took < LOOKUP_MAX, "a lookup took {took:?}");
    found.into_iter().map(position).collect()
}

fn position(found: Lookup<'_>) -> Option<usize> {
    let Lookup::Found {
        virtual_host,
        route,
    } = found
    else {
        return None;
    };
    let mut routes = virtual_host.routes.routes().iter();
    routes.position(|other| Arc::ptr_eq(other, route))
}

fn walk(host: &VirtualHost, request: &Request) -> Option<usize> {
    let mut routes = host.routes.routes().iter();
    routes.position(|route| route.matches(request))
}

/// The indexes of `wanted` things spread over `count`.
fn sample(count: usize, wanted: usize) -> impl Iterator<Item = usize> {
    (0..wanted).map(move |index| index * 7_919 % count)
}

#[test]
fn one_host_with_100_000_paths_answers_as_its_list() {
    let host = tables::compiled(&tables::paths(100_000));
    let table = tables::table(std::slice::from_ref(&host));
    let requests: Vec<Request> = sample(100_000, 300)
        .flat_map(|index| {
            let path = tables::path(index);
            [
                format!("{path}/deeper"),
                format!("{path}9"),
                format!("/other{path}"),
                path,
            ]
        })
        .map(|path| tables::get("paths.example", path))
        .collect();
    let found = ask(&table, &requests);
    for (request, found) in requests.iter().zip(found).step_by(7) {
        assert_eq!(found, walk(&host, request), "{request:?}");
    }
}

#[test]
fn one_host_with_1_000_regular_expressions_answers_as_its_list() {
    let host = tables::compiled(&tables::regexes(1_000));
    let table = tables::table(std::slice::from_ref(&host));
    let requests: Vec<Request> = sample(1_000, 100)
        .flat_map(|index| {
            let path = tables::regex_path(index);
            [format!("{path}/deeper"), format!("/other{path}"), path]
        })
        .map(|path| tables::get("regexes.example", path))
        .collect();
    // The automata learn the states of these paths first, as in a proxy that has served some requests.
    for request in &requests {
        table.find(request);
    }
    let found = ask(&table, &requests);
    for (request, found) in requests.iter().zip(found) {
        assert_eq!(found, walk(&host, request), "{request:?}");
    }
}

#[test]
fn of_100_000_hosts_the_right_one_answers() {
    let hosts: Vec<_> = tables::hosts(100_000)
        .map(|host| tables::compiled(&host))
        .collect();
    let table = tables::table(&hosts);
    let indexes: Vec<usize> = sample(100_000, 1_000).collect();
    let requests: Vec<Request> = indexes
        .iter()
        .map(|index| tables::get(tables::host_name(*index), "/"))
        .collect();
    assert!(ask(&table, &requests).iter().all(Option::is_some));
    for (index, request) in indexes.into_iter().zip(&requests) {
        let found = table.virtual_host(&request.host).unwrap();
        assert!(Arc::ptr_eq(found, &hosts[index]), "{request:?}");
    }
    let unknown = tables::get("team7.other", "/");
    assert!(matches!(table.find(&unknown), Lookup::NoHost));
}

#[test]
fn a_changed_route_compiles_its_virtual_host_and_no_other() {
    let before: Snapshot = tables::hosts(1_000)
        .map(|message| Arc::new(tables::resource(&message)))
        .collect();
    let mut changed = tables::hosts(8).last().unwrap();
    changed.routes[0].name = "renamed".into();
    let mut after = before.clone();
    after.insert(Arc::new(tables::resource(&changed)));
    assert_eq!(recompiled(&Snapshot::default(), &before), 1_000);
    assert_eq!(recompiled(&before, &before.clone()), 0);
    assert_eq!(recompiled(&before, &after), 1);
}

#[test]
fn a_changed_virtual_host_of_a_route_configuration_leaves_its_neighbours_compiled() {
    let mut message = RouteConfigurationMessage {
        name: "main".into(),
        virtual_hosts: tables::hosts(1_000).collect(),
        ..Default::default()
    };
    let decode = |message: &RouteConfigurationMessage, before: Option<&Resource>| {
        let bytes = message.encode_to_vec().into();
        let ty = ResourceType::RouteConfiguration;
        Arc::new(Resource::decode_after(ty, bytes, None, before).unwrap())
    };
    let before = decode(&message, None);
    message.virtual_hosts[7].routes[0].name = "renamed".into();
    message.virtual_hosts.swap(0, 9);
    let after = decode(&message, Some(&before));
    let renamed = &virtual_hosts_in(&after)[7].routes.routes()[0];
    assert_eq!(&*renamed.name, "renamed");
    let snapshot = |resource| Snapshot::from_iter([resource]);
    assert_eq!(recompiled(&snapshot(before), &snapshot(after)), 1);
}
