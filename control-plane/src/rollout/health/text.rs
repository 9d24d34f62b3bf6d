//! Numbers for people.

/// `3.10%`.
pub(super) fn percent(ratio: f64) -> String {
    format!("{:.2}%", ratio * 100.0)
}

/// `12,400`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
