//! Numbers as text.

/// Appends `number` in a radix of at most 16.
pub(super) fn encode_number(mut number: u64, radix: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b"0123456789abcdef"[(number % radix) as usize];
        number /= radix;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}
