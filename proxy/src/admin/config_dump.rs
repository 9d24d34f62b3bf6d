//! `/config_dump`: who the proxy is, what is live, what the control plane has sent, and what is wrong with it.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use tokio::time::Instant;
use xds::problem::Problem;
use xds::resource::Resource;
use xds::resource::cluster::Discovery;
use xds::resource::cluster::dns::Query;
use xds::snapshot::Snapshot;
use xds::type_url::ResourceType;

use crate::dns::Answers;
use crate::live::{Kept, Live, LiveCluster, LiveListener, Status};

use super::Sources;

/// The whole dump.
pub(super) fn render(sources: &Sources) -> Value {
    let ads = sources.ads.borrow().clone();
    let live = sources.shared.current();
    let status = sources.shared.status().clone();
    let answers = sources.answers.borrow().clone();
    json!({
        "node": {
            "id": sources.node.id,
            "fleet": sources.node.fleet,
            "labels": sources.node.labels,
            "zone": sources.node.zone,
            "version": sources.node.user_agent_version,
        },
        "xds": {
            "connected": ads.connected,
            "control_plane": ads.control_plane,
            "last_error": ads.last_error,
            "live_revision": numbered(ads.standing.live_revision),
            "staged_revision": numbered(ads.standing.staged_revision),
            "confirmed_revision": numbered(ads.standing.confirmed_revision),
            "lease_seconds_left": ads.standing.lease_until.map(|_| {
                ads.standing.lease_left(Instant::now()).as_secs_f64()
            }),
            "left": ads.standing.left.map(|left| {
                json!({"assignment": left.assignment, "revision": left.revision})
            }),
            "reverts": ads.standing.reverts,
        },
        "live": served(&live, &status, &answers),
        "disk": kept(&sources.shared.kept().clone()),
        "resources": resources(&ads.wire_set),
        "problems": {
            "refused": problems(&ads.refused),
            "unfit": problems(&ads.unfit),
            "machine": problems(&status.problems),
        },
    })
}

fn served(live: &Live, status: &Status, answers: &Answers) -> Value {
    let mut clusters: Vec<_> = live
        .clusters()
        .iter()
        .map(|cluster| cluster_entry(cluster, answers))
        .collect();
    clusters.sort_by(|a, b| a["name"].as_str().cmp(&b["name"].as_str()));
    json!({
        "generation": live.generation,
        "since_unix_s": status.since.map(unix_seconds),
        "listeners": live.listeners.iter().map(listener_entry).collect::<Vec<_>>(),
        "clusters": clusters,
    })
}

fn kept(kept: &Kept) -> Value {
    let last = kept.last.as_ref();
    json!({
        "revision": last.and_then(|stored| numbered(stored.revision)),
        "generation": last.map(|stored| stored.generation),
        "stored_unix_s": last.map(|stored| unix_seconds(stored.at)),
        "last_error": kept.last_error,
        "failures": kept.failures,
    })
}

/// A revision's number; `None` if it has none.
fn numbered(revision: u64) -> Option<u64> {
    Some(revision).filter(|revision| *revision > 0)
}

fn unix_seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}

fn listener_entry(listener: &LiveListener) -> Value {
    json!({
        "name": &*listener.served.listener.name,
        "address": listener.address.map(|address| address.to_string()),
    })
}

fn cluster_entry(cluster: &LiveCluster, answers: &Answers) -> Value {
    let addresses = cluster.addresses().map(|address| address.to_string());
    let served = cluster.served();
    let mut entry = json!({
        "name": &**cluster.name(),
        "endpoints": served.endpoints.as_ref().map(|_| addresses.collect::<Vec<_>>()),
    });
    if let Discovery::Dns(dns) = &served.cluster.discovery {
        let names = dns.queries().map(|query| name_entry(query, answers));
        entry["names"] = names.collect();
    }
    entry
}

/// A name with its last good answer, and why the last lookup gave none.
fn name_entry(query: &Query, answers: &Answers) -> Value {
    let answer = answers.get(query).cloned().unwrap_or_default();
    let addresses = answer.addresses.iter().map(ToString::to_string);
    json!({
        "name": &*query.name,
        "addresses": addresses.collect::<Vec<_>>(),
        "last_failure": answer.failure.map(|failure| failure.to_string()),
    })
}

/// The resources by type, each with its version and its content as Envoy prints it.
fn resources(snapshot: &Snapshot) -> Value {
    let types = ResourceType::ALL.into_iter().map(|ty| {
        let set = snapshot.set(ty).values();
        (
            ty.short_name().to_owned(),
            set.map(|resource| resource_entry(resource)).collect(),
        )
    });
    Value::Object(types.collect::<Map<_, _>>())
}

fn resource_entry(resource: &Resource) -> Value {
    json!({
        "name": &**resource.name(),
        "version": *resource.version().text(),
        "resource": proto::json::to_json(resource.ty().type_url(), resource.bytes()),
    })
}

fn problems(problems: &[Problem]) -> Value {
    let entry = |problem: &Problem| {
        json!({
            "resource": problem.resource.as_ref().map(ToString::to_string),
            "path": problem.path,
            "code": problem.code.as_str(),
            "detail": problem.detail,
        })
    };
    problems.iter().map(entry).collect()
}
