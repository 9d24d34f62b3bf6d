//! Connections that do nothing: each has had one request and its answer, and is then kept until standard input ends.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::load::Reading;
use crate::exchange::Exchange;
use crate::table::Table;

const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Opens so many, one after the other, says `idle`, and waits.
pub(crate) fn run(target: SocketAddr, connections: usize) -> Result<()> {
    let request = Exchange::Small.requests(Table::One).concat();
    let open = |_| -> Result<TcpStream> {
        let mut stream = TcpStream::connect(target)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        stream.write_all(&request)?;
        let mut reading = Reading::default();
        let mut buffer = [0; 4096];
        loop {
            let read = stream.read(&mut buffer).context("waiting for an answer")?;
            ensure!(read > 0, "the connection was closed");
            if reading.feed(&buffer[..read])? {
                return Ok(stream);
            }
        }
    };
    let idle = (0..connections).map(open).collect::<Result<Vec<_>>>()?;
    println!("idle");
    io::stdout().flush()?;
    io::copy(&mut io::stdin(), &mut io::sink())?;
    drop(idle);
    Ok(())
}
