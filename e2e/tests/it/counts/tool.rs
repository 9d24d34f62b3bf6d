//! What counts: a program of the system that the proxy is started under, and what it says in the end.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::client::{self, Request};
use e2e::programs::Proxy;
use e2e::tools;
use tempfile::TempDir;

const END_WITHIN: Duration = Duration::from_mins(1);

/// A kind of count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    /// Instructions in user space.
    Callgrind,
    /// System calls.
    Strace,
    /// Allocations.
    Memcheck,
}

/// A proxy that is being counted.
pub(super) struct Counted {
    pub(super) proxy: Proxy,
    pub(super) tool: Tool,
    /// Where the tool writes.
    pub(super) folder: TempDir,
}

impl Tool {
    /// The words in front of the program.
    pub(super) fn words(self, folder: &Path) -> Result<Vec<String>> {
        let (program, arguments): (_, &[&str]) = match self {
            Self::Callgrind => (
                "valgrind",
                &["--tool=callgrind", "--callgrind-out-file=/dev/null"],
            ),
            Self::Memcheck => ("valgrind", &["--leak-check=no", "--undef-value-errors=no"]),
            Self::Strace => ("strace", &["-f", "-c", "-U", "calls,name"]),
        };
        let path = tools::system(program).with_context(|| {
            format!("{program} is missing: `cargo xtask test --only tools` installs it, or `apt-get install {program}`, or what your system calls it")
        })?;
        let report = folder.join(REPORT).display().to_string();
        let report = match self {
            Self::Callgrind | Self::Memcheck => vec![format!("--log-file={report}")],
            Self::Strace => vec!["-o".to_owned(), report],
        };
        let arguments = arguments.iter().map(|argument| (*argument).to_owned());
        let program = [path.display().to_string()];
        Ok(program.into_iter().chain(arguments).chain(report).collect())
    }

    fn read(self, report: &str) -> Option<u64> {
        match self {
            Self::Callgrind => number_behind(report, "Collected : "),
            Self::Memcheck => number_behind(report, "total heap usage: "),
            Self::Strace => {
                let line = report.lines().find(|line| line.ends_with(" total"))?;
                line.split_whitespace().next()?.parse().ok()
            }
        }
    }
}

const REPORT: &str = "report";

impl Counted {
    /// Ends the proxy by its admin port, since a signal would reach the tool, and reads what was counted from its start on.
    pub(super) async fn end(mut self) -> Result<u64> {
        client::send(self.proxy.admin(), Request::post("/drain"))
            .await?
            .success()?;
        let status = self.proxy.process().wait(END_WITHIN).await?;
        ensure!(status.success(), "{}", self.proxy.process().tail());
        let report = fs::read_to_string(self.folder.path().join(REPORT))?;
        self.tool
            .read(&report)
            .with_context(|| format!("no count in what {:?} wrote:\n{report}", self.tool))
    }
}

/// The number, which may have commas, behind the first place where this text stands.
fn number_behind(report: &str, text: &str) -> Option<u64> {
    let (_, rest) = report.split_once(text)?;
    let number = rest.split_whitespace().next()?.replace(',', "");
    number.parse().ok()
}

#[test]
fn the_words_of_each_tool_are_understood() {
    let callgrind = "==7== Events    : Ir\n==7== Collected : 123456\n==7== \n";
    assert_eq!(Tool::Callgrind.read(callgrind), Some(123_456));
    let memcheck = "==7==   total heap usage: 1,234 allocs, 1,200 frees, 9 bytes allocated\n";
    assert_eq!(Tool::Memcheck.read(memcheck), Some(1_234));
    let strace = "    calls syscall\n--------- ------\n       12 epoll_wait\n        3 sendto\n--------- ------\n       15 total\n";
    assert_eq!(Tool::Strace.read(strace), Some(15));
}
