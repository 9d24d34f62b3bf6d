//! One lookup of a name: the hosts file first, as everywhere on a machine, then the name servers. What comes out is what was
//! said now: nothing is kept here, for those who ask know how long an answer may be used.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, TokioResolver};
use tokio::time::Instant;
use xds::resource::cluster::dns::{Family, Query};

use super::system;

/// Where the machine's name servers stand.
const SYSTEM: &str = "/etc/resolv.conf";

/// How old the hosts file may be that is looked at.
const HOSTS_AGE: Duration = Duration::from_secs(5);

/// Who is asked.
pub(super) struct Resolver {
    /// `None` if there is no name server: what stands in the hosts file is found all the same.
    servers: Option<TokioResolver>,
    hosts: Mutex<Option<(Instant, Arc<Hosts>)>>,
}

/// A good answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The addresses in the order of the answer, at least one.
    pub(super) addresses: Arc<[IpAddr]>,
    /// How long they may be used; `None` if they stand in the hosts file.
    pub(super) ttl: Option<Duration>,
}

/// A lookup that gave no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The name does not exist or has no address of the family.
    Empty,
    /// There was no answer, or a bad one.
    Failed(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("there is no such address"),
            Self::Failed(reason) => f.write_str(reason),
        }
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}

impl Resolver {
    /// Asks these servers, or those of the system (`/etc/resolv.conf`) if there are none.
    pub(super) fn new(servers: &[SocketAddr]) -> Self {
        let servers = match build(servers) {
            Ok(resolver) => Some(resolver),
            Err(error) => {
                tracing::warn!(%error, "no name server: only names in the hosts file are found");
                None
            }
        };
        Self {
            servers,
            hosts: Mutex::default(),
        }
    }

    /// Looks up a name.
    pub(super) async fn lookup(&self, query: &Query) -> Result<Found, Failure> {
        let name =
            Name::from_utf8(&query.name).map_err(|error| Failure::Failed(error.to_string()))?;
        let hosts = self.hosts();
        let of_hosts = |ty| {
            let lookup = hosts.lookup_static_host(&op::Query::query(name.clone(), ty));
            lookup.map(|lookup| Found {
                ttl: None,
                ..found(&lookup)
            })
        };
        let (v4, v6) = (of_hosts(RecordType::A), of_hosts(RecordType::AAAA));
        if v4.is_some() || v6.is_some() {
            let (v4, v6) = (v4.ok_or(Failure::Empty), v6.ok_or(Failure::Empty));
            return choose(query.lookup.family, async { v4 }, async { v6 }).await;
        }
        let v4 = self.ask(&name, RecordType::A);
        let v6 = self.ask(&name, RecordType::AAAA);
        choose(query.lookup.family, v4, v6).await
    }

    async fn ask(&self, name: &Name, ty: RecordType) -> Result<Found, Failure> {
        let Some(servers) = &self.servers else {
            return Err(Failure::Failed("there is no name server".to_owned()));
        };
        match servers.lookup(name.clone(), ty).await {
            Ok(lookup) => Some(found(&lookup))
                .filter(|found| !found.addresses.is_empty())
                .ok_or(Failure::Empty),
            // That a name does not exist comes under this head too.
            Err(error) if error.is_no_records_found() => Err(Failure::Empty),
            Err(error) => Err(Failure::Failed(error.to_string())),
        }
    }

    /// The hosts file, read again now and then.
    fn hosts(&self) -> Arc<Hosts> {
        let mut kept = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((read, hosts)) if read.elapsed() < HOSTS_AGE => hosts.clone(),
            _ => {
                let hosts = Arc::new(Hosts::from_system().unwrap_or_default());
                *kept = Some((Instant::now(), hosts.clone()));
                hosts
            }
        }
    }
}

fn build(servers: &[SocketAddr]) -> Result<TokioResolver, NetError> {
    let (config, mut options) = if servers.is_empty() {
        let read = system::read(&std::fs::read(SYSTEM)?);
        read.ok_or(NetError::Message("/etc/resolv.conf names no server"))?
    } else {
        let servers = servers.iter().map(name_server).collect();
        (
            ResolverConfig::from_name_servers(servers),
            ResolverOpts::default(),
        )
    };
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    builder.with_options(options).build()
}

fn name_server(address: &SocketAddr) -> NameServerConfig {
    let at_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    server.connections = vec![
        at_port(ConnectionConfig::udp()),
        at_port(ConnectionConfig::tcp()),
    ];
    server
}

