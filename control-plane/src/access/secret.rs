//! Secrets of tokens: 256 random bits, written as text. They are too many to guess, so a plain hash is enough to keep
//! one, and looking a hash up tells nothing of the secret by the time it takes.

use tokio_rustls::rustls::crypto::ring;

use crate::model::canonical::{self, Hash};

use super::TokenKind;

/// Begins every secret, so that a person or a scanner knows one where it should not be.
const API: &str = "sbx_";
const JOIN: &str = "sbxjoin_";

/// Shortest secret that an operator may choose: fewer characters hold too few bits, however they were drawn.
const CHOSEN_MIN: usize = 32;
/// Longest secret that is looked at; a header could carry more.
const LENGTH_MAX: usize = 256;

/// The system has no random bits.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the system's random number generator does not answer")]
pub struct NoRandomness;

/// Draws a secret.
///
/// # Errors
/// The system's generator fails.
pub fn draw(kind: TokenKind) -> Result<String, NoRandomness> {
    let mut bits = [0; 32];
    ring::default_provider()
        .secure_random
        .fill(&mut bits)
        .map_err(|_| NoRandomness)?;
    let begin = match kind {
        TokenKind::Api => API,
        TokenKind::Join => JOIN,
    };
    Ok(format!("{begin}{}", canonical::hex(&bits)))
}

/// What is stored of a secret.
pub fn hash(secret: &str) -> Hash {
    canonical::hash(secret.as_bytes())
}

/// Whether an operator may choose this text as a secret.
pub fn may_be_chosen(secret: &str) -> bool {
    (CHOSEN_MIN..=LENGTH_MAX).contains(&secret.len())
        && secret.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The secret in an `Authorization` field (RFC 6750 section 2.1); the scheme's case does not matter (RFC 9110 section 11.1).
pub fn of_authorization(field: &str) -> Option<&str> {
    let (scheme, secret) = field.split_once(' ')?;
    let secret = secret.trim_matches(' ');
    let is_one = scheme.eq_ignore_ascii_case("bearer") && (1..=LENGTH_MAX).contains(&secret.len());
    is_one.then_some(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_secret_is_another_one_and_says_what_it_is_for() {
        let (one, other) = (
            draw(TokenKind::Api).unwrap(),
            draw(TokenKind::Join).unwrap(),
        );
        assert!(one.starts_with("sbx_") && other.starts_with("sbxjoin_"));
        assert_eq!(one.len(), 4 + 64);
        assert_ne!(one, draw(TokenKind::Api).unwrap());
        assert_ne!(hash(&one), hash(&other));
        assert!(may_be_chosen(&one));
    }

    #[test]
    fn a_secret_that_an_operator_chooses_is_long_and_plain() {
        assert!(!may_be_chosen("hunter2"));
        assert!(!may_be_chosen(&"a b ".repeat(16)));
        assert!(!may_be_chosen(&"a".repeat(257)));
        assert!(may_be_chosen(&"a".repeat(32)));
    }

    #[test]
    fn only_a_bearer_field_holds_a_secret() {
        assert_eq!(of_authorization("Bearer abc"), Some("abc"));
        assert_eq!(of_authorization("bearer  abc"), Some("abc"));
        for field in ["", "abc", "Bearer", "Bearer ", "Basic abc"] {
            assert_eq!(of_authorization(field), None, "{field}");
        }
        assert_eq!(
            of_authorization(&format!("Bearer {}", "a".repeat(257))),
            None
        );
    }
}
