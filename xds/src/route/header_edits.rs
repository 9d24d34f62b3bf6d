//! Edits of heads, and the order in which the levels of a config make them.

/// Edits of a head: removals first, then the rest in order (Envoy evaluates removals first as well).
#[derive(Debug, Default)]
pub struct HeaderEdits {
    /// Lower-case names of the fields to remove.
    pub remove: Box<[Box<str>]>,
    /// Fields to set, in order.
    pub set: Box<[HeaderEdit]>,
}

impl HeaderEdits {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty()
    }
}

/// `envoy.config.core.v3.HeaderValueOption`.
#[derive(Debug)]
pub struct HeaderEdit {
    /// Lower-case name.
    pub name: Box<str>,
    /// The value, literally.
    pub value: Box<[u8]>,
    /// What to do if the field is there already, or is not.
    pub action: EditAction,
}

/// `HeaderValueOption.HeaderAppendAction`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EditAction {
    /// Add another value.
    Append,
    /// Add only if the field is not there.
    AddIfAbsent,
    /// Replace all values, or add.
    Overwrite,
    /// Replace all values, if there are any.
    OverwriteIfPresent,
}

/// The edits of a level that has no more to say of heads: a weighted cluster, a virtual host, a route configuration.
#[derive(Debug, Default)]
pub struct LevelEdits {
    /// Edits of the request on its way upstream.
    pub request_headers: HeaderEdits,
    /// Edits of the response on its way downstream.
    pub response_headers: HeaderEdits,
}

impl LevelEdits {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.request_headers.is_empty() && self.response_headers.is_empty()
    }
}

/// The edits of one direction at each level.
#[derive(Clone, Copy, Debug)]
pub struct EditLevels<'e> {
    /// Of the weighted cluster that was drawn.
    pub cluster: Option<&'e HeaderEdits>,
    /// Of the route.
    pub route: Option<&'e HeaderEdits>,
    /// Of its virtual host.
    pub virtual_host: Option<&'e HeaderEdits>,
    /// Of the route configuration.
    pub table: Option<&'e HeaderEdits>,
}

impl<'e> EditLevels<'e> {
    /// The edits in the order in which they are made: from the narrowest level to the widest, so that the widest has the
    /// last word. With `most_specific_wins` (`RouteConfiguration.most_specific_header_mutations_wins`) route, virtual
    /// host and table change places; the weighted cluster stays first, as in Envoy 1.40.
    pub fn in_order(self, most_specific_wins: bool) -> impl Iterator<Item = &'e HeaderEdits> {
        let mut others = [self.route, self.virtual_host, self.table];
        if most_specific_wins {
            others.reverse();
        }
        self.cluster.into_iter().chain(others.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_level_comes_last_unless_the_route_is_to_win() {
        let edits: [HeaderEdits; 4] = Default::default();
        let [cluster, route, virtual_host, table] = &edits;
        let levels = |cluster, virtual_host, table| EditLevels {
            cluster,
            route: Some(route),
            virtual_host,
            table,
        };
        let order = |levels: EditLevels<'_>, most_specific_wins| -> Vec<usize> {
            let made = levels.in_order(most_specific_wins);
            made.filter_map(|edit| edits.iter().position(|known| std::ptr::eq(known, edit)))
                .collect()
        };
        let all = levels(Some(cluster), Some(virtual_host), Some(table));
        assert_eq!(order(all, false), [0, 1, 2, 3]);
        assert_eq!(order(all, true), [0, 3, 2, 1]);
        assert_eq!(order(levels(None, Some(virtual_host), None), true), [2, 1]);
    }
}
