//! `/v1/events`: what happens to fleets, as server-sent events (WHATWG HTML, section 9.2).

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName};
use axum::response::IntoResponse;
use axum::response::sse::{self, KeepAlive, Sse};
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use utoipa::IntoParams;

use crate::access::Fleets;
use crate::events::{Event, Feed, Kind as EventKind, told_again_since};
use crate::model::text;
use crate::model::timestamp::Timestamp;

use super::ApiState;
use super::by;
use super::problem::{Kind, Problem, ProblemDocument, Result};
use super::query::header_text;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// How often something is sent that says nothing, so that all on the way know that the stream lives.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// What is written at one moment may be seen in another order than that of its times; so far back it is told again.
const OVERLAP_MICROS: i64 = 2_000_000;

/// Which events are asked for.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsOf {
    /// Only those of this fleet.
    fleet: Option<String>,
}

/// Listen to what happens
///
/// A stream that does not end. The `event` field is the kind, `data` the event. Events of revisions and of rollouts have
/// an id. With `Last-Event-ID` those that happened meanwhile come first, in one order; those of the last seconds before it may come
/// twice, known by their `revision`, or by `rollout` and `seq`. What nodes did meanwhile is not told again. A listener that is too slow
/// gets an event `lost` with the number of events that it has missed. The stream ends when the token does that it was asked
/// for with.
#[utoipa::path(get, path = "/v1/events", operation_id = "stream_events", tag = "events",
    params(EventsOf, ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was received")),
    responses(
    (status = 200, description = "Events", body = Event, content_type = "text/event-stream"),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn get(
    State(state): State<ApiState>,
    Extension(feed): Extension<Arc<Feed>>,
    Query(wanted): Query<EventsOf>,
    headers: HeaderMap,
) -> Result {
    let asked = by::current();
    let (visible, let_in) = (asked.actor.fleets.clone(), state.access.ended(asked.secret));
    let fleets = fleets(&state, wanted.fleet.as_deref(), &visible).await?;
    // First listen, then look back: what happens in between comes twice rather than never.
    let live = BroadcastStream::new(feed.subscribe().await?);
    let missed = missed(&state, &fleets, last_id(&headers)?).await?;
    let told: HashMap<_, _> = missed.iter().filter_map(place).collect();
    let live = live.filter_map(move |event| {
        let is_wanted = |fleet: &str| {
            wanted.fleet.as_deref().is_none_or(|wanted| wanted == fleet) && visible.contain(fleet)
        };
        std::future::ready(live_event(event, is_wanted, &told))
    });
    let missed = missed.into_iter().map(|event| write(&event));
    let events = stream::iter(missed).chain(live).map(Ok::<_, Infallible>);
    let events = events
        .take_until(state.shutdown.clone().cancelled_owned())
        .take_until(Box::pin(let_in));
    let keep_alive = KeepAlive::new().interval(HEARTBEAT);
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}

/// The fleets that are listened to: those that the actor may see.
async fn fleets(state: &ApiState, wanted: Option<&str>, visible: &Fleets) -> Result<Vec<String>> {
    match wanted {
        Some(name) if text::name(name).is_err() || !visible.contain(name) => {
            Err(Problem::no_fleet(name))
        }
        Some(name) => Ok(vec![state.store.fleet(name).await?.name]),
        None => {
            let fleets = state.store.fleets().await?.into_iter();
            let names = fleets.map(|fleet| fleet.name);
            Ok(names.filter(|name| visible.contain(name)).collect())
        }
    }
}

/// Ids are times, in microseconds.
fn last_id(headers: &HeaderMap) -> Result<Option<Timestamp>> {
    let id = header_text(headers, &LAST_EVENT_ID).filter(|id| !id.is_empty());
    let parsed = id.map(str::parse::<i64>).transpose();
    let id = parsed.map_err(|_| {
        Problem::new(
            Kind::BadRequest,
            "`Last-Event-ID` is not one that an event has had",
        )
    })?;
    Ok(id.map(|id| Timestamp::from_micros(id.saturating_sub(OVERLAP_MICROS))))
}

async fn missed(
    state: &ApiState,
    fleets: &[String],
    since: Option<Timestamp>,
) -> Result<Vec<Event>> {
    let mut missed = Vec::new();
    if let Some(since) = since {
        for fleet in fleets {
            missed.extend(told_again_since(&*state.store, fleet, since).await?);
        }
    }
    missed.sort_by_key(|event| event.at);
    Ok(missed)
}

/// The row of events that one of them stands in, a fleet's revisions or a rollout, and its number there; `None` of what cannot be
/// told again.
fn place(event: &Event) -> Option<((String, Option<String>), u64)> {
    let (rollout, number) = match (&event.rollout, event.kind) {
        (Some(rollout), _) => (Some(rollout.clone()), event.seq),
        (None, EventKind::RevisionCommitted) => (None, event.revision),
        (None, _) => return None,
    };
    Some(((event.fleet.clone(), rollout), number?))
}

/// An event as it is sent; `None` if it is not wanted, or was told when looking back.
fn live_event(
    event: std::result::Result<Arc<Event>, BroadcastStreamRecvError>,
    is_wanted: impl Fn(&str) -> bool,
    told: &HashMap<(String, Option<String>), u64>,
) -> Option<sse::Event> {
    match event {
        Err(BroadcastStreamRecvError::Lagged(count)) => {
            Some(sse::Event::default().event("lost").data(count.to_string()))
        }
        Ok(event) => {
            let was_told = place(&event)
                .is_some_and(|(row, number)| told.get(&row).is_some_and(|last| number <= *last));
            (is_wanted(&event.fleet) && !was_told).then(|| write(&event))
        }
    }
}

/// What can be told again has an id: its time. The times of nodes are those of another clock, and would be no place to go on from.
fn write(event: &Event) -> sse::Event {
    let data = serde_json::to_string(event).expect("an event is text and numbers");
    let written = sse::Event::default().event(event.kind.as_str()).data(data);
    match place(event) {
        Some(_) => written.id(event.at.as_micros().to_string()),
        None => written,
    }
}
