//! A program that is linked with one of gRPC's own xDS clients and does without a proxy: it dials `xds:///HOST` and makes
//! unary calls in a steady rhythm.
//! In: the language, the control plane's address, a node id, what to call. Out: every call with its times and what came of it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use anyhow::Result;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Process, Spawn};
use crate::{tools, wait};

/// Which of gRPC's clients: they have no code in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// C-core, through Python (`grpcio`); C++, Ruby and others are on it too.
    Python,
    /// `@grpc/grpc-js` with `@grpc/grpc-js-xds`.
    JavaScript,
}

/// A running program.
pub struct GrpcClient {
    process: Process,
    calls: Arc<Mutex<Vec<Call>>>,
    _folder: TempDir,
}

/// One call that is over.
#[derive(Clone, Debug)]
pub struct Call {
    /// The host that was dialled.
    pub host: String,
    /// `/SERVICE/METHOD`.
    pub path: String,
    /// When it began.
    pub start: SystemTime,
    /// When it was over.
    pub end: SystemTime,
    /// The upstream that answered, or the status and its text.
    pub outcome: Result<String, String>,
}

impl GrpcClient {
    /// Starts one in `language`, as node `node_id` of `fleet`; it calls each of `targets` (host, path) in turn, with a pause between
    /// two calls, until it is dropped.
    pub fn start(
        language: Language,
        xds: SocketAddr,
        fleet: &str,
        node_id: &str,
        targets: &[(String, String)],
        pause: Duration,
    ) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("signalbox-grpc-")
            .tempdir()?;
        let bootstrap = json!({
            "xds_servers": [{
                "server_uri": xds.to_string(),
                "channel_creds": [{"type": "insecure"}],
                "server_features": ["xds_v3"],
            }],
            // The client for JavaScript takes no node without a locality.
            "node": {"id": node_id, "cluster": fleet, "locality": {}},
        });
        let bootstrap_file = folder.path().join("bootstrap.json");
        fs::write(&bootstrap_file, bootstrap.to_string())?;
        let mut command = language.program(folder.path())?;
        command
            .arg(pause.as_secs_f64().to_string())
            .env("GRPC_XDS_BOOTSTRAP", bootstrap_file);
        for (host, path) in targets {
            command.arg(host).arg(path);
        }
        let calls = Arc::<Mutex<Vec<Call>>>::default();
        let seen = calls.clone();
        let process = Spawn::new(format!("grpc client {node_id}"), command)
            .on_line(Some(Arc::new(move |line: &str| {
                if let Some(call) = Call::parse(line) {
                    lock(&seen).push(call);
                }
            })))
            .start()?;
        Ok(Self {
            process,
            calls,
            _folder: folder,
        })
    }

    /// The calls that are over, and forgets them.
    pub fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut lock(&self.calls))
    }

    /// Waits until a call of this target that began after this has this outcome.
    pub async fn wait_for(
        &self,
        (host, path): (&str, &str),
        within: Duration,
        is_wanted: impl Fn(&Result<String, String>) -> bool,
    ) -> Result<()> {
        let begin = SystemTime::now();
        let what = format!("a call of {host}{path} ends as it should");
        wait::until(&what, within, async || {
            let calls = lock(&self.calls);
            let of_target = |call: &&Call| call.host == host && call.path == path;
            let newest = calls.iter().rev().find(of_target);
            match newest {
                Some(call) if call.start >= begin && is_wanted(&call.outcome) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await
        .map_err(|error| self.process.failure(&format!("{error:#}")))
    }

    /// The child itself.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

impl Language {
    /// The program, which is written into the folder.
    fn program(self, folder: &Path) -> Result<Command> {
        let (name, text) = match self {
            Self::Python => ("client.py", include_str!("grpc/client.py")),
            Self::JavaScript => ("client.js", include_str!("grpc/client.js")),
        };
        let program = folder.join(name);
        fs::write(&program, text)?;
        let mut command = match self {
            Self::Python => Command::new(tools::python()?),
            Self::JavaScript => Command::new(tools::node()?),
        };
        match self {
            Self::Python => command.arg("-u"),
            Self::JavaScript => command.env("NODE_PATH", tools::node_modules()?),
        };
        command.arg(program);
        Ok(command)
    }
}

impl Call {
    fn parse(line: &str) -> Option<Self> {
        let line: Value = serde_json::from_str(line).ok()?;
        let text = |field: &str| Some(line[field].as_str()?.to_owned());
        let time = |field: &str| {
            let seconds = Duration::try_from_secs_f64(line[field].as_f64()?).ok()?;
            SystemTime::UNIX_EPOCH.checked_add(seconds)
        };
        let outcome = match text("upstream") {
            Some(upstream) => Ok(upstream),
            None => Err(text("failure")?),
        };
        Some(Self {
            host: text("host")?,
            path: text("path")?,
            start: time("start")?,
            end: time("end")?,
            outcome,
        })
    }
}

fn lock(calls: &Mutex<Vec<Call>>) -> std::sync::MutexGuard<'_, Vec<Call>> {
    calls
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_call() {
        let line = r#"{"host":"h","path":"/s/m","start":1.5,"end":2,"failure":"UNAVAILABLE: x"}"#;
        let call = Call::parse(line).unwrap();
        assert_eq!((call.host.as_str(), call.path.as_str()), ("h", "/s/m"));
        assert_eq!(
            call.end.duration_since(call.start).unwrap(),
            Duration::from_millis(500)
        );
        assert_eq!(call.outcome, Err("UNAVAILABLE: x".to_owned()));
        assert!(Call::parse("I0000 some log").is_none());
    }
}
