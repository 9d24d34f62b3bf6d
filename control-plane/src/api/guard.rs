//! The layer that lets requests in: finds out who asks (bearer tokens, RFC 6750), and whether they may do what the URL and
//! the method say. Handlers only leave out of their lists what an actor may not see.

use std::net::IpAddr;
use std::sync::Arc;

use axum::RequestPartsExt as _;
use axum::extract::{MatchedPath, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::uri::Authority;

use crate::access::{Actor, Object, Role, TokenKind, Verdict, secret};
use crate::model::canonical::Hash;
use crate::store::Store;
use crate::tokens::Tokens;

use super::ApiState;
use super::by::{self, Asked, RequestId};
use super::problem::{Kind, Problem, Result};
use super::query::header_text;

/// Who is let in.
#[derive(Clone, Debug)]
pub struct Access {
    tokens: Arc<Tokens>,
    /// Whether a request without a token is refused; it is `local`'s otherwise.
    required: bool,
    /// The address that was bound, under which requests without a token may name this server.
    bound: Option<IpAddr>,
}

impl Access {
    /// Nobody is let in without a token.
    pub fn by_token(tokens: Arc<Tokens>) -> Self {
        Self {
            tokens,
            required: true,
            bound: None,
        }
    }

    /// Those who bring no token are on this machine, and may do everything.
    pub fn for_local(tokens: Arc<Tokens>, bound: IpAddr) -> Self {
        Self {
            tokens,
            required: false,
            bound: Some(bound),
        }
    }

    /// As [`Self::for_local`] at 127.0.0.1, over a store whose tokens nobody has read yet.
    pub fn on_loopback(store: Arc<dyn Store>) -> Self {
        Self::for_local(Tokens::new(store), std::net::Ipv4Addr::LOCALHOST.into())
    }
}

impl Access {
    /// Ends when the secret by which a request was let in is no longer good; never, if it needed none. For answers that go
    /// on for longer than the question.
    pub(super) fn ended(&self, secret: Option<Hash>) -> impl Future<Output = ()> + Send + use<> {
        let tokens = self.tokens.clone();
        async move {
            match secret {
                Some(secret) => tokens.ended(&secret).await,
                None => std::future::pending().await,
            }
        }
    }
}

/// What a request needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Needs<'a> {
    /// Nothing: it tells nothing of what is managed here.
    Nothing,
    /// A role over something.
    Role(Role, Object<'a>),
}

pub(super) async fn guard(
    State(state): State<ApiState>,
    route: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    // The fleet as the handlers get it: decoded by the same router.
    let params = parts.extract::<RawPathParams>().await.ok();
    let fleet = params.as_ref().and_then(|params| {
        let mut params = params.iter();
        params.find_map(|(name, value)| (name == "fleet").then_some(value))
    });
    let template = route.as_ref().map_or("", MatchedPath::as_str);
    let needs = needs(&parts.method, template, fleet);
    if needs == Needs::Nothing {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let (actor, secret) = match admit(&state.access, &parts, needs).await {
        Ok(admitted) => admitted,
        Err(problem) => return refuse(problem, &parts),
    };
    let request_id = parts.extensions.get::<RequestId>();
    let request_id = request_id.map(|id| id.0.clone()).unwrap_or_default();
    let handling = next.run(Request::from_parts(parts, body));
    let asked = Asked {
        actor,
        secret,
        request_id,
    };
    by::scope(asked, handling).await
}

/// Who asks, if they may.
async fn admit(access: &Access, parts: &Parts, needs: Needs<'_>) -> Result<(Actor, Option<Hash>)> {
    let (actor, secret) = identify(access, parts).await?;
    let verdict = match needs {
        Needs::Nothing => Verdict::Granted,
        Needs::Role(role, object) => actor.may(role, object),
    };
    match (verdict, needs) {
        (Verdict::Granted, _) => Ok((actor, secret)),
        (Verdict::Hidden, Needs::Role(_, Object::Fleet(fleet))) => Err(Problem::no_fleet(fleet)),
        (_, Needs::Role(role, Object::Everything)) => {
            let detail = format!(
                "this takes a token of role {} for all fleets",
                role.as_str()
            );
            Err(Problem::new(Kind::Forbidden, detail))
        }
        (_, Needs::Role(role, _)) => {
            let detail = format!("this takes a token of role {}", role.as_str());
            Err(Problem::new(Kind::Forbidden, detail))
        }
        (_, Needs::Nothing) => Err(Problem::bare(Kind::Forbidden)),
    }
}

/// Who asks, and the hash of the secret that says so.
async fn identify(access: &Access, parts: &Parts) -> Result<(Actor, Option<Hash>)> {
    let Some(field) = parts.headers.get(header::AUTHORIZATION) else {
        if access.required {
            let detail = "send a token: `Authorization: Bearer …`";
            return Err(Problem::new(Kind::Unauthenticated, detail));
        }
        check_local(access, parts)?;
        return Ok((Actor::local(), None));
    };
    let secret = field.to_str().ok().and_then(secret::of_authorization);
    let token = match secret {
        Some(secret) => access.tokens.recognise(secret).await?,
        None => None,
    };
    match token {
        Some(token) if token.kind == TokenKind::Api => Ok((token.actor(), Some(token.hash))),
        Some(_) => {
            let detail = "a join token is for proxies; the API takes tokens of kind `api`";
            Err(Problem::new(Kind::Forbidden, detail))
        }
        None => {
            let detail = "this token is not known here, or it has expired, or it was revoked";
            Err(Problem::new(Kind::Unauthenticated, detail))
        }
    }
}

/// A refusal; one that a token would help says so (RFC 6750 section 3).
fn refuse(problem: Problem, parts: &Parts) -> Response {
    let how = match (
        problem.kind,
        parts.headers.contains_key(header::AUTHORIZATION),
    ) {
        (Kind::Unauthenticated, false) => Some("Bearer realm=\"signalbox\""),
        (Kind::Unauthenticated, true) => {
            Some("Bearer realm=\"signalbox\", error=\"invalid_token\"")
        }
        _ => None,
    };
    let mut response = problem.into_response();
    if let Some(how) = how {
        let how = HeaderValue::from_static(how);
        response.headers_mut().insert(header::WWW_AUTHENTICATE, how);
    }
    response
}

/// Without a token the only proof is that the request comes from this machine. A web page that runs in a browser here
/// does too: one that has its own name point to this machine (DNS rebinding) is known by the `Host`, one that sends
/// requests across sites by the `Origin`.
fn check_local(access: &Access, parts: &Parts) -> Result<()> {
    let host = parts.uri.authority().map(Authority::as_str);
    let host = host.or_else(|| header_text(&parts.headers, &header::HOST));
    // Browsers always send one.
    let Some(host) = host else {
        let unreadable = parts.headers.contains_key(header::HOST);
        return if unreadable {
            Err(misdirected())
        } else {
            Ok(())
        };
    };
    if !is_local(host, access.bound) {
        return Err(misdirected());
    }
    let origin = parts.headers.get(header::ORIGIN);
    let same = origin.is_none_or(|origin| {
        let origin = origin.to_str().ok();
        let authority = origin.and_then(|origin| origin.split_once("://"));
        authority.is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
    });
    if same {
        return Ok(());
    }
    let detail = "a web page of another site asks; it needs a token";
    Err(Problem::new(Kind::Forbidden, detail))
}

fn misdirected() -> Problem {
    let detail = "without a token this server is called localhost, or by its loopback address";
    Problem::new(Kind::Misdirected, detail)
}

fn is_local(host: &str, bound: Option<IpAddr>) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority.host();
    let address = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name)
        .parse::<IpAddr>();
    match address {
        Ok(address) => address.is_loopback() || Some(address) == bound,
        Err(_) => name.eq_ignore_ascii_case("localhost"),
    }
}

