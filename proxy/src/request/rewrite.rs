//! What the config changes in heads: host and path on their way upstream, fields in both directions. The edits of every
//! level come in the order that `ServedListener` gives.

use std::borrow::Cow;

use http_wire::head::{FieldId, Fields, Invalid, RequestHead, ResponseHead};
use smallvec::SmallVec;
use xds::config::ServedListener;
use xds::route::{EditAction, Forward, HeaderEdits, HostRewrite, PathMatch, PathRewrite};

use crate::cause::Cause;

use super::Way;
use super::failure::Failure;

/// Changes the request as the config says: fields first, then the host, then the path, as Envoy's
/// `RouteEntryImplBase::finalizeRequestHeaders` does. `endpoint` is the name of the endpoint that was chosen.
pub(super) fn request(
    listener: &ServedListener,
    forward: &Forward,
    way: &Way<'_>,
    endpoint: Option<&str>,
    head: &mut RequestHead,
) -> Result<(), Failure> {
    for edits in listener.request_edits(way.virtual_host, way.route, way.weighted) {
        edit(edits, head.fields_mut())?;
    }
    let rewrite = forward.rewrite.as_deref();
    let takes_endpoints = takes_endpoints_name(forward);
    let of_route = rewrite.and_then(|rewrite| rewrite.host.as_ref());
    let of_route = of_route.filter(|_| !takes_endpoints || endpoint.is_some());
    let of_cluster = || way.weighted?.host_rewrite.as_ref();
    if let Some(new) = of_route.or_else(of_cluster) {
        let append = rewrite.is_some_and(|rewrite| rewrite.append_x_forwarded_host);
        host(new, endpoint, append, head)?;
    }
    match rewrite.and_then(|rewrite| rewrite.path.as_ref()) {
        None => {}
        Some(PathRewrite::Prefix(prefix)) => {
            let path = rewritten(&way.route.path, prefix, head.path());
            // A path is ASCII, and a piece of it after a match in whole characters too.
            let path = std::str::from_utf8(&path).map_err(|_| Failure::of(Cause::Internal))?;
            head.set_path(path)?;
        }
        Some(PathRewrite::Regex(substitution)) => {
            let path = substitution.apply(head.path());
            // The one thing that the config's check cannot promise is the slash at the start.
            head.set_path(&path)
                .map_err(|_| Failure::of(Cause::Internal))?;
        }
    }
    Ok(())
}

/// Takes the name of another endpoint: the one that was chosen first could not be reached.
pub(super) fn goes_elsewhere(
    forward: &Forward,
    endpoint: Option<&str>,
    head: &mut RequestHead,
) -> Result<(), Invalid> {
    match endpoint.filter(|_| takes_endpoints_name(forward)) {
        Some(name) => head.set_authority(name),
        None => Ok(()),
    }
}

fn takes_endpoints_name(forward: &Forward) -> bool {
    let rewrite = forward.rewrite.as_deref();
    rewrite.is_some_and(|rewrite| matches!(rewrite.host, Some(HostRewrite::Endpoint)))
}

/// Replaces what goes upstream as `Host`. What is no host came from the client and is refused.
fn host(
    rewrite: &HostRewrite,
    endpoint: Option<&str>,
    append: bool,
    head: &mut RequestHead,
) -> Result<(), Failure> {
    let new = match rewrite {
        HostRewrite::Literal(host) => Cow::Borrowed(&**host),
        HostRewrite::Header(name) => {
            let value = head.fields().get(&**name).unwrap_or_default();
            if value.is_empty() {
                return Ok(());
            }
            Cow::Owned(String::from_utf8_lossy(value).into_owned())
        }
        HostRewrite::Path(substitution) => Cow::Owned(substitution.apply(head.path())),
        HostRewrite::Endpoint => match endpoint {
            Some(name) => Cow::Borrowed(name),
            None => return Ok(()),
        },
    };
    if append {
        append_forwarded_host(head)?;
    }
    head.set_authority(&new)?;
    Ok(())
}

/// Appends the host to `X-Forwarded-Host`, unless it is the last one there already.
fn append_forwarded_host(head: &mut RequestHead) -> Result<(), Invalid> {
    let host: SmallVec<[u8; 256]> = SmallVec::from_slice(head.authority().as_bytes());
    let mut list: SmallVec<[u8; 256]> = SmallVec::new();
    for known in head.fields().get_all(FieldId::XForwardedHost) {
        if !list.is_empty() {
            list.push(b',');
        }
        list.extend_from_slice(known);
    }
    let last = list.rsplit(|byte| *byte == b',').next().unwrap_or_default();
    if host.is_empty() || last.trim_ascii() == &*host {
        return Ok(());
    }
    if !list.is_empty() {
        list.push(b',');
    }
    list.extend_from_slice(&host);
    head.fields_mut().set(FieldId::XForwardedHost, &list)
}

