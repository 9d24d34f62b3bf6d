//! The `Date` of responses (RFC 9110 section 6.6.1), written once for all of them that are sent in a tenth of a second.

use std::io::Write;
use std::time::SystemTime;

use httpdate::HttpDate;

/// Length of the one format that is sent.
const LEN: usize = 29;

/// The last date that was asked for.
#[derive(Debug, Default)]
pub(super) struct Date {
    /// The worker's tick that it belongs to.
    tick: Option<u32>,
    text: [u8; LEN],
}

impl Date {
    /// The date at a tick; the clock is looked at once for each.
    pub(super) fn at(&mut self, tick: u32) -> &[u8] {
        if self.tick != Some(tick) {
            self.tick = Some(tick);
            self.write(SystemTime::now());
        }
        &self.text
    }

    fn write(&mut self, now: SystemTime) {
        let written = write!(&mut self.text[..], "{}", HttpDate::from(now));
        debug_assert!(written.is_ok(), "the format has a fixed length");
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_date_has_the_format_of_the_rfc() {
        let mut date = Date::default();
        // The example of RFC 9110 section 5.6.7.
        date.write(UNIX_EPOCH + Duration::from_secs(784_111_777));
        assert_eq!(&date.text, b"Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn the_clock_is_looked_at_once_a_tick() {
        let mut date = Date::default();
        assert_ne!(date.at(7), [0; LEN]);
        date.text = [b'x'; LEN];
        assert_eq!(date.at(7), [b'x'; LEN]);
        assert_ne!(date.at(8), [b'x'; LEN]);
    }
}
