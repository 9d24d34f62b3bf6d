//! Steps with routes: broken ones, which must change nothing, and good ones.

use serde_json::json;

use super::play::Play;
use super::wanted::{A, B, ack, get, nack};
use super::world::{World, forward, respond, route_configuration, virtual_host};
use crate::scripted::{Entry, type_url};

pub(super) async fn broken_routes(play: &mut Play) {
    play.step("a good config", |_| (), ack(&[get("/", A)]))
        .await;
    let to_b = |world: &mut World| world.routes(json!([forward("/", "b")]));
    play.step("a changed route", to_b, ack(&[get("/", B)]))
        .await;
    let no_domain = json!([{"name": "all", "domains": [], "routes": [forward("/", "a")]}]);
    play.step(
        "a virtual host without a domain",
        |world| world.virtual_hosts(no_domain.clone()),
        nack("main", &[get("/", B)]),
    )
    .await;
    let regex = json!([{"match": {"safe_regex": {"regex": "("}}, "route": {"cluster": "a"}}]);
    play.step(
        "a broken regular expression",
        |world| world.routes(regex.clone()),
        nack("main", &[get("/", B)]),
    )
    .await;
    let twice = json!([
        virtual_host("all", "*", json!([forward("/", "a")])),
        virtual_host("more", "*", json!([forward("/", "a")]))
    ]);
    play.step(
        "one domain in two virtual hosts",
        |world| world.virtual_hosts(twice.clone()),
        nack("main", &[get("/", B)]),
    )
    .await;
    let weights = json!([{"match": {"prefix": "/"}, "route": {"weighted_clusters": {"clusters": [{"name": "a", "weight": 0}]}}}]);
    play.step(
        "weights with the sum 0",
        |world| world.routes(weights.clone()),
        nack("main", &[get("/", B)]),
    )
    .await;
    let bytes =
        |world: &mut World| world.put_entry(Entry::bytes(type_url::ROUTES, "main", vec![0xff; 7]));
    play.step(
        "routes that cannot be decoded",
        bytes,
        nack("main", &[get("/", B)]),
    )
    .await;
    play.step(
        "mended",
        |world| world.routes(json!([forward("/", "a")])),
        ack(&[get("/", A)]),
    )
    .await;
}

pub(super) async fn routes(play: &mut Play) {
    let shop = json!([
        virtual_host("all", "*", json!([forward("/", "a")])),
        virtual_host("shop", "shop.example", json!([respond("/", "shop")])),
    ]);
    let in_shop = |outcome| get("/", outcome).host("shop.example");
    play.step(
        "a virtual host more",
        |world| world.virtual_hosts(shop.clone()),
        ack(&[get("/", A), in_shop("200 \"shop\"")]),
    )
    .await;
    play.step(
        "a virtual host removed",
        |world| world.routes(json!([forward("/", "a")])),
        ack(&[get("/", A), in_shop(A)]),
    )
    .await;
    let weights = json!([{"match": {"prefix": "/"}, "route": {"weighted_clusters": {"clusters": [{"name": "a", "weight": 0}, {"name": "b", "weight": 3}]}}}]);
    play.step(
        "weights 0 and 3",
        |world| world.routes(weights.clone()),
        ack(&[get("/", B)]),
    )
    .await;
    play.step(
        "a direct response before a prefix",
        |world| world.routes(json!([respond("/hello", "hello"), forward("/", "a")])),
        ack(&[get("/", A), get("/hello", "200 \"hello\"")]),
    )
    .await;
    let redirect = json!([{"match": {"path": "/old"}, "redirect": {"path_redirect": "/new"}}, forward("/", "a")]);
    play.step(
        "a redirect",
        |world| world.routes(redirect.clone()),
        ack(&[get("/old", "301 to http://any.example/new"), get("/", A)]),
    )
    .await;
    let unknown_field = |world: &mut World| {
        let routes = route_configuration(json!([virtual_host(
            "all",
            "*",
            json!([forward("/", "b")])
        )]));
        world.put_entry(Entry::json(&routes).unwrap().with_unknown_field());
    };
    play.step(
        "a field number that nobody knows",
        unknown_field,
        ack(&[get("/", B)]),
    )
    .await;
    play.step(
        "no routes at all",
        |world| world.virtual_hosts(json!([])),
        ack(&[get("/", "404")]),
    )
    .await;
    play.step(
        "routes again",
        |world| world.routes(json!([forward("/", "a")])),
        ack(&[get("/", A)]),
    )
    .await;
}
