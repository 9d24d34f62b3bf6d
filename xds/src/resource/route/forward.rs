//! Forwarding: `envoy.config.route.v3.RouteAction`.

use envoy_types::pb::envoy::config::core::v3::RoutingPriority;
use envoy_types::pb::envoy::config::route::v3::route_action::{
    ClusterNotFoundResponseCode, ClusterSpecifier,
};
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::{
    ClusterWeight, RandomValueSpecifier,
};
use envoy_types::pb::envoy::config::route::v3::weighted_cluster::cluster_weight::HostRewriteSpecifier::HostRewriteLiteral;
use envoy_types::pb::envoy::config::route::v3::{
    RouteAction, WeightedCluster as WeightedClusterMessage,
};

use crate::problem::{Check, Code, refuse_if_set};
use crate::route::{
    ClusterChoice, ClusterNotFound, Forward, Rewrite, Timeouts, WeightedCluster, WeightedClusters,
};

use super::{header_edits, rewrite, upgrades, value};

#[expect(
    deprecated,
    reason = "the whole message is read; deprecated fields are refused if set"
)]
pub(super) fn convert(check: &mut Check, message: RouteAction) -> Option<Forward> {
    let RouteAction {
        cluster_not_found_response_code,
        metadata_match,
        prefix_rewrite,
        regex_rewrite,
        path_rewrite_policy,
        path_rewrite,
        append_x_forwarded_host,
        timeout,
        idle_timeout,
        flush_timeout,
        early_data_policy,
        retry_policy,
        retry_policy_typed_config,
        request_mirror_policies,
        priority,
        rate_limits,
        include_vh_rate_limits,
        hash_policy,
        cors,
        max_grpc_timeout,
        grpc_timeout_offset,
        upgrade_configs,
        internal_redirect_policy,
        internal_redirect_action,
        max_internal_redirects,
        hedge_policy,
        max_stream_duration,
        cluster_specifier,
        host_rewrite_specifier,
    } = message;
    refuse_if_set!(check, metadata_match, path_rewrite_policy, path_rewrite);
    refuse_if_set!(
        check,
        flush_timeout,
        early_data_policy,
        retry_policy,
        retry_policy_typed_config
    );
    refuse_if_set!(
        check,
        request_mirror_policies,
        rate_limits,
        include_vh_rate_limits,
        hash_policy,
        cors
    );
    refuse_if_set!(
        check,
        max_grpc_timeout,
        grpc_timeout_offset,
        internal_redirect_policy
    );
    refuse_if_set!(
        check,
        internal_redirect_action,
        max_internal_redirects,
        hedge_policy,
        max_stream_duration
    );
    if priority != RoutingPriority::Default as i32 {
        check.problem_at(
            "priority",
            Code::Unsupported,
            "only the priority DEFAULT is supported",
        );
    }
    let rewrite = Rewrite {
        path: rewrite::path(check, prefix_rewrite, regex_rewrite),
        host: rewrite::host(check, host_rewrite_specifier),
        append_x_forwarded_host,
    };
    let changes = rewrite.path.is_some() || rewrite.host.is_some() || append_x_forwarded_host;
    let cluster_not_found = cluster_not_found(check, cluster_not_found_response_code);
    let usual = Timeouts::default();
    let timeouts = Timeouts {
        total: value::limit(check, "timeout", timeout, usual.total),
        idle: idle_timeout.map(|limit| value::limit(check, "idle_timeout", Some(limit), None)),
    };
    let upgrades = upgrades::of_route(check, upgrade_configs);
    let cluster = cluster_choice(check, cluster_specifier)?;
    Some(Forward {
        cluster,
        cluster_not_found,
        rewrite: changes.then(|| Box::new(rewrite)),
        timeouts: (timeouts != usual).then(|| Box::new(timeouts)),
        upgrades: (!upgrades.is_empty()).then(|| Box::new(upgrades)),
    })
}

