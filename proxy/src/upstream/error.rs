//! Why an exchange failed, how far it had come, and whether the request may be sent again.
//! The status for the client is chosen in `request`.

use std::io;

use http_wire::h1::Malformed;

use crate::client::BodyError;

/// How far an exchange had come when the connection failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stage {
    /// The connection had carried a request before.
    pub(crate) reused: bool,
    /// At least one byte of the request went out.
    pub(crate) sent: bool,
    /// At least one piece of the request body was taken from the client and cannot be had again.
    pub(crate) body_begun: bool,
    /// At least one byte of a response came in.
    pub(crate) response_begun: bool,
}

/// What an upstream did that HTTP does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    /// Its bytes cannot be read in exactly one way.
    #[error("malformed response: {0}")]
    Malformed(#[from] Malformed),
    /// It switched to a protocol that nobody had asked it for.
    #[error("unasked 101")]
    UnaskedSwitch,
    /// It sent one interim response after the other.
    #[error("too many interim responses")]
    TooManyInterim,
}

/// Why an exchange failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// No connection within the connect timeout.
    #[error("connect timed out")]
    ConnectTimeout,
    /// The endpoint refused the connection or cannot be reached.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// Nothing moved in either direction for longer than the idle timeout.
    #[error("nothing moved for too long")]
    Idle,
    /// The deadline of the request has passed.
    #[error("deadline passed")]
    Deadline,
    /// The upstream closed or reset the connection before the response had ended.
    #[error("upstream closed the connection")]
    Closed(Stage),
    /// The connection broke in another way.
    #[error("connection to upstream failed")]
    Io(#[source] io::Error),
    /// The upstream broke the rules of HTTP.
    #[error("upstream broke the protocol")]
    Protocol(#[from] Violation),
    /// The client's part: its request body failed.
    #[error("request body failed")]
    RequestBody(#[source] BodyError),
}

impl UpstreamError {
    /// True when the request may be sent again: it provably never reached the server's application, or it was lost in the
    /// keep-alive race (the server closed a kept connection while the request was on its way) and repeating it is harmless.
    ///
    /// A request that did go out on a kept connection is repeated only if its method is idempotent (RFC 9110 section 9.2.2):
    /// a connection that closes without a word looks the same when the server crashed on the request.
    pub(crate) fn retry_is_safe(&self, method_is_idempotent: bool) -> bool {
        match self {
            Self::ConnectTimeout | Self::Connect(_) => true,
            Self::Closed(stage) => {
                let is_lost = !stage.sent || (stage.reused && method_is_idempotent);
                is_lost && !stage.body_begun && !stage.response_begun
            }
            Self::Idle
            | Self::Deadline
            | Self::Io(_)
            | Self::Protocol(_)
            | Self::RequestBody(_) => false,
        }
    }

    /// A failure of the socket at a stage: closed by the other side, or broken.
    pub(super) fn broken(stage: Stage, error: io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
        match error.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected => Self::Closed(stage),
            _ => Self::Io(error),
        }
    }
}

impl From<Malformed> for UpstreamError {
    fn from(malformed: Malformed) -> Self {
        Self::Protocol(Violation::Malformed(malformed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOST: Stage = Stage {
        reused: true,
        sent: true,
        body_begun: false,
        response_begun: false,
    };

    #[test]
    fn a_request_that_never_left_may_always_be_sent_again() {
        assert!(UpstreamError::ConnectTimeout.retry_is_safe(false));
        assert!(
            UpstreamError::Connect(io::ErrorKind::ConnectionRefused.into()).retry_is_safe(false)
        );
        assert!(
            UpstreamError::Closed(Stage {
                sent: false,
                ..LOST
            })
            .retry_is_safe(false)
        );
    }

    #[test]
    fn the_keep_alive_race_is_repeated_for_idempotent_methods_alone() {
        assert!(UpstreamError::Closed(LOST).retry_is_safe(true));
        assert!(!UpstreamError::Closed(LOST).retry_is_safe(false));
        assert!(
            !UpstreamError::Closed(Stage {
                reused: false,
                ..LOST
            })
            .retry_is_safe(true)
        );
    }

    #[test]
    fn nothing_is_sent_again_once_a_body_or_a_response_has_begun() {
        for stage in [
            Stage {
                body_begun: true,
                ..LOST
            },
            Stage {
                response_begun: true,
                ..LOST
            },
        ] {
            assert!(!UpstreamError::Closed(stage).retry_is_safe(true));
        }
        assert!(!UpstreamError::Deadline.retry_is_safe(true));
        assert!(!UpstreamError::from(Malformed::StatusLine).retry_is_safe(true));
    }
}