/// Changes the response as the config says.
pub(super) fn response(
    listener: &ServedListener,
    way: &Way<'_>,
    head: &mut ResponseHead,
) -> Result<(), Failure> {
    for edits in listener.response_edits(way.virtual_host, way.route, way.weighted) {
        edit(edits, head.fields_mut())?;
    }
    Ok(())
}

/// `path` with `prefix` in the place of what `matched` stands for: the prefix, the whole exact path, or the whole path
/// that a regular expression matched. Text for text, as Envoy: `/a` to `/` makes `//b` of `/a/b`.
pub(super) fn rewritten(matched: &PathMatch, prefix: &str, path: &str) -> SmallVec<[u8; 256]> {
    let len = match matched {
        PathMatch::Exact(exact) => exact.len(),
        PathMatch::Prefix(matched) | PathMatch::SegmentPrefix(matched) => matched.len(),
        PathMatch::Regex { .. } => path.len(),
    };
    let mut new = SmallVec::from_slice(prefix.as_bytes());
    new.extend_from_slice(path.as_bytes().get(len..).unwrap_or_default());
    new
}

fn edit(edits: &HeaderEdits, fields: &mut Fields) -> Result<(), Invalid> {
    for name in &edits.remove {
        fields.remove(&**name);
    }
    for edit in &edits.set {
        let name = &*edit.name;
        match edit.action {
            EditAction::Append => fields.append(name, &edit.value)?,
            EditAction::AddIfAbsent if fields.contains(name) => {}
            EditAction::OverwriteIfPresent if !fields.contains(name) => {}
            EditAction::AddIfAbsent | EditAction::Overwrite | EditAction::OverwriteIfPresent => {
                fields.set(name, &edit.value)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use xds::route::HeaderEdit;

    use super::*;

    fn path(matched: &PathMatch, prefix: &str, path: &str) -> String {
        String::from_utf8(rewritten(matched, prefix, path).to_vec()).unwrap()
    }

    #[test]
    fn what_the_path_matched_is_replaced() {
        let segment = PathMatch::SegmentPrefix("/products".into());
        assert_eq!(path(&segment, "/v2/products", "/products"), "/v2/products");
        assert_eq!(
            path(&segment, "/v2/products", "/products/7/x"),
            "/v2/products/7/x"
        );
        assert_eq!(path(&segment, "/", "/products/7"), "//7");
        let prefix = PathMatch::Prefix("/api/".into());
        assert_eq!(path(&prefix, "/", "/api/users"), "/users");
        let exact = PathMatch::Exact("/old".into());
        assert_eq!(path(&exact, "/new", "/old"), "/new");
    }

    #[test]
    fn edits_remove_first_and_then_set_in_order() {
        let edit_of = |name: &str, value: &str, action| HeaderEdit {
            name: name.into(),
            value: value.as_bytes().into(),
            action,
        };
        let edits = HeaderEdits {
            remove: ["x-a".into()].into(),
            set: [
                edit_of("x-a", "new", EditAction::AddIfAbsent),
                edit_of("x-a", "ignored", EditAction::AddIfAbsent),
                edit_of("x-b", "2", EditAction::Append),
                edit_of("x-c", "new", EditAction::Overwrite),
                edit_of("x-d", "never", EditAction::OverwriteIfPresent),
                edit_of("x-e", "new", EditAction::OverwriteIfPresent),
            ]
            .into(),
        };
        let mut fields = Fields::default();
        for (name, value) in [("x-a", "old"), ("x-b", "1"), ("x-c", "old"), ("x-e", "old")] {
            fields.append(name, value.as_bytes()).unwrap();
        }
        edit(&edits, &mut fields).unwrap();
        let all = |name: &str| -> Vec<String> {
            let values = fields.get_all(name);
            values
                .map(|value| String::from_utf8_lossy(value).into_owned())
                .collect()
        };
        assert_eq!(all("x-a"), ["new"]);
        assert_eq!(all("x-b"), ["1", "2"]);
        assert_eq!(all("x-c"), ["new"]);
        assert_eq!(all("x-d"), Vec::<String>::new());
        assert_eq!(all("x-e"), ["new"]);
    }
}
