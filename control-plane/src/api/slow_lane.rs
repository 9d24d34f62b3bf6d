//! `/v1/fleets/{fleet}/listeners|clusters|routes[/{name}]`: single resources of the slow lane. The code is one for all
//! kinds; the macro at the end gives each kind its documented handlers.

use std::ops::Bound;
use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::model::{Resource, ResourceId, document};

use super::ApiState;
use super::document::Body;
use super::etag::Etag;
use super::precondition::Precondition;
use super::problem::{FieldError, Problem, Result};
use super::query::{Page, Paging, Saying, at_revision, json_at};
use super::write::{self, Base};

async fn list<T: Resource>(state: &ApiState, fleet: &str, paging: &Paging) -> Result {
    let (limit, after) = (paging.limit()?, paging.after()?);
    let base = write::base(state, fleet).await?;
    let from = if after.is_empty() {
        Bound::Unbounded
    } else {
        Bound::Excluded(after)
    };
    let range = T::set(&base.config).range::<str, _>((from, Bound::Unbounded));
    let items = range
        .take(limit as usize + 1)
        .map(|(_, resource)| T::clone(resource))
        .collect();
    Ok(json_at(
        base.revision,
        Page::new(items, limit, |resource: &T| resource.name().to_owned()),
    ))
}

async fn get<T: Resource>(
    state: &ApiState,
    fleet: &str,
    name: &str,
    precondition: &Precondition,
) -> Result {
    let base = write::base(state, fleet).await?;
    let resource = base
        .config
        .get::<T>(name)
        .ok_or_else(|| Problem::no_resource(&ResourceId::new(T::KIND, name)))?;
    let etag = Etag::of(&**resource);
    if precondition.has(&etag) {
        return Ok(at_revision(
            base.revision,
            (StatusCode::NOT_MODIFIED, [(header::ETAG, etag.header())]),
        ));
    }
    Ok(tagged(base.revision, resource))
}

async fn put<T: Resource>(
    state: &ApiState,
    (fleet, name): (&str, &str),
    saying: &Saying,
    precondition: &Precondition,
    Body(body): Body,
) -> Result {
    let resource: T = document::resource(&body, name).map_err(|problems| {
        Problem::invalid(problems.into_iter().map(FieldError::of_document).collect())
    })?;
    let decide = |base: &Base| {
        precondition.check_write(
            base.config
                .get::<T>(name)
                .map(|current| Etag::of(&**current))
                .as_ref(),
        )?;
        let mut next = (*base.config).clone();
        next.put(resource.clone());
        Ok(next)
    };
    let own = ResourceId::new(T::KIND, name);
    let place = |id: &ResourceId| (*id == own).then(String::new);
    let outcome = write::write(state, fleet, saying.message()?, decide, &place).await?;
    let created = !outcome.names(crate::revision::Verb::Create).is_empty();
    let mut response = tagged(outcome.revision, &Arc::new(resource));
    if created {
        *response.status_mut() = StatusCode::CREATED;
        let location = format!("/v1/fleets/{fleet}/{own}");
        if let Ok(location) = HeaderValue::from_str(&location) {
            response.headers_mut().insert(header::LOCATION, location);
        }
    }
    Ok(response)
}

async fn delete<T: Resource>(
    state: &ApiState,
    (fleet, name): (&str, &str),
    saying: &Saying,
    precondition: &Precondition,
) -> Result {
    let id = ResourceId::new(T::KIND, name);
    let decide = |base: &Base| {
        let current = base
            .config
            .get::<T>(name)
            .ok_or_else(|| Problem::no_resource(&id))?;
        precondition.check_write(Some(&Etag::of(&**current)))?;
        let users = base.config.users(&id);
        if !users.is_empty() {
            return Err(Problem::in_use(&id.to_string(), &users));
        }
        let mut next = (*base.config).clone();
        next.remove::<T>(name);
        Ok(next)
    };
    let outcome = write::write(state, fleet, saying.message()?, decide, &|_| None).await?;
    Ok(at_revision(outcome.revision, StatusCode::NO_CONTENT))
}

fn tagged<T: Resource>(revision: u64, resource: &Arc<T>) -> Response {
    let etag = Etag::of(&**resource);
    (
        [(header::ETAG, etag.header())],
        json_at(revision, &**resource),
    )
        .into_response()
}

