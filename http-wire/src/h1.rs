//! HTTP/1.1 as bytes (RFC 9112), for both sides of a proxy.
//!
//! ```text
//! client ─► asked (heads in)   ─► … ─► request (heads out)  ─► upstream
//! client ◄─ answer (heads out) ◄─ … ◄─ response (heads in)  ◄─ upstream
//! ```
//!
//! [`body`] reads the bodies of both, or passes them on with their framing. Strict by design: what two readers could take in
//! two ways is [`Malformed`], never repaired. No sockets here.

mod lines;
mod number;
mod reason;

pub mod body;

// Towards clients.
pub mod answer;
pub mod asked;

// Towards upstreams.
pub mod request;
pub mod response;

pub use asked::RequestParser;
pub use body::{BodyLength, Decoder};
pub use request::Framing;
pub use response::ResponseParser;

/// Largest head in bytes, of a request and of a response.
pub const MAX_HEAD: usize = 64 * 1024;
/// Most fields in one head.
pub const MAX_FIELDS: usize = 100;

/// Why bytes of a peer are not HTTP/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The first line is no request line.
    RequestLine,
    /// The request line does not end within 64 KiB.
    TargetTooLong,
    /// The first line is no status line.
    StatusLine,
    /// The version is neither HTTP/1.0 nor HTTP/1.1.
    Version,
    /// A field line without a legal name in front of its colon; folded lines and a space before the colon too.
    FieldName,
    /// A field value holds a control byte.
    FieldValue,
    /// A line ends in something else than CR LF.
    LineEnd,
    /// The head is over 64 KiB.
    HeadTooLarge,
    /// The head has more than 100 fields.
    TooManyFields,
    /// `Content-Length` is not one plain number.
    ContentLength,
    /// `Transfer-Encoding` is not exactly `chunked`, or stands where it must not.
    TransferEncoding,
    /// `chunked` is the last transfer coding of several; we know no other.
    TransferCoding,
    /// Both `Content-Length` and `Transfer-Encoding`.
    TwoLengths,
    /// A chunk size is no hexadecimal number of at most 16 digits, or something else than CR LF ends a chunk.
    Chunk,
    /// The chunk extensions or trailers are longer than anybody needs, or are no such thing.
    ChunkExtra,
    /// The connection ended before the body did.
    Cut,
}

impl Malformed {
    /// A short stable cause for logs and metrics.
    pub const fn code(self) -> &'static str {
        match self {
            Malformed::RequestLine => "request_line",
            Malformed::TargetTooLong => "target_too_long",
            Malformed::StatusLine => "status_line",
            Malformed::Version => "version",
            Malformed::FieldName => "field_name",
            Malformed::FieldValue => "field_value",
            Malformed::LineEnd => "line_end",
            Malformed::HeadTooLarge => "head_too_large",
            Malformed::TooManyFields => "too_many_fields",
            Malformed::ContentLength => "content_length",
            Malformed::TransferEncoding => "transfer_encoding",
            Malformed::TransferCoding => "transfer_coding",
            Malformed::TwoLengths => "two_lengths",
            Malformed::Chunk => "chunk",
            Malformed::ChunkExtra => "chunk_extra",
            Malformed::Cut => "cut",
        }
    }

    /// The status that tells a client so: RFC 9110 sections 15.5 and 15.6, and RFC 6585 section 5 for 431.
    pub const fn request_status(self) -> u16 {
        match self {
            Malformed::TargetTooLong => 414,
            Malformed::HeadTooLarge | Malformed::TooManyFields => 431,
            // RFC 9112 section 6.1.
            Malformed::TransferCoding => 501,
            Malformed::Version => 505,
            _ => 400,
        }
    }
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

impl std::error::Error for Malformed {}
