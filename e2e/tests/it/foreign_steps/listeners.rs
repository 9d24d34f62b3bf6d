//! Steps with listeners: their filters, their routes, their sockets.

use serde_json::json;

use super::play::Play;
use super::wanted::{A, REFUSED, Said, Wanted, ack, get, nack};
use super::world::{World, respond, router, unknown_filter, virtual_host};
use crate::scripted::type_url;

pub(super) async fn filters(play: &mut Play) {
    let with_filters = |world: &mut World, filters: serde_json::Value| {
        let listener = world.listener_with("web", 0, |manager| manager["http_filters"] = filters);
        world.put(&listener);
    };
    let required = json!([unknown_filter(false), router()]);
    play.step(
        "an unknown filter",
        |world| with_filters(world, required.clone()),
        nack("web", &[get("/", A)]),
    )
    .await;
    let optional = json!([unknown_filter(true), router()]);
    play.step(
        "an unknown filter that is optional",
        |world| with_filters(world, optional.clone()),
        ack(&[get("/", A)]),
    )
    .await;
    let wanted = Wanted {
        said: Said::Nack("web"),
        answers: &[get("/", A)],
        why: "requests would hang for ever: refused instead",
    };
    play.step(
        "no router among the filters",
        |world| with_filters(world, json!([])),
        wanted,
    )
    .await;
    play.step(
        "the usual filters",
        |world| world.listener("web", 0),
        ack(&[get("/", A)]),
    )
    .await;
    let inline = |world: &mut World| {
        let listener = world.listener_with("web", 0, |manager| {
            let manager = manager.as_object_mut().unwrap();
            manager.remove("rds");
            manager.insert("route_config".to_owned(), json!({"name": "inline", "virtual_hosts": [virtual_host("all", "*", json!([respond("/", "inline")]))]}));
        });
        world.put(&listener);
    };
    play.step(
        "routes inside the listener",
        inline,
        ack(&[get("/", "200 \"inline\"")]),
    )
    .await;
    play.step(
        "routes by name again",
        |world| world.listener("web", 0),
        ack(&[get("/", A)]),
    )
    .await;
}

pub(super) async fn listeners(play: &mut Play) {
    let second = |outcome| get("/", outcome).second_port();
    play.step(
        "a listener moves to another port",
        |world| world.listener("web", 1),
        ack(&[second(A), get("/", REFUSED)]),
    )
    .await;
    play.step(
        "the listener moves back",
        |world| world.listener("web", 0),
        ack(&[get("/", A), second(REFUSED)]),
    )
    .await;
    play.step(
        "a second listener",
        |world| world.listener("more", 1),
        ack(&[get("/", A), second(A)]),
    )
    .await;
    play.step(
        "the second listener is removed",
        |world| world.remove(type_url::LISTENER, "more"),
        ack(&[get("/", A), second(REFUSED)]),
    )
    .await;
    play.step(
        "two listeners at one address",
        |world| world.listener("twin", 0),
        nack("twin", &[get("/", A)]),
    )
    .await;
    play.step(
        "the twin is gone",
        |world| world.remove(type_url::LISTENER, "twin"),
        ack(&[get("/", A)]),
    )
    .await;
    let beside = |world: &mut World| {
        let bad = world.listener_with("bad", 0, |manager| {
            manager["http_filters"] = json!([unknown_filter(false), router()]);
        });
        world.put(&bad);
        world.listener("good", 1);
    };
    play.step(
        "a bad listener beside a good one",
        beside,
        nack("bad", &[get("/", A), second(A)]),
    )
    .await;
    let gone = |world: &mut World| {
        world.remove(type_url::LISTENER, "bad");
        world.remove(type_url::LISTENER, "good");
    };
    play.step("both are gone", gone, ack(&[get("/", A), second(REFUSED)]))
        .await;
    play.step(
        "the last listener is removed",
        |world| world.remove(type_url::LISTENER, "web"),
        Wanted {
            why: "what waits in a socket that closes is accepted",
            ..ack(&[get("/", REFUSED)])
        },
    )
    .await;
    play.step(
        "the last listener is back",
        |world| world.listener("web", 0),
        ack(&[get("/", A)]),
    )
    .await;
}
