//! The cases as they stand in the files of `e2e/corpus/`, whose `README.md` has the format.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};

/// One case.
#[derive(Debug, Default)]
pub(super) struct Case {
    pub(super) name: String,
    /// What the client writes; in cases of responses, unless it says otherwise, a plain GET.
    pub(super) client: Vec<Step>,
    /// What the upstream writes; nothing in cases of requests.
    pub(super) upstream: Vec<Step>,
    /// What must come of it, in order.
    pub(super) outcomes: Vec<Outcome>,
}

/// One thing that a side does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Write(Vec<u8>),
    /// What the upstream does is done as soon as it has the head of the request.
    Early,
    /// What comes next is written apart.
    Apart,
    /// Waits until the client has an answer more, or the whole of what it gets.
    Answered,
    HalfClose,
    Close,
    Reset,
}

/// What must come of a message, or of the connection that it came on.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) kind: Kind,
    /// What is true of the message that goes on, or of the answer if none does.
    pub(super) details: Vec<Detail>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The request reaches the upstream, whose answer reaches the client.
    Forwarded { method: String, target: String },
    /// The same, unless it comes to nothing because the client said that it has ended; the connection closes.
    Maybe { method: String, target: String },
    /// The proxy answers by itself, and the connection stays.
    Answered(u16),
    /// The proxy answers with one of these by itself, and the connection closes.
    Refused(Vec<u16>),
    /// The client gets an interim response.
    Interim(u16),
    /// The connection closes, with a word of blame or without one.
    Cut,
    /// The connection closes after the last answer.
    Closed,
    /// The connection closes after the last answer, which says so, or it is as good as new.
    Either,
    /// The client gets the upstream's answer, with this status.
    Received(u16),
    /// The client gets this status in place of the answer, for this cause.
    Failed(u16, String),
    /// The client gets this status, and can see that the body is not whole.
    Broken(u16),
    /// The upstream connection is used again.
    Kept,
    /// The upstream connection is not used again.
    Dropped,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Detail {
    Host(Vec<u8>),
    Body(Vec<u8>),
    Field(String, Vec<u8>),
    Absent(String),
    /// The upstream may see the beginning of the request, and never the whole.
    Partly,
}

/// The cases of one file.
pub(super) fn read(folder: &str, class: &str) -> Result<Vec<Case>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(folder)
        .join(format!("{class}.txt"));
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut cases: Vec<Case> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let at = || format!("{}:{}", path.display(), index + 1);
        if let Some(name) = line.strip_prefix("== ") {
            cases.push(Case {
                name: name.to_owned(),
                ..Case::default()
            });
        } else if !line.is_empty() && !line.starts_with('#') {
            let case = cases.last_mut().with_context(at)?;
            case.line(line).with_context(at)?;
        }
    }
    for case in &cases {
        ensure!(!case.outcomes.is_empty(), "{}: no outcome", case.name);
        let twice = cases.iter().filter(|other| other.name == case.name);
        ensure!(twice.count() == 1, "{}: twice", case.name);
    }
    Ok(cases)
}

impl Case {
    fn line(&mut self, line: &str) -> Result<()> {
        let (mark, rest) = line.split_at(1);
        let rest = rest.strip_prefix(' ').unwrap_or(rest);
        match mark {
            ">" => self.client.push(Step::Write(with_end(rest)?)),
            "|" => self.client.push(Step::Write(bytes(rest)?)),
            "-" => self.client.push(step(rest)?),
            "<" => self.upstream.push(Step::Write(with_end(rest)?)),
            ":" => self.upstream.push(Step::Write(bytes(rest)?)),
            "~" => self.upstream.push(step(rest)?),
            "=" => self.outcomes.push(Outcome {
                kind: kind(rest)?,
                details: Vec::new(),
            }),
            "+" => {
                let outcome = self.outcomes.last_mut().context("no outcome before")?;
                outcome.details.push(detail(rest)?);
            }
            _ => bail!("no line of a case: {line}"),
        }
        Ok(())
    }
}

