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
fn an_equal_revision_is_a_no_op_but_for_its_number() {
    let (mut delivery, set) = (ours(), wire_set(1));
    delivery.target(target(1, Phase::Activate, &set), &set, now());
    delivery.target(target(2, Phase::Activate, &set), &set, now());
    assert_eq!(delivery.switch.active, [1]);
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
