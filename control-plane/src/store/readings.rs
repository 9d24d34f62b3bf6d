//! Readings of the store that many callers want at once: whoever waits while one runs shares the next, so that a storm of
//! callers costs two, whether the store answers or not.

use tokio::sync::Mutex;
use tokio::time::Instant;

use super::error::{Result, StoreError};

/// The readings of one thing. One runs at a time, so nothing older is published after something newer.
#[derive(Debug, Default)]
pub struct Readings(Mutex<Option<Last>>);

#[derive(Clone, Copy, Debug)]
struct Last {
    began: Instant,
    failed: bool,
}

impl Readings {
    /// Reads, unless a reading that began after this call has ended meanwhile.
    ///
    /// # Errors
    /// That of the reading; [`StoreError::Unavailable`] if the shared one failed.
    pub async fn share(&self, read: impl Future<Output = Result<()>>) -> Result<()> {
        let called = Instant::now();
        let mut last = self.0.lock().await;
        if let Some(shared) = last.filter(|last| last.began >= called) {
            return if shared.failed {
                Err(StoreError::Unavailable(sqlx::Error::PoolTimedOut))
            } else {
                Ok(())
            };
        }
        let began = Instant::now();
        let result = read.await;
        *last = Some(Last {
            began,
            failed: result.is_err(),
        });
        result
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_storm_of_callers_costs_two_readings_and_shares_their_failure() {
        for fails in [false, true] {
            let (readings, read) = (Readings::default(), AtomicUsize::new(0));
            let caller = |number: u64| {
                let (readings, read) = (&readings, &read);
                async move {
                    tokio::time::sleep(Duration::from_millis(number)).await;
                    let reading = async {
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        read.fetch_add(1, Ordering::Relaxed);
                        if fails {
                            Err(StoreError::Unavailable(sqlx::Error::PoolTimedOut))
                        } else {
                            Ok(())
                        }
                    };
                    readings.share(reading).await.is_err()
                }
            };
            let failed = join_all((0..100).map(caller)).await;
            assert_eq!(read.load(Ordering::Relaxed), 2);
            assert!(failed.iter().all(|failed| *failed == fails));
        }
    }
}
