//! Which route takes a request of which the values of fields and parameters are not known. The proxy's own index is asked first:
//! mostly no value decides, and then its answer is certain. Else the list is walked down, where each route takes the request,
//! does not, or perhaps does.

use std::borrow::Cow;
use std::cell::Cell;

use xds::config::ServedListener;
use xds::matcher::{HeaderCondition, HeaderKey, HeaderMatch, QueryMatch, RequestView};
use xds::resource::virtual_host::VirtualHost;
use xds::route::Route;
use xds::route_table::Lookup;

use crate::sample::Head;

/// How many routes may be walked past in all. What comes after that is not known: with very many routes that ask for values in
/// one host, an answer in time is worth more than a whole one.
const WALK_MAX: usize = 20_000_000;

/// What is left of the routes that may be walked past.
pub(super) struct Budget(usize);

impl Default for Budget {
    fn default() -> Self {
        Self(WALK_MAX)
    }
}

/// Who takes a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum End {
    /// There is no such listener.
    NoListener,
    /// No route, or no virtual host.
    NoRoute,
    /// The route of this name.
    Route(Box<str>),
}

/// The way of a request.
#[derive(Debug)]
pub(super) struct Way {
    /// The routes that perhaps take it, in their order.
    pub(super) perhaps: Vec<End>,
    /// Who takes it if none of those does.
    pub(super) end: End,
}

impl Way {
    /// Everybody who may take it, in their order.
    pub(super) fn takers(&self) -> impl Iterator<Item = &End> {
        self.perhaps.iter().chain([&self.end])
    }
}

/// The way of a request through a listener; `None` if finding out takes too long.
pub(super) fn find(
    listener: Option<&ServedListener>,
    head: &Head,
    budget: &mut Budget,
) -> Option<Way> {
    let certain = |end| {
        Some(Way {
            perhaps: Vec::new(),
            end,
        })
    };
    let Some(listener) = listener else {
        return certain(End::NoListener);
    };
    let view = View::of(head);
    let found = listener.routes.find(&view);
    match found {
        Lookup::NoHost => certain(End::NoRoute),
        Lookup::Found { route, .. } if !view.asked.get() => certain(End::Route(route.name.clone())),
        Lookup::NoRoute(_) if !view.asked.get() => certain(End::NoRoute),
        Lookup::Found { virtual_host, .. } | Lookup::NoRoute(virtual_host) => {
            walk(virtual_host, &view, budget)
        }
    }
}

fn walk(host: &VirtualHost, view: &View<'_>, budget: &mut Budget) -> Option<Way> {
    let mut perhaps = Vec::new();
    for route in host.routes.routes() {
        budget.0 = budget.0.checked_sub(1)?;
        match takes(route, view) {
            Some(true) => {
                let end = End::Route(route.name.clone());
                return Some(Way { perhaps, end });
            }
            Some(false) => {}
            None => perhaps.push(End::Route(route.name.clone())),
        }
    }
    let end = End::NoRoute;
    Some(Way { perhaps, end })
}

/// Whether a route takes a request; `None` if a value decides.
fn takes(route: &Route, view: &View<'_>) -> Option<bool> {
    if !route.path.matches(view.path()) {
        return Some(false);
    }
    let Some(conditions) = &route.conditions else {
        return Some(true);
    };
    let headers = conditions.headers.iter().map(|one| header(one, view));
    let query = conditions.query.iter().map(|one| parameter(one, view));
    let mut is_known = true;
    for holds in headers.chain(query) {
        match holds {
            Some(true) => {}
            Some(false) => return Some(false),
            None => is_known = false,
        }
    }
    is_known.then_some(true)
}

fn header(condition: &HeaderMatch, view: &View<'_>) -> Option<bool> {
    let asks_for_value = match (&condition.key, &condition.condition) {
        (HeaderKey::Method, _) | (_, HeaderCondition::Present(_)) => false,
        (HeaderKey::Field(name), _) => view.has(name),
    };
    (!asks_for_value).then(|| condition.matches(view))
}

fn parameter(condition: &QueryMatch, view: &View<'_>) -> Option<bool> {
    let is_there = view
        .head
        .query
        .binary_search_by(|name| (**name).cmp(&condition.name));
    let asks_for_value = condition.value.is_some() && is_there.is_ok();
    (!asks_for_value).then(|| condition.matches(view.query()))
}

/// A head as routing sees it, with an empty value where there is one; and whether a value was asked for.
struct View<'h> {
    head: &'h Head,
    query: String,
    asked: Cell<bool>,
}

impl<'h> View<'h> {
    fn of(head: &'h Head) -> Self {
        Self {
            head,
            query: head.query.join("&"),
            asked: Cell::new(false),
        }
    }

    /// Every request has a host as it was sent, which is none of its fields and is not told.
    fn has(&self, name: &str) -> bool {
        let headers = &self.head.headers;
        name == "host" || headers.binary_search_by(|one| (**one).cmp(name)).is_ok()
    }
}

impl RequestView for View<'_> {
    fn host(&self) -> &str {
        &self.head.host
    }

    fn method(&self) -> &str {
        &self.head.method
    }

    fn path(&self) -> &str {
        &self.head.path
    }

    fn query(&self) -> Option<&str> {
        let is_there = !self.query.is_empty();
        self.asked.set(self.asked.get() || is_there);
        is_there.then_some(&self.query)
    }

    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let is_there = self.has(name);
        self.asked.set(self.asked.get() || is_there);
        is_there.then_some(Cow::Borrowed(&b""[..]))
    }
}
