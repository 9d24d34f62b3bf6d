//! Well-known field names as one-byte ids, so that looking for one compares a byte and not a string.
//! A name becomes an id here and an id its name; everything else about fields is in `fields`.

/// Shortest well-known name; a shorter one needs no look at its bytes.
const SHORTEST: usize = 2;
/// Longest well-known name.
const LONGEST: usize = 19;
/// The one id that a name can have, by [`slot`] of the name.
static BY_SLOT: [FieldId; SLOTS] = by_slot();
const SLOTS: usize = 256;

macro_rules! field_ids {
    ($($id:ident = $name:literal,)*) => {
        /// A field name that the product has to know, or [`FieldId::Other`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum FieldId {
            /// Any name that is not in this list.
            Other,
            $(#[doc = concat!("`", $name, "`")] $id,)*
        }

        impl FieldId {
            /// The lower-case name; `None` for [`FieldId::Other`].
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    FieldId::Other => None,
                    _ => Some(NAMES[self as usize]),
                }
            }

            /// The name and what stands between it and the value.
            pub(super) const fn start(self) -> &'static str {
                STARTS[self as usize]
            }

            const ALL: &[FieldId] = &[$(FieldId::$id,)*];
            /// Number of ids, [`FieldId::Other`] included.
            pub(super) const COUNT: usize = FieldId::ALL.len() + 1;
        }

        /// The names by their ids.
        static NAMES: [&str; FieldId::COUNT] = ["", $($name,)*];
        /// The same as a line begins.
        static STARTS: [&str; FieldId::COUNT] = ["", $(concat!($name, ": "),)*];
    };
}

field_ids! {
    // Routing and framing of the message.
    Host = "host",
    Connection = "connection",
    ContentLength = "content-length",
    TransferEncoding = "transfer-encoding",
    Te = "te",
    Trailer = "trailer",
    Upgrade = "upgrade",
    KeepAlive = "keep-alive",
    ProxyConnection = "proxy-connection",
    ProxyAuthenticate = "proxy-authenticate",
    ProxyAuthorization = "proxy-authorization",
    Http2Settings = "http2-settings",
    Expect = "expect",
    // Who sent it and through whom.
    XForwardedFor = "x-forwarded-for",
    XForwardedProto = "x-forwarded-proto",
    XForwardedHost = "x-forwarded-host",
    XForwardedPort = "x-forwarded-port",
    XRealIp = "x-real-ip",
    XRequestId = "x-request-id",
    Forwarded = "forwarded",
    Via = "via",
    Server = "server",
    Date = "date",
    // What is asked for and what is answered.
    Accept = "accept",
    AcceptEncoding = "accept-encoding",
    AcceptLanguage = "accept-language",
    Authorization = "authorization",
    CacheControl = "cache-control",
    ContentEncoding = "content-encoding",
    ContentType = "content-type",
    Cookie = "cookie",
    Etag = "etag",
    IfModifiedSince = "if-modified-since",
    IfNoneMatch = "if-none-match",
    LastModified = "last-modified",
    Location = "location",
    Origin = "origin",
    Range = "range",
    Referer = "referer",
    RetryAfter = "retry-after",
    SetCookie = "set-cookie",
    UserAgent = "user-agent",
    Vary = "vary",
    // Tracing and gRPC.
    Traceparent = "traceparent",
    Tracestate = "tracestate",
    GrpcStatus = "grpc-status",
    GrpcTimeout = "grpc-timeout",
}

impl FieldId {
    /// The id of a name in any case.
    pub fn of(name: &str) -> FieldId {
        FieldId::of_bytes(name.as_bytes())
    }

    /// The same for a name in bytes.
    pub(crate) fn of_bytes(name: &[u8]) -> FieldId {
        if !(SHORTEST..=LONGEST).contains(&name.len()) {
            return FieldId::Other;
        }
        let id = BY_SLOT[slot(name)];
        if equals_lower(name, NAMES[id as usize].as_bytes()) {
            id
        } else {
            FieldId::Other
        }
    }
}

