//! Two fleets that are written in turns, and a stream of every method for each: nothing of one is ever on a stream of the
//! other, although every stream asks for everything, and for the other's resources by name.

use serde_json::{Value, json};
use tonic::Code;
use xds::type_url::ResourceType;

use super::Rig;
use super::streams::{Caller, Stream, Told, follow, methods, next};
use proto::session::Target;

/// Words that stand in everything that a fleet has and nowhere else.
const FLEETS: [&str; 2] = ["marten", "ferret"];
const ROUNDS: u64 = 6;

/// What is open for a fleet.
struct Watch {
    fleet: &'static str,
    other: &'static str,
    streams: Vec<(String, Vec<ResourceType>, Stream<Told>)>,
    session: Stream<Target>,
}

/// So many clusters at a revision: other numbers for each fleet, for a session tells numbers, not names.
fn clusters(fleet: &str, revision: u64) -> u64 {
    let more = if fleet == FLEETS[0] { 1 } else { 2 };
    1 + more * revision
}

/// Another value for everything with every revision.
fn config(fleet: &str, revision: u64) -> Value {
    let cluster = |number: u64| {
        json!({
            "name": format!("{fleet}-{number}"), "discovery": "api",
            "connect_timeout": format!("{}ms", 1_000 + revision),
        })
    };
    json!({
        "listeners": [{"name": format!("{fleet}-web"), "address": "127.0.0.1", "port": 10_000 + revision}],
        "clusters": (0..clusters(fleet, revision)).map(cluster).collect::<Vec<_>>(),
        "routes": [{
            "name": format!("{fleet}-route"),
            "hosts": [format!("{fleet}.example")],
            "match": {"path": {"prefix": format!("/{fleet}.Service{revision}")}},
            "forward": {"cluster": format!("{fleet}-0")},
        }],
    })
}

/// Everything that has a name there: listeners and route configurations, clusters and endpoints, virtual hosts, and the
/// names by which gRPC asks.
fn names() -> Vec<String> {
    let of_fleet = |fleet: &&str| {
        ["-web", "-0", "-1", "-web/FLEET.example", ".example"]
            .map(|end| format!("{fleet}{}", end.replace("FLEET", fleet)))
    };
    FLEETS.iter().flat_map(of_fleet).collect()
}

impl Watch {
    async fn open(rig: &Rig, fleet: &'static str, other: &'static str) -> Self {
        let (secret, _) = rig.join_token(fleet).await;
        let caller = Caller {
            fleet,
            node: "n",
            secret: Some(&secret),
        };
        let channel = rig.channel().await;
        let stranger = Caller {
            fleet: other,
            ..caller
        };
        for method in methods() {
            let first = method.first(channel.clone(), stranger).await;
            assert_eq!(first, Err(Code::PermissionDenied), "{method:?}");
        }
        let streams = methods().into_iter().map(|method| {
            let stream = method.open(channel.clone(), caller, &names());
            (format!("{method:?}"), method.types, stream)
        });
        Self {
            fleet,
            other,
            streams: streams.collect(),
            session: follow(channel.clone(), caller),
        }
    }

    /// Waits until every stream has told everything once more.
    async fn told(&mut self, revision: u64) {
        for (method, types, stream) in &mut self.streams {
            let mut missing: Vec<_> = types.iter().map(|ty| ty.type_url()).collect();
            // Those change only when a host comes or goes, not with its routes.
            let inside = method.contains("signalbox-proxy") && method.contains("Delta");
            let named_by_host = method.contains("gRPC");
            if revision > 1 {
                missing.retain(|url| {
                    let of = |ty: ResourceType| *url == ty.type_url();
                    !(inside && of(ResourceType::RouteConfiguration)
                        || named_by_host && of(ResourceType::Listener))
                });
            }
            while !missing.is_empty() {
                let told = next(stream).await.unwrap();
                for resource in &told.resources {
                    assert!(has(resource, self.fleet), "{method}: {told:?}");
                    assert!(!has(resource, self.other), "{method}: {told:?}");
                }
                if !told.resources.is_empty() {
                    missing.retain(|url| *url != told.type_url);
                }
            }
        }
        loop {
            let target = next(&mut self.session).await.unwrap();
            let url = ResourceType::Cluster.type_url();
            let sum = target.sums.iter().find(|sum| sum.type_url == url).unwrap();
            assert_eq!(
                sum.count,
                clusters(self.fleet, target.revision),
                "{target:?}"
            );
            if target.revision == revision {
                break;
            }
        }
    }
}

fn has(bytes: &[u8], word: &str) -> bool {
    bytes
        .windows(word.len())
        .any(|window| window == word.as_bytes())
}

#[tokio::test]
async fn nothing_of_one_fleet_is_ever_on_a_stream_of_another() {
    let rig = Rig::start(|_| {}).await;
    for fleet in FLEETS {
        rig.put(&format!("/v1/fleets/{fleet}"), &json!({})).await;
        write(&rig, fleet, 1).await;
    }
    let mut watches = [
        Watch::open(&rig, FLEETS[0], FLEETS[1]).await,
        Watch::open(&rig, FLEETS[1], FLEETS[0]).await,
    ];
    for watch in &mut watches {
        watch.told(1).await;
    }
    // In turns, so that each stream has every chance to see the other's.
    for revision in 2..=ROUNDS {
        for watch in &mut watches {
            write(&rig, watch.fleet, revision).await;
            watch.told(revision).await;
        }
    }
}

async fn write(rig: &Rig, fleet: &str, revision: u64) {
    let endpoints = json!({"endpoints": [{"address": "127.0.0.1", "port": 1_000 + revision}]});
    for cluster in 0..clusters(fleet, revision) {
        let path = format!("/v1/fleets/{fleet}/endpoints/{fleet}-{cluster}");
        rig.put(&path, &endpoints).await;
    }
    let path = format!("/v1/fleets/{fleet}/config");
    rig.put(&path, &config(fleet, revision)).await;
}
