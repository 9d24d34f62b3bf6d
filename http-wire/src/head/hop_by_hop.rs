//! Which fields end at this hop (RFC 9110 section 7.6.1).
//! Works on the fields of a request or a response alike; what this hop says in their place is written by `h1`.

use super::field_id::FieldId;
use super::field_ids::FieldIds;
use super::fields::Fields;
use crate::octets;

const HOP_BY_HOP: FieldIds = FieldIds::of(&[
    FieldId::Connection,
    FieldId::KeepAlive,
    FieldId::ProxyConnection,
    FieldId::ProxyAuthenticate,
    FieldId::ProxyAuthorization,
    FieldId::Te,
    FieldId::Trailer,
    FieldId::TransferEncoding,
    FieldId::Upgrade,
    FieldId::Http2Settings,
]);

/// Fields that `Connection` cannot take away.
const PROTECTED: FieldIds = FieldIds::of(&[
    FieldId::Host,
    FieldId::ContentLength,
    FieldId::TransferEncoding,
    FieldId::Authorization,
    FieldId::Cookie,
    FieldId::Forwarded,
    FieldId::Via,
    FieldId::XRealIp,
    FieldId::XRequestId,
    // It is decided by its own value: a client that sends it has to name it.
    FieldId::Te,
]);

impl Fields {
    /// Removes what belongs to the connection that the message came on: `Connection` and what it names, the fields
    /// that are always per hop, and every coding of `TE` but `trailers`.
    ///
    /// `Trailer` goes too: trailers of HTTP/1 messages are dropped at this hop (Envoy's default as well).
    /// What `Connection` names is removed only if dropping it cannot change who is asked, how long the message is, or
    /// who it says the client is: such a name is an attack, not an option.
    pub fn remove_hop_by_hop(&mut self) {
        if !self.present().intersects(HOP_BY_HOP) {
            return;
        }
        if self.present().contains(FieldId::Connection) {
            for index in 0..self.len() {
                let (id, value) = self.at(index);
                if id == FieldId::Connection {
                    self.doom_named(value, may_be_named);
                }
            }
            self.sweep();
        }
        let keep_trailers = self.get_all(FieldId::Te).any(names_trailers);
        self.remove_all(HOP_BY_HOP);
        if keep_trailers {
            // Cannot fail: the bytes are legal and a head that held a TE field has room for a shorter one.
            let _ = self.append(FieldId::Te, b"trailers");
        }
    }
}

fn may_be_named(id: FieldId, name: &[u8]) -> bool {
    !PROTECTED.contains(id) && !name.starts_with(b"x-forwarded-")
}

fn names_trailers(value: &[u8]) -> bool {
    octets::list(value).any(|coding| coding.eq_ignore_ascii_case(b"trailers"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(list: &[(&str, &str)]) -> Vec<String> {
        let mut fields = Fields::default();
        for (name, value) in list {
            fields
                .push(name.as_bytes(), value.as_bytes())
                .expect("legal field");
        }
        fields.remove_hop_by_hop();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        fields
            .iter()
            .map(|field| format!("{}: {}", text(field.name), text(field.value)))
            .collect()
    }

    #[test]
    fn the_fields_of_the_hop_go_and_the_others_stay() {
        let left = after(&[
            ("accept", "*/*"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("proxy-authorization", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABk"),
            ("trailer", "x-sum"),
            ("content-length", "3"),
        ]);
        assert_eq!(left, ["accept: */*", "content-length: 3"]);
    }

    #[test]
    fn connection_takes_with_it_what_it_names_on_every_line() {
        let left = after(&[
            ("x-one", "1"),
            ("connection", "X-One, close,"),
            ("x-two", "2"),
            ("connection", "x-two"),
            ("x-three", "3"),
        ]);
        assert_eq!(left, ["x-three: 3"]);
    }

    #[test]
    fn connection_never_takes_what_says_who_and_how_long() {
        let protected = [
            "host",
            "content-length",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-client-cert",
            "x-real-ip",
            "forwarded",
            "authorization",
            "cookie",
            "via",
            "x-request-id",
        ];
        for name in protected {
            let left = after(&[(name, "v"), ("connection", name)]);
            assert_eq!(left, [format!("{name}: v")]);
        }
    }

    #[test]
    fn te_keeps_trailers_alone() {
        assert_eq!(after(&[("te", "gzip, Trailers;q=1")]), Vec::<String>::new());
        assert_eq!(
            after(&[("te", "gzip, Trailers"), ("connection", "te")]),
            ["te: trailers"]
        );
        assert_eq!(
            after(&[("te", "gzip"), ("te", "trailers")]),
            ["te: trailers"]
        );
        assert_eq!(after(&[("te", "deflate")]), Vec::<String>::new());
    }
}
