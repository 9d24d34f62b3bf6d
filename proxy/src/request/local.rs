//! Answers of our own: direct responses and failures. Formed as Envoy forms local replies
//! (`Utility::prepareLocalReply`): a text is `text/plain` unless the route says otherwise.

use bytes::Bytes;
use http_wire::head::{FieldId, ResponseHead};
use xds::route::DirectResponse;

use crate::worker::Pair;

use super::answer::Content;
use super::failure::Failure;

/// The answer that a route gives by itself.
pub(super) fn direct(direct: &DirectResponse, heads: &mut Pair) -> Content {
    heads.response.begin(direct.status);
    Content::of(direct.body.clone())
}

/// The answer to a request that failed.
pub(super) fn failure(failure: &Failure, heads: &mut Pair) -> Content {
    heads.response.begin(failure.status);
    if failure.close {
        put(&mut heads.response, FieldId::Connection, b"close");
    }
    Content::of(Bytes::from_static(failure.text.as_bytes()))
}

/// Says what an answer of ours is, after the edits of its route.
pub(super) fn settle_type(content: &Content, response: &mut ResponseHead) {
    let has_type = response.fields().contains(FieldId::ContentType);
    match content {
        Content::Whole(_) if !has_type => put(response, FieldId::ContentType, b"text/plain"),
        Content::Empty if has_type => {
            response.fields_mut().remove(FieldId::ContentType);
        }
        _ => {}
    }
}

fn put(response: &mut ResponseHead, id: FieldId, value: &'static [u8]) {
    let put = response.fields_mut().append(id, value);
    debug_assert!(
        put.is_ok(),
        "a short legal field has room in a head of our own"
    );
}
