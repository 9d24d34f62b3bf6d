//! The handlers of each kind of the slow lane, as the OpenAPI document tells them. What they do is in `slow_lane`.

/// The handlers of one kind, each with its place in the OpenAPI document.
macro_rules! handlers {
    ($module:ident, $type:ident, $filter:ident, $one:literal) => {
        pub(in crate::api) mod $module {
            use axum::extract::{Query, State};

            use super::super as generic;
            use crate::api::ApiState;
            use crate::api::document::{Body, MergePatch};
            use crate::api::dry_run::{OrPlanned, Planned};
            use crate::api::filter::$filter;
            use crate::api::precondition::Precondition;
            use crate::api::problem::{ProblemDocument, Result};
            use crate::api::query::{Nothing, Page, PathOf, Saying};
            use crate::model::$type;

            #[utoipa::path(
                get,
                path = concat!("/v1/fleets/{fleet}/", stringify!($module)),
                operation_id = concat!("list_", stringify!($module)),
                tag = stringify!($module),
                summary = concat!("List the ", stringify!($module)),
                params(("fleet" = String, Path, description = "The fleet"), $filter),
                responses(
                    (status = 200, description = "By name", body = Page<$type>),
                    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
                )
            )]
            pub(in crate::api) async fn list(
                State(state): State<ApiState>,
                PathOf(fleet): PathOf<String>,
                Query(filter): Query<$filter>,
            ) -> Result {
                generic::list::<$type>(&state, &fleet, &filter).await
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
                generic::get::<$type>(&state, &fleet, &name, &precondition).await
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
                    (status = 200, description = "It is replaced, or was there already; with `dry_run`, the plan", body = OrPlanned<$type>),
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
                generic::put::<$type>(&state, (&fleet, &name), &saying, &precondition, body).await
            }

            #[utoipa::path(
                patch,
                path = concat!("/v1/fleets/{fleet}/", stringify!($module), "/{name}"),
                operation_id = concat!("patch_", $one),
                tag = stringify!($module),
                summary = concat!("Change fields of a ", $one),
                description = "By a merge patch (RFC 7396). The result is read as if it were put; pointers of problems are into it.",
                params(
                    ("fleet" = String, Path, description = "The fleet"),
                    ("name" = String, Path, description = "Its name"),
                    ("If-Match" = Option<String>, Header, description = "The ETag of what is changed, or `*`"),
                    Saying
                ),
                request_body(content((Object = "application/merge-patch+json"))),
                responses(
                    (status = 200, description = "It is changed, or was so already; with `dry_run`, the plan", body = OrPlanned<$type>),
                    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
                )
            )]
            pub(in crate::api) async fn patch(
                State(state): State<ApiState>,
                PathOf((fleet, name)): PathOf<(String, String)>,
                Query(saying): Query<Saying>,
                precondition: Precondition,
                patch: MergePatch,
            ) -> Result {
                generic::patch::<$type>(&state, (&fleet, &name), &saying, &precondition, patch).await
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
                    (status = 200, description = "With `dry_run`, the plan", body = Planned),
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
                generic::delete::<$type>(&state, (&fleet, &name), &saying, &precondition).await
            }
        }
    };
}

handlers!(listeners, Listener, ByName, "listener");
handlers!(clusters, Cluster, ByName, "cluster");
handlers!(routes, Route, RoutesBy, "route");
