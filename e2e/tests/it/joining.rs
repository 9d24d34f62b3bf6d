//! A proxy joins its fleet over TLS with a token, and only with it.

use std::time::Duration;

use anyhow::{Context as _, Result};
use e2e::certificates::Authority;
use e2e::client::Request;
use e2e::programs::{ControlPlaneSettings, ProxySettings};
use e2e::{ports, wait};
use serde_json::json;

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_proxy_joins_over_tls_with_a_token_and_not_without() -> Result<()> {
    let (authority, folder) = (Authority::new()?, tempfile::tempdir()?);
    let port = ports::free_port()?;
    // Set up where nobody is asked; the harness speaks no TLS to the API.
    let mut open = ControlPlaneSettings::default()
        .data_dir(folder.path())
        .start()
        .await?;
    open.apply(
        &json!({
            "listeners": [{"name": "web", "address": "0.0.0.0", "port": port}],
            "routes": [{"name": "hello", "match": {"path": {"exact": "/hello"}}, "respond": {"status": 200, "body": "hello"}}],
        })
        .to_string(),
    )
    .await?;
    let wanted = json!({"name": "edge", "kind": "join", "fleets": ["default"]});
    let made = open
        .send(Request::post("/v1/tokens").json(&wanted))
        .await?
        .success()?
        .json()?;
    let secret = made["secret"].as_str().context("a secret is told")?;
    open.terminate().await?;

    let pair = authority.issue("server")?;
    let mut control_plane = ControlPlaneSettings::default()
        .data_dir(folder.path())
        .argument("--require-token")
        .argument(format!("--tls-cert={}", pair.cert.display()))
        .argument(format!("--tls-key={}", pair.key.display()))
        .start()
        .await?;

    let file = authority.folder().join("token");
    std::fs::write(&file, "sbxjoin_wrong\n")?;
    let settings = ProxySettings::new("edge-1", control_plane.xds())
        .tls(&authority.root())
        .arguments(["--xds-token-file", &file.to_string_lossy()]);
    let mut proxy = settings.start().await?;
    wait::until("the wrong token is refused", SOON, async || {
        let dump = proxy
            .config_dump()
            .await
            .map_err(|error| error.to_string())?;
        let said = dump.to_string();
        if said.contains("this token is not known here") {
            Ok(())
        } else {
            Err(said)
        }
    })
    .await?;
    assert!(!proxy.ready().await?);

    // The file is read for every attempt.
    std::fs::write(&file, format!("{secret}\n"))?;
    proxy.wait_live().await?;
    assert_eq!(
        proxy.send(port, Request::get("/hello")).await?.text(),
        "hello"
    );
    proxy.terminate(SOON).await?;
    control_plane.terminate().await
}
