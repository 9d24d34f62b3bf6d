//! What a request says of its way here. Fields of the hop end here; what an untrusted client says of itself is replaced by
//! what we know. It happens before routing, as in Envoy, so that routes match what upstreams will see.
//! The rules are those of Envoy's `use_remote_address` and `xff_num_trusted_hops` (documentation "HTTP header
//! manipulation", `ConnectionManagerUtility::mutateRequestHeaders`).

use http_wire::head::{FieldId, Fields, Invalid, RequestHead};
use smallvec::SmallVec;
use xds::resource::http_connection_manager::HttpConnectionManager;

use crate::worker::Downstream;

/// What only a proxy in front of us may say; from anybody else it is a claim.
const CLAIMS: [FieldId; 4] = [
    FieldId::Forwarded,
    FieldId::XRealIp,
    FieldId::XForwardedHost,
    FieldId::XForwardedPort,
];

/// Removes and replaces what the request says of its way here.
pub(super) fn sanitise(
    head: &mut RequestHead,
    downstream: &Downstream,
    http: &HttpConnectionManager,
) -> Result<(), Invalid> {
    let fields = head.fields_mut();
    fields.remove_hop_by_hop();
    // Answered by us when the body is first read.
    fields.remove(FieldId::Expect);
    apply(fields, downstream.peer_text(), http)
}

fn apply(fields: &mut Fields, peer: &str, http: &HttpConnectionManager) -> Result<(), Invalid> {
    let edge = http.use_remote_address;
    if edge {
        append_list(fields, FieldId::XForwardedFor, peer.as_bytes())?;
        remove_control_fields(fields);
    }
    let trusted = !edge || http.xff_num_trusted_hops > 0;
    if !trusted {
        for claim in CLAIMS {
            fields.remove(claim);
        }
    }
    if !trusted || !fields.contains(FieldId::XForwardedProto) {
        fields.set(FieldId::XForwardedProto, b"http")?;
    }
    if edge || !fields.contains(FieldId::XRequestId) {
        fields.set(FieldId::XRequestId, &request_id())?;
    }
    Ok(())
}

/// The scheme that the client used, as far as it is known.
pub(super) fn scheme(fields: &Fields) -> &'static str {
    let stated = fields.get(FieldId::XForwardedProto).unwrap_or_default();
    if stated.eq_ignore_ascii_case(b"https") {
        "https"
    } else {
        "http"
    }
}

/// Puts `value` behind the list that a field holds, all values in one field.
fn append_list(fields: &mut Fields, id: FieldId, value: &[u8]) -> Result<(), Invalid> {
    let mut list: SmallVec<[u8; 256]> = SmallVec::new();
    for known in fields.get_all(id) {
        list.extend_from_slice(known);
        list.push(b',');
    }
    list.extend_from_slice(value);
    fields.set(id, &list)
}

/// `x-envoy-*` tells an Envoy behind us how to treat the request: no business of clients.
fn remove_control_fields(fields: &mut Fields) {
    const PREFIX: &[u8] = b"x-envoy-";
    let control = |fields: &Fields| {
        let mut names = fields.iter().map(|field| field.name);
        let name = names.find(|name| name.starts_with(PREFIX))?;
        String::from_utf8(name.to_vec()).ok()
    };
    while let Some(name) = control(fields) {
        fields.remove(name.as_str());
    }
}

/// A UUID of version 4, in its text form.
fn request_id() -> [u8; 36] {
    /// Where each byte's two digits stand (RFC 9562 section 4).
    const PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
    let random = uuid_v4(fastrand::u128(..)).to_be_bytes();
    let mut text = [b'-'; 36];
    for (place, byte) in PLACES.into_iter().zip(random) {
        text[place..place + 2].copy_from_slice(&HEX[usize::from(byte)]);
    }
    text
}

/// The two digits of every byte.
const HEX: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    pairs
};

/// Sets version and variant (RFC 9562 section 5.4).
const fn uuid_v4(random: u128) -> u128 {
    random & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use xds::resource::http_connection_manager::RouteSource;
    use xds::route::Upgrades;

    use super::*;

    fn listener(use_remote_address: bool, xff_num_trusted_hops: u32) -> HttpConnectionManager {
        HttpConnectionManager {
            routes: RouteSource::Rds(Arc::from("web")),
            use_remote_address,
            xff_num_trusted_hops,
            stream_idle_timeout: None,
            request_headers_timeout: None,
            idle_timeout: None,
            upgrades: Upgrades::default(),
        }
    }

    fn after(http: &HttpConnectionManager, list: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in list {
            fields.push(name.as_bytes(), value.as_bytes()).unwrap();
        }
        apply(&mut fields, "192.0.2.1", http).unwrap();
        fields
    }

    fn text(fields: &Fields, name: &str) -> Option<String> {
        fields
            .get(name)
            .map(|value| String::from_utf8_lossy(value).into_owned())
    }

    #[test]
    fn the_list_of_addresses_ends_with_the_true_peer() {
        let edge = listener(true, 0);
        assert_eq!(
            text(&after(&edge, &[]), "x-forwarded-for").as_deref(),
            Some("192.0.2.1")
        );
        let fields = after(
            &edge,
            &[
                ("x-forwarded-for", "1.1.1.1, 2.2.2.2"),
                ("x-forwarded-for", "3.3.3.3"),
            ],
        );
        assert_eq!(
            text(&fields, "x-forwarded-for").as_deref(),
            Some("1.1.1.1, 2.2.2.2,3.3.3.3,192.0.2.1")
        );
        assert_eq!(fields.get_all("x-forwarded-for").count(), 1);
    }

    #[test]
    fn an_untrusted_client_says_nothing_of_its_way() {
        let claims = [
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "bank.example"),
            ("x-forwarded-port", "443"),
            ("forwarded", "for=1.1.1.1"),
            ("x-real-ip", "1.1.1.1"),
            ("x-envoy-retry-on", "5xx"),
            ("x-envoy-max-retries", "100"),
            ("x-request-id", "mine"),
        ];
        let fields = after(&listener(true, 0), &claims);
        for (name, value) in claims {
            assert_ne!(text(&fields, name).as_deref(), Some(value), "{name}");
        }
        assert_eq!(scheme(&fields), "http");
    }

    #[test]
    fn a_trusted_proxy_in_front_is_believed() {
        let claims = [
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop.example"),
        ];
        let fields = after(&listener(true, 1), &claims);
        assert_eq!(scheme(&fields), "https");
        assert_eq!(
            text(&fields, "x-forwarded-host").as_deref(),
            Some("shop.example")
        );

        let fields = after(
            &listener(false, 0),
            &[("x-forwarded-for", "1.1.1.1"), ("x-request-id", "kept")],
        );
        assert_eq!(text(&fields, "x-forwarded-for").as_deref(), Some("1.1.1.1"));
        assert_eq!(text(&fields, "x-request-id").as_deref(), Some("kept"));
        assert_eq!(text(&fields, "x-forwarded-proto").as_deref(), Some("http"));
    }

    #[test]
    fn every_request_gets_an_identifier_of_its_own() {
        let (a, b) = (request_id(), request_id());
        assert_ne!(a, b);
        for id in [a, b] {
            let text = std::str::from_utf8(&id).unwrap();
            let lengths: Vec<usize> = text.split('-').map(str::len).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12]);
            assert_eq!(&text[14..15], "4");
            assert!("89ab".contains(&text[19..20]));
        }
    }
}
