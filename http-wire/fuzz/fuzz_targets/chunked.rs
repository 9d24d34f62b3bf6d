//! The libFuzzer target; what is asserted is in `check.rs`.
#![no_main]

#[allow(dead_code, reason = "each target asks for one of them")]
#[path = "../check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|input: &[u8]| check::chunked(input));
