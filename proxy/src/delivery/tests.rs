use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::google::protobuf::Duration as ProtoDuration;
use prost::Message;
use xds::problem::Code;
use xds::resource::Resource;
use xds::type_url::ResourceType;

use super::*;

const PATIENCE: Duration = Duration::from_secs(15);

/// Remembers what it was told: how many clusters each config has is enough to tell them apart.
#[derive(Debug, Default)]
struct Recorder {
    staged: Vec<usize>,
    active: Vec<usize>,
    refreshed: Vec<usize>,
    /// The addresses of the live config whenever its names came to stand for others.
    readdressed: Vec<Vec<String>>,
    renumbered: Vec<u64>,
    refuse: bool,
}

impl Switch for Recorder {
    fn stage(&mut self, config: &Arc<Config>) -> Vec<Problem> {
        if self.refuse {
            let detail = "the port is taken".to_owned();
            return vec![Problem {
                resource: None,
                path: "address".into(),
                code: Code::Invalid,
                detail,
            }];
        }
        self.staged.push(config.clusters.len());
        Vec::new()
    }

    fn activate(&mut self, held: &Held) {
        self.active.push(held.config.clusters.len());
    }

    fn refresh(&mut self, held: &Held) {
        self.refreshed.push(held.config.clusters.len());
    }

    fn readdress(&mut self, held: &Held) {
        self.readdressed.push(addresses(&held.config));
    }

    fn renumber(&mut self, revision: u64) {
        self.renumbered.push(revision);
    }
}

fn cluster(name: usize) -> Arc<Resource> {
    let connect_timeout = Some(ProtoDuration {
        seconds: 1,
        nanos: 0,
    });
    let message = Cluster {
        name: format!("c{name}"),
        connect_timeout,
        ..Default::default()
    };
    Arc::new(Resource::decode(ResourceType::Cluster, message.encode_to_vec().into(), None).unwrap())
}

/// A wire set with this many clusters.
fn wire_set(clusters: usize) -> Snapshot {
    (0..clusters).map(cluster).collect()
}

fn target(assignment: u64, phase: Phase, set: &Snapshot) -> Target {
    Target {
        assignment,
        revision: assignment,
        phase,
        sums: set.revision_sums(),
    }
}

fn ours() -> Delivery<Recorder> {
    let mut delivery = Delivery::new(Recorder::default(), PATIENCE, None);
    delivery.is_ours();
    delivery
}

fn now() -> Instant {
    Instant::now()
}

#[test]
fn a_revision_goes_live_when_it_is_whole_and_not_before_whatever_came_first() {
    let (partial, whole) = (wire_set(1), wire_set(2));
    let mut target_first = ours();
    target_first.target(target(1, Phase::Activate, &whole), &partial, now());
    assert_eq!(target_first.report().state, State::Missing);
    target_first.wire_set_changed(&partial, true, now());
    assert!(target_first.switch.active.is_empty());
    target_first.wire_set_changed(&whole, true, now());
    assert_eq!(target_first.switch.active, [2]);
    assert_eq!(
        (
            target_first.report().state,
            target_first.report().live_revision
        ),
        (State::Active, 1)
    );

    let mut resources_first = ours();
    resources_first.wire_set_changed(&whole, true, now());
    assert!(resources_first.switch.active.is_empty());
    resources_first.target(target(1, Phase::Activate, &whole), &whole, now());
    assert_eq!(resources_first.switch.active, [2]);
}

#[test]
fn what_is_staged_is_switched_to_without_compiling() {
    let (mut delivery, set) = (ours(), wire_set(2));
    delivery.target(target(1, Phase::Stage, &set), &set, now());
    assert_eq!(
        (&delivery.switch.staged[..], &delivery.switch.active[..]),
        (&[2][..], &[][..])
    );
    assert_eq!(
        (delivery.report().state, delivery.report().staged_revision),
        (State::Staged, 1)
    );
    let compilations = delivery.compilations;
    delivery.target(target(2, Phase::Activate, &set), &set, now());
    assert_eq!(delivery.switch.active, [2]);
    assert_eq!(delivery.compilations, compilations);
}

