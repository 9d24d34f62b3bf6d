//! A request that cannot be answered as its route says: whose fault it is and what the client sees.
//! Status and text are Envoy's where it answers the same case, so that clients and dashboards need not know which proxy
//! they have.

use http_wire::canonical::Refusal;
use http_wire::h1::Malformed;
use http_wire::head::Invalid;

use crate::cause::Cause;
use crate::client::BodyError;
use crate::upstream::UpstreamError;

/// Why, and what is said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(super) cause: Cause,
    pub(super) status: u16,
    /// One short line, or nothing.
    pub(super) text: &'static str,
    /// The connection is of no further use: what comes next on it may not be a request.
    pub(super) close: bool,
}

impl Failure {
    /// The failure that a cause stands for.
    pub(super) const fn of(cause: Cause) -> Self {
        let (status, text, close) = match cause {
            Cause::NoRoute => (404, "", false),
            Cause::NoCluster => (503, "", false),
            Cause::NoEndpoint => (503, "no healthy upstream", false),
            Cause::ConnectFailure => (503, "upstream connect error", false),
            Cause::UpstreamClosed => (
                503,
                "upstream closed the connection before it answered",
                false,
            ),
            Cause::UpstreamTimeout => (504, "upstream request timeout", false),
            Cause::UpstreamProtocol => (502, "upstream protocol error", false),
            Cause::StreamIdle => (504, "stream timeout", true),
            Cause::DownstreamProtocol | Cause::DownstreamClosed => (400, "bad request", true),
            Cause::UpgradeRefused => (403, "", true),
            Cause::HeadTimeout => (408, "request timeout", true),
            Cause::Internal => (500, "internal error", true),
        };
        Self {
            cause,
            status,
            text,
            close,
        }
    }

    /// A request that cannot be read in exactly one way, or only by a forward proxy. The text names the rule that it breaks.
    const fn refused(status: u16, text: &'static str) -> Self {
        Self {
            cause: Cause::DownstreamProtocol,
            status,
            text,
            close: true,
        }
    }

    /// The route's cluster is not there; the route says what the client sees.
    pub(super) const fn no_cluster(status: u16) -> Self {
        Self {
            status,
            ..Self::of(Cause::NoCluster)
        }
    }

    /// Nothing moved for too long. While the request is still on its way the client is to blame.
    pub(super) const fn stalled(request_complete: bool) -> Self {
        let status = if request_complete { 504 } else { 408 };
        Self {
            status,
            ..Self::of(Cause::StreamIdle)
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TooLarge => Self::refused(431, refusal.code()),
            _ => Self::refused(400, refusal.code()),
        }
    }
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Self {
        Self::refused(malformed.request_status(), malformed.code())
    }
}

impl From<Invalid> for Failure {
    /// What cannot stand in a head came from the client, or from an edit that made the head too large.
    fn from(invalid: Invalid) -> Self {
        match invalid {
            Invalid::TooLarge => Self::refused(431, "head_too_large"),
            Invalid::Name | Invalid::Value | Invalid::Target => Self::of(Cause::DownstreamProtocol),
        }
    }
}

impl From<&UpstreamError> for Failure {
    fn from(error: &UpstreamError) -> Self {
        Self::of(cause_of(error))
    }
}

/// The cause that an error of an exchange stands for.
pub(super) fn cause_of(error: &UpstreamError) -> Cause {
    match error {
        UpstreamError::ConnectTimeout | UpstreamError::Connect(_) => Cause::ConnectFailure,
        UpstreamError::Idle => Cause::StreamIdle,
        UpstreamError::Deadline => Cause::UpstreamTimeout,
        UpstreamError::Closed(_) | UpstreamError::Io(..) => Cause::UpstreamClosed,
        UpstreamError::Protocol(_) => Cause::UpstreamProtocol,
        UpstreamError::RequestBody(BodyError::Malformed(Malformed::Cut) | BodyError::Io(_)) => {
            Cause::DownstreamClosed
        }
        UpstreamError::RequestBody(BodyError::Malformed(_)) => Cause::DownstreamProtocol,
    }
}
