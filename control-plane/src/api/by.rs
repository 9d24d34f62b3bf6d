//! Who asks, for as long as a request is handled. It travels with the task, as the span of its log lines does, and not
//! through the arguments of every handler: so no handler can forget it, and none can say it is somebody else.

use std::sync::Arc;

use crate::access::Actor;
use crate::model::canonical::Hash;
use crate::store::By;

tokio::task_local! {
    static ASKED: Arc<Asked>;
}

/// A request's id, from `finish` to `guard`.
#[derive(Clone, Debug)]
pub(super) struct RequestId(pub(super) String);

/// Who asks, and by which request.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) actor: Actor,
    /// The hash of the secret by which they were known, if they needed one.
    pub(super) secret: Option<Hash>,
    pub(super) request_id: String,
}

impl Asked {
    /// As the store takes it.
    pub(super) fn by(&self) -> By<'_> {
        By {
            actor: &self.actor.name,
            request_id: &self.request_id,
        }
    }
}

/// Handles a request as asked by somebody.
pub(super) async fn scope<F: Future>(asked: Asked, handling: F) -> F::Output {
    ASKED.scope(Arc::new(asked), handling).await
}

/// Who asks.
pub(super) fn current() -> Arc<Asked> {
    ASKED
        .try_with(Arc::clone)
        .expect("the guard stands around every handler that asks this")
}
