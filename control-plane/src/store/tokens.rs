//! Tokens, and the counter that says when they have to be read again.

use std::collections::BTreeSet;

use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::By;
use super::audit::{Entry, add};
use super::error::{Result, StoreError};
use super::sql::{SqlStore, hash, unsigned};
use super::token::{NewToken, Token};
use crate::access::{Fleets, Role, TokenKind};
use crate::model::canonical;
use crate::model::timestamp::Timestamp;

const ALL: &str = "SELECT * FROM token ORDER BY id";
const ONE: &str = "SELECT * FROM token WHERE id = $1";
const SEQ: &str = "SELECT value FROM counter WHERE name = 'tokens'";
const BUMP: &str = "UPDATE counter SET value = value + 1 WHERE name = 'tokens'";
const TAKEN: &str = "SELECT id FROM token WHERE name = $1 AND revoked_at IS NULL";
const ADD: &str = "INSERT INTO token (id, name, kind, role, fleets, hash, created_at, created_by, expires_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const REVOKE: &str = "UPDATE token SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";

impl SqlStore {
    pub(super) async fn read_tokens(&self) -> Result<Vec<Token>> {
        let rows = sqlx::query(ALL).fetch_all(&self.reader).await?;
        rows.iter().map(token).collect()
    }

    pub(super) async fn read_token_seq(&self) -> Result<u64> {
        let seq: i64 = sqlx::query_scalar(SEQ).fetch_one(&self.reader).await?;
        Ok(unsigned(seq))
    }

    pub(super) async fn add_token(&self, new: &NewToken, by: By<'_>) -> Result<Token> {
        let mut tx = self.begin().await?;
        // The counter's row is locked first: of two tokens with one name the second one sees the first.
        sqlx::query(BUMP).execute(&mut *tx).await?;
        let taken: Option<String> = sqlx::query_scalar(TAKEN)
            .bind(new.name.as_str())
            .fetch_optional(&mut *tx)
            .await?;
        if taken.is_some() {
            return Err(StoreError::Exists(format!("a token named {:?}", new.name)));
        }
        let now = self.now(&mut tx).await?;
        let token = Token {
            id: uuid::Uuid::now_v7().to_string(),
            name: new.name.clone(),
            kind: new.kind,
            role: new.role,
            fleets: new.fleets.clone(),
            hash: new.hash,
            created_at: now,
            created_by: by.actor.to_owned(),
            expires_at: new
                .lasts_us
                .map(|us| Timestamp::from_micros(now.as_micros().saturating_add(us))),
            revoked_at: None,
        };
        let query = sqlx::query(ADD)
            .bind(token.id.as_str())
            .bind(token.name.as_str())
            .bind(token.kind.as_str())
            .bind(token.role.as_str())
            .bind(list(&token.fleets).map(|fleets| canonical::to_bytes(&fleets)));
        let query = query
            .bind(token.hash.to_vec())
            .bind(now.as_micros())
            .bind(token.created_by.as_str())
            .bind(token.expires_at.map(Timestamp::as_micros));
        query.execute(&mut *tx).await?;
        let detail = serde_json::json!({
            "name": token.name,
            "kind": token.kind,
            "role": token.role,
            "fleets": list(&token.fleets),
        });
        let entry = Entry {
            detail: Some(detail),
            ..Entry::new("create-token", token_fleet(&token), object(&token.id))
        };
        add(&mut tx, by, now, entry).await?;
        tx.commit().await?;
        self.hint();
        Ok(token)
    }

    pub(super) async fn end_token(&self, id: &str, by: By<'_>) -> Result<Token> {
        let mut tx = self.begin().await?;
        sqlx::query(BUMP).execute(&mut *tx).await?;
        let now = self.now(&mut tx).await?;
        let revoked = sqlx::query(REVOKE)
            .bind(id)
            .bind(now.as_micros())
            .execute(&mut *tx)
            .await?
            .rows_affected();
        let row = sqlx::query(ONE).bind(id).fetch_optional(&mut *tx).await?;
        let row = row.ok_or_else(|| StoreError::NoSuchToken(id.to_owned()))?;
        let token = token(&row)?;
        // Revoking twice is one revocation.
        if revoked > 0 {
            let detail = serde_json::json!({ "name": token.name });
            let entry = Entry {
                detail: Some(detail),
                ..Entry::new("revoke-token", token_fleet(&token), object(id))
            };
            add(&mut tx, by, now, entry).await?;
        }
        tx.commit().await?;
        self.hint();
        Ok(token)
    }
}

fn object(id: &str) -> String {
    format!("tokens/{id}")
}

/// The fleet to whose history a token belongs, if it is one.
fn token_fleet(token: &Token) -> Option<&str> {
    match &token.fleets {
        Fleets::These(fleets) if fleets.len() == 1 => fleets.first().map(String::as_str),
        _ => None,
    }
}

fn list(fleets: &Fleets) -> Option<&BTreeSet<String>> {
    match fleets {
        Fleets::All => None,
        Fleets::These(fleets) => Some(fleets),
    }
}

fn token(row: &AnyRow) -> Result<Token> {
    let id: String = row.try_get("id")?;
    let corrupt = |what: &str| StoreError::Corrupt {
        what: format!("token {id}: {what}"),
    };
    let (kind, role): (String, String) = (row.try_get("kind")?, row.try_get("role")?);
    let fleets: Option<Vec<u8>> = row.try_get("fleets")?;
    let bytes: Vec<u8> = row.try_get("hash")?;
    let time = |column: &str| -> Result<Option<Timestamp>> {
        Ok(row
            .try_get::<Option<i64>, _>(column)?
            .map(Timestamp::from_micros))
    };
    Ok(Token {
        name: row.try_get("name")?,
        kind: TokenKind::of_str(&kind).ok_or_else(|| corrupt("its kind is not known"))?,
        role: Role::of_str(&role).ok_or_else(|| corrupt("its role is not known"))?,
        fleets: match fleets {
            None => Fleets::All,
            Some(bytes) => Fleets::These(
                serde_json::from_slice(&bytes).map_err(|_| corrupt("its fleets cannot be read"))?,
            ),
        },
        hash: hash(&bytes)?,
        created_at: Timestamp::from_micros(row.try_get("created_at")?),
        created_by: row.try_get("created_by")?,
        expires_at: time("expires_at")?,
        revoked_at: time("revoked_at")?,
        id,
    })
}
