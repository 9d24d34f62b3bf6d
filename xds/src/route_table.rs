//! "Which route?" for one listener: the virtual host by the request's host, then the route by its index.
//! Order of hosts, as Envoy documents for `VirtualHost.domains`: exact, longest suffix wildcard, longest prefix
//! wildcard, `*`. Once a virtual host is chosen its routes are all there is.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, BuildHasherDefault};
use std::sync::Arc;

use ahash::AHasher;
use hashbrown::HashTable;
use smallvec::SmallVec;

use crate::matcher::RequestView;
use crate::prefix_tree::PrefixTree;
use crate::resource::virtual_host::{Domain, VirtualHost};
use crate::route::Route;

/// The virtual hosts of a listener, indexed by host.
#[derive(Debug)]
pub struct RouteTable {
    exact: HashTable<Exact>,
    /// Keys are reversed, so that a suffix is a prefix.
    suffixes: PrefixTree<Arc<VirtualHost>>,
    prefixes: PrefixTree<Arc<VirtualHost>>,
    any: Option<Arc<VirtualHost>>,
}

/// A host without a wildcard: the virtual host that has it among its domains, and its place there. Its text is in the virtual
/// host alone, since hosts are many.
#[derive(Debug)]
struct Exact {
    host: Arc<VirtualHost>,
    domain: u32,
}

impl Exact {
    fn text(&self) -> Option<&str> {
        match self.host.domains.get(self.domain as usize) {
            Some(Domain::Exact(text)) => Some(text),
            _ => None,
        }
    }
}

/// The answer to "which route?".
#[derive(Clone, Copy, Debug)]
pub enum Lookup<'t> {
    /// This one.
    Found {
        /// The virtual host that was chosen.
        virtual_host: &'t Arc<VirtualHost>,
        /// The first of its routes that matched.
        route: &'t Arc<Route>,
    },
    /// The host is known, but none of its routes matched.
    NoRoute(&'t Arc<VirtualHost>),
    /// No virtual host answers for this host.
    NoHost,
}

impl RouteTable {
    /// Indexes virtual hosts. A domain that two of them claim stays with the first; the second is returned.
    pub fn new<'h>(
        virtual_hosts: impl IntoIterator<Item = &'h Arc<VirtualHost>>,
    ) -> (Self, Vec<(Domain, Arc<VirtualHost>)>) {
        let mut exact: HashTable<Exact> = HashTable::new();
        let (mut suffixes, mut prefixes) = (BTreeMap::new(), BTreeMap::new());
        let mut any = None;
        let mut refused = Vec::new();
        for host in virtual_hosts {
            for (position, domain) in (0..).zip(&host.domains) {
                let taken = match domain {
                    Domain::Exact(name) => {
                        let is_it = |entry: &Exact| entry.text() == Some(name);
                        let rehash = |entry: &Exact| entry.text().map_or(0, hash);
                        let entry = exact.entry(hash(name), is_it, rehash);
                        let entry = entry.or_insert_with(|| Exact {
                            host: host.clone(),
                            domain: position,
                        });
                        claim(&entry.get().host, host)
                    }
                    Domain::Suffix(suffix) => claim(
                        suffixes
                            .entry(reversed(suffix))
                            .or_insert_with(|| host.clone()),
                        host,
                    ),
                    Domain::Prefix(prefix) => claim(
                        prefixes
                            .entry(Box::from(prefix.as_bytes()))
                            .or_insert_with(|| host.clone()),
                        host,
                    ),
                    Domain::Any => claim(any.get_or_insert_with(|| host.clone()), host),
                };
                if !taken {
                    refused.push((domain.clone(), host.clone()));
                }
            }
        }
        let suffixes = PrefixTree::from_sorted(suffixes.into_iter().collect());
        let prefixes = PrefixTree::from_sorted(prefixes.into_iter().collect());
        (
            Self {
                exact,
                suffixes,
                prefixes,
                any,
            },
            refused,
        )
    }

    /// The route for a request.
    pub fn find<R: RequestView + ?Sized>(&self, request: &R) -> Lookup<'_> {
        let Some(virtual_host) = self.virtual_host(request.host()) else {
            return Lookup::NoHost;
        };
        match virtual_host.routes.find(request) {
            Some(route) => Lookup::Found {
                virtual_host,
                route,
            },
            None => Lookup::NoRoute(virtual_host),
        }
    }

    /// The virtual host that answers for a canonical host.
    pub fn virtual_host(&self, host: &str) -> Option<&Arc<VirtualHost>> {
        self.exact
            .find(hash(host), |entry| entry.text() == Some(host))
            .map(|entry| &entry.host)
            .or_else(|| self.by_suffix(host))
            .or_else(|| longest(&self.prefixes, host.as_bytes()))
            .or(self.any.as_ref())
    }

    fn by_suffix(&self, host: &str) -> Option<&Arc<VirtualHost>> {
        if self.suffixes.is_empty() {
            return None;
        }
        // On the stack: no name is longer (RFC 1035, section 2.3.4), and what is longer still works.
        let reversed: SmallVec<[u8; 255]> = host.bytes().rev().collect();
        longest(&self.suffixes, &reversed)
    }
}

fn hash(host: &str) -> u64 {
    BuildHasherDefault::<AHasher>::default().hash_one(host)
}

/// Whether the entry is the host's own.
fn claim(owner: &Arc<VirtualHost>, host: &Arc<VirtualHost>) -> bool {
    Arc::ptr_eq(owner, host)
}

/// The value of the longest key that the text begins with, and is longer than: a wildcard never stands for nothing.
fn longest<'t, T>(tree: &'t PrefixTree<T>, text: &[u8]) -> Option<&'t T> {
    let mut found = None;
    tree.walk(text, |len, value| {
        if len < text.len() {
            found = Some(value);
        }
    });
    found
}

fn reversed(text: &str) -> Box<[u8]> {
    text.bytes().rev().collect()
}
