//! Whole messages out of a gRPC stream, for what is small or must be read. In: pieces cut anywhere. Out: messages. Pure.

use bytes::{Buf, Bytes, BytesMut};

/// What has come and is not a whole message yet.
#[derive(Debug, Default)]
pub(crate) struct Frames(BytesMut);

impl Frames {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next message without its prefix, if it is whole.
    pub(crate) fn next(&mut self) -> Option<Bytes> {
        let length = self.0.get(1..5)?.try_into().ok()?;
        let length = u32::from_be_bytes(length) as usize;
        if self.0.len() < 5 + length {
            return None;
        }
        self.0.advance(5);
        let message = self.0.split_to(length).freeze();
        if self.0.is_empty() {
            // An idle client holds no buffer.
            self.0 = BytesMut::new();
        }
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_whole_however_they_are_cut() {
        let mut frames = Frames::default();
        let mut seen = Vec::new();
        for byte in [
            0, 0, 0, 0, 2, b'a', b'b', 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, b'c',
        ] {
            frames.push(&[byte]);
            seen.extend(frames.next());
        }
        assert_eq!(seen, [&b"ab"[..], b"", b"c"]);
    }
}
