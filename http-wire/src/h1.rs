//! HTTP/1.1 as bytes (RFC 9112): what we send to upstreams and what they answer.
//! Request heads and chunks are written by [`request`], response heads are read by [`response`], their bodies by [`body`].
//! Strict by design: what two readers could take in two ways is [`Malformed`], never repaired. No sockets here.

pub mod body;
pub mod request;
pub mod response;

pub use body::{BodyLength, Decoder};
pub use request::Framing;
pub use response::ResponseParser;

/// Why bytes of a peer are not HTTP/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
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
            Malformed::StatusLine => "status_line",
            Malformed::Version => "version",
            Malformed::FieldName => "field_name",
            Malformed::FieldValue => "field_value",
            Malformed::LineEnd => "line_end",
            Malformed::HeadTooLarge => "head_too_large",
            Malformed::TooManyFields => "too_many_fields",
            Malformed::ContentLength => "content_length",
            Malformed::TransferEncoding => "transfer_encoding",
            Malformed::TwoLengths => "two_lengths",
            Malformed::Chunk => "chunk",
            Malformed::ChunkExtra => "chunk_extra",
            Malformed::Cut => "cut",
        }
    }
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

impl std::error::Error for Malformed {}
