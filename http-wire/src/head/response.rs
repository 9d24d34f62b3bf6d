//! The head of a response: status and fields. The reason phrase is not kept: it carries no meaning (RFC 9110 section 15.1).

use super::fields::Fields;

/// The head of one response.
#[derive(Clone, Debug, Default)]
pub struct ResponseHead {
    status: u16,
    fields: Fields,
}

impl ResponseHead {
    /// An empty head.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything, keeps the capacity.
    pub fn clear(&mut self) {
        self.begin(0);
    }

    /// Clears the head and starts a new one.
    pub fn begin(&mut self, status: u16) {
        self.status = status;
        self.fields.clear();
    }

    /// The status, 100 to 999; 0 for an empty head.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Replaces the status, keeps the fields.
    pub fn set_status(&mut self, status: u16) {
        self.status = status;
    }

    /// The fields.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The fields, to be changed.
    pub fn fields_mut(&mut self) -> &mut Fields {
        &mut self.fields
    }
}
