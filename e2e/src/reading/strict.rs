//! The strict reader: takes only what RFC 9112 lets a sender write, and one way of writing where it knows two.
//! It has the whole bytes before it, copies freely and is as plain as can be: it is here to be believed, not to be fast.

use super::{End, Message, Reading, Start};

type Fields = Vec<(String, Vec<u8>)>;

/// Why reading stops in the middle of a message.
enum Stop {
    Incomplete,
    Malformed(String),
}

/// Reads all requests at the front of `bytes`.
pub fn requests(bytes: &[u8]) -> Reading {
    let mut input = Input { bytes, at: 0 };
    let mut messages = Vec::new();
    let end = loop {
        if input.rest().is_empty() {
            break End::Clean;
        }
        match request(&mut input) {
            Ok(message) => messages.push(message),
            Err(stop) => break stop.into(),
        }
    };
    Reading { messages, end }
}

/// Reads the responses to requests of these methods, interim ones among them. `is_closed`: no more bytes will come, which
/// ends a body that has no other end.
pub fn responses(bytes: &[u8], methods: &[&str], is_closed: bool) -> Reading {
    let mut input = Input { bytes, at: 0 };
    let mut messages = Vec::new();
    let mut methods = methods.iter();
    let end = loop {
        if input.rest().is_empty() {
            break End::Clean;
        }
        let Some(method) = methods.clone().next() else {
            break End::Malformed("more responses than requests".to_owned());
        };
        match response(&mut input, method, is_closed) {
            Ok(message) => {
                if !message.is_interim() {
                    methods.next();
                }
                messages.push(message);
            }
            Err(stop) => break stop.into(),
        }
    };
    Reading { messages, end }
}

fn request(input: &mut Input<'_>) -> Result<Message, Stop> {
    let line = input.line()?;
    let parts: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let [method, target, b"HTTP/1.1"] = parts[..] else {
        return malformed("request line");
    };
    let is_visible = |byte: &u8| byte.is_ascii_graphic();
    if !is_token(method) || target.is_empty() || !target.iter().all(is_visible) {
        return malformed("method or target");
    }
    let start = Start::Request {
        method: text(method),
        target: text(target),
    };
    let fields = field_lines(input)?;
    if fields.iter().filter(|(name, _)| name == "host").count() != 1 {
        return malformed("not one Host");
    }
    let (body, trailers) = match framing(&fields)? {
        Framing::Length(length) => (input.take(length)?.to_vec(), Fields::new()),
        Framing::Chunked => chunks(input)?,
        Framing::Unsaid => (Vec::new(), Fields::new()),
    };
    Ok(Message {
        start,
        fields,
        body,
        trailers,
    })
}

fn response(input: &mut Input<'_>, method: &str, is_closed: bool) -> Result<Message, Stop> {
    let line = input.line()?;
    let is_old = line.starts_with(b"HTTP/1.0 ");
    let rest = line.strip_prefix(if is_old { b"HTTP/1.0 " } else { b"HTTP/1.1 " });
    let Some(status) = rest.and_then(status_code) else {
        return malformed("status line");
    };
    let fields = field_lines(input)?;
    let framing = framing(&fields)?;
    if is_old && matches!(framing, Framing::Chunked) {
        return malformed("chunks in HTTP/1.0");
    }
    let is_bare = status < 200 || status == 204;
    if is_bare && !matches!(framing, Framing::Unsaid) {
        return malformed("a length where there can be no body");
    }
    let (body, trailers) = match framing {
        _ if is_bare || status == 304 || method == "HEAD" => (Vec::new(), Fields::new()),
        Framing::Length(length) => (input.take(length)?.to_vec(), Fields::new()),
        Framing::Chunked => chunks(input)?,
        Framing::Unsaid if is_closed => (input.take(input.rest().len())?.to_vec(), Fields::new()),
        Framing::Unsaid => return Err(Stop::Incomplete),
    };
    Ok(Message {
        start: Start::Status(status),
        fields,
        body,
        trailers,
    })
}

/// Three digits, a space, and a reason that may be empty (RFC 9112 section 4).
fn status_code(rest: &[u8]) -> Option<u16> {
    let (code, reason) = rest.split_at_checked(3)?;
    if !code.iter().all(u8::is_ascii_digit) || !reason.starts_with(b" ") || !is_value(reason) {
        return None;
    }
    let code: u16 = text(code).parse().ok()?;
    (code >= 100).then_some(code)
}

/// Field lines up to the empty one, which is taken too.
fn field_lines(input: &mut Input<'_>) -> Result<Fields, Stop> {
    let mut fields = Fields::new();
    loop {
        let line = input.line()?;
        if line.is_empty() {
            return Ok(fields);
        }
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            return malformed("field without a colon");
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if !is_token(name) || !is_value(value) {
            return malformed("field name or value");
        }
        fields.push((text(name).to_ascii_lowercase(), value.to_vec()));
    }
}

enum Framing {
    Length(usize),
    Chunked,
    Unsaid,
}

