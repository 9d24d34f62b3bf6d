//! A name server on UDP that answers what the test says, and nothing of what it does not understand.
//! Messages are read and written by hand (RFC 1035, section 4): one question, addresses in the answer.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Length of a message's header.
const HEADER: usize = 12;
/// A response to a question with recursion.
const RESPONSE: u16 = 0x8180;
const TTL_S: u32 = 1;
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;

/// A running server; dropping it ends it.
pub struct NameServer {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    server: JoinHandle<()>,
}

/// What is answered.
#[derive(Default)]
struct Zone {
    names: BTreeMap<String, Vec<IpAddr>>,
    /// Every question is answered with SERVFAIL.
    fails: bool,
    questions: usize,
}

impl NameServer {
    /// A server on a free port of 127.0.0.1, which knows no name.
    pub async fn start() -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let address = socket.local_addr()?;
        let zone = Arc::<Mutex<Zone>>::default();
        let server = tokio::spawn(serve(socket, zone.clone()));
        Ok(Self {
            address,
            zone,
            server,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The name stands for these addresses from now on; without addresses it does not exist.
    pub fn set(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|address| {
            let address = address.parse();
            address.expect("the test writes addresses")
        });
        let addresses = addresses.collect();
        lock(&self.zone).names.insert(name.to_owned(), addresses);
    }

    /// Answers SERVFAIL, or as usual again.
    pub fn fail(&self, fails: bool) {
        lock(&self.zone).fails = fails;
    }

    /// Questions that came.
    pub fn questions(&self) -> usize {
        lock(&self.zone).questions
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn lock(zone: &Mutex<Zone>) -> MutexGuard<'_, Zone> {
    zone.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
    let mut buffer = [0; 1_500];
    while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
        let response = answer(&buffer[..length], &mut lock(&zone));
        if let Some(response) = response {
            // A client that is gone has no more questions.
            let _ = socket.send_to(&response, client).await;
        }
    }
}

fn answer(request: &[u8], zone: &mut Zone) -> Option<Vec<u8>> {
    let (name, end) = question_name(request)?;
    let ty = u16::from_be_bytes([*request.get(end)?, *request.get(end + 1)?]);
    let question = request.get(HEADER..end + 4)?;
    zone.questions += 1;
    let known = zone.names.get(&name).map_or(&[][..], Vec::as_slice);
    let wanted = known.iter().filter(|address| match ty {
        TYPE_A => address.is_ipv4(),
        TYPE_AAAA => address.is_ipv6(),
        _ => false,
    });
    let (code, records) = match (zone.fails, known.is_empty()) {
        (true, _) => (2, Vec::new()),
        (false, true) => (3, Vec::new()),
        (false, false) => (0, wanted.map(|address| record(ty, *address)).collect()),
    };
    let mut response = request.get(..2)?.to_vec();
    for number in [RESPONSE | code, 1, records.len() as u16, 0, 0] {
        response.extend(number.to_be_bytes());
    }
    response.extend(question);
    response.extend(records.concat());
    Some(response)
}

/// The name of the first question, in lower case, and where it ends.
fn question_name(request: &[u8]) -> Option<(String, usize)> {
    let (mut labels, mut at) = (Vec::new(), HEADER);
    loop {
        let length = usize::from(*request.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        let label = request.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_lowercase());
        at += length;
    }
}

/// An address of the name in the question.
fn record(ty: u16, address: IpAddr) -> Vec<u8> {
    let data = match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    };
    // The name is a pointer to the question's.
    let mut record = vec![0xc0, HEADER as u8];
    for number in [ty, 1] {
        record.extend(number.to_be_bytes());
    }
    record.extend(TTL_S.to_be_bytes());
    record.extend((data.len() as u16).to_be_bytes());
    record.extend(data);
    record
}
