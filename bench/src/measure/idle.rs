//! Memory at rest, and what connections that rest add: the second of two steps counts, for the first one fills what is kept for reuse.

use anyhow::Result;

use super::{everybody, result, start_upstream};
use crate::exchange::Exchange;
use crate::load::Load;
use crate::peers::{self, Setup};
use crate::results::Measured;
use crate::table::Table;

const WORKERS: usize = 2;

pub(super) async fn measure(name: &str, connections: usize) -> Result<Measured> {
    let (upstream, _upstream) = start_upstream(Exchange::Small).await?;
    let setup = Setup {
        upstream,
        workers: WORKERS,
        table: Table::One,
        exchange: Exchange::Small,
    };
    let (peers, left_out) = peers::start_all(&everybody(Table::One), setup).await?;
    let mut results = Vec::new();
    for peer in &peers {
        let mut result = result(peer);
        result.put("memory_kib", peer.memory_kib()? as f64);
        let _first = Load::idle(peer.address, connections).await?;
        let before = peer.memory_kib()?;
        let _second = Load::idle(peer.address, connections).await?;
        let growth = peer.memory_kib()?.saturating_sub(before);
        result.put("connection_kib", growth as f64 / connections as f64);
        results.push(result);
    }
    Ok(Measured {
        name: name.to_owned(),
        peers: results,
        left_out,
    })
}