/// What a request needs, by its route. What is not named here needs the most: a route that somebody forgets is closed.
fn needs<'a>(method: &Method, template: &str, fleet: Option<&'a str>) -> Needs<'a> {
    let reads = [Method::GET, Method::HEAD].contains(method)
        || ["/~explain", "/~plan"]
            .iter()
            .any(|asks| template.ends_with(asks));
    let role = |writer: Role| if reads { Role::Reader } else { writer };
    let inside = template.strip_prefix("/v1/fleets/{fleet}");
    match (template, inside, fleet) {
        ("/healthz" | "/readyz" | "/openapi.json", ..) => Needs::Nothing,
        // Nothing is there: whoever is somebody may be told.
        ("", ..) => Needs::Role(Role::Reader, Object::Visible),
        ("/v1/fleets" | "/v1/audit" | "/v1/events", ..) if reads => {
            Needs::Role(Role::Reader, Object::Visible)
        }
        ("/v1/tokens" | "/v1/tokens/{id}", ..) => Needs::Role(Role::Admin, Object::Visible),
        (_, Some(""), Some(fleet)) => Needs::Role(role(Role::Admin), Object::Fleet(fleet)),
        (_, Some(inside), Some(fleet)) => {
            let drives = ["/rollouts", "/nodes"];
            let writer = if drives.iter().any(|part| inside.starts_with(part)) {
                Role::Operator
            } else {
                Role::Editor
            };
            Needs::Role(role(writer), Object::Fleet(fleet))
        }
        _ => Needs::Role(role(Role::Admin), Object::Everything),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_local() {
        let bound = Some("127.0.0.1".parse().unwrap());
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]:8080",
        ] {
            assert!(is_local(host, bound), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example:8080",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "user@evil.example",
            "[::1",
        ] {
            assert!(!is_local(host, bound), "{host}");
        }
        assert!(is_local("10.0.0.1:80", Some("10.0.0.1".parse().unwrap())));
    }

    #[test]
    fn each_route_needs_the_role_that_its_change_takes() {
        let fleet = Object::Fleet("a");
        for (method, template, role, object) in [
            (Method::GET, "/v1/fleets", Role::Reader, Object::Visible),
            (Method::GET, "/v1/fleets/{fleet}", Role::Reader, fleet),
            (Method::PUT, "/v1/fleets/{fleet}", Role::Admin, fleet),
            (Method::DELETE, "/v1/fleets/{fleet}", Role::Admin, fleet),
            (
                Method::GET,
                "/v1/fleets/{fleet}/config",
                Role::Reader,
                fleet,
            ),
            (
                Method::PUT,
                "/v1/fleets/{fleet}/config",
                Role::Editor,
                fleet,
            ),
            (
                Method::DELETE,
                "/v1/fleets/{fleet}/routes/{name}",
                Role::Editor,
                fleet,
            ),
            (
                Method::POST,
                "/v1/fleets/{fleet}/rollouts/{id}",
                Role::Operator,
                fleet,
            ),
            (
                Method::POST,
                "/v1/fleets/{fleet}/~explain",
                Role::Reader,
                fleet,
            ),
            (
                Method::POST,
                "/v1/fleets/{fleet}/~plan",
                Role::Reader,
                fleet,
            ),
            (Method::GET, "/v1/tokens", Role::Admin, Object::Visible),
            (Method::POST, "/v1/tokens", Role::Admin, Object::Visible),
            (Method::GET, "/v1/audit", Role::Reader, Object::Visible),
            (Method::GET, "/metrics", Role::Reader, Object::Everything),
        ] {
            let expected = Needs::Role(role, object);
            assert_eq!(
                needs(&method, template, Some("a")),
                expected,
                "{method} {template}"
            );
        }
    }

    #[test]
    fn a_route_that_nobody_thought_of_is_closed() {
        let everything = |role| Needs::Role(role, Object::Everything);
        assert_eq!(
            needs(&Method::GET, "/v1/new", None),
            everything(Role::Reader)
        );
        assert_eq!(
            needs(&Method::POST, "/v1/new", None),
            everything(Role::Admin)
        );
        assert_eq!(
            needs(&Method::GET, "/v1/fleets/{other}", None),
            everything(Role::Reader)
        );
    }
}
