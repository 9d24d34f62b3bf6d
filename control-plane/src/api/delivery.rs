//! What becomes of a revision once it is stored: whether a rollout takes it to the nodes.

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::rollout::State;
use crate::rollout::strategy::Mode;
use crate::store::{Store, StoreError};

/// How a new revision reaches nodes, told with every write.
const CONFIG_DELIVERY: HeaderName = HeaderName::from_static("config-delivery");

/// How a new revision reaches nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Delivery {
    /// Whether it is on its way.
    state: DeliveryState,
    /// The rollout that takes it there, that it waits for, or that was rolled back.
    #[serde(skip_serializing_if = "Option::is_none")]
    rollout: Option<String>,
}

/// Whether a revision is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum DeliveryState {
    /// A rollout takes it to the nodes.
    RollingOut,
    /// It is taken along by the rollout after the one that is under way.
    Waiting,
    /// A rollout was rolled back or canceled, or is on its way back: nothing moves until somebody reverts or begins a rollout.
    Held,
    /// The fleet is moved by hand.
    Manual,
}

impl DeliveryState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::RollingOut => "rolling-out",
            Self::Waiting => "waiting",
            Self::Held => "held",
            Self::Manual => "manual",
        }
    }
}

impl Delivery {
    /// How a revision that was just stored reaches nodes.
    pub(super) async fn of(
        store: &dyn Store,
        fleet: &str,
        revision: u64,
    ) -> Result<Self, StoreError> {
        let row = store.fleet(fleet).await?;
        let newest = store.rollouts(fleet, None, 1).await?.into_iter().next();
        let (state, rollout) = match newest {
            // If it goes to a newer one, it takes this one along.
            Some(rollout) if rollout.to >= revision => {
                (DeliveryState::RollingOut, Some(rollout.id))
            }
            _ if row.settings.rollout.mode == Mode::Manual => (DeliveryState::Manual, None),
            _ if row.held.is_some() => (DeliveryState::Held, row.held),
            // When it is back, it holds the fleet.
            Some(rollout) if rollout.state == State::RollingBack => {
                (DeliveryState::Held, Some(rollout.id))
            }
            Some(rollout) if !rollout.state.is_terminal() => {
                (DeliveryState::Waiting, Some(rollout.id))
            }
            // The fleet was moved by hand when this was stored.
            _ => (DeliveryState::Manual, None),
        };
        Ok(Self { state, rollout })
    }
}

/// An answer to a write, with what becomes of it.
pub(super) fn told(mut response: Response, delivery: Option<&Delivery>) -> Response {
    if let Some(delivery) = delivery {
        let state = HeaderValue::from_static(delivery.state.as_str());
        response.headers_mut().insert(CONFIG_DELIVERY, state);
    }
    response
}
