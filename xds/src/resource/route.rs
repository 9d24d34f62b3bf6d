//! Route from its message: `envoy.config.route.v3.Route`. One file for its conditions, and one for each action.

mod conditions;
mod direct_response;
mod forward;
mod redirect;
mod rewrite;

use envoy_types::pb::envoy::config::route::v3::Route as RouteMessage;
use envoy_types::pb::envoy::config::route::v3::route::Action as ActionMessage;

use crate::problem::{Check, Code, refuse_if_set};
use crate::route::{Action, Route};

use super::{header_edits, matcher, upgrades, value};

/// Reads one route; what is wrong is noted in `check`.
#[expect(
    deprecated,
    reason = "the whole message is read; deprecated fields are refused if set"
)]
pub(super) fn convert(check: &mut Check, message: RouteMessage) -> Option<Route> {
    let RouteMessage {
        name,
        r#match,
        // Opaque to a proxy whose filters do not read it.
        metadata: _,
        decorator,
        typed_per_filter_config,
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
        tracing,
        per_request_buffer_limit_bytes,
        stat_prefix,
        request_body_buffer_limit,
        route_specifiers,
        action,
    } = message;
    refuse_if_set!(
        check,
        decorator,
        typed_per_filter_config,
        tracing,
        per_request_buffer_limit_bytes,
        stat_prefix
    );
    refuse_if_set!(check, request_body_buffer_limit, route_specifiers);
    let conditions = match r#match {
        Some(conditions) => check.at("match", |check| conditions::convert(check, conditions)),
        None => {
            check.problem_at(
                "match",
                Code::Required,
                "a route must say which requests it is for",
            );
            None
        }
    };
    let action = convert_action(check, action);
    let edits = header_edits::convert(
        check,
        header_edits::Fields {
            request_headers_to_add,
            request_headers_to_remove,
            response_headers_to_add,
            response_headers_to_remove,
        },
    );
    let (path, conditions) = conditions?;
    Some(Route {
        name: name.into(),
        path,
        conditions,
        action: action?,
        edits: (!edits.is_empty()).then(|| Box::new(edits)),
    })
}

fn convert_action(check: &mut Check, action: Option<ActionMessage>) -> Option<Action> {
    match action {
        None => {
            check.problem_at(
                "route",
                Code::Required,
                "a route must forward, redirect or respond",
            );
            None
        }
        Some(ActionMessage::Route(message)) => check
            .at("route", |check| forward::convert(check, message))
            .map(Action::Forward),
        Some(ActionMessage::Redirect(message)) => check
            .at("redirect", |check| redirect::convert(check, message))
            .map(|redirect| Action::Redirect(Box::new(redirect))),
        Some(ActionMessage::DirectResponse(message)) => check
            .at("direct_response", |check| {
                direct_response::convert(check, message)
            })
            .map(|respond| Action::Respond(Box::new(respond))),
        Some(ActionMessage::FilterAction(_)) => {
            check.problem_at(
                "filter_action",
                Code::Unsupported,
                "filter actions are not supported",
            );
            None
        }
        Some(ActionMessage::NonForwardingAction(_)) => {
            check.problem_at(
                "non_forwarding_action",
                Code::Unsupported,
                "this is for gRPC servers; a proxy forwards",
            );
            None
        }
    }
}
