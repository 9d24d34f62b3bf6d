//! What is validated after something else, and what that costs: the same comes out as from nothing, and an edit costs what
//! it changes.

use super::*;
use std::fmt::Write as _;
use xds::reuse::recompiled;
use xds::type_url::ResourceType;

use crate::model::delta::between;

/// One edit: a resource of some kind is put or taken away.
#[derive(Clone, Debug)]
enum Edit {
    Put(String),
    Remove(Kind, String),
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c", "d"]).prop_map(ToOwned::to_owned)
}

fn listener() -> impl Strategy<Value = String> {
    (name(), 80..83_u16).prop_map(|(name, port)| {
        format!("listeners: [{{name: {name}, address: 0.0.0.0, port: {port}}}]")
    })
}

fn cluster() -> impl Strategy<Value = String> {
    let kind = prop::sample::select(vec![
        "discovery: api",
        "endpoints: []",
        "endpoints: [{address: 127.0.0.1, port: 1, zone: z}]",
        "dns: {host: x.example, port: 80}",
        "discovery: api, connect_timeout: 2s",
        "discovery: api, load_balancing: random",
    ]);
    (name(), kind).prop_map(|(name, kind)| format!("clusters: [{{name: {name}, {kind}}}]"))
}

fn served_route() -> impl Strategy<Value = String> {
    let hosts = prop::sample::select(vec![
        "",
        "hosts: [x], ",
        "hosts: [x, y], ",
        "hosts: ['*.x', y], ",
        "hosts: [x, X], ",
        "hosts: [x, x], ",
    ]);
    let listeners = prop::sample::select(vec!["", "", "listeners: [a], ", "listeners: [b, a], "]);
    let path = prop::sample::select(vec![
        "",
        "match: {path: {prefix: /p}}, ",
        "match: {path: {exact: /s/m}, methods: [POST]}, ",
        "match: {path: {regex: '/r[0-9]+'}}, ",
        "match: {path: {regex: '/('}}, ",
        "match: {headers: [{name: te, exact: q}]}, ",
    ]);
    let action = prop::sample::select(vec![
        "respond: {status: 200, body: b}",
        "redirect: {host: z}",
        "forward: {cluster: a}",
        "forward: {cluster: a}, timeout: 0s",
        "forward: {clusters: [{name: b}, {name: c, weight: 2}]}",
        "forward: {cluster: d}, rewrite: {path_prefix: /n}",
        "respond: {status: 200}, priority: 2",
    ]);
    (name(), hosts, listeners, path, action).prop_map(|(name, hosts, listeners, path, action)| {
        format!("routes: [{{name: {name}, {hosts}{listeners}{path}{action}}}]")
    })
}

fn edit() -> impl Strategy<Value = Edit> {
    let kind = prop::sample::select(Kind::ALL.to_vec());
    prop_oneof![
        2 => listener().prop_map(Edit::Put),
        3 => cluster().prop_map(Edit::Put),
        6 => served_route().prop_map(Edit::Put),
        3 => (kind, name()).prop_map(|(kind, name)| Edit::Remove(kind, name)),
    ]
}

fn edited(base: &Config, edits: &[Edit]) -> Config {
    fn put_all<T: Resource>(next: &mut Config, from: &Config) {
        for changed in between(&crate::model::Set::<T>::new(), T::set(from)) {
            if let Some(resource) = changed.after {
                next.put(T::clone(resource));
            }
        }
    }
    let mut next = base.clone();
    for edit in edits {
        match edit {
            Edit::Put(yaml) => {
                let from = config(yaml);
                put_all::<Listener>(&mut next, &from);
                put_all::<Cluster>(&mut next, &from);
                put_all::<Route>(&mut next, &from);
            }
            Edit::Remove(Kind::Listener, name) => drop(next.remove::<Listener>(name)),
            Edit::Remove(Kind::Cluster, name) => drop(next.remove::<Cluster>(name)),
            Edit::Remove(Kind::Route, name) => drop(next.remove::<Route>(name)),
        }
    }
    next
}

