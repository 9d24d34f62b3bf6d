//! The program itself, as a process that can be killed.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::Client;

/// A running proxy. It is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    admin: SocketAddr,
}

impl Process {
    /// Starts the program and waits until it is up.
    pub(crate) fn start(xds: SocketAddr, data_dir: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_signalbox-proxy"))
            .args(["--node-id", "edge-1", "--workers", "1", "--xds"])
            .arg(format!("http://{xds}"))
            .arg("--data-dir")
            .arg(data_dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let (_, admin) = line.trim().split_once("admin=").unwrap();
        Self {
            child,
            admin: admin.parse().unwrap(),
        }
    }

    /// Ends it with SIGKILL.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// What the admin port says.
    pub(crate) fn admin(&self, path: &str) -> String {
        Client::connect(self.admin).get(path).text()
    }

    fn end(&mut self) {
        // It may be gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
