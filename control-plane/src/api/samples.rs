//! `/v1/fleets/{fleet}/samples`: what the fleet's proxies have seen of requests.

use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::sample::Sample;

use super::ApiState;
use super::problem::{Kind, Problem, ProblemDocument, Result};
use super::query::{PathOf, json_aged};

const TOP_DEFAULT: u32 = 100;
const TOP_MAX: u32 = 10_000;

/// How many are asked for.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SamplesOf {
    /// So many kinds are listed; 100 if it is not said.
    #[param(minimum = 0, maximum = 10000)]
    top: Option<u32>,
}

/// What is kept of a fleet's requests.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Samples)]
struct SamplesDocument {
    /// How many kinds of requests are kept.
    kinds: usize,
    /// How many requests they stand for.
    requests: u64,
    /// Those that stand for most, the first first.
    samples: Vec<Sample>,
}

/// Read samples of requests
///
/// Our own proxies tell of about ten requests a second each thread has, without values of fields and of query parameters.
#[utoipa::path(get, path = "/v1/fleets/{fleet}/samples", operation_id = "get_samples", tag = "traffic",
    params(("fleet" = String, Path, description = "The fleet"), SamplesOf), responses(
    (status = 200, description = "What is kept", body = SamplesDocument),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn get(
    State(state): State<ApiState>,
    PathOf(fleet): PathOf<String>,
    Query(wanted): Query<SamplesOf>,
) -> Result {
    let top = wanted.top.unwrap_or(TOP_DEFAULT);
    if top > TOP_MAX {
        let detail = format!("`top` is 0 to {TOP_MAX}");
        return Err(Problem::new(Kind::BadRequest, detail));
    }
    let mut samples = state.store.samples(&fleet).await?;
    let requests = samples.iter().map(|sample| sample.requests);
    let document = SamplesDocument {
        kinds: samples.len(),
        requests: requests.fold(0, u64::saturating_add),
        samples: {
            samples.truncate(top as usize);
            samples
        },
    };
    Ok(json_aged(None, document))
}
