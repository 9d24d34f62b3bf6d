//! Responses as bytes, in both variants. Every resource is encoded once; a response is a small head followed by shared
//! entries, so a thousand streams send the same bytes.

use std::marker::PhantomData;

use bytes::{BufMut, Bytes, BytesMut};
use envoy_types::pb::envoy::config::core::v3::ControlPlane;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryResponse, DiscoveryResponse};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use tonic::Status;
use tonic::codec::{Codec, EncodeBuf, Encoder};
use tonic_prost::ProstCodec;
use xds::type_url::ResourceType;

use super::{delta, sotw};

/// The tag of `DiscoveryResponse.resources`, and those of an `Any`.
const RESOURCES_TAG: u32 = 2;
const ANY_TYPE_URL_TAG: u32 = 1;
const ANY_VALUE_TAG: u32 = 2;

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

    /// Its size in bytes.
    pub(super) fn len(&self) -> usize {
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

/// Decodes requests as prost does; writes responses that are encoded already.
#[derive(Clone, Copy, Debug)]
pub(super) struct EncodedCodec<R>(PhantomData<R>);

impl<R> Default for EncodedCodec<R> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<R: Message + Default + 'static> Codec for EncodedCodec<R> {
    type Encode = Encoded;
    type Decode = R;
    type Encoder = EncodedWriter;
    type Decoder = <ProstCodec<(), R> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        EncodedWriter
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<(), R>::default().decoder()
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct EncodedWriter;

impl Encoder for EncodedWriter {
    type Item = Encoded;
    type Error = Status;

    fn encode(&mut self, item: Encoded, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(item.len());
        buffer.put_slice(&item.head);
        for entry in &item.entries {
            buffer.put_slice(entry);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use xds::version::Version;

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
}
