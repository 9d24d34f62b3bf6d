//! `/v1/tokens[/{id}]`: who may do what. A secret is told once, when its token is made.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::{Actor, Fleets, LOCAL, Role, TokenKind, secret};
use crate::model::document;
use crate::model::duration::Duration;
use crate::model::problem::Code;
use crate::model::text;
use crate::model::timestamp::Timestamp;
use crate::store::StoreError;
use crate::store::token::{self, NewToken};
use crate::tokens::BOOTSTRAP;

use super::ApiState;
use super::by;
use super::document::Body;
use super::problem::{FieldError, Kind, Problem, ProblemDocument, Result, code};
use super::query::{Nothing, Page, Paging};

/// Longest name of a token.
const NAME_MAX: usize = 128;
/// So many fleets can be named.
const FLEETS_MAX: usize = 1_000;

/// A token that is asked for.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewToken)]
pub(super) struct Wanted {
    /// Who its holder is: the actor of audit rows. Letters, digits and `.`, `_`, `-`, `@`.
    #[schema(example = "ci@shop", max_length = 128)]
    name: String,
    /// What it is for.
    #[serde(default = "api")]
    kind: TokenKind,
    /// What its holder may do; needed for the API, absent for joining.
    role: Option<Role>,
    /// For which fleets; all if absent. A join token is for exactly one.
    fleets: Option<BTreeSet<String>>,
    /// How long it is good; for ever if absent.
    #[schema(value_type = Option<Duration>, example = "720h")]
    expires_in: Option<Duration>,
}

/// A token, without its secret.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Token {
    /// Its id.
    id: String,
    /// Who its holder is.
    name: String,
    /// What it is for.
    kind: TokenKind,
    /// What its holder may do; absent of a join token.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    /// For which fleets; all if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    fleets: Option<BTreeSet<String>>,
    /// When it was made.
    created_at: Timestamp,
    /// Who made it.
    created_by: String,
    /// When it ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Timestamp>,
}

/// A token that was just made.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Made {
    /// The token.
    token: Token,
    /// Its secret: it is told now and never again.
    #[schema(example = "sbx_9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    secret: String,
}

fn api() -> TokenKind {
    TokenKind::Api
}

impl From<token::Token> for Token {
    fn from(token: token::Token) -> Self {
        Self {
            id: token.id,
            name: token.name,
            kind: token.kind,
            role: Some(token.role).filter(|_| token.kind == TokenKind::Api),
            fleets: match token.fleets {
                Fleets::All => None,
                Fleets::These(fleets) => Some(fleets),
            },
            created_at: token.created_at,
            created_by: token.created_by,
            expires_at: token.expires_at,
            revoked_at: token.revoked_at,
        }
    }
}

