use std::collections::VecDeque;
use std::sync::Mutex;

use xds::resource::cluster::dns::{Family, Lookup};

use super::*;

const REFRESH: Duration = Duration::from_secs(5);

fn query(refresh: Duration) -> Arc<Query> {
    Arc::new(Query {
        name: "a.example".into(),
        lookup: Lookup {
            family: Family::V4Only,
            refresh,
            respect_ttl: false,
            jitter: Duration::ZERO,
            failure: None,
        },
    })
}

fn addresses(last: &[u8]) -> Arc<[IpAddr]> {
    last.iter()
        .map(|last| IpAddr::from([192, 0, 2, *last]))
        .collect()
}

fn found(last: &[u8]) -> Found {
    Found {
        addresses: addresses(last),
        ttl: None,
    }
}

/// Runs the lookups of one name by a script; gives what is known after each of them.
async fn known_after(script: Vec<Result<Found, Failure>>) -> (Vec<Answer>, Arc<Counters>) {
    let query = query(REFRESH);
    let (answers, news) = watch::channel(Arc::<Answers>::default());
    let counters = Arc::new(Counters::default());
    let steps = script.len();
    let script = Mutex::new(VecDeque::from(script));
    let ask = |_| {
        let step = script.lock().unwrap().pop_front();
        async move {
            match step {
                Some(step) => step,
                None => std::future::pending().await,
            }
        }
    };
    let look = async {
        let mut known = Vec::new();
        // Between two lookups: the first one is at once.
        tokio::time::sleep(REFRESH / 2).await;
        for _ in 0..steps {
            known.push(news.borrow().get(&query).cloned().unwrap_or_default());
            tokio::time::sleep(REFRESH).await;
        }
        known
    };
    let known = tokio::select! {
        known = look => known,
        () = repeat(query.clone(), ask, &answers, &counters) => unreachable!("for ever"),
    };
    (known, counters)
}

#[tokio::test(start_paused = true)]
async fn a_change_is_known_with_the_next_lookup() {
    let (known, _) = known_after(vec![Ok(found(&[1])), Ok(found(&[1, 2])), Ok(found(&[3]))]).await;
    let known: Vec<_> = known.into_iter().map(|answer| answer.addresses).collect();
    assert_eq!(
        known,
        [addresses(&[1]), addresses(&[1, 2]), addresses(&[3])]
    );
}

#[tokio::test(start_paused = true)]
async fn the_last_good_answer_stays_whatever_comes_after_it() {
    let failed = || Err(Failure::Failed("timeout".to_owned()));
    let (known, counters) = known_after(vec![
        Ok(found(&[1])),
        failed(),
        Err(Failure::Empty),
        Ok(found(&[2])),
    ])
    .await;
    let expected = [
        addresses(&[1]),
        addresses(&[1]),
        addresses(&[1]),
        addresses(&[2]),
    ];
    let failures: Vec<bool> = known
        .iter()
        .map(|answer| answer.failure.is_some())
        .collect();
    assert_eq!(failures, [false, true, true, false]);
    let known: Vec<_> = known.into_iter().map(|answer| answer.addresses).collect();
    assert_eq!(known, expected);
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    assert_eq!(
        (
            count(&counters.found),
            count(&counters.empty),
            count(&counters.failed)
        ),
        (2, 1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_name_that_never_had_an_address_is_known_to_have_none() {
    let (known, _) = known_after(vec![Err(Failure::Empty)]).await;
    assert_eq!(known[0].addresses, addresses(&[]));
    assert_eq!(known[0].failure, Some(Failure::Empty));
}

#[tokio::test]
async fn names_that_are_asked_for_in_another_way_begin_with_what_is_known() {
    // Nothing listens there, and nothing is waited for.
    let mut names = Names::new(&["127.0.0.1:9".parse().unwrap()]);
    let (slow, fast) = (query(REFRESH), query(REFRESH / 5));
    names.want([&slow].into_iter());
    names.answers.send_modify(|answers| {
        let answers = Arc::make_mut(answers);
        answers.take_in(&slow, Ok(addresses(&[1])));
    });
    names.want([&fast].into_iter());
    let known = names.answers.borrow().clone();
    assert_eq!(known.addresses(&fast), Some(&*addresses(&[1])));
    assert_eq!(known.get(&slow), None, "nobody wants it any more");
    assert_eq!(names.tasks.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn answers_that_come_together_are_handed_out_together_and_none_is_lost() {
    let mut names = Names::new(&[]);
    let (one, other) = (query(REFRESH), query(REFRESH / 5));
    let say = |names: &Names, query: &Arc<Query>| {
        names.answers.send_modify(|answers| {
            Arc::make_mut(answers).take_in(query, Ok(addresses(&[1])));
        });
    };
    say(&names, &one);
    let dropped = tokio::time::timeout(GATHERING / 2, names.changed()).await;
    assert!(dropped.is_err());
    say(&names, &other);
    assert_eq!(names.changed().await.known.len(), 2);
    let silence = tokio::time::timeout(REFRESH, names.changed()).await;
    assert!(silence.is_err());
}
