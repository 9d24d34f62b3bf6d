//! Redirects: `envoy.config.route.v3.RedirectAction`.

use envoy_types::pb::envoy::config::route::v3::RedirectAction;
use envoy_types::pb::envoy::config::route::v3::redirect_action::{
    PathRewriteSpecifier, RedirectResponseCode, SchemeRewriteSpecifier,
};

use crate::problem::{Check, Code};
use crate::route::{Redirect, RedirectPath};

use super::rewrite;

pub(super) fn convert(check: &mut Check, message: RedirectAction) -> Option<Redirect> {
    let RedirectAction {
        host_redirect,
        port_redirect,
        response_code,
        strip_query,
        scheme_rewrite_specifier,
        path_rewrite_specifier,
    } = message;
    let status = match RedirectResponseCode::try_from(response_code) {
        Ok(RedirectResponseCode::MovedPermanently) => 301,
        Ok(RedirectResponseCode::Found) => 302,
        Ok(RedirectResponseCode::SeeOther) => 303,
        Ok(RedirectResponseCode::TemporaryRedirect) => 307,
        Ok(RedirectResponseCode::PermanentRedirect) => 308,
        Err(_) => {
            check.problem_at(
                "response_code",
                Code::Invalid,
                "not one of the codes of a redirect",
            );
            return None;
        }
    };
    let scheme = match scheme_rewrite_specifier {
        None | Some(SchemeRewriteSpecifier::HttpsRedirect(false)) => None,
        Some(SchemeRewriteSpecifier::HttpsRedirect(true)) => Some("https".into()),
        Some(SchemeRewriteSpecifier::SchemeRedirect(scheme)) => {
            location_part(check, "scheme_redirect", scheme)
        }
    };
    let host = if host_redirect.is_empty() {
        None
    } else {
        location_part(check, "host_redirect", host_redirect)
    };
    let port = match u16::try_from(port_redirect) {
        Ok(0) => None,
        Ok(port) => Some(port),
        Err(_) => {
            check.problem_at(
                "port_redirect",
                Code::Invalid,
                format!("{port_redirect} is not a port"),
            );
            None
        }
    };
    let path = match path_rewrite_specifier {
        None => RedirectPath::Keep,
        Some(PathRewriteSpecifier::PathRedirect(path)) => {
            location_part(check, "path_redirect", path)
                .map_or(RedirectPath::Keep, RedirectPath::Replace)
        }
        Some(PathRewriteSpecifier::PrefixRewrite(prefix)) => {
            location_part(check, "prefix_rewrite", prefix)
                .map_or(RedirectPath::Keep, RedirectPath::Prefix)
        }
        Some(PathRewriteSpecifier::RegexRewrite(message)) => check
            .at("regex_rewrite", |check| {
                rewrite::substitution(check, message, is_visible)
            })
            .map_or(RedirectPath::Keep, RedirectPath::Regex),
        Some(PathRewriteSpecifier::PathRewrite(_)) => {
            check.problem_at(
                "path_rewrite",
                Code::Unsupported,
                "path templates are not supported",
            );
            return None;
        }
    };
    Some(Redirect {
        status,
        scheme,
        host,
        port,
        path,
        strip_query,
    })
}

/// A part of a `Location` header: no spaces and no control bytes.
fn location_part(check: &mut Check, field: &'static str, text: String) -> Option<Box<str>> {
    if text.is_empty() || !text.bytes().all(is_visible) {
        check.problem_at(
            field,
            Code::Invalid,
            format!("{text:?} cannot stand in a Location header"),
        );
        return None;
    }
    Some(text.into())
}

const fn is_visible(byte: u8) -> bool {
    byte > b' ' && byte < 0x7f
}
