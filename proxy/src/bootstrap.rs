//! What the program is told at its start: flags and `SIGNALBOX_PROXY_*` variables, read once.
//! Everything that may change while it runs comes by xDS and is not here.

mod identity;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use http::Uri;
use xds::node::{Node, SIGNALBOX_USER_AGENT};

/// The settings of one proxy.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "signalbox-proxy",
    version,
    about = "The data plane of Signalbox: an HTTP proxy that is told by xDS what to serve"
)]
pub struct Settings {
    /// Where the control plane serves xDS; given several times, the next one is tried when one is lost
    #[arg(
        long,
        env = "SIGNALBOX_PROXY_XDS",
        value_name = "URL",
        value_delimiter = ',',
        default_value = "http://127.0.0.1:18000"
    )]
    pub xds: Vec<Uri>,

    /// Roots of the control plane's certificate, in PEM: needed where the URL begins with https
    #[arg(long, env = "SIGNALBOX_PROXY_XDS_CA", value_name = "FILE")]
    pub xds_ca: Option<PathBuf>,

    /// The certificate that this proxy shows, in PEM; the files are read for every connection
    #[arg(
        long,
        env = "SIGNALBOX_PROXY_XDS_CERT",
        value_name = "FILE",
        requires = "xds_key"
    )]
    pub xds_cert: Option<PathBuf>,

    /// The private key of that certificate
    #[arg(
        long,
        env = "SIGNALBOX_PROXY_XDS_KEY",
        value_name = "FILE",
        requires = "xds_cert"
    )]
    pub xds_key: Option<PathBuf>,

    /// Holds the join token with which this proxy may have its fleet's configuration
    #[arg(long, env = "SIGNALBOX_PROXY_XDS_TOKEN_FILE", value_name = "FILE")]
    pub xds_token_file: Option<PathBuf>,

    /// How xDS is spoken: in deltas, or as the state of the world for control planes that know no deltas
    #[arg(long, env = "SIGNALBOX_PROXY_XDS_MODE", value_enum, default_value_t)]
    pub xds_mode: XdsMode,

    /// The fleet whose configuration this proxy serves
    #[arg(long, env = "SIGNALBOX_PROXY_FLEET", default_value = "default")]
    pub fleet: String,

    /// The name of this proxy, unique within the fleet; left out, one is made up and kept in the data folder
    #[arg(
        long,
        env = "SIGNALBOX_PROXY_NODE_ID",
        required_unless_present = "data_dir",
        value_parser = clap::builder::NonEmptyStringValueParser::new()
    )]
    pub node_id: Option<String>,

    /// Where this proxy keeps what must outlive it: what it serves, so that it starts without a control plane, and the
    /// name that was made up for it
    #[arg(long, env = "SIGNALBOX_PROXY_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// A label of this proxy; may be given several times
    #[arg(
        long = "label",
        env = "SIGNALBOX_PROXY_LABELS",
        value_name = "KEY=VALUE",
        value_delimiter = ',',
        value_parser = label
    )]
    pub labels: Vec<(String, String)>,

    /// The zone this proxy stands in
    #[arg(long, env = "SIGNALBOX_PROXY_ZONE", default_value = "")]
    pub zone: String,

    /// Where the admin port listens: /ready, /metrics, /config_dump
    #[arg(
        long,
        env = "SIGNALBOX_PROXY_ADMIN",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:0"
    )]
    pub admin: SocketAddr,

    /// How many threads carry traffic; all cores if not said
    #[arg(long, env = "SIGNALBOX_PROXY_WORKERS")]
    pub workers: Option<NonZeroUsize>,

    /// Stands in for the wildcard address (0.0.0.0, ::) of listeners
    #[arg(long, env = "SIGNALBOX_PROXY_BIND", value_name = "IP")]
    pub bind: Option<IpAddr>,

    /// A name server for the names of clusters, asked instead of those in /etc/resolv.conf; may be given several times
    #[arg(
        long = "dns-server",
        env = "SIGNALBOX_PROXY_DNS_SERVERS",
        value_name = "ADDRESS",
        value_delimiter = ',',
        value_parser = dns_server
    )]
    pub dns_servers: Vec<SocketAddr>,

    /// How long requests in flight may take to end after SIGTERM
    #[arg(
        long,
        env = "SIGNALBOX_PROXY_DRAIN_TIMEOUT",
        value_name = "DURATION",
        value_parser = duration,
        default_value = "10s"
    )]
    pub drain_timeout: Duration,

    /// How long to wait for the parts of a first configuration that are still missing
    #[arg(
        long,
        env = "SIGNALBOX_PROXY_INITIAL_FETCH_TIMEOUT",
        value_name = "DURATION",
        value_parser = duration,
        default_value = "15s"
    )]
    pub initial_fetch_timeout: Duration,

    /// How often the control plane is told what became of requests; 0 for never
    #[arg(
        long,
        env = "SIGNALBOX_PROXY_REPORT_INTERVAL",
        value_name = "DURATION",
        value_parser = duration,
        default_value = "5s"
    )]
    pub report_interval: Duration,

    /// About so many requests a second of each thread are reported with them, without values of fields and parameters: by them
    /// the control plane tells what a change would do; 0 for none
    #[arg(
        long,
        env = "SIGNALBOX_PROXY_SAMPLE_REQUESTS",
        value_name = "PER_SECOND",
        default_value_t = 10
    )]
    pub sample_requests: u32,
}

/// The two variants of the protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum XdsMode {
    /// Incremental: only what changes is sent.
    #[default]
    Delta,
    /// State of the world, for control planes that know no deltas.
    Sotw,
}

