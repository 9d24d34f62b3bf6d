//! What the fuzz targets assert, for their corpora, whole and cut anywhere.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

#[path = "../fuzz/check.rs"]
mod check;

fn run(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let inputs = std::fs::read_dir(folder.join(target)).unwrap();
    let mut count = 0;
    for input in inputs {
        let input = std::fs::read(input.unwrap().path()).unwrap();
        check(&input);
        // A step that is no divisor of anything keeps long inputs short of minutes.
        for end in (0..input.len()).step_by(input.len() / 997 + 1) {
            check(&input[..end]);
        }
        count += 1;
    }
    assert!(count > 10, "the corpus is missing");
}

#[test]
fn requests() {
    run("request", check::request);
}

#[test]
fn responses() {
    run("response", check::response);
}

#[test]
fn chunked_bodies() {
    run("chunked", check::chunked);
}
