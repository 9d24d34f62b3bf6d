//! Stock Envoy and our proxy in one fleet: fed by the same control plane, they answer alike.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Result;
use e2e::client::{self, Answer, Request};
use e2e::envoy::Envoy;
use e2e::programs::ControlPlane;
use e2e::upstream::Upstream;
use http::Method;

use crate::fleet::{Fleet, endpoints, outcome};

/// The shop, with more of everything that a route can say.
fn config(port: u16, catalog: &Upstream, next: &Upstream) -> String {
    format!(
        r#"
listeners: [{{name: web, address: 0.0.0.0, port: {port}}}]
clusters:
  - {{name: catalog, endpoints: {catalog}, load_balancing: least_request, connect_timeout: 1s}}
  - {{name: catalog-next, endpoints: {next}}}
  - {{name: accounts, discovery: api}}
routes:
  - name: products
    hosts: [shop.example, "*.shop.example"]
    match: {{path: {{prefix: /products}}, methods: [GET, HEAD]}}
    forward: {{cluster: catalog}}
    rewrite: {{path_prefix: /v2/products}}
    timeout: 5s
  - name: products-beta
    hosts: [shop.example]
    match:
      path: {{prefix: /products}}
      headers: [{{name: x-beta, exact: "1"}}]
      query: [{{name: lang, regex: "[a-z]{{2}}"}}]
    forward: {{cluster: catalog-next}}
  - name: split
    hosts: [shop.example]
    match: {{path: {{prefix: /split}}}}
    forward: {{clusters: [{{name: catalog, weight: 90}}, {{name: catalog-next, weight: 10}}]}}
  - name: account
    match: {{path: {{regex: "/accounts/[0-9]+"}}}}
    forward: {{cluster: accounts}}
  - name: old-shop
    hosts: [old.example]
    match: {{path: {{prefix: /}}}}
    redirect: {{host: shop.example, status: 301}}
  - {{name: hello, match: {{path: {{exact: /hello}}}}, respond: {{status: 200, body: "hello\n", headers: {{content-type: text/plain}}}}}}
  - {{name: wildcard-front, hosts: ["front.*"], match: {{path: {{prefix: /}}}}, respond: {{status: 203, body: front}}}}
  - {{name: deep, hosts: ["*.deep.shop.example"], match: {{path: {{prefix: /}}}}, respond: {{status: 203, body: deep}}}}
  - {{name: paths-exact, hosts: [paths.example], match: {{path: {{exact: /api/exact}}}}, respond: {{status: 200, body: exact}}}}
  - {{name: paths-regex, hosts: [paths.example], match: {{path: {{regex: "/api/[0-9]+"}}}}, respond: {{status: 200, body: regex}}}}
  - {{name: paths-long, hosts: [paths.example], match: {{path: {{prefix: /api/deep}}}}, respond: {{status: 200, body: long}}}}
  - {{name: paths-segment, hosts: [paths.example], match: {{path: {{prefix: /api}}}}, respond: {{status: 200, body: segment}}}}
  - {{name: paths-string, hosts: [paths.example], match: {{path: {{string_prefix: /api}}}}, respond: {{status: 200, body: string}}}}
  - {{name: paths-first, hosts: [paths.example], priority: 5, match: {{path: {{prefix: /api/deep}}, headers: [{{name: x-first, present: true}}]}}, respond: {{status: 200, body: first}}}}
  - {{name: method-post, hosts: [methods.example], match: {{path: {{prefix: /m}}, methods: [POST, PUT]}}, respond: {{status: 200, body: write}}}}
  - {{name: method-any, hosts: [methods.example], match: {{path: {{prefix: /m}}}}, respond: {{status: 200, body: any}}}}
  - {{name: h-prefix, hosts: [headers.example], match: {{path: {{prefix: /}}, headers: [{{name: x-a, prefix: ab}}]}}, respond: {{status: 200, body: prefix}}}}
  - {{name: h-suffix, hosts: [headers.example], match: {{path: {{prefix: /}}, headers: [{{name: x-b, suffix: yz}}]}}, respond: {{status: 200, body: suffix}}}}
  - {{name: h-contains, hosts: [headers.example], match: {{path: {{prefix: /}}, headers: [{{name: x-c, contains: mm}}]}}, respond: {{status: 200, body: contains}}}}
  - {{name: h-regex, hosts: [headers.example], match: {{path: {{prefix: /}}, headers: [{{name: x-d, regex: "[0-9]+"}}]}}, respond: {{status: 200, body: regex}}}}
  - {{name: h-case, hosts: [headers.example], match: {{path: {{prefix: /}}, headers: [{{name: x-e, exact: "yes", ignore_case: true}}]}}, respond: {{status: 200, body: case}}}}
  - {{name: h-not, hosts: [headers.example], match: {{path: {{prefix: /}}, headers: [{{name: x-f, exact: "1", invert: true}}, {{name: x-f, present: true}}]}}, respond: {{status: 200, body: not}}}}
  - {{name: q-two, hosts: [query.example], match: {{path: {{prefix: /}}, query: [{{name: a, exact: "1"}}, {{name: b, present: true}}]}}, respond: {{status: 200, body: two}}}}
  - {{name: q-one, hosts: [query.example], match: {{path: {{prefix: /}}, query: [{{name: a, exact: "1"}}]}}, respond: {{status: 200, body: one}}}}
  - {{name: r-path, hosts: [redirect.example], match: {{path: {{exact: /path}}}}, redirect: {{path: /elsewhere, status: 302}}}}
  - {{name: r-prefix, hosts: [redirect.example], match: {{path: {{prefix: /old}}}}, redirect: {{path_prefix: /new, status: 308}}}}
  - {{name: r-https, hosts: [redirect.example], match: {{path: {{exact: /tls}}}}, redirect: {{scheme: https}}}}
  - {{name: r-port, hosts: [redirect.example], match: {{path: {{exact: /port}}}}, redirect: {{port: 8443, status: 307}}}}
  - {{name: r-strip, hosts: [redirect.example], match: {{path: {{exact: /strip}}}}, redirect: {{path: /s, strip_query: true, status: 303}}}}
  - name: edits
    hosts: [edits.example]
    match: {{path: {{prefix: /}}}}
    forward: {{cluster: catalog}}
    request_headers: {{set: {{x-gateway: signalbox}}, append: {{x-more: second}}, remove: [x-internal]}}
    response_headers: {{set: {{x-served-by: "100%"}}}}
"#,
        catalog = endpoints(&[catalog]),
        next = endpoints(&[next]),
    )
}

