//! Rules of what is kept of single requests.

use control_plane::sample::Head;
use control_plane::store::samples::{KINDS_MAX, SampleRow};

use super::super::Fresh;
use super::Rule;

rules!(
    replicas_add_up_what_their_proxies_have_seen,
    a_request_counts_half_as_much_each_day_and_is_forgotten,
    what_is_too_much_goes_from_what_was_not_seen_lately,
);

fn row(path: &str, requests: u64) -> SampleRow {
    let head = Head {
        listener: "web".to_owned(),
        method: "GET".to_owned(),
        host: "a".to_owned(),
        path: path.to_owned(),
        headers: vec!["accept".to_owned()],
        query: Vec::new(),
    };
    let (head, fingerprint) = head.fingerprint();
    SampleRow {
        fleet: "default".to_owned(),
        fingerprint,
        head,
        requests,
    }
}

async fn told(fresh: &Fresh) -> Vec<(String, u64)> {
    let samples = fresh.store.samples("default").await.unwrap().into_iter();
    samples
        .map(|sample| (sample.head.path, sample.requests))
        .collect()
}

async fn replicas_add_up_what_their_proxies_have_seen(fresh: Fresh) {
    let store = &*fresh.store;
    store.write_samples(&[]).await.unwrap();
    let first = [row("/a", 5), row("/b", 7)];
    store.write_samples(&first).await.unwrap();
    store
        .write_samples(&[row("/a", 6), row("/c", u64::MAX)])
        .await
        .unwrap();
    let expected = [("/c", 1 << 32), ("/a", 11), ("/b", 7)];
    assert_eq!(
        told(&fresh).await,
        expected.map(|(path, requests)| (path.to_owned(), requests))
    );
    let kept = &store.samples("default").await.unwrap()[1];
    assert_eq!(
        (&*kept.head.host, &*kept.head.headers),
        ("a", &["accept".to_owned()][..])
    );
    assert!(store.samples("nowhere").await.is_err());
}

async fn a_request_counts_half_as_much_each_day_and_is_forgotten(fresh: Fresh) {
    let store = &*fresh.store;
    store
        .write_samples(&[row("/a", 800), row("/b", 1)])
        .await
        .unwrap();
    fresh.sql("UPDATE request_sample SET day = day - 3").await;
    let one = |path: &str, requests| (path.to_owned(), requests);
    assert_eq!(told(&fresh).await, [one("/a", 100), one("/b", 1)]);
    store.write_samples(&[row("/a", 7)]).await.unwrap();
    assert_eq!(told(&fresh).await, [one("/a", 107), one("/b", 1)]);
    // Fifteen days.
    fresh
        .sql("UPDATE request_sample SET seen_at = seen_at - 1296000000000")
        .await;
    store.write_samples(&[row("/c", 1)]).await.unwrap();
    assert_eq!(told(&fresh).await, [one("/c", 1)]);
}

async fn what_is_too_much_goes_from_what_was_not_seen_lately(fresh: Fresh) {
    let store = &*fresh.store;
    let path = |number: usize| format!("/{number}");
    let old: Vec<_> = (0..KINDS_MAX)
        .map(|n| row(&path(n), 10 + n as u64))
        .collect();
    store.write_samples(&old).await.unwrap();
    // Eleven minutes.
    fresh
        .sql("UPDATE request_sample SET seen_at = seen_at - 660000000")
        .await;
    let new: Vec<_> = (0..5).map(|n| row(&format!("/new/{n}"), 1)).collect();
    store.write_samples(&new).await.unwrap();
    let kept = told(&fresh).await;
    assert_eq!(kept.len(), KINDS_MAX);
    let is_kept = |path: &str| kept.iter().any(|(kept, _)| kept == path);
    assert!((0..5).all(|n| is_kept(&format!("/new/{n}")) && !is_kept(&path(n))));
    assert!(is_kept(&path(5)));
}
