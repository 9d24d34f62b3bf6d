//! Why a request failed: one cause each, counted, with the status that the client sees.
//! The codes are the response flags of Envoy's access log where it has one for the case
//! (`config/observability/access_log/usage`, `%RESPONSE_FLAGS%`), so that what is known of those holds here too.

/// The cause of a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// No virtual host or no route of it answers for the request.
    NoRoute,
    /// The route's cluster does not exist.
    NoCluster,
    /// The cluster has no endpoint to choose.
    NoEndpoint,
    /// No connection to the endpoint could be opened in time.
    ConnectFailure,
    /// The endpoint closed or broke the connection.
    UpstreamClosed,
    /// The route's timeout has passed.
    UpstreamTimeout,
    /// The endpoint's answer is not HTTP.
    UpstreamProtocol,
    /// Nothing moved for longer than the stream idle timeout.
    StreamIdle,
    /// The client's request cannot be read in exactly one way.
    DownstreamProtocol,
    /// The request asks for a protocol that nobody allows.
    UpgradeRefused,
    /// The client took too long to send a head.
    HeadTimeout,
    /// The client went away.
    DownstreamClosed,
    /// A fault of ours.
    Internal,
}

impl Cause {
    /// Every cause, in the order of [`Cause::index`].
    pub(crate) const ALL: [Self; 13] = [
        Self::NoRoute,
        Self::NoCluster,
        Self::NoEndpoint,
        Self::ConnectFailure,
        Self::UpstreamClosed,
        Self::UpstreamTimeout,
        Self::UpstreamProtocol,
        Self::StreamIdle,
        Self::DownstreamProtocol,
        Self::UpgradeRefused,
        Self::HeadTimeout,
        Self::DownstreamClosed,
        Self::Internal,
    ];

    /// The short code, as it stands in metrics. `UD`, `HT` and `IE` are ours, the others Envoy's.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::NoRoute => "NR",
            Self::NoCluster => "NC",
            Self::NoEndpoint => "UH",
            Self::ConnectFailure => "UF",
            Self::UpstreamClosed => "UC",
            Self::UpstreamTimeout => "UT",
            Self::UpstreamProtocol => "UPE",
            Self::StreamIdle => "SI",
            Self::DownstreamProtocol => "DPE",
            Self::UpgradeRefused => "UD",
            Self::HeadTimeout => "HT",
            Self::DownstreamClosed => "DC",
            Self::Internal => "IE",
        }
    }

    /// Position in [`Cause::ALL`], for arrays with one slot a cause.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_sits_at_its_index_and_has_a_code_of_its_own() {
        for (index, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause.index(), index);
            let same = Cause::ALL
                .iter()
                .filter(|other| other.code() == cause.code());
            assert_eq!(same.count(), 1, "{cause:?}");
        }
    }
}
