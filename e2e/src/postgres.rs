//! A private PostgreSQL: a cluster in a temporary folder, on a loopback port, gone on drop.
//! In: PostgreSQL's programs. Out: URLs of fresh databases. A cluster takes about a second, a database a tenth of one.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::process::{Process, Signal, Spawn};
use crate::{ports, tools, wait};

/// On a busy machine; usually it is under a second.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// A running cluster.
pub struct Postgres {
    /// Before `folder`: the server ends before its files go.
    server: Process,
    port: u16,
    user: Option<User>,
    databases: AtomicU32,
    folder: TempDir,
}

impl Postgres {
    /// Makes a cluster and starts it.
    pub async fn start() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("signalbox-postgres-")
            .tempdir()?;
        let user = User::to_run_as()?;
        if let Some(user) = &user {
            chown(folder.path(), Some(user.uid), Some(user.gid))?;
        }
        run(user.as_ref(), init(folder.path())?).context("initdb")?;
        let port = ports::free_port()?;
        let server = launch(folder.path(), port, user.as_ref()).await?;
        Ok(Self {
            server,
            port,
            user,
            databases: AtomicU32::new(0),
            folder,
        })
    }

    /// Creates an empty database and returns its URL.
    pub fn database(&self) -> Result<String> {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut command = Command::new(tools::postgres("createdb")?);
        command.arg("--host").arg(self.folder.path()).args([
            "--port",
            &self.port.to_string(),
            "--username=postgres",
            &name,
        ]);
        run(self.user.as_ref(), command).context("createdb")?;
        Ok(format!(
            "postgres://postgres@127.0.0.1:{}/{name}",
            self.port
        ))
    }

    /// Ends the server at once, as a crash does; connections break.
    pub fn kill(&mut self) -> Result<()> {
        self.server.kill()
    }

    /// Starts the server again on the same files and port. Recovery is part of it.
    pub async fn restart(&mut self) -> Result<()> {
        self.server.signal(Signal::Quit).ok();
        self.server.wait(READY_WITHIN).await?;
        // After a kill the backends hold the shared memory for a moment longer, and a new server refuses to start meanwhile.
        self.server = wait::until("postgres starts again", READY_WITHIN, async || {
            let server = launch(self.folder.path(), self.port, self.user.as_ref()).await;
            server.map_err(|error| format!("{error:#}"))
        })
        .await?;
        Ok(())
    }
}

fn init(folder: &Path) -> Result<Command> {
    let mut command = Command::new(tools::postgres("initdb")?);
    command.arg("--pgdata").arg(folder.join("data"));
    // Tests on loopback in a private folder need neither passwords nor durability against a power cut.
    command.args([
        "--username=postgres",
        "--auth=trust",
        "--no-sync",
        "--locale=C",
        "--encoding=UTF8",
        "--no-instructions",
    ]);
    Ok(command)
}

async fn launch(folder: &Path, port: u16, user: Option<&User>) -> Result<Process> {
    let mut command = Command::new(tools::postgres("postgres")?);
    command
        .arg("-D")
        .arg(folder.join("data"))
        .arg("-k")
        .arg(folder)
        .args(["-p", &port.to_string()]);
    for setting in [
        "listen_addresses=127.0.0.1",
        "fsync=off",
        "full_page_writes=off",
        "max_connections=200",
    ] {
        command.args(["-c", setting]);
    }
    User::apply(user, &mut command);
    // English messages: the ready line is recognised by its text.
    command.env("LC_ALL", "C");
    let mut server = Spawn::new("postgres", command)
        .last_signal(Signal::Quit)
        .start()?;
    let ready = "database system is ready to accept connections";
    server
        .line("it accepts connections", READY_WITHIN, |line| {
            line.contains(ready).then_some(())
        })
        .await?;
    Ok(server)
}

fn run(user: Option<&User>, mut command: Command) -> Result<()> {
    User::apply(user, &mut command);
    let output = command.stdin(Stdio::null()).output()?;
    ensure!(
        output.status.success(),
        "{}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Whom PostgreSQL runs as: itself refuses to run as root.
struct User {
    uid: u32,
    gid: u32,
}

impl User {
    /// `None`: as we do.
    fn to_run_as() -> Result<Option<Self>> {
        let root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
        root.then(|| Self::named("postgres")).transpose()
    }

    /// From `/etc/passwd`, where the package puts its user.
    fn named(name: &str) -> Result<Self> {
        let users = fs::read_to_string("/etc/passwd")?;
        let fields = users
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields.first() == Some(&name));
        let number = |index: usize| fields.as_ref()?.get(index)?.parse().ok();
        number(2)
            .zip(number(3))
            .map(|(uid, gid)| Self { uid, gid })
            .with_context(|| {
                format!(
                    "PostgreSQL does not run as root, and there is no user `{name}` to run it as"
                )
            })
    }

    fn apply(user: Option<&Self>, command: &mut Command) {
        // Not the caller's folder: its user may not enter it.
        command.current_dir("/");
        if let Some(user) = user {
            command.uid(user.uid).gid(user.gid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(url: &str, sql: &str) -> String {
        let output = Command::new(tools::postgres("psql").unwrap())
            .args(["-Atqc", sql, url])
            .output()
            .unwrap();
        String::from_utf8([output.stdout, output.stderr].concat())
            .unwrap()
            .trim()
            .to_owned()
    }

    #[tokio::test]
    async fn databases_of_one_cluster_are_apart_and_outlive_a_crash_of_the_server() {
        let mut postgres = Postgres::start().await.unwrap();
        let (first, second) = (postgres.database().unwrap(), postgres.database().unwrap());
        assert_eq!(
            ask(&first, "create table t as select 7 as n; select n from t"),
            "7"
        );
        assert!(ask(&second, "select n from t").contains("does not exist"));
        postgres.kill().unwrap();
        assert!(ask(&first, "select 1").contains("refused"));
        postgres.restart().await.unwrap();
        assert_eq!(ask(&first, "select n from t"), "7");
    }

    #[tokio::test]
    async fn a_dropped_cluster_leaves_no_process_and_no_file() {
        let postgres = Postgres::start().await.unwrap();
        let (folder, id) = (postgres.folder.path().to_owned(), postgres.server.id());
        assert!(folder.join("data").exists());
        drop(postgres);
        assert!(!folder.exists() && !Path::new(&format!("/proc/{id}")).exists());
    }
}
