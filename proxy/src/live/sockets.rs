//! Which addresses the proxy listens on, from one config to the next. Sockets belong to addresses, not to listeners: a
//! listener that is renamed or edited keeps its socket and every connection on it.
//! Here are the decisions and the binding; the workers accept and close.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::{Arc, Weak};

use tokio::sync::mpsc::UnboundedSender;
use xds::config::Config;
use xds::problem::{Code, Problem, ResourceRef};
use xds::resource::listener::Listener;
use xds::type_url::ResourceType;

use crate::socket::{Bound, Sharing};

/// What a worker is told about sockets and configs.
#[derive(Debug)]
pub(crate) enum Handover {
    /// The live config has changed.
    Refresh,
    /// Accept on this socket.
    Listen {
        /// The address that the config says.
        address: SocketAddr,
        /// The socket, listening.
        socket: TcpListener,
        /// Held as long as the socket is open.
        open: Arc<()>,
    },
    /// Accept what waits on this address, then close its socket.
    Close(SocketAddr),
    /// Close all sockets, and every connection when its request is answered.
    Drain,
    /// End, whatever is in flight.
    Stop,
}

/// The open addresses.
#[derive(Debug)]
pub(super) struct Sockets {
    workers: Vec<UnboundedSender<Handover>>,
    /// Stands in for the wildcard address.
    bind: Option<IpAddr>,
    open: HashMap<SocketAddr, Open>,
    /// Addresses whose sockets the workers are about to close.
    closing: Vec<(SocketAddr, Weak<()>)>,
}

#[derive(Debug)]
struct Open {
    listener: Arc<str>,
    held: Arc<()>,
}

/// What a config asks for, bound and not yet listening.
#[derive(Debug)]
pub(super) struct Plan {
    /// For each listener the address it will be reached at; `None` if there is none.
    pub(super) addresses: Vec<Option<SocketAddr>>,
    bound: Vec<(SocketAddr, Arc<str>, Bound)>,
}

impl Sockets {
    pub(super) fn new(workers: Vec<UnboundedSender<Handover>>, bind: Option<IpAddr>) -> Self {
        Self {
            workers,
            bind,
            open: HashMap::new(),
            closing: Vec::new(),
        }
    }

    /// Binds what the config asks for and is not open yet. No traffic is touched.
    pub(super) fn prepare(&mut self, config: &Config, problems: &mut Vec<Problem>) -> Plan {
        self.closing.retain(|(_, open)| open.strong_count() > 0);
        let mut plan = Plan {
            addresses: Vec::new(),
            bound: Vec::new(),
        };
        let mut taken = HashSet::new();
        for served in &config.listeners {
            let listener = &served.listener;
            let address = self.effective(served.address);
            let place = if taken.contains(&address) {
                problems.push(problem(
                    listener,
                    Code::Duplicate,
                    format!("another listener has {address}"),
                ));
                None
            } else {
                self.secure(address, listener, &mut plan.bound, problems)
            };
            taken.extend(place);
            plan.addresses.push(place);
        }
        self.keep_places(config, &mut plan, &mut taken);
        plan
    }

    /// Begins to listen on what is new, closes what is no longer asked for.
    pub(super) fn carry_out(&mut self, plan: Plan, config: &Config, problems: &mut Vec<Problem>) {
        for (address, name, bound) in plan.bound {
            match bound.listen() {
                Ok(sockets) => self.hand_over(address, name, sockets),
                Err(error) => {
                    let owner = config
                        .listeners
                        .iter()
                        .find(|served| served.listener.name == name);
                    problems
                        .extend(owner.map(|served| cannot_bind(&served.listener, address, &error)));
                }
            }
        }
        let names = config.listeners.iter().map(|served| &served.listener.name);
        for (name, address) in names.zip(&plan.addresses) {
            if let Some(open) = address.and_then(|address| self.open.get_mut(&address)) {
                open.listener = name.clone();
            }
        }
        let wanted: HashSet<SocketAddr> = plan.addresses.into_iter().flatten().collect();
        for (address, open) in self.open.extract_if(|address, _| !wanted.contains(address)) {
            self.closing.push((address, Arc::downgrade(&open.held)));
            tell_all(&self.workers, || Handover::Close(address));
        }
    }

    /// Tells every worker that the live config has changed.
    pub(super) fn wake_workers(&self) {
        tell_all(&self.workers, || Handover::Refresh);
    }

    fn effective(&self, address: SocketAddr) -> SocketAddr {
        match self.bind {
            Some(ip) if address.ip().is_unspecified() => SocketAddr::new(ip, address.port()),
            _ => address,
        }
    }

    /// The address, if it is open or can be bound.
    fn secure(
        &self,
        address: SocketAddr,
        listener: &Listener,
        bound: &mut Vec<(SocketAddr, Arc<str>, Bound)>,
        problems: &mut Vec<Problem>,
    ) -> Option<SocketAddr> {
        if self.open.contains_key(&address) {
            return Some(address);
        }
        let is_closing = self.closing.iter().any(|(closing, _)| *closing == address);
        let sharing = if is_closing {
            Sharing::Expected
        } else {
            Sharing::Refused
        };
        match Bound::bind(address, self.workers.len(), sharing) {
            Ok(sockets) => {
                bound.push((address, listener.name.clone(), sockets));
                Some(address)
            }
            Err(error) => {
                problems.push(cannot_bind(listener, address, &error));
                None
            }
        }
    }

    /// A listener whose new address cannot be had stays where it is, if nobody else wants that place.
    fn keep_places(&self, config: &Config, plan: &mut Plan, taken: &mut HashSet<SocketAddr>) {
        for (served, place) in config.listeners.iter().zip(&mut plan.addresses) {
            if place.is_none() {
                let mut open = self.open.iter();
                let before = open.find(|(_, open)| open.listener == served.listener.name);
                *place = before
                    .map(|(address, _)| *address)
                    .filter(|address| taken.insert(*address));
            }
        }
    }

    fn hand_over(&mut self, address: SocketAddr, listener: Arc<str>, sockets: Vec<TcpListener>) {
        let held = Arc::new(());
        for (worker, socket) in self.workers.iter().zip(sockets) {
            // A worker that is gone is noticed where its thread is joined.
            let _ = worker.send(Handover::Listen {
                address,
                socket,
                open: held.clone(),
            });
        }
        self.open.insert(address, Open { listener, held });
    }
}

fn tell_all(workers: &[UnboundedSender<Handover>], message: impl Fn() -> Handover) {
    for worker in workers {
        let _ = worker.send(message());
    }
}

fn cannot_bind(listener: &Listener, address: SocketAddr, error: &io::Error) -> Problem {
    problem(
        listener,
        Code::Invalid,
        format!("cannot listen on {address}: {error}"),
    )
}

fn problem(listener: &Listener, code: Code, detail: String) -> Problem {
    Problem {
        resource: Some(ResourceRef {
            ty: ResourceType::Listener,
            name: listener.name.clone(),
        }),
        path: "address".into(),
        code,
        detail,
    }
}