fn framing(fields: &[(String, Vec<u8>)]) -> Result<Framing, Stop> {
    let of = |wanted: &str| {
        let found = fields.iter().filter(|(name, _)| name == wanted);
        found.map(|(_, value)| &value[..]).collect::<Vec<_>>()
    };
    match (&of("content-length")[..], &of("transfer-encoding")[..]) {
        ([], []) => Ok(Framing::Unsaid),
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        ([length], []) if length.iter().all(u8::is_ascii_digit) => match text(length).parse() {
            Ok(length) => Ok(Framing::Length(length)),
            Err(_) => malformed("Content-Length"),
        },
        _ => malformed("framing fields"),
    }
}

/// Chunks without extensions, the last one, and trailers.
fn chunks(input: &mut Input<'_>) -> Result<(Vec<u8>, Fields), Stop> {
    let mut body = Vec::new();
    loop {
        let line = input.line()?;
        let is_number = (1..=16).contains(&line.len()) && line.iter().all(u8::is_ascii_hexdigit);
        let size = usize::from_str_radix(&text(line), 16);
        let (true, Ok(size)) = (is_number, size) else {
            return malformed("chunk size");
        };
        if size == 0 {
            return Ok((body, field_lines(input)?));
        }
        body.extend_from_slice(input.take(size)?);
        if input.take(2)? != b"\r\n" {
            return malformed("end of a chunk");
        }
    }
}

/// The bytes and how far they have been read.
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Stop> {
        let taken = self.rest().get(..len).ok_or(Stop::Incomplete)?;
        self.at += len;
        Ok(taken)
    }

    /// One line without its CR LF; a CR, LF or NUL anywhere else is not taken.
    fn line(&mut self) -> Result<&'a [u8], Stop> {
        let rest = self.rest();
        let stray = |byte: &u8| matches!(byte, b'\r' | b'\n' | 0);
        let Some(end) = rest.iter().position(stray) else {
            return Err(Stop::Incomplete);
        };
        match rest[end..] {
            [b'\r'] => Err(Stop::Incomplete),
            [b'\r', b'\n', ..] => {
                self.at += end + 2;
                Ok(&rest[..end])
            }
            _ => malformed("a line that does not end in CR LF"),
        }
    }
}

impl From<Stop> for End {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Incomplete => Self::Incomplete,
            Stop::Malformed(why) => Self::Malformed(why),
        }
    }
}

fn malformed<T>(why: &str) -> Result<T, Stop> {
    Err(Stop::Malformed(why.to_owned()))
}

/// RFC 9110 section 5.6.2.
fn is_token(bytes: &[u8]) -> bool {
    let is_legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(is_legal)
}

/// RFC 9110 section 5.5: visible, space, tab, and what is above ASCII.
fn is_value(bytes: &[u8]) -> bool {
    let is_legal = |&byte: &u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    bytes.iter().all(is_legal)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_one_after_the_other() {
        let bytes = b"POST /a HTTP/1.1\r\nHost: h\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\nGET / HTTP/1.1\r\nhost:\r\n\r\nGET";
        let reading = requests(bytes);
        assert_eq!(
            format!("{:?}", reading.messages),
            "[POST /a | host: h | transfer-encoding: chunked | body abc | trailer x-t: 1, GET / | host: ]"
        );
        assert_eq!(reading.end, End::Incomplete);
    }

    #[test]
    fn what_two_readers_could_take_in_two_ways_is_no_request() {
        for bytes in [
            "GET / HTTP/1.1\nHost: h\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: h\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nhost: h\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nx : 1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\n x: 1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\nx: \r1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\ncontent-length: +1\r\n\r\na",
            "GET / HTTP/1.1\r\nHost: h\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na",
            "GET / HTTP/1.1\r\nHost: h\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\na",
            "GET / HTTP/1.1\r\nHost: h\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\ntransfer-encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\ntransfer-encoding: chunked\r\n\r\n1;x\r\na\r\n0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: h\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        ] {
            let reading = requests(bytes.as_bytes());
            assert!(reading.messages.is_empty(), "{bytes:?}");
            assert!(matches!(reading.end, End::Malformed(_)), "{bytes:?}");
        }
    }

    #[test]
    fn responses_end_as_their_requests_and_heads_say() {
        let bytes = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nHTTP/1.1 304 \r\n\r\nHTTP/1.1 200 OK\r\n\r\nrest";
        let reading = responses(bytes, &["HEAD", "GET", "GET"], true);
        let statuses: Vec<_> = reading
            .messages
            .iter()
            .filter_map(Message::status)
            .collect();
        assert_eq!(
            (statuses, reading.end),
            (vec![100, 200, 304, 200], End::Clean)
        );
        assert_eq!(reading.messages[3].body, b"rest");
        let open = responses(bytes, &["HEAD", "GET", "GET"], false);
        assert_eq!((open.messages.len(), open.end), (3, End::Incomplete));
        assert!(matches!(
            responses(bytes, &["HEAD"], true).end,
            End::Malformed(_)
        ));
    }
}