/// Method, host, target, headers, and what must come of it.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
);

const TABLE: &[Row] = &[
    // The shop's own routes.
    (
        "GET",
        "shop.example",
        "/products",
        &[],
        "200 catalog GET /v2/products",
    ),
    (
        "GET",
        "shop.example",
        "/products/7?x=1",
        &[],
        "200 catalog GET /v2/products/7?x=1",
    ),
    (
        "GET",
        "www.shop.example",
        "/products/7",
        &[],
        "200 catalog GET /v2/products/7",
    ),
    (
        "GET",
        "SHOP.Example",
        "/products/7",
        &[],
        "200 catalog GET /v2/products/7",
    ),
    (
        "GET",
        "shop.example:8080",
        "/products/7",
        &[],
        "200 catalog GET /v2/products/7",
    ),
    ("GET", "shop.example", "/productsX", &[], "404"),
    ("POST", "shop.example", "/products", &[], "404"),
    (
        "GET",
        "shop.example",
        "/products?lang=de",
        &[("x-beta", "1")],
        "200 catalog-next GET /products?lang=de",
    ),
    (
        "GET",
        "shop.example",
        "/products?lang=deu",
        &[("x-beta", "1")],
        "200 catalog GET /v2/products?lang=deu",
    ),
    (
        "GET",
        "shop.example",
        "/products?lang=de",
        &[("x-beta", "2")],
        "200 catalog GET /v2/products?lang=de",
    ),
    (
        "GET",
        "www.shop.example",
        "/products?lang=de",
        &[("x-beta", "1")],
        "200 catalog GET /v2/products?lang=de",
    ),
    ("GET", "unknown.example", "/accounts/12", &[], "503"),
    ("GET", "unknown.example", "/accounts/12x", &[], "404"),
    ("GET", "shop.example", "/accounts/12", &[], "404"),
    (
        "GET",
        "old.example",
        "/a/b?c=d",
        &[],
        "301 to http://shop.example/a/b?c=d",
    ),
    ("GET", "unknown.example", "/hello", &[], "200 \"hello\\n\""),
    ("GET", "unknown.example", "/hello/", &[], "404"),
    ("GET", "shop.example", "/hello", &[], "404"),
    // Hosts.
    ("GET", "front.test", "/", &[], "203 \"front\""),
    ("GET", "front.", "/hello", &[], "200 \"hello\\n\""),
    (
        "GET",
        "a.deep.shop.example",
        "/products",
        &[],
        "203 \"deep\"",
    ),
    (
        "GET",
        "deep.shop.example",
        "/products",
        &[],
        "200 catalog GET /v2/products",
    ),
    // Paths.
    ("GET", "paths.example", "/api/exact", &[], "200 \"exact\""),
    ("GET", "paths.example", "/api/42", &[], "200 \"regex\""),
    ("GET", "paths.example", "/api/42/", &[], "200 \"segment\""),
    ("GET", "paths.example", "/api", &[], "200 \"segment\""),
    ("GET", "paths.example", "/api/other", &[], "200 \"segment\""),
    ("GET", "paths.example", "/apiary", &[], "200 \"string\""),
    ("GET", "paths.example", "/api/deep/x", &[], "200 \"long\""),
    (
        "GET",
        "paths.example",
        "/api/deeper",
        &[],
        "200 \"segment\"",
    ),
    (
        "GET",
        "paths.example",
        "/api/deep/x",
        &[("x-first", "")],
        "200 \"first\"",
    ),
    ("GET", "paths.example", "/API/42", &[], "404"),
    ("GET", "paths.example", "/api/x/../42", &[], "200 \"regex\""),
    ("GET", "paths.example", "/api//42", &[], "200 \"regex\""),
    ("GET", "paths.example", "/%61pi/exact", &[], "200 \"exact\""),
    ("GET", "paths.example", "/api/./exact", &[], "200 \"exact\""),
    ("GET", "paths.example", "/api%2fexact", &[], "400"),
    (
        "GET",
        "paths.example",
        "/api/exact?q=/../x",
        &[],
        "200 \"exact\"",
    ),
    // Methods.
    ("POST", "methods.example", "/m", &[], "200 \"write\""),
    ("PUT", "methods.example", "/m/1", &[], "200 \"write\""),
    ("DELETE", "methods.example", "/m", &[], "200 \"any\""),
    // Headers.
    (
        "GET",
        "headers.example",
        "/",
        &[("x-a", "abc")],
        "200 \"prefix\"",
    ),
    ("GET", "headers.example", "/", &[("x-a", "bab")], "404"),
    (
        "GET",
        "headers.example",
        "/",
        &[("x-b", "xyz")],
        "200 \"suffix\"",
    ),
    (
        "GET",
        "headers.example",
        "/",
        &[("x-c", "ammo")],
        "200 \"contains\"",
    ),
    (
        "GET",
        "headers.example",
        "/",
        &[("x-d", "123")],
        "200 \"regex\"",
    ),
    ("GET", "headers.example", "/", &[("x-d", "123a")], "404"),
    (
        "GET",
        "headers.example",
        "/",
        &[("X-E", "YES")],
        "200 \"case\"",
    ),
    (
        "GET",
        "headers.example",
        "/",
        &[("x-f", "2")],
        "200 \"not\"",
    ),
    ("GET", "headers.example", "/", &[("x-f", "1")], "404"),
    ("GET", "headers.example", "/", &[], "404"),
    // Query.
    ("GET", "query.example", "/?a=1&b", &[], "200 \"two\""),
    ("GET", "query.example", "/?a=1", &[], "200 \"one\""),
    ("GET", "query.example", "/?a=2&a=1", &[], "404"),
    ("GET", "query.example", "/?A=1", &[], "404"),
    // Redirects.
    (
        "GET",
        "redirect.example",
        "/path?q=1",
        &[],
        "302 to http://redirect.example/elsewhere?q=1",
    ),
    (
        "GET",
        "redirect.example",
        "/old/x?q=1",
        &[],
        "308 to http://redirect.example/new/x?q=1",
    ),
    (
        "GET",
        "redirect.example",
        "/old",
        &[],
        "308 to http://redirect.example/new",
    ),
    (
        "GET",
        "redirect.example",
        "/tls",
        &[],
        "301 to https://redirect.example/tls",
    ),
    (
        "GET",
        "redirect.example:1234",
        "/tls",
        &[],
        "301 to https://redirect.example:1234/tls",
    ),
    (
        "GET",
        "redirect.example",
        "/port",
        &[],
        "307 to http://redirect.example:8443/port",
    ),
    (
        "GET",
        "redirect.example",
        "/strip?q=1",
        &[],
        "303 to http://redirect.example/s",
    ),
    ("HEAD", "shop.example", "/products/9", &[], "200 catalog"),
    (
        "GET",
        "edits.example",
        "/anything",
        &[("x-internal", "1"), ("x-more", "first")],
        "200 catalog GET /anything",
    ),
];