impl Outcome {
    pub(super) fn is_partly(&self) -> bool {
        self.details.contains(&Detail::Partly)
    }
}

fn with_end(text: &str) -> Result<Vec<u8>> {
    let mut line = bytes(text)?;
    line.extend_from_slice(b"\r\n");
    Ok(line)
}

fn step(word: &str) -> Result<Step> {
    Ok(match word {
        "early" => Step::Early,
        "apart" => Step::Apart,
        "answered" => Step::Answered,
        "half-close" => Step::HalfClose,
        "close" => Step::Close,
        "reset" => Step::Reset,
        _ => bail!("no step: {word}"),
    })
}

fn kind(text: &str) -> Result<Kind> {
    let words: Vec<&str> = text.split(' ').collect();
    Ok(match words[..] {
        ["forwarded", method, target] => Kind::Forwarded {
            method: method.to_owned(),
            target: target.to_owned(),
        },
        ["maybe", method, target] => Kind::Maybe {
            method: method.to_owned(),
            target: target.to_owned(),
        },
        ["answered", status] => Kind::Answered(status.parse()?),
        ["refused", ref statuses @ ..] if !statuses.is_empty() => {
            let statuses = statuses.iter().map(|status| status.parse());
            Kind::Refused(statuses.collect::<Result<_, _>>()?)
        }
        ["interim", status] => Kind::Interim(status.parse()?),
        ["cut"] => Kind::Cut,
        ["closed"] => Kind::Closed,
        ["either"] => Kind::Either,
        ["received", status] => Kind::Received(status.parse()?),
        ["failed", status, cause] => Kind::Failed(status.parse()?, cause.to_owned()),
        ["broken", status] => Kind::Broken(status.parse()?),
        ["kept"] => Kind::Kept,
        ["dropped"] => Kind::Dropped,
        _ => bail!("no outcome: {text}"),
    })
}

fn detail(text: &str) -> Result<Detail> {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    Ok(match word {
        "host" => Detail::Host(bytes(rest)?),
        "body" => Detail::Body(bytes(rest)?),
        "field" => {
            let (name, value) = rest.split_once(':').context("no colon")?;
            Detail::Field(name.to_owned(), bytes(value.trim_start())?)
        }
        "absent" => Detail::Absent(rest.to_owned()),
        "partly" => Detail::Partly,
        _ => bail!("no detail: {text}"),
    })
}

/// Text with escapes: `\r`, `\n`, `\t`, `\0`, `\\`, `\xHH`, and `{N*TEXT}` for N times the text.
fn bytes(text: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some((times, inner, behind)) = repeat(rest) {
            bytes.extend(self::bytes(inner)?.repeat(times));
            rest = behind;
        } else if let Some(escape) = rest.strip_prefix('\\') {
            let (byte, len) = unescape(escape).with_context(|| format!("escape in {text}"))?;
            bytes.push(byte);
            rest = &escape[len..];
        } else {
            rest = &rest[first.len_utf8()..];
            bytes.extend_from_slice(first.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    Ok(bytes)
}

fn repeat(text: &str) -> Option<(usize, &str, &str)> {
    let (inside, behind) = text.strip_prefix('{')?.split_once('}')?;
    let (times, inner) = inside.split_once('*')?;
    Some((times.parse().ok()?, inner, behind))
}

fn unescape(escape: &str) -> Option<(u8, usize)> {
    Some(match escape.as_bytes().first()? {
        b'r' => (b'\r', 1),
        b'n' => (b'\n', 1),
        b't' => (b'\t', 1),
        b'0' => (0, 1),
        b'\\' => (b'\\', 1),
        b'x' => (u8::from_str_radix(escape.get(1..3)?, 16).ok()?, 3),
        _ => return None,
    })
}

#[test]
fn escapes_and_repetitions_are_bytes() {
    assert_eq!(
        bytes(r"a\r\n\x41\\{3*b\0}{}").unwrap(),
        b"a\r\nA\\b\0b\0b\0{}"
    );
    bytes(r"\q").unwrap_err();
}
