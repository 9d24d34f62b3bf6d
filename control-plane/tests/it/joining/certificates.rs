//! Certificates of clients: each opens what it names, by every method there is, and nothing else.

use std::path::Path;
use std::time::{Duration, SystemTime};

use e2e::certificates::{Authority, Pair};
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::Rig;
use super::streams::{Caller, Stream, follow, methods, next};

const OF_FLEET: &str = "spiffe://shop.example/fleet/edge";
const OF_NODE: &str = "spiffe://shop.example/fleet/edge/node/n";

/// A control plane with two fleets that asks for certificates.
struct Stage {
    rig: Rig,
    authority: Authority,
    /// A join token of `edge`.
    secret: &'static str,
}

impl Stage {
    async fn start(any_fleet: bool) -> Self {
        let authority = Authority::new().unwrap();
        let server = authority.issue("server").unwrap();
        let (rig, secret) = Rig::start_with_tls(&server, |settings| {
            settings.xds_client_ca = Some(authority.root());
            settings.xds_cert_any_fleet = any_fleet;
        })
        .await;
        Self {
            rig,
            authority,
            secret: secret.leak(),
        }
    }

    async fn connect(&self, identity: Option<&Pair>) -> Result<Channel, tonic::transport::Error> {
        let pem = |path: &Path| std::fs::read(path).unwrap();
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(pem(&self.authority.root())))
            .domain_name("localhost");
        if let Some(pair) = identity {
            tls = tls.identity(Identity::from_pem(pem(&pair.cert), pem(&pair.key)));
        }
        let endpoint = Endpoint::from_shared(format!("https://{}", self.rig.app.xds)).unwrap();
        endpoint.tls_config(tls).unwrap().connect().await
    }

    /// Opens a stream of every method, and a session, and expects the same of all.
    #[track_caller]
    fn check(
        &self,
        uris: &'static [&'static str],
        caller: Caller<'static>,
        expected: Result<(), Code>,
    ) -> impl Future<Output = ()> + '_ {
        let place = std::panic::Location::caller();
        async move {
            let pair = self.authority.issue_with("proxy", uris).unwrap();
            let channel = self.connect(Some(&pair)).await.unwrap();
            for method in methods() {
                let first = method.first(channel.clone(), caller).await;
                assert_eq!(first, expected, "{place}: {method:?} {uris:?} {caller:?}");
            }
            let target = next(&mut follow(channel, caller)).await;
            let target = target.map(drop).map_err(|status| status.code());
            assert_eq!(target, expected, "{place}: session {uris:?} {caller:?}");
        }
    }
}

const fn caller(fleet: &'static str, node: &'static str) -> Caller<'static> {
    Caller {
        fleet,
        node,
        secret: None,
    }
}

#[tokio::test]
async fn a_certificate_opens_the_fleet_and_the_node_that_it_names() {
    let stage = Stage::start(false).await;
    let denied = Err(Code::PermissionDenied);
    stage.check(&[OF_FLEET], caller("edge", "n"), Ok(())).await;
    stage.check(&[OF_FLEET], caller("edge", "m"), Ok(())).await;
    stage.check(&[OF_FLEET], caller("core", "n"), denied).await;
    // Whether a fleet exists is not told to those of another.
    stage.check(&[OF_FLEET], caller("nope", "n"), denied).await;
    stage.check(&[OF_NODE], caller("edge", "n"), Ok(())).await;
    stage.check(&[OF_NODE], caller("edge", "m"), denied).await;
    stage.check(&[OF_NODE], caller("core", "n"), denied).await;
}

#[tokio::test]
async fn a_certificate_that_names_no_fleet_opens_none_without_a_token() {
    let stage = Stage::start(false).await;
    let denied = Err(Code::PermissionDenied);
    let with_token = |fleet| Caller {
        secret: Some(stage.secret),
        ..caller(fleet, "n")
    };
    stage.check(&[], caller("edge", "n"), denied).await;
    stage.check(&[], with_token("edge"), Ok(())).await;
    stage.check(&[], with_token("core"), denied).await;
    // Where there are both, both must be of the fleet.
    stage.check(&[OF_FLEET], with_token("edge"), Ok(())).await;
    let other: &[&str] = &["spiffe://shop.example/fleet/core"];
    stage.check(other, with_token("edge"), denied).await;
    stage.check(other, with_token("core"), denied).await;
    // A name that cannot be followed is no name to go without.
    let broken: &[&str] = &["spiffe://shop.example/fleet/"];
    stage.check(broken, with_token("edge"), denied).await;
}

#[tokio::test]
async fn on_request_a_certificate_that_names_no_fleet_opens_every_one() {
    let stage = Stage::start(true).await;
    let denied = Err(Code::PermissionDenied);
    stage.check(&[], caller("edge", "n"), Ok(())).await;
    let elsewhere: &[&str] = &["spiffe://cluster.local/ns/shop/sa/edge"];
    stage.check(elsewhere, caller("core", "n"), Ok(())).await;
    stage.check(&[OF_FLEET], caller("core", "n"), denied).await;
    let broken: &[&str] = &["spiffe://shop.example/fleet/"];
    stage.check(broken, caller("edge", "n"), denied).await;
}

#[tokio::test]
async fn with_client_certificates_a_stream_without_one_is_refused() {
    let stage = Stage::start(true).await;
    let stranger = Authority::new().unwrap();
    for identity in [
        None,
        Some(&stranger.issue_with("proxy", &[OF_FLEET]).unwrap()),
    ] {
        // In TLS 1.3 the client is done before the server has looked: the first call fails at the latest.
        let Ok(channel) = stage.connect(identity).await else {
            continue;
        };
        for method in methods() {
            let first = method.first(channel.clone(), caller("edge", "n")).await;
            assert!(first.is_err(), "{identity:?} {method:?}");
        }
        let target = next(&mut follow(channel, caller("edge", "n"))).await;
        assert!(target.is_err(), "{identity:?}");
    }
}

#[tokio::test]
async fn streams_end_with_the_certificate_that_they_were_opened_with() {
    let stage = Stage::start(false).await;
    let until = SystemTime::now() + Duration::from_secs(8);
    let pair = stage
        .authority
        .issue_until("brief", &[OF_FLEET], Some(until))
        .unwrap();
    let channel = stage.connect(Some(&pair)).await.unwrap();
    let mut session = follow(channel.clone(), caller("edge", "n"));
    next(&mut session).await.unwrap();
    let opened = methods()
        .into_iter()
        .map(|method| method.open(channel.clone(), caller("edge", "n"), &[]));
    let mut streams: Vec<_> = opened.collect();
    for stream in &mut streams {
        next(stream).await.unwrap();
    }
    for stream in &mut streams {
        assert_eq!(end_of(stream).await, Code::Unauthenticated);
        assert!(SystemTime::now() > until);
    }
    assert_eq!(end_of(&mut session).await, Code::Unauthenticated);
    // The connection goes on, and opens nothing any more.
    let first = methods()[0].first(channel, caller("edge", "n")).await;
    assert_eq!(first, Err(Code::Unauthenticated));
}

async fn end_of<T>(stream: &mut Stream<T>) -> Code {
    loop {
        if let Err(status) = next(stream).await {
            return status.code();
        }
    }
}
