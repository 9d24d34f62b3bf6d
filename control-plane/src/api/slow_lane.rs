//! `/v1/fleets/{fleet}/listeners|clusters|routes[/{name}]`: single resources of the slow lane. The code is one for all
//! kinds; `handlers` gives each kind its place in the OpenAPI document.

mod handlers;

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::model::{Config, Problem as ModelProblem, Resource, ResourceId, document, merge_patch};
use crate::revision::Verb;

use super::ApiState;
use super::delivery;
use super::document::{Body, MergePatch};
use super::dry_run;
use super::etag::Etag;
use super::filter::Filter;
use super::precondition::Precondition;
use super::problem::{FieldError, Problem, Result};
use super::query::{Page, Point, Saying, at_revision, json_at};
use super::source::Source;
use super::write::{self, Base, Intent};

pub(super) use self::handlers::{clusters, listeners, routes};

async fn list<T: Resource>(state: &ApiState, fleet: &str, filter: &impl Filter<T>) -> Result {
    let base = Source::of(state).base(fleet, None).await?;
    let resources = T::set(&base.config).values();
    let wanted = resources.filter(|resource| filter.takes(resource));
    let page = Page::of(
        &filter.paging(),
        wanted,
        |resource| resource.name(),
        |resource| T::clone(resource),
    )?;
    Ok(json_at(&base, page))
}

async fn get<T: Resource>(
    state: &ApiState,
    fleet: &str,
    name: &str,
    precondition: &Precondition,
) -> Result {
    let base = Source::of(state).base(fleet, None).await?;
    let resource = existing::<T>(&base, name)?;
    let etag = Etag::of(&**resource);
    if precondition.has(&etag) {
        return Ok(at_revision(
            &base,
            (StatusCode::NOT_MODIFIED, [(header::ETAG, etag.header())]),
        ));
    }
    Ok(tagged(&base, resource))
}

async fn put<T: Resource>(
    state: &ApiState,
    at: (&str, &str),
    saying: &Saying,
    precondition: &Precondition,
    Body(body): Body,
) -> Result {
    let resource: T = document::resource(&body, at.1).map_err(unreadable)?;
    let decide = |base: &Base| {
        let current = base.config.get::<T>(at.1);
        precondition.check_write(current.map(|current| Etag::of(&**current)).as_ref())?;
        let mut next = (*base.config).clone();
        next.put(resource.clone());
        Ok(next)
    };
    change::<T>(state, at, saying, decide).await
}

async fn patch<T: Resource>(
    state: &ApiState,
    at: (&str, &str),
    saying: &Saying,
    precondition: &Precondition,
    MergePatch(patch): MergePatch,
) -> Result {
    let decide = |base: &Base| {
        let current = existing::<T>(base, at.1)?;
        precondition.check_write(Some(&Etag::of(&**current)))?;
        let mut document = serde_json::to_value(&**current)
            .expect("the model holds only text keys and numbers that JSON can express");
        merge_patch::apply(&mut document, &patch);
        let mut next = (*base.config).clone();
        next.put(document::resource::<T>(&document, at.1).map_err(unreadable)?);
        Ok(next)
    };
    change::<T>(state, at, saying, decide).await
}

/// Stores what `decide` makes of the config, and answers with the resource.
async fn change<T: Resource>(
    state: &ApiState,
    (fleet, name): (&str, &str),
    saying: &Saying,
    decide: impl Fn(&Base) -> Result<Config> + Send + Sync,
) -> Result {
    let (own, message) = (ResourceId::new(T::KIND, name), saying.message()?);
    let place = |id: &ResourceId| (*id == own).then(String::new);
    if saying.dry_run {
        return dry_run::plan(state, fleet, decide, &place).await;
    }
    let intent = Intent {
        message,
        release: false,
        not_before: saying.not_before,
    };
    let outcome = write::write(state, fleet, intent, decide, &place).await?;
    let missing = || Problem::no_resource(&own);
    let resource = outcome.config.get::<T>(name).ok_or_else(missing)?;
    let mut response = tagged(outcome.revision, resource);
    if !outcome.names(Verb::Create).is_empty() {
        *response.status_mut() = StatusCode::CREATED;
        let location = format!("/v1/fleets/{fleet}/{own}");
        if let Ok(location) = HeaderValue::from_str(&location) {
            response.headers_mut().insert(header::LOCATION, location);
        }
    }
    Ok(delivery::told(response, outcome.delivery.as_ref()))
}

async fn delete<T: Resource>(
    state: &ApiState,
    (fleet, name): (&str, &str),
    saying: &Saying,
    precondition: &Precondition,
) -> Result {
    let (id, message) = (ResourceId::new(T::KIND, name), saying.message()?);
    let decide = |base: &Base| {
        let current = existing::<T>(base, name)?;
        precondition.check_write(Some(&Etag::of(&**current)))?;
        let users = base.config.users(&id);
        if !users.is_empty() {
            return Err(Problem::in_use(&id.to_string(), &users));
        }
        let mut next = (*base.config).clone();
        next.remove::<T>(name);
        Ok(next)
    };
    if saying.dry_run {
        return dry_run::plan(state, fleet, decide, &|_| None).await;
    }
    let intent = Intent {
        message,
        release: false,
        not_before: saying.not_before,
    };
    let outcome = write::write(state, fleet, intent, decide, &|_| None).await?;
    let response = at_revision(outcome.revision, StatusCode::NO_CONTENT);
    Ok(delivery::told(response, outcome.delivery.as_ref()))
}

fn existing<'b, T: Resource>(base: &'b Base, name: &str) -> Result<&'b Arc<T>> {
    let missing = || Problem::no_resource(&ResourceId::new(T::KIND, name));
    base.config.get::<T>(name).ok_or_else(missing)
}

fn unreadable(problems: Vec<ModelProblem>) -> Problem {
    Problem::invalid(problems.into_iter().map(FieldError::of_document).collect())
}

fn tagged<T: Resource>(point: impl Into<Point>, resource: &Arc<T>) -> Response {
    let etag = Etag::of(&**resource);
    ([(header::ETAG, etag.header())], json_at(point, &**resource)).into_response()
}
