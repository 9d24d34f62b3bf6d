//! A shell beside each child that holds the read end of a pipe from us: what we write are signals to send, and when the pipe
//! closes, since we dropped it or were killed, it ends the child.
//! A shell because the alternatives need `unsafe`: sending signals (`kill(2)`) and the parent-death signal, which moreover
//! fires when the spawning *thread* ends.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};

use super::Signal;

/// `$1` the child, leader of its process group; `$2` the signal that ends it.
const SCRIPT: &str = r#"
while read -r signal; do kill -s "$signal" "$1"; done
kill -s "$2" -- "-$1"
[ "$2" = KILL ] || { sleep 5; kill -s KILL -- "-$1"; }
"#;

pub(super) struct Guard {
    shell: Child,
    /// `None` once the guard has struck or stands down.
    orders: Option<ChildStdin>,
    last_signal: Signal,
}

impl Guard {
    pub(super) fn over(child: u32, last_signal: Signal) -> io::Result<Self> {
        let mut command = Command::new("sh");
        command
            .args(["-c", SCRIPT, "guard"])
            .arg(child.to_string())
            .arg(last_signal.name());
        // Out of our process group: the Ctrl-C that ends us must not end the guard.
        command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut shell = command.spawn()?;
        let orders = shell.stdin.take();
        Ok(Self {
            shell,
            orders,
            last_signal,
        })
    }

    /// Sends one signal to the child.
    pub(super) fn send(&mut self, signal: Signal) -> io::Result<()> {
        match &mut self.orders {
            Some(orders) => writeln!(orders, "{}", signal.name()),
            None => Err(io::Error::other("it has ended")),
        }
    }

    /// Sends the last signal to the child's whole group; the caller waits for the child.
    pub(super) fn strike(&mut self) {
        self.orders = None;
        if self.last_signal == Signal::Kill {
            // The shell ends when it has done it: standing down now would spare the child's own children.
            let _ = self.shell.wait();
        }
    }

    /// The child is gone, and its number may belong to another process soon.
    pub(super) fn stand_down(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
        self.orders = None;
    }
}
