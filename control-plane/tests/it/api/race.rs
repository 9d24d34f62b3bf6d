//! Many writers at once: nobody's update is lost.

use std::collections::BTreeSet;
use std::sync::Arc;

use control_plane::store::sql::Database;
use e2e::postgres::Postgres;
use serde_json::{Value, json};

use super::Api;

const COUNTER: &str = "/v1/fleets/default/routes/counter";
const WRITERS: usize = 50;
const UPDATES: usize = 20;

/// Reads the number in the route's answer, writes the next one on condition that nobody else has, until it did so
/// `UPDATES` times. The numbers it wrote.
async fn count_up(api: Arc<Api>) -> Vec<u64> {
    let mut written = Vec::new();
    while written.len() < UPDATES {
        let current = api.get(COUNTER).await.expect(200);
        let body: u64 = current.json()["respond"]["body"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        let condition = [("if-match", current.header("etag"))];
        let answer = api.put(COUNTER, &condition, &counter(body + 1)).await;
        match answer.status {
            200 => written.push(body + 1),
            // The head moved sixteen times between reading and committing: still nothing was written.
            409 => drop(answer.problem(409, "conflict")),
            _ => drop(answer.problem(412, "revision-conflict")),
        }
    }
    written
}

fn counter(number: u64) -> Value {
    json!({"respond": {"status": 200, "body": number.to_string()}})
}

async fn race(api: Api) {
    api.put(COUNTER, &[], &counter(0)).await.expect(201);
    let api = Arc::new(api);
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..WRITERS {
        writers.spawn(count_up(api.clone()));
    }
    let written: Vec<u64> = writers.join_all().await.concat();
    let distinct: BTreeSet<u64> = written.iter().copied().collect();
    let all = (WRITERS * UPDATES) as u64;
    assert_eq!(distinct, (1..=all).collect(), "one winner for each version");
    let last = api.get(COUNTER).await.json();
    assert_eq!(last["respond"]["body"], all.to_string());
    let head = api.get("/v1/fleets/default").await.json();
    assert_eq!(head["revision"], all + 1, "one revision for each update");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_writers_each_version_has_one_on_sqlite() {
    race(Api::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_writers_each_version_has_one_on_postgres() {
    let postgres = Postgres::start().await.unwrap();
    let database = Database::Postgres(postgres.database().unwrap());
    race(Api::on(database, tempfile::tempdir().unwrap()).await).await;
}