#[test]
fn going_back_is_one_message_and_compiles_nothing_although_the_wire_set_is_elsewhere() {
    let (mut delivery, old, new) = (ours(), wire_set(1), wire_set(2));
    delivery.target(target(1, Phase::Activate, &old), &old, now());
    delivery.target(target(2, Phase::Activate, &new), &new, now());
    let compilations = delivery.compilations;
    delivery.target(target(3, Phase::Activate, &old), &new, now());
    assert_eq!(delivery.switch.active, [1, 2, 1]);
    assert_eq!(delivery.compilations, compilations);
    assert_eq!(delivery.report().live_revision, 3);
}

#[test]
fn a_lower_revision_by_a_newer_assignment_goes_live_before_its_resources_come() {
    let (mut delivery, old, new) = (ours(), wire_set(1), wire_set(2));
    let go = |assignment, revision, set: &Snapshot| Target {
        revision,
        ..target(assignment, Phase::Activate, set)
    };
    delivery.target(go(5, 1, &old), &old, now());
    delivery.target(go(6, 2, &new), &new, now());
    delivery.target(go(7, 1, &old), &new, now());
    assert_eq!(delivery.switch.active, [1, 2, 1]);
    let report = delivery.report();
    assert_eq!(
        (report.assignment, report.live_revision, report.state),
        (7, 1, State::Active)
    );
    // Whoever still says the assignment before knows less.
    delivery.target(go(6, 2, &new), &new, now());
    assert_eq!(delivery.report().live_revision, 1);
}

#[test]
fn what_was_refused_is_not_said_of_another_revision_of_the_same_assignment() {
    let (mut delivery, old) = (ours(), wire_set(1));
    let mut bad = wire_set(2);
    bad.insert(listener_without_routes());
    let go = |assignment, revision, set: &Snapshot| Target {
        revision,
        ..target(assignment, Phase::Activate, set)
    };
    delivery.target(go(5, 1, &old), &old, now());
    delivery.target(go(6, 2, &bad), &bad, now());
    assert_eq!(delivery.report().state, State::Refused);
    delivery.target(go(6, 1, &old), &bad, now());
    assert_eq!(
        (delivery.report().state, delivery.report().problems.len()),
        (State::Active, 0)
    );
    let compilations = delivery.compilations;
    delivery.target(go(6, 2, &bad), &bad, now());
    assert_eq!(delivery.report().state, State::Refused);
    assert_eq!(delivery.compilations, compilations);
}

#[test]
fn an_equal_revision_is_a_no_op_but_for_its_number() {
    let (mut delivery, set) = (ours(), wire_set(1));
    delivery.target(target(1, Phase::Activate, &set), &set, now());
    delivery.target(target(2, Phase::Activate, &set), &set, now());
    assert_eq!(delivery.switch.active, [1]);
    assert_eq!(delivery.switch.renumbered, [2]);
    assert_eq!(delivery.report().live_revision, 2);
}

#[test]
fn an_older_word_is_ignored() {
    let (mut delivery, old, new) = (ours(), wire_set(1), wire_set(2));
    delivery.target(target(2, Phase::Activate, &new), &new, now());
    delivery.target(target(1, Phase::Activate, &old), &old, now());
    assert_eq!(delivery.switch.active, [2]);
}