/// The handlers of one kind, each with its place in the OpenAPI document.
macro_rules! handlers {
    ($module:ident, $type:ident, $one:literal) => {
        pub(super) mod $module {
            use axum::extract::{Query, State};

            use super::super::ApiState;
            use super::super::document::Body;
            use super::super::precondition::Precondition;
            use super::super::problem::{ProblemDocument, Result};
            use super::super::query::{Nothing, Page, Paging, PathOf, Saying};
            use crate::model::$type;

            #[utoipa::path(
                get,
                path = concat!("/v1/fleets/{fleet}/", stringify!($module)),
                operation_id = concat!("list_", stringify!($module)),
                tag = stringify!($module),
                summary = concat!("List the ", stringify!($module)),
                params(("fleet" = String, Path, description = "The fleet"), Paging),
                responses(
                    (status = 200, description = "By name", body = Page<$type>),
                    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
                )
            )]
            pub(in crate::api) async fn list(
                State(state): State<ApiState>,
                PathOf(fleet): PathOf<String>,
                Query(paging): Query<Paging>,
            ) -> Result {
                super::list::<$type>(&state, &fleet, &paging).await
            }

            #[utoipa::path(
                get,
                path = concat!("/v1/fleets/{fleet}/", stringify!($module), "/{name}"),
                operation_id = concat!("get_", $one),
                tag = stringify!($module),
                summary = concat!("Read a ", $one),
                params(
                    ("fleet" = String, Path, description = "The fleet"),
                    ("name" = String, Path, description = "Its name")
                ),
                responses(
                    (status = 200, description = "It, with its ETag", body = $type),
                    (status = 304, description = "It is what If-None-Match names"),
                    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
                )
            )]
            pub(in crate::api) async fn get(
                State(state): State<ApiState>,
                PathOf((fleet, name)): PathOf<(String, String)>,
                Query(Nothing {}): Query<Nothing>,
                precondition: Precondition,
            ) -> Result {
                super::get::<$type>(&state, &fleet, &name, &precondition).await
            }

            #[utoipa::path(
                put,
                path = concat!("/v1/fleets/{fleet}/", stringify!($module), "/{name}"),
                operation_id = concat!("put_", $one),
                tag = stringify!($module),
                summary = concat!("Create or replace a ", $one),
                params(
                    ("fleet" = String, Path, description = "The fleet"),
                    ("name" = String, Path, description = "Its name; the document may leave it out"),
                    ("If-Match" = Option<String>, Header, description = "The ETag of what is replaced, or `*`; needed if it exists"),
                    ("If-None-Match" = Option<String>, Header, description = "`*`: create only"),
                    Saying
                ),
                request_body(content(($type = "application/json"), ($type = "application/yaml"))),
                responses(
                    (status = 200, description = "It is replaced, or was there already", body = $type),
                    (status = 201, description = "It is created", body = $type),
                    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
                )
            )]
            pub(in crate::api) async fn put(
                State(state): State<ApiState>,
                PathOf((fleet, name)): PathOf<(String, String)>,
                Query(saying): Query<Saying>,
                precondition: Precondition,
                body: Body,
            ) -> Result {
                super::put::<$type>(&state, (&fleet, &name), &saying, &precondition, body).await
            }

            #[utoipa::path(
                delete,
                path = concat!("/v1/fleets/{fleet}/", stringify!($module), "/{name}"),
                operation_id = concat!("delete_", $one),
                tag = stringify!($module),
                summary = concat!("Delete a ", $one),
                params(
                    ("fleet" = String, Path, description = "The fleet"),
                    ("name" = String, Path, description = "Its name"),
                    ("If-Match" = Option<String>, Header, description = "The ETag of what is deleted, or `*`"),
                    Saying
                ),
                responses(
                    (status = 204, description = "It is gone"),
                    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
                )
            )]
            pub(in crate::api) async fn delete(
                State(state): State<ApiState>,
                PathOf((fleet, name)): PathOf<(String, String)>,
                Query(saying): Query<Saying>,
                precondition: Precondition,
            ) -> Result {
                super::delete::<$type>(&state, (&fleet, &name), &saying, &precondition).await
            }
        }
    };
}

handlers!(listeners, Listener, "listener");
handlers!(clusters, Cluster, "cluster");
handlers!(routes, Route, "route");