/// Everything that a class is served, as it goes over the wire.
fn served(validated: &Validated, class: ClientClass) -> Vec<(ResourceType, String, Vec<u8>)> {
    let snapshot = validated.translation().snapshot(class).unwrap();
    let resources = ResourceType::ALL
        .into_iter()
        .flat_map(|ty| snapshot.set(ty).values());
    resources
        .map(|resource| {
            let name = resource.name().to_string();
            (resource.ty(), name, resource.bytes().to_vec())
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    /// Edit after edit, some of them bad: the same verdict, the same problems with the same pointers in the same order, the
    /// same hash, the same bytes and the same sums, whether or not it is known what came before.
    #[test]
    fn it_makes_no_difference_what_is_known_already(commits in prop::collection::vec(prop::collection::vec(edit(), 1..4), 1..12)) {
        let mut base: Option<Validated> = None;
        let mut last_good = config("{clusters: [{name: a, discovery: api}, {name: b, endpoints: []}, {name: c, discovery: api}], listeners: [{name: a, address: 0.0.0.0, port: 79}]}");
        for edits in commits {
            let mut next = edited(&last_good, &edits);
            next.share_with(&last_good);
            let after = Draft::new(next.clone()).validate(base.as_ref(), &[]);
            let anew = Draft::new(next.clone()).validate(None, &[]);
            let (after, anew) = match (after, anew) {
                (Ok(after), Ok(anew)) => (after, anew),
                (Err(after), Err(anew)) => {
                    prop_assert_eq!(after, anew);
                    continue;
                }
                (after, anew) => {
                    let verdicts = (after.map(|_| ()), anew.map(|_| ()));
                    return Err(TestCaseError::fail(format!("{verdicts:?}")));
                }
            };
            prop_assert_eq!(after.hash(), anew.hash());
            for class in ClientClass::ALL {
                prop_assert_eq!(served(&after, class), served(&anew, class));
                let sums = |validated: &Validated| {
                    let snapshot = validated.translation().snapshot(class).unwrap();
                    ResourceType::ALL.map(|ty| snapshot.sum(ty))
                };
                prop_assert_eq!(sums(&after), sums(&anew));
            }
            last_good = next;
            base = Some(after);
        }
    }
}

/// Hosts with ten routes each, and two clusters.
fn shop(hosts: usize) -> Config {
    let mut yaml = String::from(
        "{\"listeners\": [{\"name\": \"web\", \"address\": \"0.0.0.0\", \"port\": 80}],
          \"clusters\": [{\"name\": \"a\", \"discovery\": \"api\"}, {\"name\": \"b\", \"discovery\": \"api\"}], \"routes\": [",
    );
    for host in 0..hosts {
        for n in 0..10 {
            let comma = if host + n == 0 { "" } else { "," };
            let route = format!(
                "{comma}{{\"name\": \"r{host}-{n}\", \"hosts\": [\"h{host}.example\"], \"match\": {{\"path\": {{\"prefix\": \"/p{n}/q\"}}}}, \"forward\": {{\"cluster\": \"a\"}}}}"
            );
            yaml.write_str(&route).unwrap();
        }
    }
    yaml += "]}";
    let document = crate::model::document::json(yaml.as_bytes()).unwrap();
    crate::model::document::config(&document).unwrap().config
}

#[test]
fn an_edit_of_one_route_among_five_thousand_translates_ten_and_compiles_one_virtual_host_a_class() {
    let base = Draft::new(shop(500)).validate(None, &[]).unwrap();
    // Ten routes of 500 hosts: once for proxies, once for gRPC clients.
    assert_eq!(base.work().routes, 2 * 5_000);
    let mut next = (**base.config()).clone();
    let mut route = Route::clone(&next.routes["r250-3"]);
    route.forward.as_mut().unwrap().cluster = Some("b".to_owned());
    next.put(route);
    let after = Draft::new(next).validate(Some(&base), &[]).unwrap();
    assert_eq!(after.work().routes, 2 * 10);
    // The virtual host by itself and what holds it, for Envoy and for gRPC.
    assert_eq!(after.work().decoded, 3);
    for class in ClientClass::ALL {
        let [before, after] = [&base, &after].map(|it| it.translation().snapshot(class).unwrap());
        assert_eq!(recompiled(before, after), 1, "{class}");
    }
    // Our own proxies' virtual hosts and those that stand inside are compiled once.
    let of = |class| after.translation().snapshot(class).unwrap();
    let ours = of(ClientClass::Signalbox).set(ResourceType::VirtualHost);
    let ours: Vec<_> = ours
        .values()
        .filter_map(|it| it.body().as_virtual_host())
        .collect();
    let web = of(ClientClass::Envoy)
        .get(ResourceType::RouteConfiguration, "web")
        .unwrap();
    let inside = &web.body().as_route_configuration().unwrap().virtual_hosts;
    assert!(
        ours.iter()
            .zip(inside)
            .all(|(apart, inside)| Arc::ptr_eq(apart, inside))
    );
    assert_eq!((ours.len(), inside.len()), (500, 500));
}

#[test]
fn an_edit_that_no_client_sees_costs_no_client_anything() {
    let base = Draft::new(shop(5)).validate(None, &[]).unwrap();
    let after = Draft::new((**base.config()).clone())
        .validate(Some(&base), &[])
        .unwrap();
    assert_eq!(after.work(), Work::default());
    for class in ClientClass::ALL {
        let [before, after] = [&base, &after].map(|it| it.translation().snapshot(class).unwrap());
        assert!(before.shares_all(after));
    }
}
