//! What a reader makes of the bytes of one direction of a connection: whole messages, and how it came to its end.
//! Readers that share no code are here, so that a test can say that bytes are read in one way: [`strict`], ours, [`h11`], a
//! library for Python, and [`hyper`]. The first two are not what the programs read with.

pub mod h11;
pub mod hyper;
pub mod strict;

use std::fmt;

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The whole messages, in order.
    pub messages: Vec<Message>,
    /// What came after the last of them.
    pub end: End,
}

/// One whole message.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// How it begins.
    pub start: Start,
    /// Names in lower case, values without white space around them, in order.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The body without its framing.
    pub body: Vec<u8>,
    /// The fields behind a chunked body.
    pub trailers: Vec<(String, Vec<u8>)>,
}

/// The first line of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Of a request.
    Request { method: String, target: String },
    /// Of a response.
    Status(u16),
}

/// How bytes end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Behind a message.
    Clean,
    /// Inside one.
    Incomplete,
    /// In something that is no message, for this reason.
    Malformed(String),
}

impl Message {
    /// The first value of a field; the name is in lower case.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        let mut fields = self.fields.iter();
        let found = fields.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_slice())
    }

    /// All values of a field.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let is_meant = move |(known, _): &&(String, Vec<u8>)| known == name;
        self.fields
            .iter()
            .filter(is_meant)
            .map(|(_, value)| value.as_slice())
    }

    /// The status of a response.
    pub fn status(&self) -> Option<u16> {
        match self.start {
            Start::Status(status) => Some(status),
            Start::Request { .. } => None,
        }
    }

    /// Whether it is a response after which the same request gets another one (RFC 9110 section 15.2).
    pub fn is_interim(&self) -> bool {
        self.status()
            .is_some_and(|status| status < 200 && status != 101)
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.start {
            Start::Request { method, target } => write!(f, "{method} {target}")?,
            Start::Status(status) => write!(f, "{status}")?,
        }
        for (name, value) in &self.fields {
            write!(f, " | {name}: {}", Shown(value))?;
        }
        if !self.body.is_empty() {
            write!(f, " | body {}", Shown(&self.body))?;
        }
        for (name, value) in &self.trailers {
            write!(f, " | trailer {name}: {}", Shown(value))?;
        }
        Ok(())
    }
}

/// Bytes as a failure message shows them: escaped, and not too many.
pub struct Shown<'a>(pub &'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 400;
        let shown = &self.0[..self.0.len().min(MOST)];
        write!(f, "{}", shown.escape_ascii())?;
        match self.0.len() - shown.len() {
            0 => Ok(()),
            more => write!(f, "… and {more} bytes"),
        }
    }
}
