//! As much of HTTP/1.1 as a test needs to read what was sent.

use std::io::{self, BufRead};

/// A message as it was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    /// Request line or status line.
    pub(crate) start: String,
    /// Fields in order, names in lower case.
    pub(crate) fields: Vec<(String, String)>,
    /// The body without its framing.
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// All values of a field, joined.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self
            .fields
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| &**value)
            .collect();
        (!values.is_empty()).then(|| values.join(","))
    }

    /// The status of a response.
    pub(crate) fn status(&self) -> u16 {
        self.start
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .expect("a status line")
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the sender will close the connection.
    pub(crate) fn closes(&self) -> bool {
        self.field("connection")
            .is_some_and(|value| value.contains("close"))
    }
}

/// Reads a head; `None` if the connection ends before it.
pub(crate) fn read_head(from: &mut impl BufRead) -> io::Result<Option<Message>> {
    let mut message = Message::default();
    if from.read_line(&mut message.start)? == 0 {
        return Ok(None);
    }
    message.start.truncate(message.start.trim_end().len());
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let Some((name, value)) = line.trim_end().split_once(':') else {
            return Ok(Some(message));
        };
        message
            .fields
            .push((name.to_lowercase(), value.trim().to_owned()));
    }
}

/// Reads the body of a message; `until_close` says whether one without length and chunks goes on to the end.
pub(crate) fn read_body(
    message: &mut Message,
    from: &mut impl BufRead,
    until_close: bool,
) -> io::Result<()> {
    if message.field("transfer-encoding").is_some() {
        while read_chunk(message, from)? {}
    } else if let Some(length) = message.field("content-length") {
        message.body = vec![0; length.parse().expect("a length")];
        from.read_exact(&mut message.body)?;
    } else if until_close {
        from.read_to_end(&mut message.body)?;
    }
    Ok(())
}

fn read_chunk(message: &mut Message, from: &mut impl BufRead) -> io::Result<bool> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let length = usize::from_str_radix(line.trim_end(), 16).map_err(io::Error::other)?;
    let start = message.body.len();
    message.body.resize(start + length, 0);
    from.read_exact(&mut message.body[start..])?;
    line.clear();
    from.read_line(&mut line)?;
    Ok(length > 0)
}
