//! The way back from the fields of `envoy.config.route.v3.Route` to those of the operator's route.

use crate::model::Route;
use crate::model::problem::Step;
use crate::model::route::{Condition, Forward, HeaderMatch, QueryMatch};

use super::super::headers;
use super::{Part, steps};

pub(super) fn route_steps(route: &Route, parts: &[Part<'_>]) -> Vec<Step> {
    match parts {
        [("match", _), rest @ ..] => match_steps(route, rest),
        [("route", _), rest @ ..] => match &route.forward {
            Some(forward) => forward_steps(forward, rest),
            // A route without any action: nothing that was written can be pointed at.
            None => Vec::new(),
        },
        [("redirect", _), rest @ ..] => redirect_steps(rest),
        [("direct_response", _), ("body", _), ..] => steps(["respond", "body"]),
        [("direct_response", _), ..] => steps(["respond", "status"]),
        [("request_headers_to_add", index), ..] => {
            let pointers = headers::pointers(&route.request_headers, "request_headers", None);
            edit_steps(*index, &pointers)
        }
        [("response_headers_to_add", index), ..] => {
            let (edits, respond) = (&route.response_headers, route.respond.as_ref());
            edit_steps(
                *index,
                &headers::pointers(edits, "response_headers", respond),
            )
        }
        [("request_headers_to_remove", _), ..] => steps(["request_headers", "remove"]),
        [("response_headers_to_remove", _), ..] => steps(["response_headers", "remove"]),
        [("name", _), ..] => steps(["name"]),
        _ => Vec::new(),
    }
}

fn match_steps(route: &Route, parts: &[Part<'_>]) -> Vec<Step> {
    let conditions = &route.matching;
    // The methods stand before the other headers, as one condition.
    let methods = usize::from(!conditions.methods.is_empty());
    match parts {
        [] => steps(["match"]),
        [("headers", Some(index)), ..] if *index < methods => steps(["match", "methods"]),
        [("headers", Some(index)), rest @ ..] => {
            let header = conditions.headers.get(index - methods);
            let condition = header.and_then(HeaderMatch::condition);
            condition_steps(("headers", index - methods), condition, rest)
        }
        [("query_parameters", Some(index)), rest @ ..] => {
            let condition = conditions.query.get(*index).and_then(QueryMatch::condition);
            condition_steps(("query", *index), condition, rest)
        }
        _ => {
            let kind = conditions
                .path
                .as_ref()
                .map(|path| Step::from(path.field()));
            steps(["match", "path"]).into_iter().chain(kind).collect()
        }
    }
}

fn condition_steps(
    (list, position): (&str, usize),
    condition: Option<Condition<'_>>,
    rest: &[Part<'_>],
) -> Vec<Step> {
    let field = match rest {
        [] => None,
        [("name", _), ..] => Some("name"),
        _ => condition.map(Condition::field),
    };
    let item = [Step::from("match"), Step::from(list), Step::from(position)];
    item.into_iter().chain(field.map(Step::from)).collect()
}

fn forward_steps(forward: &Forward, parts: &[Part<'_>]) -> Vec<Step> {
    match parts {
        [("prefix_rewrite", _), ..] => steps(["rewrite", "path_prefix"]),
        [("timeout", _), ..] => steps(["timeout"]),
        [("idle_timeout", _), ..] => steps(["idle_timeout"]),
        [("weighted_clusters", _), rest @ ..] => {
            let index = rest.first().and_then(|(_, index)| index.map(Step::from));
            let list = steps(["forward", "clusters"]).into_iter();
            list.chain(index).collect()
        }
        _ if forward.cluster.is_some() => steps(["forward", "cluster"]),
        _ => steps(["forward"]),
    }
}

fn redirect_steps(parts: &[Part<'_>]) -> Vec<Step> {
    let field = match parts.first() {
        Some(("host_redirect", _)) => "host",
        Some(("port_redirect", _)) => "port",
        Some(("path_redirect", _)) => "path",
        Some(("prefix_rewrite", _)) => "path_prefix",
        Some(("scheme_redirect", _)) => "scheme",
        Some(("response_code", _)) => "status",
        _ => return steps(["redirect"]),
    };
    steps(["redirect", field])
}

fn edit_steps(index: Option<usize>, pointers: &[[String; 3]]) -> Vec<Step> {
    let pointer = index.and_then(|index| pointers.get(index));
    let keys = pointer.into_iter().flatten();
    keys.map(|key| Step::from(key.as_str())).collect()
}
