//! What a route changes in heads: the path on its way upstream, fields in both directions.

use http_wire::head::{Fields, Invalid, RequestHead, ResponseHead};
use smallvec::SmallVec;
use xds::route::{EditAction, HeaderEdits, PathMatch, Route};

use crate::cause::Cause;

use super::failure::Failure;

/// Changes the request as its route says; `prefix` takes the place of what the route's path matched.
pub(super) fn request(
    route: &Route,
    prefix: Option<&str>,
    head: &mut RequestHead,
) -> Result<(), Failure> {
    if let Some(prefix) = prefix {
        let path = rewritten(&route.path, prefix, head.path());
        // A path is ASCII, and a piece of it after a match in whole characters too.
        let path = std::str::from_utf8(&path).map_err(|_| Failure::of(Cause::Internal))?;
        head.set_path(path)?;
    }
    edit(&route.request_headers, head.fields_mut())?;
    Ok(())
}

/// Changes the response as its route says.
pub(super) fn response(edits: &HeaderEdits, head: &mut ResponseHead) -> Result<(), Failure> {
    edit(edits, head.fields_mut())?;
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