#[test]
fn what_cannot_be_served_is_refused_with_every_problem_and_touches_nothing() {
    let (mut delivery, good) = (ours(), wire_set(1));
    delivery.target(target(1, Phase::Activate, &good), &good, now());
    let mut bad = wire_set(2);
    bad.insert(listener_without_routes());
    delivery.target(target(2, Phase::Activate, &bad), &bad, now());
    let report = delivery.report();
    assert_eq!(
        (report.state, report.live_revision, report.transient),
        (State::Refused, 1, false)
    );
    assert_eq!(report.problems[0].code, Code::MissingReference);
    let compilations = delivery.compilations;
    delivery.wire_set_changed(&bad, true, now());
    assert_eq!(
        delivery.compilations, compilations,
        "it is not tried again and again"
    );
    assert_eq!(delivery.switch.active, [1]);
}

#[test]
fn what_this_machine_refuses_may_go_away_by_itself() {
    let (mut delivery, set) = (ours(), wire_set(1));
    delivery.switch.refuse = true;
    delivery.target(target(1, Phase::Activate, &set), &set, now());
    assert_eq!(
        (delivery.report().state, delivery.report().transient),
        (State::Refused, true)
    );
    delivery.switch.refuse = false;
    let due = delivery.due().unwrap();
    delivery.time_has_come(&set, true, due);
    assert_eq!(delivery.switch.active, [1]);
    assert_eq!(delivery.report().state, State::Active);
}

#[test]
fn what_was_live_before_a_restart_is_not_activated_again() {
    let set = wire_set(1);
    let recalled = Held::new(7, set.clone()).0;
    let mut delivery = Delivery::new(Recorder::default(), PATIENCE, Some(recalled));
    assert_eq!(delivery.report().live_revision, 7);
    delivery.is_ours();
    delivery.target(target(7, Phase::Activate, &set), &set, now());
    assert!(delivery.switch.active.is_empty());
    assert_eq!(delivery.report().state, State::Active);
}

#[test]
fn with_a_foreign_control_plane_what_fits_goes_live() {
    let mut delivery = Delivery::new(Recorder::default(), PATIENCE, None);
    delivery.wire_set_changed(&wire_set(1), true, now());
    assert!(
        delivery.switch.active.is_empty(),
        "who is at the other end is not known yet"
    );
    delivery.is_foreign(&wire_set(1), true, now());
    delivery.wire_set_changed(&wire_set(2), true, now());
    assert_eq!(delivery.switch.active, [1, 2]);
}

#[test]
fn who_does_not_say_who_they_are_is_taken_for_a_foreign_control_plane_while_connected() {
    let (start, set) = (now(), wire_set(1));
    let mut silent = Delivery::new(Recorder::default(), PATIENCE, None);
    silent.connected(start);
    silent.wire_set_changed(&set, true, start);
    assert!(silent.switch.active.is_empty());
    silent.time_has_come(&set, true, silent.due().unwrap());
    assert_eq!(silent.switch.active, [1]);

    let mut lost = Delivery::new(Recorder::default(), PATIENCE, None);
    lost.connected(start);
    lost.disconnected();
    assert_eq!(lost.due(), None);
}

#[test]
fn with_a_foreign_control_plane_what_does_not_fit_waits_and_then_goes_live_all_the_same() {
    let mut delivery = Delivery::new(Recorder::default(), PATIENCE, None);
    let mut holes = wire_set(1);
    holes.insert(listener_without_routes());
    let start = now();
    delivery.is_foreign(&holes, true, start);
    assert_eq!(delivery.due(), Some(start + PATIENCE));
    delivery.wire_set_changed(&holes, true, start + PATIENCE);
    assert_eq!(delivery.switch.active, [1]);
    assert!(!delivery.unfit().is_empty());
}

fn listener_without_routes() -> Arc<Resource> {
    let listener = serde_json::json!({
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": "web",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 1}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "rds": {"route_config_name": "nowhere", "config_source": {"ads": {}, "resource_api_version": "V3"}},
            "http_filters": [{"name": "router", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
        }}]}],
    });
    let (_, bytes) = proto::json::from_json(&listener).unwrap();
    Arc::new(Resource::decode(ResourceType::Listener, bytes.into(), None).unwrap())
}

// === endpoints ===

