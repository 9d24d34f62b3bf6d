//! What a client needs of a discovery response, read as its bytes come: type, nonce, version, how many resources. In: pieces of
//! a gRPC stream, cut anywhere. Out: a head for each message that is whole. Bodies of resources are counted, never kept: a
//! thousand clients must not cost more than the server that they measure. Pure.

use anyhow::{Result, bail, ensure};

/// Flag and length before every message (gRPC over HTTP/2, "Length-Prefixed-Message").
const PREFIX: usize = 5;
/// Longest text that is kept; type URLs, nonces and versions are far shorter.
const TEXT_MAX: usize = 1024;

/// The fields that both variants of the protocol have in common, by number
/// (`envoy/service/discovery/v3/discovery.proto`).
const VERSION: u64 = 1;
const RESOURCES: u64 = 2;
const TYPE_URL: u64 = 4;
const NONCE: u64 = 5;

/// One response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) type_url: String,
    pub(crate) nonce: String,
    /// `system_version_info` of a delta response: our control plane puts the revision there. `version_info` of the other.
    pub(crate) version: String,
    pub(crate) resources: usize,
    /// Of the whole message, with its prefix.
    pub(crate) bytes: usize,
}

/// Reads one direction of one stream.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    step: Step,
    prefix: Vec<u8>,
    /// Bytes of the message that are still to come.
    left: usize,
    varint: Varint,
    text: Vec<u8>,
    head: Head,
}

#[derive(Clone, Copy, Debug, Default)]
enum Step {
    #[default]
    Prefix,
    Key,
    /// The length of this field.
    Length(u64),
    /// A number, of no interest.
    Number,
    /// So many bytes of this field.
    Content(u64, usize),
}

#[derive(Debug, Default)]
struct Varint {
    value: u64,
    bits: u32,
}

impl Scanner {
    /// Takes in the next bytes; returns the messages that end in them.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<Vec<Head>> {
        let mut heads = Vec::new();
        while !bytes.is_empty() {
            let taken = self.take(bytes)?;
            bytes = &bytes[taken..];
            if self.is_whole()? {
                heads.push(std::mem::take(&mut self.head));
                self.step = Step::Prefix;
            }
        }
        Ok(heads)
    }

    fn take(&mut self, bytes: &[u8]) -> Result<usize> {
        let taken = match self.step {
            Step::Prefix => return self.take_prefix(bytes),
            Step::Content(field, left) => self.take_content(field, left, bytes),
            Step::Key | Step::Length(_) | Step::Number => {
                if let Some(value) = self.varint.push(bytes[0])? {
                    self.number(value)?;
                }
                1
            }
        };
        ensure!(taken <= self.left, "a field is longer than its message");
        self.left -= taken;
        Ok(taken)
    }

    fn take_prefix(&mut self, bytes: &[u8]) -> Result<usize> {
        let taken = bytes.len().min(PREFIX - self.prefix.len());
        self.prefix.extend_from_slice(&bytes[..taken]);
        if let [flag, length @ ..] = self.prefix.as_slice()
            && let Ok(length) = <[u8; 4]>::try_from(length)
        {
            ensure!(
                *flag == 0,
                "a compressed message, though none was asked for"
            );
            self.left = u32::from_be_bytes(length) as usize;
            self.head.bytes = PREFIX + self.left;
            self.prefix.clear();
            self.step = Step::Key;
        }
        Ok(taken)
    }

    fn take_content(&mut self, field: u64, left: usize, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(left);
        let kept = matches!(field, VERSION | TYPE_URL | NONCE);
        if kept && self.text.len() < TEXT_MAX {
            self.text.extend_from_slice(&bytes[..taken]);
        }
        self.step = Step::Content(field, left - taken);
        if taken == left {
            self.field_ends(field);
        }
        taken
    }

    fn number(&mut self, value: u64) -> Result<()> {
        self.step = match self.step {
            Step::Key => match value & 7 {
                0 => Step::Number,
                2 => Step::Length(value >> 3),
                other => bail!("a field of wire type {other}: discovery responses have none"),
            },
            Step::Length(field) if value == 0 => {
                self.field_ends(field);
                Step::Key
            }
            Step::Length(field) => Step::Content(field, usize::try_from(value)?),
            _ => Step::Key,
        };
        Ok(())
    }

    fn field_ends(&mut self, field: u64) {
        let text = String::from_utf8_lossy(&self.text).into_owned();
        match field {
            VERSION => self.head.version = text,
            TYPE_URL => self.head.type_url = text,
            NONCE => self.head.nonce = text,
            RESOURCES => self.head.resources += 1,
            _ => {}
        }
        self.text.clear();
        self.step = Step::Key;
    }

    fn is_whole(&self) -> Result<bool> {
        match self.step {
            Step::Prefix => Ok(false),
            Step::Key if self.left == 0 && self.varint.bits == 0 => Ok(true),
            _ => {
                ensure!(self.left > 0, "a message ends inside a field");
                Ok(false)
            }
        }
    }
}

