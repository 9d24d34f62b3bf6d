//! Durations as operators write them: `250ms`, `1s`, `1m30s`, `2h`. Whole numbers with a unit, larger units first.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::ToSchema;

/// A duration of whole milliseconds, at most [`Duration::MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, ToSchema)]
#[schema(value_type = String, example = "1m30s", pattern = "^([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$")]
pub struct Duration(u64);

/// Larger units first: the order in which they are written.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Why a text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not numbers with units in falling order.
    #[error("a duration is written like 250ms, 1s or 1m30s")]
    Malformed,
    /// More than [`Duration::MAX`].
    #[error("a duration is at most 8760h")]
    TooLong,
}

impl Duration {
    /// A year: longer is a mistake, and every client can add it to a clock without overflow.
    pub const MAX: Self = Self::from_millis(8_760 * 3_600_000);

    /// A duration in milliseconds.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms)
    }

    /// In milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let (mut rest, mut units, mut ms) = (text, UNITS.iter(), 0u64);
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at(digits);
            let letters = tail.bytes().take_while(u8::is_ascii_lowercase).count();
            let (unit, tail) = tail.split_at(letters);
            // The iterator goes on where it stood, so a unit can neither repeat nor follow a smaller one.
            let size = units.find(|(name, _)| *name == unit).map(|(_, size)| size);
            let size = size
                .filter(|_| digits > 0)
                .ok_or(DurationError::Malformed)?;
            let number: u64 = number.parse().map_err(|_| DurationError::TooLong)?;
            let part = number.checked_mul(*size);
            ms = part
                .and_then(|part| ms.checked_add(part))
                .ok_or(DurationError::TooLong)?;
            rest = tail;
        }
        if text.is_empty() {
            return Err(DurationError::Malformed);
        }
        let duration = Self(ms);
        if duration > Self::MAX {
            Err(DurationError::TooLong)
        } else {
            Ok(duration)
        }
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, size) in UNITS {
            if rest >= size {
                write!(f, "{}{unit}", rest / size)?;
                rest %= size;
            }
        }
        Ok(())
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_duration_is_numbers_with_units_in_falling_order() {
        for (text, ms) in [
            ("250ms", 250),
            ("1s", 1_000),
            ("1m30s", 90_000),
            ("90s", 90_000),
            ("1h1ms", 3_600_001),
            ("0s", 0),
        ] {
            assert_eq!(text.parse(), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in [
            "", "1", "s", "1.5s", "-1s", "1s1m", "1s1s", "1 s", "1d", "1S", "1ss",
        ] {
            assert_eq!(
                text.parse::<Duration>(),
                Err(DurationError::Malformed),
                "{text}"
            );
        }
        for text in ["8761h", "99999999999999999999s", "18446744073709551615h"] {
            assert_eq!(
                text.parse::<Duration>(),
                Err(DurationError::TooLong),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(ms in 0..=Duration::MAX.0) {
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }
    }
}
