//! Hints from other replicas: PostgreSQL's NOTIFY. A message says only that something may have changed, and so does
//! every gap in which messages may have been lost.

use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::sync::watch;

const CHANNEL: &str = "signalbox";

/// Pause before the next try to connect. Meanwhile the reconciler polls.
const PAUSE: Duration = Duration::from_secs(1);

/// Bumps `hints` on every message and on every connection that was made anew; never ends.
pub(super) async fn run(url: String, hints: watch::Sender<u64>) {
    loop {
        if let Err(error) = listen(&url, &hints).await {
            tracing::warn!(%error, "cannot listen for changes of other replicas; polling goes on");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn listen(url: &str, hints: &watch::Sender<u64>) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect(url).await?;
    listener.listen(CHANNEL).await?;
    loop {
        // What was said before we listened, or while the connection was lost, has to be read.
        bump(hints);
        while listener.try_recv().await?.is_some() {
            bump(hints);
        }
    }
}

pub(super) fn bump(hints: &watch::Sender<u64>) {
    hints.send_modify(|count| *count = count.wrapping_add(1));
}
