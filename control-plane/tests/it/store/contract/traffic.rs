//! Rules of what is reported of requests, and of the clock that it is counted by.

use control_plane::model::timestamp::Timestamp;
use control_plane::store::rollout::{ReportNumber, TrafficRow};

use super::super::Fresh;
use super::Rule;
use super::rollouts::fleet;

rules!(
    traffic_is_kept_for_an_hour_by_the_database_s_clock,
    a_numbered_report_is_counted_once,
    the_database_tells_the_time,
);

pub(super) fn traffic(fleet: &str, revision: u64, body: &[u8]) -> TrafficRow {
    TrafficRow {
        fleet: fleet.to_owned(),
        revision,
        at: Timestamp::from_micros(7),
        body: body.to_vec(),
    }
}

async fn traffic_is_kept_for_an_hour_by_the_database_s_clock(fresh: Fresh) {
    let store = &*fresh.store;
    let began = store.clock().await.unwrap();
    let seq = fleet(store).await.change_seq;
    store.write_traffic("r1", &[]).await.unwrap();
    let many: Vec<_> = (0..450)
        .map(|n| traffic("default", n, &n.to_le_bytes()))
        .chain([traffic("edge", 1, &[0, 255])])
        .collect();
    store.write_traffic("r1", &many).await.unwrap();
    let rows = store.traffic("default", began).await.unwrap();
    assert_eq!(rows.len(), 450);
    let at = rows[0].at;
    assert!(at >= began && rows.iter().all(|row| row.at == at));
    let expected = TrafficRow {
        at,
        ..many[449].clone()
    };
    assert_eq!(rows[449], expected);
    let edge = store.traffic("edge", began).await.unwrap();
    assert_eq!(edge[0].body, [0, 255]);
    assert!(store.traffic("other", began).await.unwrap().is_empty());
    assert_eq!(fleet(store).await.change_seq, seq, "nobody is told");

    fresh.sql("UPDATE traffic SET at = at - 1800000000").await;
    store
        .write_traffic("r2", &[traffic("default", 9, b"new")])
        .await
        .unwrap();
    let new = store.traffic("default", began).await.unwrap();
    assert_eq!((new.len(), new[0].revision), (1, 9));
    let zero = Timestamp::from_micros(0);
    let all = store.traffic("default", zero).await.unwrap();
    assert_eq!((all.len(), all[450].revision), (451, 9), "from the oldest");
    fresh.sql("UPDATE traffic SET at = at - 1801000000").await;
    store
        .write_traffic("r1", &[traffic("default", 9, b"newer")])
        .await
        .unwrap();
    assert_eq!(store.traffic("default", zero).await.unwrap().len(), 2);
    assert_eq!(store.traffic("edge", zero).await.unwrap().len(), 1);
}

async fn a_numbered_report_is_counted_once(fresh: Fresh) {
    let store = &*fresh.store;
    let number = |reporter, sequence| ReportNumber {
        fleet: "default".to_owned(),
        reporter,
        sequence,
    };
    // A row for each that is new, of the revision that its place in the list says.
    let rows = |new: &[bool]| {
        let new = new.iter().zip(0..).filter(|(is_new, _)| **is_new);
        new.map(|(_, place)| traffic("default", place, b"x"))
            .collect()
    };
    let write = |numbers: Vec<ReportNumber>| async move {
        let new = store.write_reports("r", &numbers, &rows).await;
        new.unwrap()
    };
    let count = || async {
        let rows = store.traffic("default", Timestamp::from_micros(0)).await;
        rows.unwrap().len()
    };
    let first = vec![number(u64::MAX, 1), number(3, 1)];
    assert_eq!(write(first.clone()).await, [true, true]);
    assert_eq!(write(first).await, [false, false]);
    assert_eq!(count().await, 2);
    let both = vec![number(u64::MAX, 1), number(3, 2)];
    assert_eq!(write(both).await, [false, true]);
    assert_eq!(write(vec![number(3, 1)]).await, [false]);
    assert_eq!(count().await, 3);

    // Of two replicas that write the same at once, one counts each.
    let many: Vec<_> = (10..310).map(|reporter| number(reporter, 1)).collect();
    let reversed: Vec<_> = many.iter().rev().cloned().collect();
    let (one, other) = tokio::join!(write(many), write(reversed));
    assert!(
        one.iter()
            .zip(other.iter().rev())
            .all(|(one, other)| one != other)
    );
    assert_eq!(count().await, 303);

    fresh
        .sql("UPDATE traffic_report SET at = at - 86401000000 WHERE reporter = 3")
        .await;
    assert_eq!(write(vec![number(u64::MAX, 2)]).await, [true]);
    assert_eq!(write(vec![number(3, 1)]).await, [true], "after a day");
}

async fn the_database_tells_the_time(fresh: Fresh) {
    let store = &*fresh.store;
    let (one, other) = (store.clock().await.unwrap(), store.clock().await.unwrap());
    assert!(one <= other);
    let off = Timestamp::now().as_micros() - one.as_micros();
    assert!((-60_000_000..60_000_000).contains(&off), "{off}");
}
