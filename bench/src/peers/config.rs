//! The peers' configs: one route, everything to one upstream, connections kept on both sides, one worker, nothing logged.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

/// Idle upstream connections that a peer may keep: more than the load has.
const KEPT_CONNECTIONS: u32 = 1_024;

pub(super) fn nginx(listen: SocketAddr, upstream: SocketAddr, folder: &Path) -> String {
    let folder = folder.display();
    format!(
        "daemon off;
master_process off;
worker_processes 1;
pid {folder}/pid;
error_log stderr error;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream up {{
        server {upstream};
        keepalive {KEPT_CONNECTIONS};
        keepalive_requests 1000000000;
    }}
    server {{
        listen {listen};
        location / {{
            proxy_pass http://up;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
        }}
    }}
}}
"
    )
}

pub(super) fn haproxy(listen: SocketAddr, upstream: SocketAddr) -> String {
    format!(
        "global
    nbthread 1
    maxconn 8192
defaults
    mode http
    http-reuse always
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend web
    bind {listen}
    default_backend up
backend up
    server up {upstream} pool-max-conn {KEPT_CONNECTIONS}
"
    )
}

pub(super) fn envoy(listen: SocketAddr, upstream: SocketAddr) -> Value {
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "web",
        "route_config": {"virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "up"}}],
        }]},
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
        }],
    });
    json!({"static_resources": {
        "listeners": [{
            "name": "web",
            "address": socket_address(listen),
            "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
        }],
        "clusters": [{
            "name": "up",
            "type": "STATIC",
            "connect_timeout": "5s",
            "load_assignment": {
                "cluster_name": "up",
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket_address(upstream)}}]}],
            },
        }],
    }})
}

fn socket_address(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

/// What an operator would apply, as JSON, which is YAML too.
pub(super) fn signalbox(port: u16, upstream: SocketAddr) -> String {
    let endpoint = json!({"address": upstream.ip().to_string(), "port": upstream.port()});
    json!({
        "listeners": [{"name": "web", "address": "0.0.0.0", "port": port}],
        "clusters": [{"name": "up", "endpoints": [endpoint]}],
        "routes": [{"name": "all", "match": {"path": {"prefix": "/"}}, "forward": {"cluster": "up"}}],
    })
    .to_string()
}