fn cluster_not_found(check: &mut Check, code: i32) -> ClusterNotFound {
    match ClusterNotFoundResponseCode::try_from(code) {
        Ok(ClusterNotFoundResponseCode::ServiceUnavailable) => ClusterNotFound::ServiceUnavailable,
        Ok(ClusterNotFoundResponseCode::NotFound) => ClusterNotFound::NotFound,
        Ok(ClusterNotFoundResponseCode::InternalServerError) => {
            ClusterNotFound::InternalServerError
        }
        Err(_) => {
            check.problem_at(
                "cluster_not_found_response_code",
                Code::Invalid,
                "not one of the codes that may be chosen",
            );
            ClusterNotFound::ServiceUnavailable
        }
    }
}

fn cluster_choice(check: &mut Check, specifier: Option<ClusterSpecifier>) -> Option<ClusterChoice> {
    match specifier {
        Some(ClusterSpecifier::Cluster(name)) if !name.is_empty() => {
            Some(ClusterChoice::One(check.share(&name)))
        }
        None | Some(ClusterSpecifier::Cluster(_)) => {
            check.problem_at(
                "cluster",
                Code::Required,
                "a route that forwards must name a cluster",
            );
            None
        }
        Some(ClusterSpecifier::WeightedClusters(message)) => check
            .at("weighted_clusters", |check| {
                weighted_clusters(check, message)
            })
            .map(|weighted| ClusterChoice::Weighted(Box::new(weighted))),
        Some(ClusterSpecifier::ClusterHeader(_)) => {
            check.problem_at(
                "cluster_header",
                Code::Unsupported,
                "choosing the cluster by a header is not supported",
            );
            None
        }
        Some(ClusterSpecifier::ClusterSpecifierPlugin(_)) => {
            check.refuse("cluster_specifier_plugin");
            None
        }
        Some(ClusterSpecifier::InlineClusterSpecifierPlugin(_)) => {
            check.refuse("inline_cluster_specifier_plugin");
            None
        }
    }
}

#[expect(
    deprecated,
    reason = "the whole message is read; deprecated fields are refused if set"
)]
fn weighted_clusters(
    check: &mut Check,
    message: WeightedClusterMessage,
) -> Option<WeightedClusters> {
    let WeightedClusterMessage {
        clusters,
        total_weight,
        runtime_key_prefix,
        random_value_specifier,
    } = message;
    refuse_if_set!(check, total_weight, runtime_key_prefix);
    match random_value_specifier {
        None => {}
        Some(RandomValueSpecifier::HeaderName(_)) => check.refuse("header_name"),
        Some(RandomValueSpecifier::UseHashPolicy(_)) => check.refuse("use_hash_policy"),
    }
    let mut weights: Vec<(WeightedCluster, u32)> = Vec::with_capacity(clusters.len());
    check.at("clusters", |check| {
        for (index, cluster) in clusters.into_iter().enumerate() {
            weights.extend(check.at(index, |check| cluster_weight(check, cluster)));
        }
    });
    let weighted = WeightedClusters::new(weights);
    if weighted.is_none() {
        check.problem_at(
            "clusters",
            Code::Invalid,
            "the weights must sum up to at least 1 and fit 32 bits",
        );
    }
    weighted
}

fn cluster_weight(check: &mut Check, message: ClusterWeight) -> Option<(WeightedCluster, u32)> {
    let ClusterWeight {
        name,
        cluster_header,
        weight,
        metadata_match,
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
        typed_per_filter_config,
        host_rewrite_specifier,
    } = message;
    refuse_if_set!(
        check,
        cluster_header,
        metadata_match,
        typed_per_filter_config
    );
    let edits = header_edits::convert(
        check,
        header_edits::Fields {
            request_headers_to_add,
            request_headers_to_remove,
            response_headers_to_add,
            response_headers_to_remove,
        },
    );
    let host_rewrite = host_rewrite_specifier
        .and_then(|HostRewriteLiteral(host)| rewrite::host_literal(check, host));
    if name.is_empty() {
        check.problem_at("name", Code::Required, "a weighted cluster needs a name");
        return None;
    }
    let cluster = WeightedCluster {
        name: check.share(&name),
        edits,
        host_rewrite,
    };
    Some((cluster, weight.map_or(0, |weight| weight.value)))
}
