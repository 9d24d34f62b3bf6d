//! Steps with clusters and their endpoints.

use serde_json::json;

use super::play::Play;
use super::wanted::{A, B, Said, Wanted, ack, get, nack};
use super::world::{World, endpoint, forward, static_cluster};
use crate::scripted::{Entry, type_url};

pub(super) async fn clusters(play: &mut Play) {
    let missing = json!([forward("/late", "late"), forward("/", "b")]);
    play.step(
        "a route to a missing cluster",
        |world| world.routes(missing.clone()),
        ack(&[get("/late", "503"), get("/", B)]),
    )
    .await;
    let late = |world: &mut World| world.put(&static_cluster("late", world.endpoint(0)));
    play.step(
        "the missing cluster comes",
        late,
        ack(&[get("/late", "200 a GET /late"), get("/", B)]),
    )
    .await;
    let moved = |world: &mut World| world.put(&static_cluster("late", world.endpoint(1)));
    play.step(
        "a cluster's address changes",
        moved,
        ack(&[get("/late", "200 b GET /late"), get("/", B)]),
    )
    .await;
    play.step(
        "a cluster in use is removed",
        |world| world.remove(type_url::CLUSTER, "late"),
        ack(&[get("/late", "503"), get("/", B)]),
    )
    .await;
    play.step(
        "the removed cluster is back",
        late,
        ack(&[get("/late", "200 a GET /late"), get("/", B)]),
    )
    .await;
    play.step(
        "its routes are removed",
        |world| world.routes(json!([forward("/", "a")])),
        ack(&[get("/late", "200 a GET /late"), get("/", A)]),
    )
    .await;
    play.step(
        "an unused cluster is removed",
        |world| world.remove(type_url::CLUSTER, "late"),
        ack(&[get("/", A)]),
    )
    .await;
}

pub(super) async fn broken_clusters(play: &mut Play) {
    let beside = |world: &mut World| {
        let mut bad = static_cluster("bad", world.endpoint(0));
        bad["connect_timeout"] = json!("-1s");
        world.put(&bad);
        world.put(&static_cluster("good", world.endpoint(1)));
        world.routes(json!([forward("/good", "good"), forward("/", "a")]));
    };
    let wanted = Wanted {
        said: Said::Nack("bad"),
        answers: &[get("/good", "200 b GET /good"), get("/", A)],
        why: "a good resource is taken though its neighbour breaks a rule",
    };
    play.step(
        "a cluster that breaks a rule beside a good one",
        beside,
        wanted,
    )
    .await;
    let mended = |world: &mut World| world.remove(type_url::CLUSTER, "bad");
    play.step(
        "the bad cluster is gone",
        mended,
        ack(&[get("/good", "200 b GET /good"), get("/", A)]),
    )
    .await;
    let bytes = |world: &mut World| {
        world.put_entry(Entry::bytes(type_url::CLUSTER, "bytes", vec![0xff; 7]));
        world.put(&static_cluster("good", world.endpoint(0)));
    };
    let wanted = Wanted {
        said: Said::Nack("bytes"),
        answers: &[get("/good", "200 a GET /good"), get("/", A)],
        why: "a good resource is taken though its neighbour cannot be decoded",
    };
    play.step(
        "a cluster that cannot be decoded beside a good one",
        bytes,
        wanted,
    )
    .await;
    let as_before = |world: &mut World| {
        world.remove(type_url::CLUSTER, "bytes");
        world.remove(type_url::CLUSTER, "good");
        world.routes(json!([forward("/", "a")]));
    };
    play.step("both clusters are gone", as_before, ack(&[get("/", A)]))
        .await;
}

pub(super) async fn endpoints(play: &mut Play) {
    play.step(
        "no endpoints",
        |world| world.endpoints("a", json!([])),
        ack(&[get("/", "503")]),
    )
    .await;
    let one = |world: &mut World| world.endpoints("a", json!([world.endpoint(0)]));
    play.step("endpoints again", one, ack(&[get("/", A)])).await;
    let unhealthy = |world: &mut World| {
        let mut endpoint = world.endpoint(0);
        endpoint["health_status"] = json!("UNHEALTHY");
        world.endpoints("a", json!([endpoint]));
    };
    play.step("unhealthy endpoints only", unhealthy, ack(&[get("/", A)]))
        .await;
    let mixed = |world: &mut World| {
        let mut endpoint = world.endpoint(0);
        endpoint["health_status"] = json!("DRAINING");
        world.endpoints("a", json!([endpoint, world.endpoint(1)]));
    };
    play.step(
        "a draining endpoint beside a healthy one",
        mixed,
        ack(&[get("/", B)]),
    )
    .await;
    play.step(
        "a host name as address",
        |world| world.endpoints("a", json!([endpoint("localhost", world.upstreams[0])])),
        nack("a", &[get("/", B)]),
    )
    .await;
    play.step("good endpoints again", one, ack(&[get("/", A)]))
        .await;
    play.step(
        "endpoints removed by name",
        |world| world.remove(type_url::ENDPOINTS, "a"),
        ack(&[get("/", A)]),
    )
    .await;
    play.step(
        "the removed endpoints are back, elsewhere",
        |world| world.endpoints("a", json!([world.endpoint(1)])),
        ack(&[get("/", B)]),
    )
    .await;
    play.step("endpoints as at first", one, ack(&[get("/", A)]))
        .await;
}
