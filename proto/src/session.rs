//! `signalbox.v1.Session`: what the two halves say to each other beside xDS. Generated from `proto/signalbox/v1/` by
//! `cargo xtask generate`; a test makes it again and compares.
#![allow(
    clippy::all,
    clippy::pedantic,
    clippy::unwrap_used,
    unreachable_pub,
    missing_docs
)]

include!("generated/signalbox.v1.rs");
