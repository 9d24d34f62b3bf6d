//! Stock Envoy takes everything that `translate` makes of the operator's vocabulary, and does what the vocabulary says.

use std::time::Duration;

use control_plane::app::App;
use e2e::client::{Answer, Request, send};
use e2e::envoy::Envoy;
use e2e::upstream::Upstream;
use e2e::{ports, wait};
use serde_json::{Value, json};

use crate::settings::settings;

/// Every field of every kind, some more than once.
fn vocabulary(listener: u16, upstream: u16) -> Value {
    let here = |port: u16| json!({"address": "127.0.0.1", "port": port, "zone": "a"});
    json!({
        "listeners": [{"name": "web", "address": "127.0.0.1", "port": listener, "trusted_hops": 1}],
        "clusters": [
            {"name": "robin", "endpoints": [here(upstream)], "connect_timeout": "1s500ms"},
            {"name": "least", "discovery": "api", "load_balancing": "least_request"},
            {"name": "random", "endpoints": [here(upstream)], "load_balancing": "random"},
            {"name": "empty", "endpoints": []},
            {"name": "named", "dns": {"host": "localhost", "port": upstream}},
        ],
        "routes": [
            {"name": "root", "match": {"path": {"prefix": "/root"}}, "forward": {"cluster": "robin"},
             "rewrite": {"path_prefix": "/"}, "timeout": "2s", "idle_timeout": "1m"},
            {"name": "segments", "match": {"path": {"prefix": "/seg"}}, "forward": {"cluster": "least"},
             "rewrite": {"path_prefix": "/v2/seg"}},
            {"name": "text", "match": {"path": {"string_prefix": "/text-"}}, "forward": {"cluster": "random"},
             "rewrite": {"path_prefix": "/t/"}},
            {"name": "exact", "match": {"path": {"exact": "/exact"}},
             "forward": {"clusters": [{"name": "robin", "weight": 3}, {"name": "random"}, {"name": "empty", "weight": 0}]},
             "rewrite": {"path_prefix": "/other"},
             "request_headers": {"set": {"X-Set": "100% %REQ(:path)%"}, "append": {"x-more": "b"}, "remove": ["X-Secret"]},
             "response_headers": {"set": {"x-by": "50%"}, "append": {"x-more": "b"}, "remove": ["content-type"]}},
            {"name": "pattern", "match": {"path": {"regex": "/p/[0-9]+"}}, "forward": {"cluster": "robin"}},
            {"name": "conditions", "match": {
                "path": {"prefix": "/conditions"}, "methods": ["GET", "M-SEARCH"],
                "headers": [
                    {"name": "x-a", "exact": "A", "ignore_case": true}, {"name": "x-b", "prefix": "b"},
                    {"name": "x-c", "suffix": "c"}, {"name": "x-d", "contains": "d"},
                    {"name": "x-e", "regex": "e+"}, {"name": "x-f", "present": true},
                    {"name": "x-g", "present": false}, {"name": "x-h", "exact": "h", "invert": true}],
                "query": [
                    {"name": "a", "exact": "1"}, {"name": "b", "prefix": "1"}, {"name": "c", "suffix": "1"},
                    {"name": "d", "contains": "1"}, {"name": "e", "regex": "[0-9]"}, {"name": "f", "present": true}]},
             "respond": {"status": 200, "body": "all hold"}},
            {"name": "moved", "match": {"path": {"prefix": "/moved"}},
             "redirect": {"scheme": "https", "host": "new.example", "port": 8443, "path_prefix": "/", "strip_query": true, "status": 308}},
            {"name": "moved-there", "match": {"path": {"prefix": "/there"}}, "redirect": {"path": "/here?x=1", "status": 307}},
            {"name": "answer", "hosts": ["*.example", "other.*", "[::1]"], "priority": 5, "listeners": ["web"],
             "respond": {"status": 299, "body": "own", "headers": {"content-type": "text/x-own", "x-percent": "%%"}}},
            {"name": "prefixed", "hosts": ["rest"], "forward": {"cluster": "robin"}, "rewrite": {"path_prefix": "/all"}},
        ],
    })
}

struct Rig {
    app: App,
    envoy: Envoy,
    web: std::net::SocketAddr,
    _upstream: Upstream,
    _folder: tempfile::TempDir,
}

impl Rig {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path());
        let app = App::start(&settings).await.unwrap();
        let upstream = Upstream::start("up").await.unwrap();
        let web = ([127, 0, 0, 1], ports::free_port().unwrap()).into();
        let put = async |path: &str, body: Value| {
            let request = Request::put(format!("/v1/fleets/default/{path}")).json(&body);
            send(app.admin, request).await.unwrap().success().unwrap();
        };
        let endpoints = json!({"endpoints": [{"address": "127.0.0.1", "port": upstream.port()}]});
        put("endpoints/least", endpoints).await;
        put(
            "config",
            vocabulary(std::net::SocketAddr::port(&web), upstream.port()),
        )
        .await;
        let envoy = Envoy::start(app.xds, "default", "envoy-1").await.unwrap();
        Self {
            app,
            envoy,
            web,
            _upstream: upstream,
            _folder: folder,
        }
    }

    async fn get(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        let request = Request::get(target).host("x");
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        send(self.web, request).await.unwrap()
    }

    async fn arrives_as(&self, target: &str, path: &str) {
        let answer = self.get(target, &[]).await.success().unwrap();
        assert_eq!(answer.json().unwrap()["path"], path, "{target}");
    }
}