/// Why settings cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// There is nothing by which to know the control plane.
    #[error(
        "--xds-ca is needed where --xds begins with https: the control plane is known by its certificate"
    )]
    NoRoots,
    /// A connection would carry no certificates.
    #[error("--xds {0} is not encrypted, and certificates were given; begin it with https")]
    Plain(Uri),
}

impl Settings {
    /// Refuses what would be less than what was asked for.
    ///
    /// # Errors
    /// `https` without roots to know the control plane by, or certificates where nothing is encrypted.
    pub fn check(&self) -> Result<(), SettingsError> {
        let secure = |server: &&Uri| server.scheme_str() == Some("https");
        if self.xds_ca.is_none() && self.xds.iter().any(|server| secure(&server)) {
            return Err(SettingsError::NoRoots);
        }
        let certificates = self.xds_ca.is_some() || self.xds_cert.is_some();
        match self.xds.iter().find(|server| !secure(server)) {
            Some(server) if certificates => Err(SettingsError::Plain(server.clone())),
            _ => Ok(()),
        }
    }

    /// The identity that the proxy states to the control plane. An error says that a made-up name cannot be kept.
    pub fn node(&self) -> io::Result<Node> {
        let id = match (&self.node_id, &self.data_dir) {
            (Some(id), _) => id.clone(),
            (None, Some(data_dir)) => identity::kept_in(data_dir)?,
            (None, None) => {
                return Err(io::Error::other(
                    "neither a node id nor a data folder was given",
                ));
            }
        };
        Ok(Node {
            id,
            fleet: self.fleet.clone(),
            labels: self.labels.iter().cloned().collect::<BTreeMap<_, _>>(),
            zone: self.zone.clone(),
            user_agent: SIGNALBOX_USER_AGENT.to_owned(),
            user_agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }

    /// The number of threads that carry traffic.
    pub fn worker_count(&self) -> usize {
        let count = self
            .workers
            .or_else(|| std::thread::available_parallelism().ok());
        count.map_or(1, NonZeroUsize::get)
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a label is written KEY=VALUE".to_owned()),
    }
}

/// An IP address, with a port if that is not 53.
fn dns_server(text: &str) -> Result<SocketAddr, String> {
    let with_port = text.parse::<SocketAddr>();
    let without = || text.parse().map(|ip: IpAddr| SocketAddr::new(ip, 53));
    with_port
        .or_else(|_| without())
        .map_err(|_| "a name server is an IP address, with or without a port".to_owned())
}

/// A number with a unit: `500ms`, `10s`, `1.5m`, `1h`. Nothing needs no unit: `0`.
fn duration(text: &str) -> Result<Duration, String> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit_s = match &text[digits.len()..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("a duration is a number with ms, s, m or h: 500ms, 10s".to_owned()),
    };
    let number: f64 = digits
        .parse()
        .map_err(|_| format!("{digits:?} is not a number"))?;
    Duration::try_from_secs_f64(number * unit_s).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(flags: &[&str]) -> Result<Settings, clap::Error> {
        Settings::try_parse_from(["signalbox-proxy"].iter().chain(flags))
    }

    #[test]
    fn a_duration_is_a_number_with_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        for wrong in ["", "10", "s", "-1s", "1d", "1 s", "é"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_proxy_needs_a_name_or_a_place_to_keep_one_and_nothing_else() {
        assert!(parse(&[]).is_err());
        assert!(parse(&["--node-id", ""]).is_err());
        assert!(parse(&["--data-dir", "somewhere"]).is_ok());
        let settings = parse(&["--node-id", "edge-1"]).unwrap();
        assert_eq!(settings.fleet, "default");
        assert_eq!(settings.drain_timeout, Duration::from_secs(10));
        assert!(settings.worker_count() >= 1);
    }

    #[test]
    fn a_name_server_has_the_usual_port_unless_it_says_another() {
        let server = |text| dns_server(text).map(|address| address.to_string());
        assert_eq!(server("192.0.2.53"), Ok("192.0.2.53:53".to_owned()));
        assert_eq!(server("::1"), Ok("[::1]:53".to_owned()));
        assert_eq!(server("[::1]:5353"), Ok("[::1]:5353".to_owned()));
        assert!(server("ns.example").is_err());
    }

    #[test]
    fn certificates_and_https_come_together() {
        let check = |flags: &[&str]| {
            parse(&[&["--node-id", "a"], flags].concat())
                .unwrap()
                .check()
        };
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&["--xds-token-file", "t"]), Ok(()));
        let (https, ca) = (["--xds", "https://a:1"], ["--xds-ca", "ca"]);
        assert_eq!(check(&https), Err(SettingsError::NoRoots));
        assert_eq!(check(&[https, ca].concat()), Ok(()));
        let plain = check(&[ca, ["--xds", "https://a:1,http://b:1"]].concat());
        assert!(matches!(plain, Err(SettingsError::Plain(_))));
        assert!(parse(&["--node-id", "a", "--xds-cert", "c"]).is_err());
    }

    #[test]
    fn labels_become_part_of_the_stated_identity() {
        let settings = parse(&[
            "--node-id",
            "a",
            "--label",
            "role=canary",
            "--label",
            "x=a=b",
        ]);
        let labels = settings.unwrap().node().unwrap().labels;
        assert_eq!(labels["role"], "canary");
        assert_eq!(labels["x"], "a=b");
        assert!(parse(&["--node-id", "a", "--label", "=x"]).is_err());
    }
}
