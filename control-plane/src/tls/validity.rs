//! Until when a certificate is good, read from its DER. Pure. The verifier knows it and does not tell, and it is asked once,
//! in the handshake; streams go on for longer.
//!
//! Sources: RFC 5280 sections 4.1 and 4.1.2.5, X.690 sections 8.1 and 10.1.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// `[0] EXPLICIT`: the version, which may be absent.
const VERSION: u8 = 0xa0;

const DAY: u64 = 86_400;

/// The last second in which a certificate is good; `None` if it cannot be read.
pub(super) fn not_after(certificate: &[u8]) -> Option<SystemTime> {
    let (mut certificate, _) = take(certificate, SEQUENCE)?;
    let fields = &mut take_from(&mut certificate, SEQUENCE)?;
    take_from(fields, VERSION);
    let _serial_number = take_from(fields, INTEGER)?;
    let _signature = take_from(fields, SEQUENCE)?;
    let _issuer = take_from(fields, SEQUENCE)?;
    let validity = &mut take_from(fields, SEQUENCE)?;
    let _not_before = time(validity)?;
    let seconds = time(validity)?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Takes a value with a tag off the front; nothing if another stands there.
fn take_from<'d>(data: &mut &'d [u8], tag: u8) -> Option<&'d [u8]> {
    let (value, rest) = take(data, tag)?;
    *data = rest;
    Some(value)
}

fn take(data: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = data.split_first_chunk()?;
    if found != tag {
        return None;
    }
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // More bytes of length than a length here has bytes, or the indefinite form, which DER does not know.
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = bytes.iter().fold(0, |sum, &b| (sum << 8) | usize::from(b));
            (length, rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// A time as seconds since 1970; 0 if it is before. Both forms end in seconds and `Z`.
fn time(data: &mut &[u8]) -> Option<u64> {
    let (year, rest) = if let Some(text) = take_from(data, UTC_TIME) {
        let (year, rest) = number(text, 2)?;
        (if year < 50 { 2000 + year } else { 1900 + year }, rest)
    } else {
        number(take_from(data, GENERALIZED_TIME)?, 4)?
    };
    let (month, rest) = number(rest, 2)?;
    let (day, rest) = number(rest, 2)?;
    let (hour, rest) = number(rest, 2)?;
    let (minute, rest) = number(rest, 2)?;
    let (second, rest) = number(rest, 2)?;
    let is_one = (1..=12).contains(&month) && (1..=31).contains(&day) && rest == b"Z";
    let seconds = hour * 3_600 + minute * 60 + second;
    is_one.then(|| (days(year, month) + day - 1).saturating_sub(EPOCH) * DAY + seconds)
}

fn number(text: &[u8], digits: usize) -> Option<(u64, &[u8])> {
    let (digits, rest) = text.split_at_checked(digits)?;
    let number = digits.iter().try_fold(0, |number, digit| {
        let is_digit = digit.is_ascii_digit();
        is_digit.then(|| number * 10 + u64::from(digit - b'0'))
    });
    Some((number?, rest))
}

/// Days from year 0 to 1970-01-01.
const EPOCH: u64 = 719_528;

/// Days from year 0 to the first of a month, in the Gregorian calendar.
fn days(year: u64, month: u64) -> u64 {
    const BEFORE: [u64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let leaps = |years: u64| years.div_ceil(4) + years.div_ceil(400) - years.div_ceil(100);
    let is_leap = leaps(year + 1) > leaps(year);
    let leap_day = u64::from(is_leap && month > 2);
    let index = usize::try_from(month - 1).unwrap_or(0);
    year * 365 + leaps(year) + BEFORE.get(index).unwrap_or(&0) + leap_day
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_both_forms_are_seconds_since_1970() {
        let read = |tag: u8, text: &str| {
            let mut data = vec![tag, u8::try_from(text.len()).unwrap()];
            data.extend_from_slice(text.as_bytes());
            time(&mut &*data)
        };
        for (text, seconds) in [
            ("700101000000Z", Some(0)),
            ("700101000001Z", Some(1)),
            ("000229235959Z", Some(951_868_799)),
            ("491231235959Z", Some(2_524_607_999)),
            ("500101000000Z", Some(0)),
            ("261124190000Z", Some(1_795_546_800)),
            ("700001000000Z", None),
            ("7001010000Z", None),
            ("700101000000+0000", None),
        ] {
            assert_eq!(read(UTC_TIME, text), seconds, "{text}");
        }
        for (text, seconds) in [
            ("20500101000000Z", Some(2_524_608_000)),
            // "No well-defined expiration", RFC 5280.
            ("99991231235959Z", Some(253_402_300_799)),
            ("21000301000000Z", Some(4_107_542_400)),
        ] {
            assert_eq!(read(GENERALIZED_TIME, text), seconds, "{text}");
        }
    }

    #[test]
    fn what_is_cut_short_is_not_read() {
        let authority = e2e::certificates::Authority::new().unwrap();
        let pair = authority.issue("it").unwrap();
        let der = crate::tls::pem::certificates(&pair.cert).unwrap().remove(0);
        assert!(not_after(&der).is_some_and(|end| end > SystemTime::now()));
        // The times stand in the first half: without its end it can be read no more than without its beginning.
        for end in 0..der.len() {
            assert_eq!(not_after(&der[..end]), None, "{end}");
        }
    }
}
