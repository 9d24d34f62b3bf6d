//! What a request says of its way here. Fields of the hop end here; what an untrusted client says of itself is replaced by
//! what we know. It happens before routing, as in Envoy, so that routes match what upstreams will see.
//! The rules are those of Envoy's `use_remote_address` and `xff_num_trusted_hops` (documentation "HTTP header
//! manipulation", `ConnectionManagerUtility::mutateRequestHeaders`).

use std::sync::LazyLock;

use http_wire::head::{FieldId, FieldIds, Fields, Invalid, Line, RequestHead};
use smallvec::SmallVec;
use xds::resource::http_connection_manager::HttpConnectionManager;

use crate::worker::Downstream;

/// What only a proxy in front of us may say; from anybody else it is a claim.
const CLAIMS: FieldIds = FieldIds::of(&[
    FieldId::Forwarded,
    FieldId::XRealIp,
    FieldId::XForwardedHost,
    FieldId::XForwardedPort,
    FieldId::XForwardedProto,
]);
/// `x-envoy-*` tells an Envoy behind us how to treat the request: no business of clients.
const CONTROL_PREFIX: &[u8] = b"x-envoy-";
/// How clients come here.
static SCHEME: LazyLock<Line> =
    LazyLock::new(|| Line::new(FieldId::XForwardedProto, b"http").expect("a legal value"));

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
    apply(fields, downstream.forwarded_for(), http)
}

fn apply(fields: &mut Fields, peer: &Line, http: &HttpConnectionManager) -> Result<(), Invalid> {
    let edge = http.use_remote_address;
    if edge {
        append_to_list(fields, FieldId::XForwardedFor, peer)?;
        fields.remove_prefixed(CONTROL_PREFIX);
    }
    let trusted = !edge || http.xff_num_trusted_hops > 0;
    if !trusted {
        fields.remove_all(CLAIMS);
    }
    if !fields.contains(FieldId::XForwardedProto) {
        fields.append_line(&SCHEME)?;
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

/// Puts the value of `line` behind the list that its field (`id`) holds, all values in one field.
fn append_to_list(fields: &mut Fields, id: FieldId, line: &Line) -> Result<(), Invalid> {
    if !fields.contains(id) {
        return fields.append_line(line);
    }
    let mut list: SmallVec<[u8; 256]> = SmallVec::new();
    for known in fields.get_all(id) {
        list.extend_from_slice(known);
        list.push(b',');
    }
    list.extend_from_slice(line.value());
    fields.set(id, &list)
}

/// A UUID of version 4, in its text form.
fn request_id() -> [u8; 36] {
    let random = uuid_v4(fastrand::u128(..));
    let [a, b, c, d] = [96, 64, 32, 0].map(|shift| hex((random >> shift) as u32));
    let mut text = [b'-'; 36];
    text[..8].copy_from_slice(&a);
    text[9..13].copy_from_slice(&b[..4]);
    text[14..18].copy_from_slice(&b[4..]);
    text[19..23].copy_from_slice(&c[..4]);
    text[24..28].copy_from_slice(&c[4..]);
    text[28..].copy_from_slice(&d);
    text
}

/// The eight hexadecimal digits of a number, all at once.
const fn hex(number: u32) -> [u8; 8] {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    // Each digit gets a byte of its own.
    let mut digits = number as u64;
    digits = (digits | digits << 16) & 0x0000_ffff_0000_ffff;
    digits = (digits | digits << 8) & 0x00ff_00ff_00ff_00ff;
    digits = (digits | digits << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    // 1 for each that is written as a letter.
    let letters = ((digits + ONES * 6) >> 4) & ONES;
    let from_nine_to_a = (b'a' - b'9' - 1) as u64;
    (digits + ONES * b'0' as u64 + letters * from_nine_to_a).to_be_bytes()
}

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
        let peer = Line::new(FieldId::XForwardedFor, b"192.0.2.1").unwrap();
        apply(&mut fields, &peer, http).unwrap();
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
    fn digits_are_those_of_the_number() {
        for number in [0, 0x0123_4567, 0x89ab_cdef, u32::MAX, 0x9a90_a9f0] {
            let expected = format!("{number:08x}");
            assert_eq!(std::str::from_utf8(&hex(number)), Ok(&*expected));
        }
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
