//! Answers that the proxy gives itself: `envoy.config.route.v3.DirectResponseAction`.

use envoy_types::pb::envoy::config::core::v3::DataSource;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::route::v3::DirectResponseAction;

use crate::problem::{Check, Code, refuse_if_set};
use crate::route::DirectResponse;

pub(super) fn convert(check: &mut Check, message: DirectResponseAction) -> Option<DirectResponse> {
    let DirectResponseAction {
        status,
        body,
        body_format,
    } = message;
    refuse_if_set!(check, body_format);
    let Some(status) = u16::try_from(status)
        .ok()
        .filter(|status| (200..600).contains(status))
    else {
        check.problem_at(
            "status",
            Code::Invalid,
            format!("{status} is not a status between 200 and 599"),
        );
        return None;
    };
    let body = match body {
        None => bytes::Bytes::new(),
        Some(body) => check.at("body", |check| inline(check, body))?,
    };
    Some(DirectResponse { status, body })
}

fn inline(check: &mut Check, source: DataSource) -> Option<bytes::Bytes> {
    let DataSource {
        watched_directory,
        specifier,
    } = source;
    refuse_if_set!(check, watched_directory);
    match specifier {
        Some(Specifier::InlineString(text)) => Some(text.into()),
        Some(Specifier::InlineBytes(bytes)) => Some(bytes.into()),
        None => Some(bytes::Bytes::new()),
        Some(Specifier::Filename(_)) => refuse(check, "filename"),
        Some(Specifier::EnvironmentVariable(_)) => refuse(check, "environment_variable"),
    }
}

fn refuse(check: &mut Check, field: &'static str) -> Option<bytes::Bytes> {
    check.problem_at(field, Code::Unsupported, "only inline content is supported");
    None
}
