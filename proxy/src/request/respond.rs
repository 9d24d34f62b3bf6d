//! From our head to hyper's response: the only place that makes hyper's types on the way out. What the proxy says of
//! itself and of the connection is added here, as Envoy's connection manager does after all edits.

use std::rc::Rc;

use bytes::BytesMut;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_wire::head::{Field, FieldId, ResponseHead};

use crate::worker::{Downstream, Pair};

use super::body::{Body, Content};
use super::record::Record;

/// `Server` of every response; what an endpoint says is replaced (Envoy's `server_header_transformation: OVERWRITE`).
const SERVER: HeaderValue = HeaderValue::from_static("signalbox");

/// The response. `parts` are those of the request: its emptied header map is used again.
pub(super) fn response(
    downstream: Rc<Downstream>,
    heads: &Pair,
    content: Content,
    parts: Parts,
    record: Record,
) -> Response<Body> {
    let head = &heads.response;
    let mut fields = parts.headers;
    fields.clear();
    copy(head, parts.method == Method::HEAD, &mut fields);
    fields.insert(header::SERVER, SERVER);
    if let Some(option) = connection(heads, downstream.is_draining()) {
        fields.insert(header::CONNECTION, HeaderValue::from_static(option));
    }
    downstream.begin_response();
    let mut response = Response::new(Body::new(content, downstream, record));
    // Three digits by the codec and by the configuration's own check.
    *response.status_mut() = StatusCode::from_u16(head.status()).unwrap_or(StatusCode::BAD_GATEWAY);
    *response.headers_mut() = fields;
    response
}

/// What happens to the connection. A client that asked for another protocol and did not get it may have begun with it all
/// the same, and its next bytes may be anything: as Envoy, which reads no second request after such a one.
fn connection(heads: &Pair, is_draining: bool) -> Option<&'static str> {
    if heads.response.status() == 101 {
        Some("upgrade")
    } else if is_draining || heads.request.upgrade().is_some() {
        Some("close")
    } else {
        None
    }
}

/// Copies the fields. All values go into one allocation.
fn copy(head: &ResponseHead, answers_head: bool, map: &mut HeaderMap) {
    // hyper frames a body by its true length; only an answer to HEAD has a length and no body.
    let is_kept = |field: &Field<'_>| match field.id {
        FieldId::ContentLength => answers_head,
        FieldId::Server => false,
        _ => true,
    };
    let fields = || head.fields().iter().filter(is_kept);
    let mut values = BytesMut::with_capacity(fields().map(|field| field.value.len()).sum());
    for field in fields() {
        values.extend_from_slice(field.value);
    }
    let mut values = values.freeze();
    map.reserve(fields().count() + 2);
    for field in fields() {
        let value = HeaderValue::from_maybe_shared(values.split_to(field.value.len()));
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(field.name), value) {
            map.append(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied(list: &[(&str, &str)], answers_head: bool) -> Vec<(String, String)> {
        let mut head = ResponseHead::new();
        head.begin(200);
        for (name, value) in list {
            head.fields_mut().append(*name, value.as_bytes()).unwrap();
        }
        let mut map = HeaderMap::new();
        copy(&head, answers_head, &mut map);
        let text = |(name, value): (&HeaderName, &HeaderValue)| {
            (
                name.as_str().to_owned(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        };
        map.iter().map(text).collect()
    }

    #[test]
    fn every_value_arrives_under_its_name() {
        let list = [
            ("set-cookie", "a=1"),
            ("x-empty", ""),
            ("set-cookie", "b=2"),
            ("x-text", "\u{e4}"),
        ];
        let mut copied = copied(&list, false);
        copied.sort();
        let mut expected = list.map(|(name, value)| (name.to_owned(), value.to_owned()));
        expected.sort();
        assert_eq!(copied, expected);
    }

    #[test]
    fn a_length_is_stated_only_where_there_is_no_body_to_measure() {
        let list = [("content-length", "5"), ("server", "apache")];
        assert_eq!(copied(&list, false), []);
        assert_eq!(
            copied(&list, true),
            [("content-length".to_owned(), "5".to_owned())]
        );
    }
}
