//! Sets of fields by their ids, each in one word: whether a head has any field of a set is one instruction.

use super::field_id::FieldId;

/// A set of ids. [`FieldId::Other`] is one of them: it stands for all names that are not well known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FieldIds(u64);

impl FieldIds {
    /// The set of these ids.
    pub const fn of(ids: &[FieldId]) -> Self {
        let mut set = Self(0);
        let mut index = 0;
        while index < ids.len() {
            set = set.with(ids[index]);
            index += 1;
        }
        set
    }

    /// The set with one more id.
    #[must_use]
    pub const fn with(self, id: FieldId) -> Self {
        Self(self.0 | bit(id))
    }

    /// The set without an id.
    #[must_use]
    pub const fn without(self, id: FieldId) -> Self {
        Self(self.0 & !bit(id))
    }

    /// The set without all that are in another.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether the id is in the set.
    pub const fn contains(self, id: FieldId) -> bool {
        self.0 & bit(id) != 0
    }

    /// Whether the sets have an id in common.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

const _: () = assert!(FieldId::COUNT <= 64, "a set is one word");

const fn bit(id: FieldId) -> u64 {
    1 << id as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in_and_nothing_else() {
        let set = FieldIds::of(&[FieldId::Te, FieldId::GrpcTimeout, FieldId::Other]);
        assert!(set.contains(FieldId::Te) && set.contains(FieldId::GrpcTimeout));
        assert!(set.contains(FieldId::Other) && !set.contains(FieldId::Host));
        let fewer = set.without(FieldId::Te).with(FieldId::Host);
        assert!(!fewer.contains(FieldId::Te) && fewer.contains(FieldId::Host));
        assert!(!FieldIds::of(&[FieldId::Te]).intersects(fewer) && set.intersects(fewer));
        assert_eq!(fewer.minus(set), FieldIds::of(&[FieldId::Host]));
    }
}
