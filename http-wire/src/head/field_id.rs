//! Well-known field names as one-byte ids, so that looking for one compares a byte and not a string.
//! A name becomes an id here and an id its name; everything else about fields is in `fields`.

/// Longest well-known name; a longer one needs no look at its bytes.
const LONGEST: usize = 19;
/// Most well-known names of one length.
const SAME_LENGTH: usize = 5;
/// The well-known names by their length, so that a name is compared with the few that it could be.
static BY_LENGTH: [[Known; SAME_LENGTH]; LONGEST + 1] = by_length();

type Known = (&'static [u8], FieldId);

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
                    $(FieldId::$id => Some($name),)*
                }
            }

            const ALL: &[FieldId] = &[$(FieldId::$id,)*];
        }
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
        let mut lower = [0; LONGEST];
        let Some(lower) = lower.get_mut(..name.len()) else {
            return FieldId::Other;
        };
        lower.copy_from_slice(name.as_bytes());
        lower.make_ascii_lowercase();
        FieldId::of_lower(lower)
    }

    /// The id of a name that is in lower case already.
    pub(crate) fn of_lower(name: &[u8]) -> FieldId {
        let candidates = BY_LENGTH
            .get(name.len())
            .map_or(&[][..], |known| &known[..]);
        for &(known, id) in candidates {
            // The first letter tells most of them apart.
            if known.first() == name.first() && known == name {
                return id;
            }
        }
        FieldId::Other
    }
}

const fn by_length() -> [[Known; SAME_LENGTH]; LONGEST + 1] {
    let none: Known = (&[], FieldId::Other);
    let mut table = [[none; SAME_LENGTH]; LONGEST + 1];
    let mut filled = [0; LONGEST + 1];
    let mut index = 0;
    while index < FieldId::ALL.len() {
        let id = FieldId::ALL[index];
        let name = match id.name() {
            Some(name) => name.as_bytes(),
            None => panic!("only Other has no name, and it is not listed"),
        };
        table[name.len()][filled[name.len()]] = (name, id);
        filled[name.len()] += 1;
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
    fn an_unknown_name_is_other_however_long() {
        assert_eq!(FieldId::of(""), FieldId::Other);
        assert_eq!(FieldId::of("x-team"), FieldId::Other);
        assert_eq!(FieldId::of(&"h".repeat(300)), FieldId::Other);
    }
}
