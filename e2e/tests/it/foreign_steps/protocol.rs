//! Steps in which the server itself is at fault: odd responses, the wrong order, nobody there.

use anyhow::Result;
use serde_json::json;

use super::play::Play;
use super::wanted::{A, B, Said, Wanted, ack, get, nack};
use super::world::{World, assignment, eds_cluster, forward, static_cluster};
use crate::scripted::{Entry, PUSH_ORDER, type_url};

pub(super) async fn responses(play: &mut Play) {
    let other_type = |world: &mut World| {
        world.add_entry(
            Entry::json(&eds_cluster("alien"))
                .unwrap()
                .sent_as(type_url::LISTENER),
        );
    };
    play.step(
        "a resource of another type than its response",
        other_type,
        nack("alien", &[get("/", A)]),
    )
    .await;
    play.step(
        "it is gone",
        |world| world.remove(type_url::LISTENER, "alien"),
        ack(&[get("/", A)]),
    )
    .await;
    let twice = |world: &mut World| {
        world.put(&static_cluster("double", world.endpoint(0)));
        world.add_entry(Entry::json(&static_cluster("double", world.endpoint(1))).unwrap());
    };
    play.step(
        "one name twice in a response",
        twice,
        nack("double", &[get("/", A)]),
    )
    .await;
    play.step(
        "both are gone",
        |world| world.remove(type_url::CLUSTER, "double"),
        ack(&[get("/", A)]),
    )
    .await;
    let not_asked = |world: &mut World| world.put(&assignment("nobody", json!([])));
    play.step(
        "endpoints that nobody asked for",
        not_asked,
        ack(&[get("/", A)]),
    )
    .await;
}

pub(super) async fn order(play: &mut Play) {
    let mut backwards = PUSH_ORDER;
    backwards.reverse();
    let new_cluster = |world: &mut World| {
        world.put(&eds_cluster("new"));
        world.endpoints("new", json!([world.endpoint(1)]));
        world.routes(json!([forward("/", "new")]));
    };
    let wanted = Wanted {
        said: Said::Ack,
        answers: &[get("/", B)],
        why: "routes wait for their cluster",
    };
    play.step_in_order("a route before its cluster", backwards, new_cluster, wanted)
        .await;
    play.step_in_order(
        "the route goes before its cluster",
        backwards,
        |world| {
            world.routes(json!([forward("/", "a")]));
            world.remove(type_url::CLUSTER, "new");
        },
        ack(&[get("/", A)]),
    )
    .await;
    let early = |world: &mut World| {
        world.put(&static_cluster("early", world.endpoint(1)));
        world.routes(json!([forward("/", "early")]));
    };
    play.step(
        "a cluster and its route together",
        early,
        ack(&[get("/", B)]),
    )
    .await;
    let late = |world: &mut World| {
        world.routes(json!([forward("/", "a")]));
        world.remove(type_url::CLUSTER, "early");
    };
    let wanted = Wanted {
        said: Said::Ack,
        answers: &[get("/", A)],
        why: "a cluster stays until its route is gone",
    };
    play.step("a cluster is removed before its route", late, wanted)
        .await;
}

pub(super) async fn server(play: &mut Play) -> Result<()> {
    play.go_away().await;
    let nothing = Wanted {
        said: Said::Nothing,
        answers: &[get("/", A)],
        why: "",
    };
    play.step(
        "the server is away",
        |world| world.routes(json!([forward("/", "b")])),
        nothing,
    )
    .await;
    play.come_back().await?;
    let back = Wanted {
        said: Said::Nothing,
        answers: &[get("/", B)],
        why: "",
    };
    play.step("the server is back, with other routes", |_| (), back)
        .await;
    play.step(
        "it goes on from there",
        |world| world.routes(json!([forward("/", "a")])),
        ack(&[get("/", A)]),
    )
    .await;
    Ok(())
}