/// Fields that either side may add by its own rules, and that say nothing of the route.
fn is_own_field(name: &str) -> bool {
    matches!(name, "x-request-id" | "x-forwarded-for") || name.starts_with("x-envoy-")
}

struct Pair {
    fleet: Fleet,
    envoy: Envoy,
}

impl Pair {
    async fn start(control_plane: &ControlPlane, port: u16) -> Result<Self> {
        let fleet = Fleet::start(port, &[control_plane.xds()]).await?;
        Ok(Self {
            fleet,
            envoy: Envoy::start(control_plane.xds(), "default", "envoy-1").await?,
        })
    }

    /// The answers of our proxy and of Envoy.
    async fn ask(&self, request: &Request) -> Result<(Answer, Answer)> {
        let envoy = SocketAddr::from((Ipv4Addr::LOCALHOST, self.fleet.port));
        Ok((
            self.fleet.send(0, request.clone()).await?,
            client::send(envoy, request.clone()).await?,
        ))
    }
}

fn request((method, host, target, headers, _): &Row) -> Request {
    let request = Request::new(Method::from_bytes(method.as_bytes()).unwrap(), *target).host(*host);
    headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    })
}

/// The fields that reached the upstream.
fn forwarded_fields(answer: &Answer) -> BTreeMap<String, String> {
    let Ok(seen) = answer.json() else {
        return BTreeMap::new();
    };
    let fields = seen["headers"].as_object().into_iter().flatten();
    let fields = fields.filter(|(name, _)| !is_own_field(name));
    fields
        .map(|(name, value)| (name.clone(), value.to_string()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stock_envoy_and_our_proxy_answer_alike() -> Result<()> {
    let (catalog, next) = (
        Upstream::start("catalog").await?,
        Upstream::start("catalog-next").await?,
    );
    let control_plane = ControlPlane::start().await?;
    let port = Fleet::port()?;
    control_plane.apply(&config(port, &catalog, &next)).await?;
    let pair = Pair::start(&control_plane, port).await?;

    let mut faults = Vec::new();
    for row in TABLE {
        let (ours, envoys) = pair.ask(&request(row)).await?;
        let (method, host, target, headers, wanted) = row;
        if outcome(&ours) != *wanted || outcome(&envoys) != *wanted {
            faults.push(format!(
                "{method} {host}{target} {headers:?}: wanted {wanted}, ours {}, Envoy's {}",
                outcome(&ours),
                outcome(&envoys)
            ));
        }
        for name in ["content-type", "x-served-by"]
            .into_iter()
            .filter(|_| envoys.status.is_success())
        {
            if ours.header(name) != envoys.header(name) {
                faults.push(format!(
                    "{method} {host}{target}: {name}: ours {:?}, Envoy's {:?}",
                    ours.header(name),
                    envoys.header(name)
                ));
            }
        }
        if forwarded_fields(&ours) != forwarded_fields(&envoys) {
            faults.push(format!(
                "{method} {host}{target}: fields at the upstream: ours {:?}, Envoy's {:?}",
                forwarded_fields(&ours),
                forwarded_fields(&envoys)
            ));
        }
    }
    assert!(
        TABLE.len() >= 60 && faults.is_empty(),
        "{}",
        faults.join("\n")
    );
    assert_eq!(
        (pair.envoy.rejected().await?, pair.envoy.warming().await?),
        (0, 0)
    );
    weights_hold(&pair).await?;
    Ok(())
}

/// 1,000 requests on a split of 90 to 10: both sides within five standard deviations (47) of 100.
async fn weights_hold(pair: &Pair) -> Result<()> {
    let (mut ours, mut envoys) = (0, 0);
    for _ in 0..1_000 {
        let (our_answer, envoys_answer) = pair
            .ask(&Request::get("/split/1").host("shop.example"))
            .await?;
        ours += usize::from(our_answer.header("x-upstream") == Some("catalog-next"));
        envoys += usize::from(envoys_answer.header("x-upstream") == Some("catalog-next"));
    }
    println!("of 1,000 requests 100 should go to catalog-next: ours {ours}, Envoy's {envoys}");
    assert!((53..=147).contains(&ours) && (53..=147).contains(&envoys));
    Ok(())
}
