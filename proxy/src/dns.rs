//! The names of clusters, looked up again and again on the side runtime. In: which names are wanted. Out: [`Answers`], what is
//! known of each. An answer stays until there is a better one: neither a failed lookup nor an empty answer takes an
//! address away (`docs/adr/0011`). Putting the answers into configs is for `delivery`.
//!
//! - `resolver`: one lookup: the hosts file, then the name servers.
//! - `system`: which name servers these are, pure.
//! - `pace`: when to ask again, pure.

mod pace;
mod resolver;
mod system;

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ahash::RandomState;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use xds::config::Config;
use xds::resource::cluster::dns::Query;

use self::pace::Pace;
pub(crate) use self::resolver::Failure;
use self::resolver::{Found, Resolver};

/// Answers that come within this time of each other are put into the config at once.
const GATHERING: Duration = Duration::from_millis(10);

/// What is known of the names that are wanted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    known: HashMap<Arc<Query>, Answer, RandomState>,
}

/// What is known of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The addresses of the last good answer; none if there never was one.
    pub(crate) addresses: Arc<[IpAddr]>,
    /// Why the last lookup gave none.
    pub(crate) failure: Option<Failure>,
}

/// How lookups ended.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// With addresses.
    pub(crate) found: AtomicU64,
    /// With the word that there are none.
    pub(crate) empty: AtomicU64,
    /// Without an answer.
    pub(crate) failed: AtomicU64,
}

/// The names that are wanted, with a task for each.
#[derive(Debug)]
pub(crate) struct Names {
    resolver: Arc<Resolver>,
    tasks: HashMap<Arc<Query>, AbortOnDropHandle<()>, RandomState>,
    answers: watch::Sender<Arc<Answers>>,
    news: watch::Receiver<Arc<Answers>>,
    /// When the answers that have come are to be handed out.
    ripe: Option<Instant>,
    counters: Arc<Counters>,
}

impl Counters {
    /// The counts with the names of the outcomes.
    pub(crate) fn by_outcome(&self) -> [(&'static str, u64); 3] {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("found", count(&self.found)),
            ("empty", count(&self.empty)),
            ("failed", count(&self.failed)),
        ]
    }
}

impl Answers {
    /// What is known of a name; `None` before its first lookup has ended.
    pub(crate) fn get(&self, query: &Query) -> Option<&Answer> {
        self.known.get(query)
    }

    /// The addresses of a name.
    pub(crate) fn addresses(&self, query: &Query) -> Option<&[IpAddr]> {
        self.get(query).map(|answer| &*answer.addresses)
    }

    /// Whether every name of a config has been looked up at least once, well or not.
    pub(crate) fn cover(&self, config: &Config) -> bool {
        config.queries().all(|query| self.known.contains_key(query))
    }

    /// Takes in how a lookup ended; `false` if that is no news.
    fn take_in(&mut self, query: &Arc<Query>, outcome: Result<Arc<[IpAddr]>, Failure>) -> bool {
        let before = self.known.get(query);
        let last_good = || before.map(|known| known.addresses.clone());
        let answer = match outcome {
            Ok(addresses) => Answer {
                addresses,
                failure: None,
            },
            Err(failure) => Answer {
                addresses: last_good().unwrap_or_default(),
                failure: Some(failure),
            },
        };
        let is_news = before != Some(&answer);
        if is_news {
            self.known.insert(query.clone(), answer);
        }
        is_news
    }

    /// What is known of a name that is asked for in another way: good enough until it has been asked for in this one.
    fn similar(&self, query: &Query) -> Option<Answer> {
        let is_similar =
            |known: &Query| known.name == query.name && known.lookup.family == query.lookup.family;
        let mut known = self.known.iter();
        let (_, answer) = known.find(|(known, _)| is_similar(known))?;
        Some(answer.clone())
    }
}

#[cfg(test)]
impl FromIterator<(Arc<Query>, Answer)> for Answers {
    fn from_iter<T: IntoIterator<Item = (Arc<Query>, Answer)>>(answers: T) -> Self {
        Self {
            known: answers.into_iter().collect(),
        }
    }
}

