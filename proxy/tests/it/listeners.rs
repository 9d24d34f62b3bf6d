//! Listeners come, change and go.

use std::net::{SocketAddr, TcpListener};

use serde_json::{Value, json};
use xds::problem::Code;

use crate::support::config::listener;
use crate::support::proxy::free_place;
use crate::support::{Client, Proxy};

fn answer(text: &str) -> Vec<Value> {
    vec![
        json!({"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": text}}}),
    ]
}

/// An address that somebody else listens on.
fn taken() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

#[test]
fn a_listener_that_is_edited_or_renamed_keeps_its_connections() {
    let mut proxy = Proxy::start();
    let place = free_place(1);
    proxy.apply(&[listener("web", place, answer("1"))]);
    let mut client = Client::connect(place);
    assert_eq!(client.get("/").text(), "1");
    proxy.apply(&[listener("web", place, answer("2"))]);
    assert_eq!(client.get("/").text(), "2");
    proxy.apply(&[listener("edge", place, answer("3"))]);
    assert_eq!(client.get("/").text(), "3");
    assert!(!client.get("/").closes());
}

#[test]
fn a_listener_that_moves_answers_at_both_places_until_its_connections_end() {
    let mut proxy = Proxy::start();
    let (old_place, new_place) = (free_place(1), free_place(2));
    proxy.apply(&[listener("web", old_place, answer("1"))]);
    let mut client = Client::connect(old_place);
    assert_eq!(client.get("/").text(), "1");
    proxy.apply(&[listener("web", new_place, answer("2"))]);
    assert_eq!(Client::connect(new_place).get("/").text(), "2");
    let last = client.get("/");
    assert_eq!(last.text(), "2", "the listener is still the same");
    assert!(last.closes() || client.get("/").closes());
    wait_until_refused(old_place);
}

#[test]
fn a_listener_that_is_removed_answers_what_is_on_its_connections_and_closes() {
    let mut proxy = Proxy::start();
    let (place, other) = (free_place(1), free_place(2));
    proxy.apply(&[
        listener("web", place, answer("1")),
        listener("other", other, answer("2")),
    ]);
    let mut busy = Client::connect(place);
    let idle = Client::connect(place);
    assert_eq!(busy.get("/").text(), "1");
    proxy.apply(&[listener("other", other, answer("2"))]);
    let last = busy.get("/");
    assert_eq!(last.text(), "1", "by the last config that had the listener");
    assert!(idle.sees_the_end());
    wait_until_refused(place);
    assert_eq!(Client::connect(other).get("/").text(), "2");
}

#[test]
fn an_address_that_cannot_be_had_is_a_problem_and_the_rest_is_served() {
    let taken = taken();
    let (address, place) = (taken.local_addr().unwrap(), free_place(2));
    let mut proxy = Proxy::start();
    let resources = [
        listener("taken", address, answer("1")),
        listener("web", place, answer("2")),
    ];
    let problems = proxy.apply(&resources);
    let [problem] = &problems[..] else {
        panic!("{problems:?}")
    };
    assert_eq!(
        (problem.code, problem.path.as_str()),
        (Code::Invalid, "address")
    );
    assert!(problem.to_string().contains("taken"), "{problem}");
    assert_eq!(Client::connect(place).get("/").text(), "2");
    drop(taken);
    assert_eq!(proxy.apply(&resources), []);
    assert_eq!(Client::connect(address).get("/").text(), "1");
}

#[test]
fn a_listener_that_cannot_move_stays_where_it_is() {
    let taken = taken();
    let place = free_place(2);
    let mut proxy = Proxy::start();
    proxy.apply(&[listener("web", place, answer("1"))]);
    let mut client = Client::connect(place);
    assert_eq!(client.get("/").text(), "1");
    let problems = proxy.apply(&[listener("web", taken.local_addr().unwrap(), answer("2"))]);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(proxy.address_of("web"), place);
    assert_eq!(client.get("/").text(), "2", "everything else of it is new");
    assert_eq!(Client::connect(place).get("/").text(), "2");
}

#[test]
fn a_listener_that_comes_back_at_once_finds_its_address() {
    let mut proxy = Proxy::start();
    let place = free_place(1);
    for round in 0..20 {
        let text = round.to_string();
        assert_eq!(proxy.apply(&[listener("web", place, answer(&text))]), []);
        assert_eq!(Client::connect(place).get("/").text(), text);
        assert_eq!(proxy.apply(&[]), []);
    }
}

fn wait_until_refused(address: SocketAddr) {
    let start = std::time::Instant::now();
    while Client::try_connect(address).is_ok() {
        assert!(
            start.elapsed() < crate::support::PATIENCE,
            "{address} still accepts"
        );
        std::thread::yield_now();
    }
}