#[tokio::test]
async fn envoy_takes_the_whole_vocabulary_and_does_what_it_says() {
    let rig = Rig::start().await;
    assert_eq!(rig.envoy.rejected().await.unwrap(), 0);
    assert_eq!(rig.envoy.warming().await.unwrap(), 0);

    for (target, path) in [
        ("/root", "/"),
        ("/root/", "/"),
        ("/root/a/b", "/a/b"),
        ("/seg/a", "/v2/seg/a"),
        ("/text-a", "/t/a"),
        ("/exact", "/other"),
        ("/p/17", "/p/17"),
    ] {
        rig.arrives_as(target, path).await;
    }
    for (target, host, status) in [
        ("/segx", "x", 404),
        ("/p/x", "x", 404),
        ("/", "a.example:80", 299),
        ("/", "[::1]:80", 299),
        ("/", "other.net", 299),
    ] {
        let answer = send(rig.web, Request::get(target).host(host))
            .await
            .unwrap();
        assert_eq!(answer.status, status, "{host}{target}");
    }
    let rest = send(rig.web, Request::get("/a").host("rest"))
        .await
        .unwrap()
        .success()
        .unwrap();
    assert_eq!(rest.json().unwrap()["path"], "/all/a");

    edits(&rig).await;
    conditions(&rig).await;
    redirects(&rig).await;
    node_is_known(&rig).await;
}

async fn edits(rig: &Rig) {
    let answer = rig
        .get(
            "/exact",
            &[("x-secret", "s"), ("x-set", "old"), ("x-more", "a")],
        )
        .await
        .success()
        .unwrap();
    let arrived = answer.json().unwrap().to_string();
    assert!(
        arrived.contains("100% %REQ(:path)%") && !arrived.contains("old"),
        "{arrived}"
    );
    assert!(!arrived.contains("x-secret"), "{arrived}");
    assert_eq!(
        (answer.header("x-by"), answer.header("content-type")),
        (Some("50%"), None)
    );
    let own = send(rig.web, Request::get("/").host("a.example"))
        .await
        .unwrap();
    assert_eq!(
        (own.header("content-type"), own.header("x-percent")),
        (Some("text/x-own"), Some("%%"))
    );
}

async fn conditions(rig: &Rig) {
    let query = "/conditions?a=1&b=12&c=21&d=212&e=7&f";
    let headers = [
        ("x-a", "a"),
        ("x-b", "bx"),
        ("x-c", "xc"),
        ("x-d", "xdx"),
        ("x-e", "ee"),
        ("x-f", "?"),
        ("x-h", "i"),
    ];
    assert_eq!(
        rig.get(query, &headers).await.success().unwrap().text(),
        "all hold"
    );
    for missing in 0..headers.len() {
        let mut headers = headers.to_vec();
        let (name, _) = headers.remove(missing);
        assert_eq!(rig.get(query, &headers).await.status, 404, "without {name}");
    }
    let with_g = [headers.as_slice(), &[("x-g", "")]].concat();
    assert_eq!(rig.get(query, &with_g).await.status, 404);
    for broken in ["a=1", "b=12", "c=21", "d=212", "e=7", "&f"] {
        let query = query.replacen(broken, "", 1);
        assert_eq!(rig.get(&query, &headers).await.status, 404, "{query}");
    }
}

async fn redirects(rig: &Rig) {
    let moved = rig.get("/moved/a?b=c", &[]).await;
    assert_eq!(
        (moved.status.as_u16(), moved.header("location")),
        (308, Some("https://new.example:8443/a"))
    );
    let there = rig.get("/there?b=c", &[]).await;
    assert_eq!(
        (there.status.as_u16(), there.header("location")),
        (307, Some("http://x/here?x=1"))
    );
}

/// What Envoy acknowledged is in the API, and what it is told next as well.
async fn node_is_known(rig: &Rig) {
    let acknowledged = async |revision: u64| {
        wait::until_true("envoy acknowledges", Duration::from_secs(20), async || {
            let answer = send(
                rig.app.admin,
                Request::get("/v1/fleets/default/nodes/envoy-1"),
            )
            .await;
            let node = answer
                .ok()
                .and_then(|answer| answer.json().ok())
                .unwrap_or_default();
            node["acked_revision"] == revision
                && node["connected"] == true
                && node["class"] == "envoy"
        })
        .await
        .unwrap();
    };
    acknowledged(1).await;
    let route = json!({"match": {"path": {"exact": "/new"}}, "respond": {"status": 200}});
    send(
        rig.app.admin,
        Request::put("/v1/fleets/default/routes/new").json(&route),
    )
    .await
    .unwrap()
    .success()
    .unwrap();
    acknowledged(2).await;
    assert_eq!(rig.get("/new", &[]).await.status, 200);
}