fn of_json(ty: ResourceType, json: &serde_json::Value) -> Arc<Resource> {
    let (_, bytes) = proto::json::from_json(json).unwrap();
    Arc::new(Resource::decode(ty, bytes.into(), None).unwrap())
}

/// A wire set with a cluster whose endpoints come by EDS, with or without them.
fn by_eds(with_endpoints: bool) -> Snapshot {
    let cluster = serde_json::json!({
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": "c",
        "type": "EDS",
        "eds_cluster_config": {"eds_config": {"ads": {}, "resource_api_version": "V3"}},
    });
    let endpoints = serde_json::json!({
        "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": "c",
    });
    let endpoints = of_json(ResourceType::ClusterLoadAssignment, &endpoints);
    let cluster = of_json(ResourceType::Cluster, &cluster);
    [cluster]
        .into_iter()
        .chain(with_endpoints.then_some(endpoints))
        .collect()
}

#[test]
fn endpoints_that_come_after_the_revision_are_waited_for_and_not_refused() {
    let (mut delivery, start) = (ours(), now());
    let (without, with) = (by_eds(false), by_eds(true));
    delivery.target(target(1, Phase::Activate, &without), &without, start);
    assert_eq!(delivery.report().state, State::Missing);
    delivery.wire_set_changed(&with, true, start);
    assert_eq!(delivery.report().state, State::Active);
}

#[test]
fn endpoints_that_do_not_come_are_a_refusal_that_may_pass() {
    let (mut delivery, start) = (ours(), now());
    let (without, with) = (by_eds(false), by_eds(true));
    delivery.target(target(1, Phase::Activate, &without), &without, start);
    delivery.time_has_come(&without, true, start + PATIENCE);
    let report = delivery.report();
    assert_eq!((report.state, report.transient), (State::Refused, true));
    assert_eq!(report.problems[0].code, Code::MissingReference);
    delivery.time_has_come(&with, true, start + PATIENCE + RETRY_PAUSE);
    assert_eq!(delivery.report().state, State::Active);
}

// === names ===

fn addresses(config: &Config) -> Vec<String> {
    let endpoints = config
        .clusters
        .values()
        .filter_map(|served| served.endpoints.as_ref());
    endpoints
        .flat_map(|assignment| &assignment.endpoints)
        .map(|endpoint| endpoint.address.to_string())
        .collect()
}

/// A wire set with one cluster whose endpoint is found by this name.
fn named(name: &str) -> Snapshot {
    let socket = serde_json::json!({"address": name, "port_value": 80});
    let cluster = serde_json::json!({
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": name,
        "type": "STRICT_DNS",
        "load_assignment": {"endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": socket}}}]}]},
    });
    let (_, bytes) = proto::json::from_json(&cluster).unwrap();
    let resource = Resource::decode(ResourceType::Cluster, bytes.into(), None).unwrap();
    [Arc::new(resource)].into_iter().collect()
}

/// The same answer for every name that delivery asks for.
fn answers(delivery: &Delivery<Recorder>, addresses: &[[u8; 4]]) -> Arc<Answers> {
    let answer = crate::dns::Answer {
        addresses: addresses.iter().map(|address| (*address).into()).collect(),
        failure: None,
    };
    let queries = delivery.queries();
    Arc::new(
        queries
            .map(|query| (query.clone(), answer.clone()))
            .collect(),
    )
}