/// Make a token
#[utoipa::path(post, path = "/v1/tokens", operation_id = "create_token", tag = "tokens",
    request_body(content((Wanted = "application/json"), (Wanted = "application/yaml"))), responses(
    (status = 201, description = "The token and its secret, which is told this once", body = Made),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn create(
    State(state): State<ApiState>,
    Query(Nothing {}): Query<Nothing>,
    Body(body): Body,
) -> Result {
    let wanted: Wanted = document::decode(&body, "").map_err(|problems| {
        Problem::invalid(problems.into_iter().map(FieldError::of_document).collect())
    })?;
    let asked = by::current();
    let (role, fleets) = check(&wanted, &asked.actor)?;
    if let (TokenKind::Join, Some(fleet)) = (wanted.kind, only(&fleets)) {
        state.store.fleet(fleet).await?;
    }
    let secret = secret::draw(wanted.kind).map_err(|error| {
        tracing::error!(%error, "no token can be made");
        Problem::bare(Kind::Internal)
    })?;
    let new = NewToken {
        name: wanted.name,
        kind: wanted.kind,
        role,
        fleets,
        hash: secret::hash(&secret),
        lasts_us: wanted
            .expires_in
            .map(|lasts| lasts.as_millis() as i64 * 1_000),
    };
    let token = state.store.create_token(&new, asked.by()).await?;
    let location = HeaderValue::from_str(&format!("/v1/tokens/{}", token.id));
    let made = Made {
        token: token.into(),
        secret,
    };
    let mut response = (StatusCode::CREATED, Json(made)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(location) = location {
        headers.insert(header::LOCATION, location);
    }
    Ok(response)
}

/// List the tokens
#[utoipa::path(get, path = "/v1/tokens", operation_id = "list_tokens", tag = "tokens", params(Paging), responses(
    (status = 200, description = "From the oldest, with those that were revoked", body = Page<Token>),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn list(
    State(state): State<ApiState>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<Token>>> {
    let (limit, after) = (paging.limit()?, paging.after()?);
    let asked = by::current();
    let tokens = state.store.tokens().await?.into_iter();
    let rest =
        tokens.filter(|token| token.id.as_str() > after && asked.actor.fleets.cover(&token.fleets));
    let items = rest.take(limit as usize + 1).map(Token::from).collect();
    Ok(Json(Page::new(items, limit, |token: &Token| {
        token.id.clone()
    })))
}

/// Read a token
#[utoipa::path(get, path = "/v1/tokens/{id}", operation_id = "get_token", tag = "tokens",
    params(("id" = String, Path, description = "Its id")), responses(
    (status = 200, description = "The token, without its secret", body = Token),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn get(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<Json<Token>> {
    Ok(Json(find(&state, &id).await?.into()))
}

/// Revoke a token
///
/// It opens nothing from a second later on, on every replica; streams of proxies that joined with it end. It stays in
/// the list, and revoking it again changes nothing.
#[utoipa::path(delete, path = "/v1/tokens/{id}", operation_id = "revoke_token", tag = "tokens",
    params(("id" = String, Path, description = "Its id")), responses(
    (status = 204, description = "It is revoked"),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn revoke(
    State(state): State<ApiState>,
    Path(id): Path<String>,
    Query(Nothing {}): Query<Nothing>,
) -> Result<StatusCode> {
    let token = find(&state, &id).await?;
    let asked = by::current();
    state.store.revoke_token(&token.id, asked.by()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A token that the actor may know of.
async fn find(state: &ApiState, id: &str) -> Result<token::Token> {
    let asked = by::current();
    let mut tokens = state.store.tokens().await?.into_iter();
    tokens
        .find(|token| token.id == id && asked.actor.fleets.cover(&token.fleets))
        .ok_or_else(|| StoreError::NoSuchToken(id.to_owned()).into())
}

/// What a wanted token gives, or everything that is wrong with it.
fn check(wanted: &Wanted, maker: &Actor) -> Result<(Role, Fleets)> {
    let mut errors = Vec::new();
    let mut wrong = |pointer: &str, detail: &str| {
        errors.push(FieldError {
            pointer: Some(pointer.to_owned()),
            resource: None,
            code: code(Code::Invalid),
            detail: detail.to_owned(),
        });
    };
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
    if !(1..=NAME_MAX).contains(&wanted.name.len()) || !wanted.name.bytes().all(inner) {
        wrong(
            "/name",
            "a name is 1 to 128 letters, digits and the characters . _ - @",
        );
    }
    if [LOCAL, BOOTSTRAP].contains(&wanted.name.as_str()) {
        wrong("/name", "this name is the control plane's own");
    }
    let fleets = match &wanted.fleets {
        None => Fleets::All,
        Some(fleets) => Fleets::These(fleets.clone()),
    };
    if let Fleets::These(fleets) = &fleets {
        if fleets.is_empty() || fleets.len() > FLEETS_MAX {
            wrong("/fleets", "name 1 to 1000 fleets, or leave it out for all");
        }
        if fleets.iter().any(|fleet| text::name(fleet).is_err()) {
            wrong("/fleets", "one of them cannot be the name of a fleet");
        }
    }
    if !maker.fleets.cover(&fleets) {
        wrong(
            "/fleets",
            "a token reaches no further than that of its maker",
        );
    }
    match (wanted.kind, wanted.role) {
        (TokenKind::Api, None) => wrong("/role", "a token for the API has a role"),
        (TokenKind::Join, Some(_)) => wrong("/role", "a join token has no role"),
        _ => {}
    }
    if wanted.kind == TokenKind::Join && only(&fleets).is_none() {
        wrong("/fleets", "a join token is for exactly one fleet");
    }
    if wanted
        .expires_in
        .is_some_and(|lasts| lasts.as_millis() == 0)
    {
        wrong("/expires_in", "it would have expired already");
    }
    if errors.is_empty() {
        Ok((wanted.role.unwrap_or(Role::Reader), fleets))
    } else {
        Err(Problem::invalid(errors))
    }
}

fn only(fleets: &Fleets) -> Option<&str> {
    match fleets {
        Fleets::These(fleets) if fleets.len() == 1 => fleets.first().map(String::as_str),
        _ => None,
    }
}
