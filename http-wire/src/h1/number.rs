//! Numbers as text.

use super::Malformed;

/// One plain decimal number: no sign, no list, no space (RFC 9112 section 6.3, rule 5).
pub(super) fn content_length(value: &[u8]) -> Result<u64, Malformed> {
    // Nineteen digits fit into 64 bits.
    if value.is_empty() || value.len() > 19 {
        return Err(Malformed::ContentLength);
    }
    let mut length = 0;
    for &byte in value {
        if !byte.is_ascii_digit() {
            return Err(Malformed::ContentLength);
        }
        length = length * 10 + u64::from(byte - b'0');
    }
    Ok(length)
}

/// Appends `number` in a radix of at most 16.
pub(super) fn encode_number<const RADIX: u64>(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b"0123456789abcdef"[(number % RADIX) as usize];
        number /= RADIX;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}
