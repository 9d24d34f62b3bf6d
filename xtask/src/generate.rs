//! `cargo xtask generate`: our own `.proto` files → the Rust code in `proto/src/generated`, which is committed. So a build
//! needs no protoc and no build script.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::workspace;

const PROTO: &str = "signalbox/v1/session.proto";
const GENERATED: &str = "signalbox.v1.rs";

/// Writes the code.
pub(crate) fn regenerate() -> Result<()> {
    let folder = workspace::root().join("proto/src/generated");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    generate_into(&folder)?;
    println!("{}", folder.join(GENERATED).display());
    Ok(())
}

fn generate_into(folder: &Path) -> Result<()> {
    let files = protox::compile([PROTO], [workspace::root().join("proto/proto")])?;
    tonic_prost_build::configure()
        .out_dir(folder)
        .compile_fds(files)
        .context("generating the code")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_code_is_what_the_proto_files_give() {
        let fresh = tempfile::tempdir().unwrap();
        generate_into(fresh.path()).unwrap();
        let read = |folder: &Path| fs::read_to_string(folder.join(GENERATED)).unwrap();
        assert!(
            read(fresh.path()) == read(&workspace::root().join("proto/src/generated")),
            "run `cargo xtask generate` and commit proto/src/generated"
        );
    }
}
