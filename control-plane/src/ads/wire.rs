//! Responses as bytes. Every resource is encoded once, as an entry of a `DeltaDiscoveryResponse`; a response is a small
//! head followed by shared entries, so a thousand streams send the same bytes.

use bytes::{BufMut, Bytes};
use envoy_types::pb::envoy::config::core::v3::ControlPlane;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse,
};
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, EncodeBuf, Encoder};
use tonic_prost::ProstCodec;

use super::delta::Response;

/// A response, ready to be sent.
#[derive(Debug)]
pub(super) struct Encoded {
    head: Vec<u8>,
    entries: Vec<Bytes>,
}

impl Encoded {
    /// Joins the head of a response with its entries. In protobuf the order of fields does not matter.
    pub(super) fn new(response: &Response, revision: u64, control_plane: &str) -> Self {
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
            head: head.encode_to_vec(),
            entries: entries.collect(),
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
            head: head.encode_to_vec(),
            entries: Vec::new(),
        })
    }

    /// Its size in bytes.
    pub(super) fn len(&self) -> usize {
        self.head.len() + self.entries.iter().map(Bytes::len).sum::<usize>()
    }
}

/// Decodes requests as prost does; writes responses that are encoded already.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DeltaCodec;

impl Codec for DeltaCodec {
    type Encode = Encoded;
    type Decode = DeltaDiscoveryRequest;
    type Encoder = EncodedWriter;
    type Decoder = <ProstCodec<DeltaDiscoveryResponse, DeltaDiscoveryRequest> as Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        EncodedWriter
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<DeltaDiscoveryResponse, DeltaDiscoveryRequest>::default().decoder()
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
