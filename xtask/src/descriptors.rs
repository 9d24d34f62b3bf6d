//! `cargo xtask descriptors`: the `.proto` files inside the `envoy-types` package → `proto/envoy.binpb.zst`.
//! No protoc: `protox` compiles. It takes any package prefix in the pool for a scope, where protoc looks at a file's own
//! imports only, and so refuses Envoy's files as they are; every name is therefore written out in full first.
//! The options stay in the set: they hold Envoy's validation rules.

mod qualify;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use prost_types::FileDescriptorProto;
use protox::file::{ChainFileResolver, File, FileResolver, GoogleFileResolver};

use crate::workspace;

/// What the folders under `proto/` of the package are to an `import` line.
const IMPORT_ROOTS: [&str; 8] = [
    "cel-spec/proto",
    "client_model",
    "data-plane-api",
    "googleapis",
    "opentelemetry-proto",
    "protoc-gen-validate",
    "ratelimit/api",
    "xds",
];

/// The set is written once in a long while and read at every start of a program.
const ZSTD_LEVEL: i32 = 19;

/// Writes the set and says what it weighs.
pub(crate) fn regenerate() -> Result<()> {
    let set = compile()?;
    let compressed = zstd::encode_all(set.as_slice(), ZSTD_LEVEL)?;
    let path = workspace::root().join("proto/envoy.binpb.zst");
    fs::write(&path, &compressed).with_context(|| format!("writing {}", path.display()))?;
    println!(
        "{}: {} KiB, {} KiB unpacked",
        path.display(),
        compressed.len() / 1024,
        set.len() / 1024
    );
    Ok(())
}

/// The encoded `FileDescriptorSet` of all files, dependencies first, the same bytes every time.
fn compile() -> Result<Vec<u8>> {
    let mut files = parse_all(&package_source()?.join("proto"))?;
    qualify::qualify(files.values_mut());
    let names: Vec<String> = files.keys().cloned().collect();
    let mut resolver = ChainFileResolver::new();
    resolver.add(Parsed(files));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = protox::Compiler::with_file_resolver(resolver);
    compiler.include_imports(true).open_files(&names)?;
    Ok(compiler.encode_file_descriptor_set())
}

/// The folder of the `envoy-types` package that the lock file names.
fn package_source() -> Result<PathBuf> {
    let metadata = workspace::cargo_metadata()?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata lists no packages")?;
    let package = packages
        .iter()
        .find(|package| package["name"] == "envoy-types");
    let manifest = package.and_then(|package| package["manifest_path"].as_str());
    let manifest = manifest.context("envoy-types is not among the dependencies")?;
    Ok(Path::new(manifest)
        .parent()
        .context("a manifest lies in a folder")?
        .to_owned())
}

fn parse_all(proto: &Path) -> Result<BTreeMap<String, FileDescriptorProto>> {
    let mut files = BTreeMap::new();
    for root in IMPORT_ROOTS.map(|root| proto.join(root)) {
        for path in proto_files(&root)? {
            let name = path
                .strip_prefix(&root)?
                .to_str()
                .context("file names are UTF-8")?
                .to_owned();
            let file = protox_parse::parse(&name, &fs::read_to_string(&path)?)?;
            ensure!(
                files.insert(name, file).is_none(),
                "{} is there twice",
                path.display()
            );
        }
    }
    Ok(files)
}

fn proto_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(proto_files(&path)?);
        } else if path.extension() == Some(OsStr::new("proto")) {
            found.push(path);
        }
    }
    Ok(found)
}

/// The parsed files, served to the compiler by the names in `import` lines.
struct Parsed(BTreeMap<String, FileDescriptorProto>);

impl FileResolver for Parsed {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        let file = self
            .0
            .get(name)
            .ok_or_else(|| protox::Error::file_not_found(name))?;
        Ok(File::from_file_descriptor_proto(file.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_set_is_what_the_package_gives() {
        let committed = fs::read(workspace::root().join("proto/envoy.binpb.zst")).unwrap();
        // Compared unpacked: another release of zstd may pack the same set into other bytes.
        let committed = zstd::decode_all(committed.as_slice()).unwrap();
        assert!(
            committed == compile().unwrap(),
            "run `cargo xtask descriptors` and commit proto/envoy.binpb.zst"
        );
    }
}
