//! Route → `envoy.config.route.v3.Route`, one or two of them (`matching::path_rules` says when).

use envoy_types::pb::envoy::config::core::v3::DataSource;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::route::v3::redirect_action::{
    PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier,
};
use envoy_types::pb::envoy::config::route::v3::route::Action as ActionMessage;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::ClusterWeight;
use envoy_types::pb::envoy::config::route::v3::{
    self as route_v3, DirectResponseAction, RedirectAction, RouteAction, WeightedCluster,
};

use crate::model::Route;
use crate::model::route::{Action, Forward, Redirect, Respond, Scheme};

use super::{headers, matching, value};

pub(super) fn translate(route: &Route) -> Vec<route_v3::Route> {
    let new_prefix = match (&route.rewrite, &route.redirect) {
        (Some(rewrite), _) => Some(rewrite.path_prefix.as_str()),
        (None, Some(redirect)) => redirect.path_prefix.as_deref(),
        (None, None) => None,
    };
    let rules = matching::path_rules(route.matching.path.as_ref(), new_prefix);
    rules
        .into_iter()
        .map(|(path, new_prefix)| route_v3::Route {
            name: route.name.clone(),
            r#match: Some(matching::translate(&route.matching, path)),
            action: route
                .action()
                .map(|action| translate_action(route, action, new_prefix)),
            request_headers_to_add: headers::to_add(&route.request_headers, None),
            request_headers_to_remove: headers::to_remove(&route.request_headers),
            response_headers_to_add: headers::to_add(
                &route.response_headers,
                route.respond.as_ref(),
            ),
            response_headers_to_remove: headers::to_remove(&route.response_headers),
            ..Default::default()
        })
        .collect()
}

fn translate_action(
    route: &Route,
    action: Action<'_>,
    new_prefix: Option<String>,
) -> ActionMessage {
    match action {
        Action::Forward(forward) => {
            ActionMessage::Route(forward_action(route, forward, new_prefix))
        }
        Action::Redirect(redirect) => {
            ActionMessage::Redirect(redirect_action(redirect, new_prefix))
        }
        Action::Respond(respond) => ActionMessage::DirectResponse(direct_response(respond)),
    }
}

/// A timeout that is not given is left out: the default of 15 s then holds in every client.
fn forward_action(route: &Route, forward: &Forward, new_prefix: Option<String>) -> RouteAction {
    RouteAction {
        cluster_specifier: Some(cluster_specifier(forward)),
        prefix_rewrite: new_prefix.unwrap_or_default(),
        timeout: route.timeout.map(value::duration),
        idle_timeout: route.idle_timeout.map(value::duration),
        ..Default::default()
    }
}

pub(super) fn cluster_specifier(forward: &Forward) -> ClusterSpecifier {
    if let Some(cluster) = &forward.cluster {
        return ClusterSpecifier::Cluster(cluster.clone());
    }
    let weight = |(name, weight): (&str, u32)| ClusterWeight {
        name: name.to_owned(),
        weight: Some(value::number(weight)),
        ..Default::default()
    };
    ClusterSpecifier::WeightedClusters(WeightedCluster {
        clusters: forward.targets().map(weight).collect(),
        ..Default::default()
    })
}

fn redirect_action(redirect: &Redirect, new_prefix: Option<String>) -> RedirectAction {
    let scheme = redirect.scheme.map(|scheme| match scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    });
    let path = redirect
        .path
        .clone()
        .map(PathRewriteSpecifier::PathRedirect);
    RedirectAction {
        host_redirect: redirect.host.clone().unwrap_or_default(),
        port_redirect: redirect.port.map_or(0, u32::from),
        response_code: response_code(redirect.status) as i32,
        strip_query: redirect.strip_query,
        scheme_rewrite_specifier: scheme
            .map(|scheme| SchemeRewriteSpecifier::SchemeRedirect(scheme.to_owned())),
        path_rewrite_specifier: path.or(new_prefix.map(PathRewriteSpecifier::PrefixRewrite)),
    }
}

fn response_code(status: u16) -> RedirectResponseCode {
    match status {
        302 => RedirectResponseCode::Found,
        303 => RedirectResponseCode::SeeOther,
        307 => RedirectResponseCode::TemporaryRedirect,
        308 => RedirectResponseCode::PermanentRedirect,
        _ => RedirectResponseCode::MovedPermanently,
    }
}

fn direct_response(respond: &Respond) -> DirectResponseAction {
    let body = (!respond.body.is_empty()).then(|| DataSource {
        specifier: Some(Specifier::InlineString(respond.body.clone())),
        ..Default::default()
    });
    DirectResponseAction {
        status: u32::from(respond.status),
        body,
        ..Default::default()
    }
}
