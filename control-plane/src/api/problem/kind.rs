//! The kinds of failure: for each a type URN, a status and a title. The names are part of the API and never change.

use axum::http::StatusCode;

/// The kinds of failure; each is one type URN with one status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Kind {
    BadRequest,
    Unauthenticated,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    InUse,
    Exists,
    Conflict,
    RolloutActive,
    NothingToRollOut,
    NotYet,
    IllegalTransition,
    ApprovalRequired,
    RevisionConflict,
    TooLarge,
    TooDeep,
    TooMany,
    Misdirected,
    UnsupportedMediaType,
    Validation,
    PreconditionRequired,
    Internal,
    StoreUnavailable,
    Timeout,
}

impl Kind {
    pub(in crate::api) const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest | Self::TooDeep => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::ApprovalRequired => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::InUse
            | Self::Exists
            | Self::Conflict
            | Self::RolloutActive
            | Self::NothingToRollOut
            | Self::NotYet
            | Self::IllegalTransition => StatusCode::CONFLICT,
            Self::RevisionConflict => StatusCode::PRECONDITION_FAILED,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Validation | Self::TooMany => StatusCode::UNPROCESSABLE_ENTITY,
            Self::PreconditionRequired => StatusCode::PRECONDITION_REQUIRED,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::StoreUnavailable | Self::Timeout => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The kind of a failure of the framework, of which only the status is known.
    pub(in crate::api) fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::NotFound,
            StatusCode::METHOD_NOT_ALLOWED => Self::MethodNotAllowed,
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::UnsupportedMediaType,
            StatusCode::SERVICE_UNAVAILABLE => Self::Timeout,
            status if status.is_client_error() => Self::BadRequest,
            _ => Self::Internal,
        }
    }

    pub(in crate::api) const fn name(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::InUse => "in-use",
            Self::Exists => "exists",
            Self::IllegalTransition => "illegal-transition",
            Self::ApprovalRequired => "approval-required",
            Self::Conflict => "conflict",
            Self::RolloutActive => "rollout-active",
            Self::NothingToRollOut => "nothing-to-roll-out",
            Self::NotYet => "not-yet",
            Self::RevisionConflict => "revision-conflict",
            Self::TooLarge => "too-large",
            Self::TooDeep => "too-deep",
            Self::TooMany => "too-many",
            Self::Misdirected => "misdirected",
            Self::UnsupportedMediaType => "unsupported-media-type",
            Self::Validation => "validation",
            Self::PreconditionRequired => "precondition-required",
            Self::Internal => "internal",
            Self::StoreUnavailable => "store-unavailable",
            Self::Timeout => "timeout",
        }
    }

    pub(in crate::api) const fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request cannot be read",
            Self::Unauthenticated => "Say who you are",
            Self::Forbidden => "You may not do this",
            Self::NotFound => "There is nothing here",
            Self::MethodNotAllowed => "This method is not allowed here",
            Self::InUse => "Something else needs it",
            Self::Exists => "It is there already",
            Self::IllegalTransition => "The rollout does not stand where this can be done",
            Self::ApprovalRequired => "Somebody else has to say so",
            Self::Conflict => "Too many writes at once",
            Self::RolloutActive => "A rollout is under way",
            Self::NothingToRollOut => "The fleet is there already",
            Self::NotYet => "Nodes would move before they may",
            Self::RevisionConflict => "It is no longer what it was",
            Self::TooLarge => "The body is too large",
            Self::TooDeep => "The body is nested too deeply",
            Self::TooMany => "The fleet would have too much of it",
            Self::Misdirected => "This server has another name",
            Self::UnsupportedMediaType => "The body has a type that is not read",
            Self::Validation => "The document is not valid",
            Self::PreconditionRequired => "Say what you change",
            Self::Internal => "Something is broken here",
            Self::StoreUnavailable => "The database is not available",
            Self::Timeout => "It took too long",
        }
    }
}
