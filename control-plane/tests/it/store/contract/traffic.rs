//! Rules of what is reported of requests, and of the clock that it is counted by.

use control_plane::model::timestamp::Timestamp;
use control_plane::store::rollout::TrafficRow;

use super::super::Fresh;
use super::Rule;
use super::rollouts::fleet;

rules!(
    traffic_is_kept_for_an_hour_by_the_database_s_clock,
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

async fn the_database_tells_the_time(fresh: Fresh) {
    let store = &*fresh.store;
    let (one, other) = (store.clock().await.unwrap(), store.clock().await.unwrap());
    assert!(one <= other);
    let off = Timestamp::now().as_micros() - one.as_micros();
    assert!((-60_000_000..60_000_000).contains(&off), "{off}");
}