impl Names {
    /// No names yet. `servers` are asked; those of the system if there are none.
    pub(crate) fn new(servers: &[SocketAddr]) -> Self {
        let (answers, news) = watch::channel(Arc::default());
        Self {
            resolver: Arc::new(Resolver::new(servers)),
            tasks: HashMap::default(),
            answers,
            news,
            ripe: None,
            counters: Arc::default(),
        }
    }

    /// What is known, for those who only look.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Answers>> {
        self.news.clone()
    }

    /// How lookups ended.
    pub(crate) fn counters(&self) -> Arc<Counters> {
        self.counters.clone()
    }

    /// Looks up these names from now on, and no others.
    pub(crate) fn want<'q>(&mut self, queries: impl Iterator<Item = &'q Arc<Query>>) {
        let wanted: HashSet<&Arc<Query>, RandomState> = queries.collect();
        if wanted.len() == self.tasks.len()
            && wanted.iter().all(|query| self.tasks.contains_key(*query))
        {
            return;
        }
        for query in wanted.iter().copied() {
            if !self.tasks.contains_key(query) {
                self.begin(query);
            }
        }
        let is_wanted = |query: &Arc<Query>| wanted.contains(query);
        self.tasks.retain(|query, _| is_wanted(query));
        self.answers.send_if_modified(|answers| {
            if answers.known.keys().any(|query| !is_wanted(query)) {
                let answers = Arc::make_mut(answers);
                answers.known.retain(|query, _| is_wanted(query));
            }
            // Nobody waits for what is no longer wanted.
            false
        });
    }

    /// Waits for news, and gives all that is known. May be dropped and called again without a loss.
    pub(crate) async fn changed(&mut self) -> Arc<Answers> {
        loop {
            if let Some(ripe) = self.ripe {
                tokio::time::sleep_until(ripe).await;
                self.ripe = None;
                return self.news.borrow_and_update().clone();
            }
            if self.news.changed().await.is_err() {
                // The sender is ours.
                std::future::pending::<()>().await;
            }
            self.ripe = Some(Instant::now() + GATHERING);
        }
    }

    fn begin(&mut self, query: &Arc<Query>) {
        self.answers.send_if_modified(|answers| {
            let similar = answers.similar(query);
            similar.is_some_and(|answer| {
                let answers = Arc::make_mut(answers);
                answers.known.insert(query.clone(), answer).is_none()
            })
        });
        let (resolver, counters) = (self.resolver.clone(), self.counters.clone());
        let (answers, asked) = (self.answers.clone(), query.clone());
        let ask = move |query: Arc<Query>| {
            let resolver = resolver.clone();
            async move { resolver.lookup(&query).await }
        };
        let task = tokio::spawn(async move { repeat(asked, ask, &answers, &counters).await });
        self.tasks
            .insert(query.clone(), AbortOnDropHandle::new(task));
    }
}

/// Asks for one name for ever.
async fn repeat<F>(
    query: Arc<Query>,
    ask: impl Fn(Arc<Query>) -> F,
    answers: &watch::Sender<Arc<Answers>>,
    counters: &Counters,
) where
    F: Future<Output = Result<Found, Failure>>,
{
    let mut pace = Pace::new(query.lookup);
    loop {
        let outcome = ask(query.clone()).await;
        let pause = pace.pause(outcome.as_ref().map(|found| found.ttl), fastrand::f64());
        let counter = match &outcome {
            Ok(_) => &counters.found,
            Err(Failure::Empty) => &counters.empty,
            Err(Failure::Failed(_)) => &counters.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if let Err(failure) = &outcome {
            tracing::debug!(name = %query.name, %failure, "not looked up");
        }
        let outcome = outcome.map(|found| found.addresses);
        answers.send_if_modified(|answers| {
            // Looked at before the map is copied: most answers are no news.
            let known = answers.get(&query);
            let is_same = matches!((known, &outcome), (Some(known), Ok(addresses))
                if known.failure.is_none() && known.addresses == *addresses);
            !is_same && Arc::make_mut(answers).take_in(&query, outcome)
        });
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests;
