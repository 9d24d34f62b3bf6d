//! The data folder: who may use it, and what is said if it cannot be used. What is kept in it is tested with a control plane.

use std::path::Path;
use std::time::Duration;

use clap::Parser;
use proxy::app::Proxy;
use proxy::bootstrap::Settings;

fn settings(data_dir: &Path) -> Settings {
    // Nothing listens there: a proxy needs no control plane to start.
    let fixed = [
        "signalbox-proxy",
        "--xds",
        "http://127.0.0.1:9",
        "--workers",
        "1",
        "--data-dir",
    ];
    let arguments = fixed.map(str::to_owned).into_iter();
    Settings::parse_from(arguments.chain([data_dir.to_str().unwrap().to_owned()]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_folder_belongs_to_one_proxy_until_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let first = Proxy::start(&settings).await.unwrap();
    let refused = format!("{:#}", Proxy::start(&settings).await.unwrap_err());
    let path = folder.path().to_str().unwrap();
    assert!(
        refused.contains("another process uses") && refused.contains(path),
        "{refused}"
    );
    tokio::time::timeout(Duration::from_secs(20), first.run_until(async {}))
        .await
        .unwrap()
        .unwrap();
    Proxy::start(&settings).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_folder_that_cannot_be_used_ends_the_start_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a-file");
    std::fs::write(&file, "").unwrap();
    let mut settings = settings(&file);
    settings.node_id = Some("named".into());
    let refused = format!("{:#}", Proxy::start(&settings).await.unwrap_err());
    assert!(refused.contains(file.to_str().unwrap()), "{refused}");
}