impl Varint {
    /// The number, if it ends with this byte.
    fn push(&mut self, byte: u8) -> Result<Option<u64>> {
        ensure!(self.bits < 64, "a number is too long");
        self.value |= u64::from(byte & 0x7f) << self.bits;
        self.bits += 7;
        if byte & 0x80 != 0 {
            return Ok(None);
        }
        Ok(Some(std::mem::take(self).value))
    }
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::core::v3::ControlPlane;
    use envoy_types::pb::envoy::service::discovery::v3::{
        DeltaDiscoveryResponse, DiscoveryResponse, Resource,
    };
    use envoy_types::pb::google::protobuf::Any;
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    fn framed(message: &[u8]) -> Vec<u8> {
        let length = (message.len() as u32).to_be_bytes();
        [&[0], length.as_slice(), message].concat()
    }

    fn delta() -> impl Strategy<Value = DeltaDiscoveryResponse> {
        let bodies = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..5);
        ("[a-z.]{0,40}", "[0-9]{0,3}", "[0-9]{0,9}", bodies).prop_map(
            |(type_url, nonce, version, bodies)| DeltaDiscoveryResponse {
                system_version_info: version,
                type_url,
                nonce,
                resources: bodies.into_iter().map(entry).collect(),
                removed_resources: vec!["gone".into(), String::new()],
                control_plane: Some(ControlPlane {
                    identifier: "here".into(),
                }),
                ..Default::default()
            },
        )
    }

    fn entry(value: Vec<u8>) -> Resource {
        let body = Any {
            type_url: "t".into(),
            value,
        };
        Resource {
            name: "n".into(),
            resource: Some(body),
            ..Default::default()
        }
    }

    fn head(message: &DeltaDiscoveryResponse) -> Head {
        Head {
            type_url: message.type_url.clone(),
            nonce: message.nonce.clone(),
            version: message.system_version_info.clone(),
            resources: message.resources.len(),
            bytes: PREFIX + message.encoded_len(),
        }
    }

    proptest! {
        /// However the bytes are cut, each message is seen once, as what it is.
        #[test]
        fn cuts_do_not_matter(messages in prop::collection::vec(delta(), 1..4), piece in 1_usize..700) {
            let sent = messages.iter().flat_map(|message| framed(&message.encode_to_vec()));
            let sent: Vec<u8> = sent.collect();
            let mut scanner = Scanner::default();
            let mut heads = Vec::new();
            for piece in sent.chunks(piece) {
                heads.extend(scanner.feed(piece).unwrap());
            }
            prop_assert_eq!(heads, messages.iter().map(head).collect::<Vec<_>>());
        }

        #[test]
        fn nonsense_is_an_error_or_nothing(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut scanner = Scanner::default();
            let _ = scanner.feed(&framed(&bytes));
        }
    }

    #[test]
    fn the_other_variant_reads_alike() {
        let message = DiscoveryResponse {
            version_info: "v".into(),
            type_url: "t".into(),
            nonce: "7".into(),
            canary: true,
            resources: vec![Any::default(), Any::default()],
            ..Default::default()
        };
        let heads = Scanner::default()
            .feed(&framed(&message.encode_to_vec()))
            .unwrap();
        let head = &heads[0];
        assert_eq!(
            (head.version.as_str(), head.nonce.as_str(), head.resources),
            ("v", "7", 2)
        );
    }
}
