//! Plays a step to both clients at once and keeps the table.

use std::net::Ipv4Addr;

use anyhow::Result;
use e2e::envoy::Envoy;
use e2e::ports;
use e2e::programs::{Proxy, ProxySettings};
use e2e::upstream::Upstream;

use super::side::Side;
use super::table::{Row, Table};
use super::wanted::Wanted;
use super::world::World;
use crate::scripted::PUSH_ORDER;

const OURS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 14);
const ENVOYS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 15);

/// The two clients, each with a control plane of its own that says the same to both.
pub(super) struct Play {
    ours: Side,
    envoys: Side,
    _upstreams: [Upstream; 2],
    _proxy: Proxy,
    _envoy: Envoy,
    table: Table,
}

impl Play {
    pub(super) async fn start() -> Result<Self> {
        let upstreams = [Upstream::start("a").await?, Upstream::start("b").await?];
        let addresses = [OURS.into(), ENVOYS.into()];
        let ports = [
            ports::free_port_on(&addresses)?,
            ports::free_port_on(&addresses)?,
        ];
        let targets = [upstreams[0].port(), upstreams[1].port()];
        let ours = Side::start(World::new(OURS, ports, targets)).await?;
        let envoys = Side::start(World::new(ENVOYS, ports, targets)).await?;
        // The parts never fit together in some steps, and what Envoy serves at once is served after this pause.
        let settings = ProxySettings::new("edge", ours.xds())
            .workers(1)
            .arguments(["--initial-fetch-timeout", "1s"]);
        let mut proxy = settings.start().await?;
        proxy.wait_live().await?;
        let envoy = Envoy::start(envoys.xds(), "default", "envoy").await?;
        Ok(Self {
            ours,
            envoys,
            _upstreams: upstreams,
            _proxy: proxy,
            _envoy: envoy,
            table: Table::default(),
        })
    }

    /// The next step: changes what both control planes say, and waits until both clients are as they must be.
    pub(super) async fn step(
        &mut self,
        step: &'static str,
        change: impl Fn(&mut World),
        wanted: Wanted<'_>,
    ) {
        self.step_in_order(step, PUSH_ORDER, change, wanted).await;
    }

    /// The same, sent in another order of types.
    pub(super) async fn step_in_order(
        &mut self,
        step: &'static str,
        order: [&'static str; 5],
        change: impl Fn(&mut World),
        wanted: Wanted<'_>,
    ) {
        self.ours.tell(&change, order);
        self.envoys.tell(&change, order);
        let (ours, envoys) = tokio::join!(self.ours.see(&wanted), self.envoys.see(&wanted));
        self.table.push(Row {
            step,
            wanted: wanted.to_string(),
            ours,
            envoys,
            why: wanted.why,
        });
    }

    /// Both control planes go away; what the next steps say is not heard until they [`Self::come_back`].
    pub(super) async fn go_away(&mut self) {
        self.ours.cut().await;
        self.envoys.cut().await;
    }

    pub(super) async fn come_back(&mut self) -> Result<()> {
        self.ours.restore().await?;
        self.envoys.restore().await
    }

    pub(super) fn end(self) -> Table {
        self.table
    }
}
