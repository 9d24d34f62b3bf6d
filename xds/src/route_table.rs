//! "Which route?" for one listener: the virtual host by the request's host, then the route by its index.
//! Order of hosts, as Envoy documents for `VirtualHost.domains`: exact, longest suffix wildcard, longest prefix
//! wildcard, `*`. Once a virtual host is chosen its routes are all there is.

mod exact;

use std::collections::BTreeMap;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::matcher::RequestView;
use crate::prefix_tree::PrefixTree;
use crate::resource::virtual_host::{Domain, VirtualHost};
use crate::route::Route;

use self::exact::{Claim, ExactHosts};

/// The virtual hosts of a listener, indexed by host.
#[derive(Clone, Debug)]
pub struct RouteTable {
    exact: ExactHosts,
    wildcards: Arc<Wildcards>,
    /// No domain is claimed twice.
    is_clear: bool,
}

/// The domains with a star.
#[derive(Debug)]
struct Wildcards {
    /// Keys are reversed, so that a suffix is a prefix.
    suffixes: PrefixTree<Arc<VirtualHost>>,
    prefixes: PrefixTree<Arc<VirtualHost>>,
    any: Option<Arc<VirtualHost>>,
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
        let mut claims = Vec::new();
        let (mut suffixes, mut prefixes) = (BTreeMap::new(), BTreeMap::new());
        let mut any = None;
        let mut refused = Vec::new();
        for host in virtual_hosts {
            for (position, domain) in (0..).zip(&host.domains) {
                let owner = match domain {
                    Domain::Exact(_) => {
                        claims.push((position, host));
                        continue;
                    }
                    Domain::Suffix(suffix) => suffixes.entry(reversed(suffix)).or_insert(host),
                    Domain::Prefix(prefix) => {
                        prefixes.entry(Box::from(prefix.as_bytes())).or_insert(host)
                    }
                    Domain::Any => any.get_or_insert(host),
                };
                if !Arc::ptr_eq(owner, host) {
                    refused.push((domain.clone(), host.clone()));
                }
            }
        }
        let (exact, taken) = ExactHosts::new(&claims);
        let taken = taken.into_iter().map(|(position, host)| {
            let domain = host.domains[position as usize].clone();
            (domain, host.clone())
        });
        refused.extend(taken);
        let wildcards = Wildcards {
            suffixes: tree(suffixes),
            prefixes: tree(prefixes),
            any: any.cloned(),
        };
        let table = Self {
            exact,
            wildcards: Arc::new(wildcards),
            is_clear: refused.is_empty(),
        };
        (table, refused)
    }

    /// The table without some virtual hosts and with others, where nothing else changes. It is what [`Self::new`] would make of
    /// all of them, and costs what differs. `None` where that takes a look at all of them: a domain is claimed twice,
    /// before or now, a domain has a wildcard, or the table has grown or shrunk much.
    pub fn edited(
        &self,
        removed: &[&Arc<VirtualHost>],
        added: &[&Arc<VirtualHost>],
    ) -> Option<Self> {
        if !self.is_clear {
            return None;
        }
        Some(Self {
            exact: self
                .exact
                .edited(&exact_claims(removed)?, &exact_claims(added)?)?,
            wildcards: self.wildcards.clone(),
            is_clear: true,
        })
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
        let wildcards = &*self.wildcards;
        self.exact
            .find(host)
            .or_else(|| wildcards.by_suffix(host))
            .or_else(|| longest(&wildcards.prefixes, host.as_bytes()))
            .or(wildcards.any.as_ref())
    }
}

impl Wildcards {
    fn by_suffix(&self, host: &str) -> Option<&Arc<VirtualHost>> {
        if self.suffixes.is_empty() {
            return None;
        }
        // On the stack: no name is longer (RFC 1035, section 2.3.4), and what is longer still works.
        let reversed: SmallVec<[u8; 255]> = host.bytes().rev().collect();
        longest(&self.suffixes, &reversed)
    }
}

fn tree(hosts: BTreeMap<Box<[u8]>, &Arc<VirtualHost>>) -> PrefixTree<Arc<VirtualHost>> {
    let hosts = hosts.into_iter().map(|(key, host)| (key, host.clone()));
    PrefixTree::from_sorted(hosts.collect())
}

/// The domains of virtual hosts; `None` if one has a wildcard.
fn exact_claims<'h>(hosts: &[&'h Arc<VirtualHost>]) -> Option<Vec<Claim<'h>>> {
    let claims = hosts.iter().flat_map(|host| {
        let domains = (0..).zip(&host.domains);
        domains.map(|(position, domain)| {
            matches!(domain, Domain::Exact(_)).then_some((position, *host))
        })
    });
    claims.collect()
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
