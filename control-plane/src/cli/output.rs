//! How answers are written: the forms of `-o`, colours on a terminal, and text that cannot drive one.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use clap::ValueEnum;
use serde::Serialize;

use super::failure::Failure;

/// What a command has to say.
#[derive(Debug)]
pub(super) struct Report {
    /// For stdout.
    pub(super) text: String,
    /// Whether differences were looked for and found.
    pub(super) differs: bool,
}

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Form {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// For people and programs.
    Yaml,
    /// `KIND/NAME`, one a line.
    Name,
}

/// Colours, where somebody sees them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    on: bool,
}

impl Report {
    /// Text that ends with a line end.
    pub(super) fn new(text: impl Into<String>) -> Self {
        let mut text = text.into();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        Self {
            text,
            differs: false,
        }
    }

    /// A document as JSON or YAML.
    pub(super) fn document<T: Serialize>(form: Form, document: &T) -> Result<Self, Failure> {
        let broken = |error: &dyn std::error::Error| {
            Failure::Local(format!("the answer cannot be written: {error}"))
        };
        let text = match form {
            Form::Json => serde_json::to_string_pretty(document).map_err(|error| broken(&error))?,
            _ => yaml_serde::to_string(document).map_err(|error| broken(&error))?,
        };
        Ok(Self::new(text))
    }

    /// Lines.
    pub(super) fn lines<T: std::fmt::Display>(lines: impl IntoIterator<Item = T>) -> Self {
        let mut text = String::new();
        for line in lines {
            let _ = writeln!(text, "{line}");
        }
        Self::new(text)
    }
}

impl Paint {
    /// For stdout.
    pub(super) fn stdout() -> Self {
        Self::on(std::io::stdout().is_terminal())
    }

    /// For stderr.
    pub(super) fn stderr() -> Self {
        Self::on(std::io::stderr().is_terminal())
    }

    /// Nowhere.
    #[cfg(test)]
    pub(super) fn never() -> Self {
        Self { on: false }
    }

    /// <https://no-color.org>, and terminals that have none.
    fn on(terminal: bool) -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self {
            on: terminal && !unwanted && !dumb,
        }
    }

    pub(super) fn red(self, text: &str) -> String {
        self.with("31", text)
    }

    pub(super) fn green(self, text: &str) -> String {
        self.with("32", text)
    }

    pub(super) fn yellow(self, text: &str) -> String {
        self.with("33", text)
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.on {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Text without characters that a terminal would obey: names of nodes and what they say come from elsewhere.
pub(super) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() {
            printable.extend(char.escape_debug());
        } else {
            printable.push(char);
        }
    }
    printable
}