/// A number that is another one for each well-known name, whatever its case. The factors were found by trying; the compiler
/// says when a new name needs others.
const fn slot(name: &[u8]) -> usize {
    let first = (name[0] | 0x20) as usize;
    let last_but_one = (name[name.len() - 2] | 0x20) as usize;
    (name.len() * 8 + first * 9 + last_but_one) % SLOTS
}

/// Whether `name` is `lower`, which is in lower case, or differs from it in case alone. Both have between [`SHORTEST`] and
/// [`LONGEST`] bytes.
fn equals_lower(name: &[u8], lower: &[u8]) -> bool {
    if name.len() != lower.len() {
        return false;
    }
    let (Some(name_end), Some(lower_end)) = (name.last_chunk(), lower.last_chunk()) else {
        return same_word(short_word(name), short_word(lower));
    };
    // The last word begins among what is compared already, unless there is just one.
    let words = name.as_chunks().0.iter().zip(lower.as_chunks().0);
    let mut same = same_word(
        u64::from_le_bytes(*name_end),
        u64::from_le_bytes(*lower_end),
    );
    for (name, lower) in words {
        same &= same_word(u64::from_le_bytes(*name), u64::from_le_bytes(*lower));
    }
    same
}

/// All of a name of less than eight bytes in one word; some of them twice.
fn short_word(name: &[u8]) -> u64 {
    if let (Some(start), Some(end)) = (name.first_chunk(), name.last_chunk()) {
        return u64::from(u32::from_le_bytes(*start)) << 32 | u64::from(u32::from_le_bytes(*end));
    }
    let pair = |pair: Option<&[u8; 2]>| pair.map_or(0, |pair| u64::from(u16::from_le_bytes(*pair)));
    pair(name.first_chunk()) << 16 | pair(name.last_chunk())
}

/// The same for eight bytes: of letters, and of nothing else, the bit that tells the case is overlooked.
const fn same_word(name: u64, lower: u64) -> bool {
    let case_of_letters = (lower & LETTER) >> 1;
    name | case_of_letters == lower
}

/// Letters have this bit; digits and `-`, the other bytes of well-known names, have not.
const LETTER: u64 = 0x4040_4040_4040_4040;

const fn by_slot() -> [FieldId; SLOTS] {
    let mut table = [FieldId::Other; SLOTS];
    let mut index = 0;
    while index < FieldId::ALL.len() {
        let id = FieldId::ALL[index];
        let name = match id.name() {
            Some(name) => name.as_bytes(),
            None => panic!("only Other has no name, and it is not listed"),
        };
        assert!(name.len() >= SHORTEST && name.len() <= LONGEST);
        let slot = slot(name);
        assert!(
            matches!(table[slot], FieldId::Other),
            "two names in one slot: choose other factors"
        );
        table[slot] = id;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_found_by_its_name_in_any_case() {
        for &id in FieldId::ALL {
            let name = id.name().expect("only Other has no name");
            assert_eq!(FieldId::of(name), id);
            assert_eq!(FieldId::of(&name.to_ascii_uppercase()), id);
        }
        assert_eq!(FieldId::Other.name(), None);
    }

    #[test]
    fn a_name_that_differs_in_one_byte_is_another_unless_it_is_the_case_of_a_letter() {
        for &id in FieldId::ALL {
            let name = id.name().expect("only Other has no name").as_bytes();
            for place in 0..name.len() {
                for byte in 0..=u8::MAX {
                    let mut other = name.to_vec();
                    other[place] = byte;
                    let is_same = byte.eq_ignore_ascii_case(&name[place]);
                    assert_eq!(FieldId::of_bytes(&other) == id, is_same, "{other:?}");
                }
            }
        }
    }

    #[test]
    fn an_unknown_name_is_other_however_long() {
        assert_eq!(FieldId::of(""), FieldId::Other);
        assert_eq!(FieldId::of("x-team"), FieldId::Other);
        assert_eq!(FieldId::of(&"h".repeat(300)), FieldId::Other);
    }
}
