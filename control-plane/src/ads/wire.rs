//! Responses as bytes, in both variants. Every resource is encoded once; a response is a small head followed by shared
//! entries, so a thousand streams send the same bytes.

use bytes::{BufMut, Bytes, BytesMut};
use envoy_types::pb::envoy::config::core::v3::ControlPlane;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use xds::type_url::ResourceType;

use super::{delta, sotw};

/// The tag of `DiscoveryResponse.resources`, and those of an `Any`.
const RESOURCES_TAG: u32 = 2;
const ANY_TYPE_URL_TAG: u32 = 1;
const ANY_VALUE_TAG: u32 = 2;

/// Longest piece: what an HTTP/2 frame holds, unless the other side asks for more (RFC 9113 section 4.2).
const PIECE: usize = 16 * 1024;

/// A response, ready to be sent.
#[derive(Debug)]
pub struct Encoded {
    /// `None` if it is not one that is served.
    ty: Option<ResourceType>,
    head: Vec<u8>,
    entries: Vec<Bytes>,
}

impl Encoded {
    /// Joins the head of a response with its entries. In protobuf the order of fields does not matter.
    pub(super) fn delta(response: &delta::Response, revision: u64, control_plane: &str) -> Self {
        let head = DeltaDiscoveryResponse {
            system_version_info: revision.to_string(),
            type_url: response.ty.type_url().to_owned(),
            removed_resources: response
                .content
                .removed
                .iter()
                .map(|name| (**name).to_owned())
                .collect(),
            nonce: response.nonce.clone(),
            control_plane: Some(ControlPlane {
                identifier: control_plane.to_owned(),
            }),
            ..Default::default()
        };
        let entries = response
            .content
            .changed
            .iter()
            .map(|resource| resource.delta_entry().clone());
        Self {
            ty: Some(response.ty),
            head: head.encode_to_vec(),
            entries: entries.collect(),
        }
    }

    /// As [`Self::delta`], for the state of the world. An entry is an `Any`: a short beginning, then the resource's own bytes.
    pub(super) fn sotw(response: &sotw::Response, control_plane: &str) -> Self {
        let type_url = response.ty.type_url();
        let head = DiscoveryResponse {
            version_info: response.version.to_string(),
            type_url: type_url.to_owned(),
            nonce: response.nonce.clone(),
            control_plane: Some(ControlPlane {
                identifier: control_plane.to_owned(),
            }),
            ..Default::default()
        };
        let mut beginnings =
            BytesMut::with_capacity(response.resources.len() * (type_url.len() + 16));
        let mut entries = Vec::with_capacity(response.resources.len() * 2);
        for resource in &response.resources {
            begin_any(&mut beginnings, type_url, resource.bytes().len());
            entries.push(beginnings.split().freeze());
            entries.push(resource.bytes().clone());
        }
        Self {
            ty: Some(response.ty),
            head: head.encode_to_vec(),
            entries,
        }
    }

    /// The answer to names of a type that is not served: they do not exist. `None` if no names were asked for.
    pub(super) fn nothing_of(type_url: &str, names: &[String]) -> Option<Self> {
        if names.is_empty() {
            return None;
        }
        let head = DeltaDiscoveryResponse {
            type_url: type_url.to_owned(),
            removed_resources: names.to_vec(),
            // Unique in the stream: the nonces of the types that are served are numbers.
            nonce: format!("unknown {type_url}"),
            ..Default::default()
        };
        Some(Self {
            ty: None,
            head: head.encode_to_vec(),
            entries: Vec::new(),
        })
    }

    /// The type of what is in it.
    pub(super) fn ty(&self) -> Option<ResourceType> {
        self.ty
    }

    /// All of it in one piece.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all = self.head.clone();
        for entry in &self.entries {
            all.extend_from_slice(entry);
        }
        all
    }

    /// The same as a gRPC message (gRPC over HTTP/2, "Length-Prefixed-Message").
    pub(super) fn into_pieces(self) -> Pieces {
        let length = self.len();
        let mut begin = BytesMut::with_capacity(5 + self.head.len());
        begin.put_u8(0);
        begin.put_u32(length as u32);
        begin.put_slice(&self.head);
        Pieces {
            current: begin.freeze(),
            parts: self.entries.into_iter(),
            left: 5 + length,
        }
    }

    /// Its size in bytes.
    fn len(&self) -> usize {
        self.head.len() + self.entries.iter().map(Bytes::len).sum::<usize>()
    }
}

