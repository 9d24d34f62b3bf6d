//! A field that is put into many heads: it is checked once, and put in as it is.

use super::{Fields, Invalid, Key};
use crate::head::field_id::FieldId;

/// A field, ready to be put into heads by [`Fields::append_line`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    id: FieldId,
    name_len: u32,
    bytes: Box<[u8]>,
}

impl Line {
    /// The field of that name and value.
    pub fn new<'k>(key: impl Into<Key<'k>>, value: &[u8]) -> Result<Self, Invalid> {
        let mut fields = Fields::default();
        fields.append(key, value)?;
        let entry = fields.entries[0];
        Ok(Self {
            id: entry.id,
            name_len: entry.name_end,
            bytes: fields.bytes.into(),
        })
    }

    /// The value.
    pub fn value(&self) -> &[u8] {
        let start = self.name_len as usize + super::SEPARATOR.len();
        &self.bytes[start..self.bytes.len() - super::END.len()]
    }

    pub(super) fn parts(&self) -> (FieldId, u32, &[u8]) {
        (self.id, self.name_len, &self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prepared_field_is_the_same_as_one_that_is_put_in_by_its_parts() {
        for (name, value) in [
            ("X-Forwarded-Proto", " http "),
            ("X-Team", "a, b"),
            ("te", ""),
        ] {
            let line = Line::new(name, value.as_bytes()).unwrap();
            let (mut one, mut other) = (Fields::default(), Fields::default());
            for fields in [&mut one, &mut other] {
                fields.append("x-a", b"1").unwrap();
            }
            one.append_line(&line).unwrap();
            other.append(name, value.as_bytes()).unwrap();
            assert!(one.iter().eq(other.iter()), "{one:?} and {other:?}");
            assert_eq!(one.get(name), Some(line.value()));
        }
        assert_eq!(Line::new("x-a", b"a\r\nb"), Err(Invalid::Value));
    }
}
