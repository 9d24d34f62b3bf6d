//! Redirects: the parts of a `Location`. `envoy.config.route.v3.RedirectAction`.

use super::substitution::Substitution;

/// `envoy.config.route.v3.RedirectAction`.
#[derive(Debug)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// The new scheme; `None` = the request's.
    pub scheme: Option<Box<str>>,
    /// The new host; `None` = the request's.
    pub host: Option<Box<str>>,
    /// The new port; `None` = the request's, or none if the host or the scheme changes it.
    pub port: Option<u16>,
    /// What happens to the path.
    pub path: RedirectPath,
    /// Leave the query out.
    pub strip_query: bool,
}

/// The path of a redirect.
#[derive(Debug)]
pub enum RedirectPath {
    /// The request's.
    Keep,
    /// This one; with a query of its own it replaces the request's.
    Replace(Box<str>),
    /// The part that the route's prefix matched is replaced.
    Prefix(Box<str>),
    /// Every match in the path is replaced.
    Regex(Substitution),
}