fn found(lookup: &Lookup) -> Found {
    let records = lookup.answers().iter();
    let addresses = records.filter_map(|record| record.data.ip_addr()).collect();
    let ttl = lookup.answers().iter().map(|record| record.ttl).min();
    Found {
        addresses,
        ttl: ttl.map(|seconds| Duration::from_secs(seconds.into())),
    }
}

/// The addresses of the family that is wanted. Of two families one may fail; if both do, a fault tells more than that there
/// is nothing.
async fn choose(
    family: Family,
    v4: impl Future<Output = Result<Found, Failure>>,
    v6: impl Future<Output = Result<Found, Failure>>,
) -> Result<Found, Failure> {
    match family {
        Family::V4Only => v4.await,
        Family::V6Only => v6.await,
        Family::V4Preferred => either(v4, v6).await,
        Family::V6Preferred => either(v6, v4).await,
        Family::All => match futures_util::join!(v4, v6) {
            (Ok(one), Ok(other)) => Ok(Found {
                addresses: one
                    .addresses
                    .iter()
                    .chain(&*other.addresses)
                    .copied()
                    .collect(),
                ttl: one.ttl.into_iter().chain(other.ttl).min(),
            }),
            (Ok(found), Err(_)) | (Err(_), Ok(found)) => Ok(found),
            (Err(one), Err(other)) => Err(worse(one, other)),
        },
    }
}

async fn either(
    first: impl Future<Output = Result<Found, Failure>>,
    second: impl Future<Output = Result<Found, Failure>>,
) -> Result<Found, Failure> {
    let failure = match first.await {
        Ok(found) => return Ok(found),
        Err(failure) => failure,
    };
    second.await.map_err(|other| worse(failure, other))
}

fn worse(one: Failure, other: Failure) -> Failure {
    if one == Failure::Empty { other } else { one }
}

#[cfg(test)]
mod tests {
    use xds::resource::cluster::dns;

    use super::*;

    async fn lookup(name: &str, family: Family) -> Result<Vec<String>, Failure> {
        let query = Query {
            name: name.into(),
            lookup: dns::Lookup {
                family,
                refresh: Duration::from_secs(5),
                respect_ttl: false,
                jitter: Duration::ZERO,
                failure: None,
            },
        };
        // Nothing listens there: what is found stands on this machine.
        let nobody: SocketAddr = "127.0.0.1:9".parse().unwrap();
        let found = Resolver::new(&[nobody]).lookup(&query).await?;
        Ok(found.addresses.iter().map(ToString::to_string).collect())
    }

    #[tokio::test]
    async fn the_machines_own_name_needs_no_name_server() {
        let v4 = lookup("localhost", Family::V4Only).await.unwrap();
        assert_eq!(v4, ["127.0.0.1"]);
        let preferred = lookup("localhost", Family::V4Preferred).await.unwrap();
        assert_eq!(preferred, ["127.0.0.1"]);
    }

    fn of(address: &str) -> Found {
        Found {
            addresses: [address.parse().unwrap()].into(),
            ttl: Some(Duration::from_secs(address.len() as u64)),
        }
    }

    #[tokio::test]
    async fn the_family_decides_which_addresses_count_and_one_of_two_may_fail() {
        let (empty, failed) = (Err(Failure::Empty), Err(Failure::Failed("no".to_owned())));
        let choose = async |family, v4: &Result<_, _>, v6: &Result<_, _>| {
            let (v4, v6) = (v4.clone(), v6.clone());
            let found = choose(family, async { v4 }, async { v6 }).await?;
            Ok(found
                .addresses
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" "))
        };
        let (v4, v6) = (&Ok(of("192.0.2.1")), &Ok(of("::1")));
        let ok = |text: &str| Ok(text.to_owned());
        assert_eq!(choose(Family::V4Preferred, v4, v6).await, ok("192.0.2.1"));
        assert_eq!(choose(Family::V6Preferred, v4, v6).await, ok("::1"));
        assert_eq!(
            choose(Family::V6Preferred, v4, &empty).await,
            ok("192.0.2.1")
        );
        assert_eq!(choose(Family::V4Preferred, &failed, v6).await, ok("::1"));
        assert_eq!(choose(Family::All, v4, v6).await, ok("192.0.2.1 ::1"));
        assert_eq!(choose(Family::All, v4, &failed).await, ok("192.0.2.1"));
        assert_eq!(
            choose(Family::V6Only, v4, &empty).await,
            Err(Failure::Empty)
        );
        let fault = failed.clone().map(|_: Found| String::new());
        assert_eq!(choose(Family::All, &empty, &failed).await, fault);
    }
}