/// Everything of an entry of `DiscoveryResponse.resources` that stands before the resource's own bytes.
fn begin_any(buffer: &mut BytesMut, type_url: &str, size: usize) {
    let field = |tag, len: usize| key_len(tag) + encoded_len_varint(len as u64) + len;
    let any = field(ANY_TYPE_URL_TAG, type_url.len()) + field(ANY_VALUE_TAG, size);
    for (tag, len, bytes) in [
        (RESOURCES_TAG, any, ""),
        (ANY_TYPE_URL_TAG, type_url.len(), type_url),
        (ANY_VALUE_TAG, size, ""),
    ] {
        encode_key(tag, WireType::LengthDelimited, buffer);
        encode_varint(len as u64, buffer);
        buffer.put_slice(bytes.as_bytes());
    }
}

/// A response as a gRPC message, in pieces.
#[derive(Debug)]
pub(super) struct Pieces {
    current: Bytes,
    parts: std::vec::IntoIter<Bytes>,
    left: usize,
}

impl Pieces {
    /// The next piece, [`PIECE`] bytes long unless it is the last one. Short entries are copied together, long ones shared.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        let size = self.left.min(PIECE);
        self.left -= size;
        self.skip_empty();
        if size == 0 || self.current.len() >= size {
            return (size > 0).then(|| self.current.split_to(size));
        }
        let mut piece = BytesMut::with_capacity(size);
        while piece.len() < size {
            self.skip_empty();
            let taken = self.current.len().min(size - piece.len());
            piece.put(self.current.split_to(taken));
        }
        Some(piece.freeze())
    }

    fn skip_empty(&mut self) {
        while self.current.is_empty() {
            match self.parts.next() {
                Some(part) => self.current = part,
                None => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use xds::version::Version;

    use proptest::prelude::*;

    use super::*;
    use crate::ads::testing::{cluster, eds_cluster};

    #[test]
    fn a_state_of_the_world_reads_back_as_what_was_sent() {
        let resources = vec![cluster("a", 1), eds_cluster("b", 2)];
        let response = sotw::Response {
            ty: ResourceType::Cluster,
            nonce: "7".into(),
            version: Version::of(b"x"),
            resources: resources.clone(),
        };
        let encoded = Encoded::sotw(&response, "here").to_vec();
        let read = DiscoveryResponse::decode(encoded.as_slice()).unwrap();
        assert_eq!((read.nonce.as_str(), read.resources.len()), ("7", 2));
        for (any, resource) in read.resources.iter().zip(&resources) {
            assert_eq!(any.type_url, ResourceType::Cluster.type_url());
            assert_eq!(any.value, resource.bytes().to_vec());
        }
    }

    proptest! {
        #[test]
        fn pieces_are_the_message_and_none_is_longer_than_a_frame(
            head in prop::collection::vec(any::<u8>(), 0..100),
            sizes in prop::collection::vec(prop_oneof![0_usize..300, 0_usize..60_000], 0..40),
        ) {
            let fill = |(nth, size): (usize, usize)| Bytes::from(vec![nth as u8; size]);
            let entries: Vec<Bytes> = sizes.into_iter().enumerate().map(fill).collect();
            let response = Encoded { ty: None, head, entries };
            let whole = response.to_vec();
            let mut pieces = response.into_pieces();
            let pieces: Vec<Bytes> = std::iter::from_fn(|| pieces.next()).collect();
            let sent = pieces.concat();
            prop_assert_eq!(&sent[1..5], (whole.len() as u32).to_be_bytes());
            prop_assert_eq!(&sent[5..], whole);
            let (last, full) = pieces.split_last().unwrap();
            prop_assert!(full.iter().all(|piece| piece.len() == PIECE));
            prop_assert!((1..=PIECE).contains(&last.len()));
        }
    }
}
