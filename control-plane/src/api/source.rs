//! Where a reader's answer comes from: the database, or while it is away what was last read from it. In: questions to the
//! store. Out: the same answers, and how old they are. What memory does not know is not said to be missing: the answer is
//! then that the database is away. Writers do not read here; what they decide by must be the newest there is.

use std::ops::Bound;
use std::time::Duration;

use axum::response::Response;
use serde::Serialize;

use crate::model::Endpoints;
use crate::store::memory::{Kept, Memory};
use crate::store::node_status::NodeStatus;
use crate::store::{self, Fleet, Revision, StoreError};
use crate::translate::FastLane;

use super::ApiState;
use super::problem::{Problem, Result};
use super::query::{Point, json_aged};
use super::write::Base;

/// The source of one answer.
#[derive(Debug)]
pub(super) struct Source<'s> {
    state: &'s ApiState,
    /// Why the database is not asked again for this answer: each time would cost the caller as long as the first.
    away: Option<Problem>,
    /// How long ago the oldest part of the answer was known to be the newest, if the database cannot be asked.
    age: Option<Duration>,
}

impl<'s> Source<'s> {
    pub(super) fn of(state: &'s ApiState) -> Self {
        Self {
            state,
            away: None,
            age: None,
        }
    }

    /// The state that the answer is made from.
    pub(super) fn at(&self, revision: u64) -> Point {
        Point {
            revision,
            age: self.age,
        }
    }

    /// An answer that no single revision is the base of.
    pub(super) fn json<T: Serialize>(&self, value: T) -> Response {
        json_aged(self.age, value)
    }

    pub(super) async fn fleets(&mut self) -> Result<Vec<Fleet>> {
        let asked = self.state.store.fleets();
        self.ask(asked, Memory::fleets).await
    }

    pub(super) async fn fleet(&mut self, name: &str) -> Result<Fleet> {
        let asked = self.state.store.fleet(name);
        self.ask(asked, |memory| memory.fleet(name)).await
    }

    /// The newest state of a fleet's slow lane, or that of a revision.
    pub(super) async fn base(&mut self, fleet: &str, revision: Option<u64>) -> Result<Base> {
        let store = &self.state.store;
        let (revision, config) = if let Some(revision) = revision {
            let asked = store.config_at(fleet, revision);
            let kept = |memory: &Memory| memory.config_at(fleet, revision);
            (revision, self.ask(asked, kept).await?)
        } else {
            let asked = async {
                let head = store.fleet(fleet).await?.head;
                Ok((head, store.config_at(fleet, head).await?))
            };
            let kept = |memory: &Memory| memory.newest_config(fleet);
            self.ask(asked, kept).await?
        };
        Ok(Base {
            revision,
            config,
            age: self.age,
        })
    }

    pub(super) async fn revision(&mut self, fleet: &str, number: u64) -> Result<Revision> {
        let asked = self.state.store.revision(fleet, number);
        let kept = |memory: &Memory| memory.revision(fleet, number);
        self.ask(asked, kept).await
    }

    pub(super) async fn revisions(
        &mut self,
        fleet: &str,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Revision>> {
        let asked = self.state.store.revisions(fleet, before, limit);
        let kept = |memory: &Memory| memory.revisions(fleet, before, limit);
        self.ask(asked, kept).await
    }

    pub(super) async fn endpoints(&mut self, fleet: &str) -> Result<FastLane> {
        let asked = self.state.store.endpoints(fleet);
        self.ask(asked, |memory| memory.endpoints(fleet)).await
    }

    pub(super) async fn endpoints_of(
        &mut self,
        fleet: &str,
        cluster: &str,
    ) -> Result<Option<Endpoints>> {
        let asked = self.state.store.endpoints_of(fleet, cluster);
        let kept = |memory: &Memory| {
            let Kept { value: all, at } = memory.endpoints(fleet)?;
            let value = all.get(cluster).map(|of| (**of).clone());
            Some(Kept { value, at })
        };
        self.ask(asked, kept).await
    }

    pub(super) async fn nodes(
        &mut self,
        fleet: &str,
        after: &str,
        limit: u32,
    ) -> Result<Vec<NodeStatus>> {
        let asked = self.state.store.nodes(fleet, after, limit);
        let kept = |memory: &Memory| {
            let Kept { value: nodes, at } = memory.nodes(fleet)?;
            let rest = (Bound::Excluded(after), Bound::Unbounded);
            let page = nodes.range::<str, _>(rest).take(limit as usize);
            let value = page.map(|(_, node)| node.clone()).collect();
            Some(Kept { value, at })
        };
        self.ask(asked, kept).await
    }

    /// A node; from memory only one that is known, since it may have connected since then.
    pub(super) async fn node(&mut self, fleet: &str, id: &str) -> Result<Option<NodeStatus>> {
        let asked = self.state.store.node(fleet, id);
        let kept = |memory: &Memory| {
            let Kept { value: nodes, at } = memory.nodes(fleet)?;
            let value = Some(nodes.get(id)?.clone());
            Some(Kept { value, at })
        };
        self.ask(asked, kept).await
    }

    async fn ask<T>(
        &mut self,
        store: impl Future<Output = store::error::Result<T>>,
        memory: impl FnOnce(&Memory) -> Option<Kept<T>>,
    ) -> Result<T> {
        let problem = match &self.away {
            Some(problem) => problem.clone(),
            None => match store.await {
                Err(error @ StoreError::Unavailable(_)) => Problem::from(error),
                answer => return Ok(answer?),
            },
        };
        let Some(kept) = memory(self.state.store.memory()) else {
            return Err(problem);
        };
        self.age = self.age.max(Some(kept.at.elapsed()));
        self.away = Some(problem);
        Ok(kept.value)
    }
}
