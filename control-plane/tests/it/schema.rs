//! Every operation of the OpenAPI document, with inputs that are made from it and some that break it: the API never
//! fails by its own fault, and never answers what the document does not say.

use std::process::Stdio;

use e2e::programs::ControlPlane;
use e2e::tools;
use tokio::process::Command;

/// Without it most requests would be for what is not there.
const SETTINGS: &str = r#"
parameters = { "path.fleet" = "default" }

[[operations]]
include-path-regex = "/rollouts/"
parameters = { "path.id" = "latest" }

[[operations]]
include-path-regex = "/revisions/"
parameters = { "path.number" = 1, "path.to" = 2 }
"#;
/// Of each operation; all of them together take half a minute where nothing else runs.
const EXAMPLES: &str = "20";
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_input_makes_the_api_leave_its_document() {
    let control_plane = ControlPlane::start().await.unwrap();
    control_plane
        .apply(include_str!("../../../examples/shop.yaml"))
        .await
        .unwrap();
    let route = serde_json::json!({"name": "hello", "respond": {"status": 200}});
    control_plane.replace_route("hello", &route).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("schemathesis.toml");
    std::fs::write(&settings, SETTINGS).unwrap();
    let program = tools::venv().unwrap().join("bin/schemathesis");
    let document = format!("http://{}/openapi.json", control_plane.admin());
    let output = Command::new(program)
        .arg("--config-file")
        .arg(&settings)
        .args(["run", &document, "--checks", CHECKS])
        // Left out is only this: a stream that does not end (`api/events.rs` listens to it). Rollouts and traffic are in.
        .args(["--exclude-path", "/v1/events"])
        .args([
            "--phases",
            "examples,fuzzing",
            "--max-examples",
            EXAMPLES,
            "--workers",
            "2",
            "--seed",
            "1",
        ])
        .args(["--request-timeout", "20", "--no-color"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}");
}
