//! Tokens and audit rows as values: what the store is given and what it gives back.

use crate::access::{Actor, Fleets, Role, TokenKind};
use crate::model::canonical::Hash;
use crate::model::timestamp::Timestamp;

/// A token; its secret is known to its holder alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Names it in the API.
    pub id: String,
    /// Who its holder is; unique among the tokens that are not revoked.
    pub name: String,
    /// What it is for.
    pub kind: TokenKind,
    /// What its holder may do; of a join token it means nothing.
    pub role: Role,
    /// Where. A join token has one.
    pub fleets: Fleets,
    /// The hash of its secret.
    pub hash: Hash,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A token to be stored.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Who its holder is.
    pub name: String,
    /// What it is for.
    pub kind: TokenKind,
    /// What its holder may do.
    pub role: Role,
    /// Where.
    pub fleets: Fleets,
    /// The hash of its secret.
    pub hash: Hash,
    /// How long it is good, in microseconds from now by the database's clock; for ever if not given.
    pub lasts_us: Option<i64>,
}

impl Token {
    /// Whether it opens anything at a point in time.
    pub fn is_good(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }

    /// Its holder.
    pub fn actor(&self) -> Actor {
        Actor {
            name: self.name.clone(),
            role: self.role,
            fleets: self.fleets.clone(),
        }
    }
}
