//! Who it is that asks: recognises tokens by the hash of their secret. All tokens are held in memory, so a request costs
//! no query and goes on while the database is away; a counter in the database is polled and says when they have to be
//! read again, so that one which was revoked anywhere opens nothing after a second.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::access::secret::{self, NoRandomness};
use crate::access::{Fleets, Role, TokenKind};
use crate::model::canonical::Hash;
use crate::model::timestamp::Timestamp;
use crate::store::readings::Readings;
use crate::store::token::{NewToken, Token};
use crate::store::{By, Store, StoreError};

/// How often the counter is read. Two tries fit into the second within which a revocation holds everywhere.
const POLL: Duration = Duration::from_millis(400);

/// The name of the first token, which nobody could have made by the API.
pub const BOOTSTRAP: &str = "bootstrap";

/// The file in the data folder that tells a drawn first token.
const FILE: &str = "admin-token";

/// The tokens there are.
#[derive(Debug)]
pub struct Tokens {
    store: Arc<dyn Store>,
    table: watch::Sender<Table>,
    readings: Readings,
}

#[derive(Clone, Debug, Default)]
struct Table {
    seq: Option<u64>,
    by_hash: Arc<HashMap<Hash, Arc<Token>>>,
}

/// Why there is no first token.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The text that was given is no secret.
    #[error("the bootstrap token must be 32 to 256 printable characters without spaces")]
    Weak,
    /// None can be drawn.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// It cannot be told.
    #[error("cannot write {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It cannot be stored.
    #[error("cannot store the first token")]
    Store(#[from] StoreError),
}

impl Tokens {
    /// The tokens of a store; none are known before the first `refresh`.
    pub fn new(store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            store,
            table: watch::Sender::default(),
            readings: Readings::default(),
        })
    }

    /// Goes on until it is cancelled. While the store is away, what is known stays.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut hints = self.store.hints();
        loop {
            if let Err(error) = self.refresh().await {
                tracing::warn!(%error, "tokens could not be read; those that are known stay good");
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = hints.changed() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// Brings what is known up to the store as it is now, or later. Callers share readings, so a storm of unknown secrets
    /// costs one small query at a time.
    ///
    /// # Errors
    /// The store cannot be read.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        self.readings.share(self.read()).await
    }

    async fn read(&self) -> Result<(), StoreError> {
        // The counter first: a token that is made in between is read now, and once more next time.
        let seq = Some(self.store.token_seq().await?);
        if self.table.borrow().seq != seq {
            let tokens = self.store.tokens().await?.into_iter();
            let by_hash = tokens.map(|token| (token.hash, Arc::new(token))).collect();
            self.table.send_replace(Table {
                seq,
                by_hash: Arc::new(by_hash),
            });
        }
        Ok(())
    }

    /// The token of a secret, if it is good. One that is not known here may have been made on another replica a moment
    /// ago, so the store is asked.
    ///
    /// # Errors
    /// The secret is not known and the store cannot be read.
    pub async fn recognise(&self, secret: &str) -> Result<Option<Arc<Token>>, StoreError> {
        let hash = secret::hash(secret);
        let known = self.known(&hash);
        let token = match known {
            Some(token) => Some(token),
            None => {
                self.refresh().await?;
                self.known(&hash)
            }
        };
        Ok(token.filter(|token| token.is_good(Timestamp::now())))
    }

    /// Returns when a token is no longer good.
    pub async fn ended(&self, hash: &Hash) {
        let mut table = self.table.subscribe();
        loop {
            let token = table.borrow_and_update().by_hash.get(hash).cloned();
            let Some(token) = token.filter(|token| token.is_good(Timestamp::now())) else {
                return;
            };
            let left = token.expires_at.map(|end| {
                let us = end.as_micros() - Timestamp::now().as_micros();
                Duration::from_micros(u64::try_from(us).unwrap_or(0))
            });
            tokio::select! {
                changed = table.changed() => if changed.is_err() { return },
                () = sleep(left) => {}
            }
        }
    }

    /// Makes a first token if there is none by which others could be made: with the secret that is given, or with a
    /// drawn one that a file in `folder` tells.
    ///
    /// # Errors
    /// The secret is too weak, or the token cannot be told or stored.
    pub async fn bootstrap(
        &self,
        given: Option<&str>,
        folder: &Path,
    ) -> Result<(), BootstrapError> {
        self.refresh().await?;
        if given.is_some_and(|given| !secret::may_be_chosen(given)) {
            return Err(BootstrapError::Weak);
        }
        if self.has_admin() {
            return Ok(());
        }
        let path = folder.join(FILE);
        let secret = match given {
            Some(given) => given.to_owned(),
            None => secret::draw(TokenKind::Api)?,
        };
        // Told before it is good: after a crash in between the next start draws another one.
        if given.is_none() {
            tell(&path, &secret).map_err(|source| BootstrapError::File {
                path: path.clone(),
                source,
            })?;
        }
        let token = NewToken {
            name: BOOTSTRAP.to_owned(),
            kind: TokenKind::Api,
            role: Role::Admin,
            fleets: Fleets::All,
            hash: secret::hash(&secret),
            lasts_us: None,
        };
        let by = By {
            actor: BOOTSTRAP,
            request_id: "",
        };
        match self.store.create_token(&token, by).await {
            Ok(_) if given.is_none() => {
                tracing::warn!(path = %path.display(), "the first admin token was made; the file has it");
            }
            Ok(_) => tracing::info!("the first admin token is the one that was given"),
            // Another replica was faster. What our file says opens nothing.
            Err(StoreError::Exists(_)) if given.is_none() => {
                let _ = fs::remove_file(&path);
            }
            Err(StoreError::Exists(_)) => {}
            Err(error) => return Err(error.into()),
        }
        self.refresh().await?;
        Ok(())
    }

    fn known(&self, hash: &Hash) -> Option<Arc<Token>> {
        self.table.borrow().by_hash.get(hash).cloned()
    }

    fn has_admin(&self) -> bool {
        let now = Timestamp::now();
        self.table.borrow().by_hash.values().any(|token| {
            let makes_others = token.kind == TokenKind::Api
                && token.role == Role::Admin
                && token.fleets == Fleets::All;
            makes_others && token.is_good(now)
        })
    }
}

/// Writes a secret where only this user reads it.
fn tell(path: &Path, secret: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // One that is there may have other permissions.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{secret}")?;
    file.sync_all()
}

async fn sleep(left: Option<Duration>) {
    match left {
        Some(left) => tokio::time::sleep(left).await,
        None => std::future::pending().await,
    }
}