#[test]
fn a_config_goes_live_when_its_names_have_been_looked_up() {
    let (mut delivery, set, start) = (ours(), named("a.example"), now());
    delivery.target(target(1, Phase::Activate, &set), &set, start);
    assert!(delivery.switch.active.is_empty());
    assert_eq!(delivery.report().state, State::Staged);
    assert_eq!(delivery.due(), Some(start + WARMING_MAX));
    // Said again, it does not wait anew.
    delivery.target(
        target(2, Phase::Activate, &set),
        &set,
        start + WARMING_MAX / 2,
    );
    assert_eq!(delivery.due(), Some(start + WARMING_MAX));
    let known = answers(&delivery, &[[192, 0, 2, 1]]);
    delivery.answered(known, start + WARMING_MAX / 2);
    assert_eq!(delivery.switch.active, [1]);
    let live = delivery.live.as_ref().unwrap();
    assert_eq!(addresses(&live.config), ["192.0.2.1:80"]);
    assert_eq!(
        (delivery.report().state, delivery.due()),
        (State::Active, None)
    );
    assert_eq!(delivery.compilations, 1);
}

#[test]
fn a_name_without_an_answer_holds_a_config_up_for_so_long_and_not_longer() {
    let (mut delivery, set, start) = (ours(), named("a.example"), now());
    delivery.target(target(1, Phase::Activate, &set), &set, start);
    delivery.time_has_come(&set, true, start + WARMING_MAX);
    assert_eq!(delivery.switch.active, [1]);

    let mut failed = ours();
    failed.target(target(1, Phase::Activate, &set), &set, start);
    let none = answers(&failed, &[]);
    failed.answered(none, start);
    assert_eq!(failed.switch.active, [1], "a failure is an answer too");
}

#[test]
fn a_change_of_addresses_reaches_what_is_live_and_what_is_held_and_compiles_nothing() {
    let (mut delivery, old, new) = (ours(), named("a.example"), named("b.example"));
    delivery.target(target(1, Phase::Activate, &old), &old, now());
    let known = answers(&delivery, &[[192, 0, 2, 1]]);
    delivery.answered(known, now());
    delivery.target(target(2, Phase::Activate, &new), &new, now());
    let known = answers(&delivery, &[[192, 0, 2, 1]]);
    delivery.answered(known.clone(), now());
    let compilations = delivery.compilations;
    delivery.answered(known, now());
    assert!(
        delivery.switch.readdressed.is_empty(),
        "nothing has changed"
    );
    let known = answers(&delivery, &[[192, 0, 2, 2], [192, 0, 2, 1]]);
    delivery.answered(known, now());
    let both = ["192.0.2.1:80", "192.0.2.2:80"];
    assert_eq!(delivery.switch.readdressed, [both]);
    let previous = delivery.previous.as_ref().unwrap();
    assert_eq!(addresses(&previous.config), both);
    assert_eq!(delivery.compilations, compilations);
    assert!(
        delivery.switch.refreshed.is_empty(),
        "answers are not kept for the next start"
    );
}

#[test]
fn what_was_live_before_a_restart_waits_for_its_names_too() {
    let (set, start) = (named("a.example"), now());
    let mut delivery = Delivery::new(Recorder::default(), PATIENCE, None);
    delivery.recall(Held::new(7, set.clone()).0, start);
    assert!(delivery.switch.active.is_empty());
    // No control plane has been there yet, and that the names are known says nothing of who it will be.
    delivery.time_has_come(&set, false, start + WARMING_MAX);
    assert_eq!(delivery.switch.active, [1]);
    assert_eq!(delivery.report().live_revision, 7);
    delivery.is_ours();
    delivery.target(target(7, Phase::Activate, &set), &set, start);
    assert_eq!(
        (delivery.report().state, delivery.compilations),
        (State::Active, 0)
    );
}

#[test]
fn with_a_foreign_control_plane_the_last_of_the_sets_that_warm_goes_live() {
    let mut delivery = Delivery::new(Recorder::default(), PATIENCE, None);
    let (mut set, start) = (named("a.example"), now());
    delivery.is_foreign(&set, true, start);
    set.insert(cluster(1));
    delivery.wire_set_changed(&set, true, start + WARMING_MAX / 2);
    assert!(delivery.switch.active.is_empty());
    delivery.time_has_come(&set, true, start + WARMING_MAX);
    assert_eq!(delivery.switch.active, [2]);
}
