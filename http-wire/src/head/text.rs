//! The parts of a head that are text to others: they are checked once, when they are stored, and not at every look.

use super::fields::{Invalid, MAX_BYTES};

/// Method, path, query and host of a request, one behind the other. What was replaced stays behind, as in the fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct Text(String);

/// A range of the text.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TextSpan {
    start: u32,
    end: u32,
}

impl Text {
    /// Forgets everything, keeps the capacity.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The text of a range that was given out here.
    pub(super) fn get(&self, span: TextSpan) -> &str {
        &self.0[span.start as usize..span.end as usize]
    }

    /// Stores bytes that the caller has checked to be ASCII.
    pub(crate) fn store(&mut self, bytes: &[u8]) -> Result<TextSpan, Invalid> {
        if bytes.len() > MAX_BYTES - self.0.len() {
            return Err(Invalid::TooLarge);
        }
        let start = self.0.len();
        self.0
            .push_str(std::str::from_utf8(bytes).map_err(|_| Invalid::Target)?);
        Ok(TextSpan {
            start: start as u32,
            end: self.0.len() as u32,
        })
    }

    /// The same in lower case.
    pub(crate) fn store_lower(&mut self, bytes: &[u8]) -> Result<TextSpan, Invalid> {
        let span = self.store(bytes)?;
        self.0[span.start as usize..].make_ascii_lowercase();
        Ok(span)
    }
}
