//! What a control plane is told at start. In: the command line and `SIGNALBOX_…` variables. Out: [`Settings`], checked.
//! Not here: config, which arrives through the API.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::rollout::webhook::Allowed;
use crate::tls::TlsFiles;

/// The settings of `signalbox serve`.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Where the embedded database lives; made if it is not there.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "signalbox-data",
        env = "SIGNALBOX_DATA_DIR"
    )]
    pub data_dir: PathBuf,
    /// Where the admin API listens; port 0 takes a free one.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:8080",
        env = "SIGNALBOX_ADMIN"
    )]
    pub admin: SocketAddr,
    /// Where proxies connect by xDS; port 0 takes a free one.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:18000",
        env = "SIGNALBOX_XDS"
    )]
    pub xds: SocketAddr,
    /// How many new xDS streams are served a second, and at most at once; the others wait their turn.
    #[arg(
        long,
        value_name = "N",
        default_value = "1000",
        env = "SIGNALBOX_NEW_STREAMS_PER_SECOND"
    )]
    pub new_streams_per_second: NonZeroU32,
    /// How often, in seconds, Envoy and gRPC programs are to report how requests fare, while a rollout is judged by it.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "5",
        env = "SIGNALBOX_LOAD_REPORT_SECONDS"
    )]
    pub load_report_seconds: NonZeroU32,
    /// Largest whole config that is taken at once, in bytes of JSON or YAML; 64 MiB hold some 200,000 routes. Reading one
    /// takes several times as much memory.
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = 64 * 1024 * 1024,
        env = "SIGNALBOX_MAX_CONFIG_BYTES"
    )]
    pub max_config_bytes: usize,
    /// A host that the webhooks of strategies may be at; may be given several times. Without a port those of http and https
    /// are meant, 80 and 443. If not given, a strategy with webhooks is refused.
    #[arg(
        long,
        value_name = "HOST[:PORT]",
        value_delimiter = ',',
        env = "SIGNALBOX_WEBHOOK_ALLOW"
    )]
    pub webhook_allow: Vec<Allowed>,
    /// Roots of the certificates of webhooks: PEM. Without it those that this system trusts count.
    #[arg(
        long,
        value_name = "FILE",
        requires = "webhook_allow",
        env = "SIGNALBOX_WEBHOOK_CA"
    )]
    pub webhook_ca: Option<PathBuf>,
    /// The secret that questions to webhooks are signed with: 14 bytes or more.
    #[arg(
        long,
        value_name = "FILE",
        requires = "webhook_allow",
        env = "SIGNALBOX_WEBHOOK_SECRET_FILE"
    )]
    pub webhook_secret_file: Option<PathBuf>,
    /// The database instead of the embedded one: postgres://USER@HOST/NAME or sqlite:PATH.
    #[arg(
        long,
        value_name = "URL",
        env = "SIGNALBOX_DATABASE",
        hide_env_values = true
    )]
    pub database: Option<String>,
    /// Ask for tokens on loopback too, where nobody is asked otherwise. On other addresses they are always asked for.
    #[arg(long, env = "SIGNALBOX_REQUIRE_TOKEN")]
    pub require_token: bool,
    /// The secret of the first admin token, 32 characters or more; one is drawn and written to DIR/admin-token if tokens
    /// are asked for, there is none yet, and this is not given.
    #[arg(
        long,
        value_name = "SECRET",
        env = "SIGNALBOX_BOOTSTRAP_TOKEN",
        hide_env_values = true
    )]
    pub bootstrap_token: Option<String>,
    /// The certificate of both ports, with those that lead to its root: PEM. Read again when it changes.
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_key",
        env = "SIGNALBOX_TLS_CERT"
    )]
    pub tls_cert: Option<PathBuf>,
    /// The private key of the certificate: PEM.
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_cert",
        env = "SIGNALBOX_TLS_KEY"
    )]
    pub tls_key: Option<PathBuf>,
    /// Roots of the certificates that proxies must show: PEM. A certificate opens the fleet that it names, by
    /// spiffe://TRUST-DOMAIN/fleet/FLEET[/node/NODE]; one that names none needs a join token beside it.
    #[arg(
        long,
        value_name = "FILE",
        requires = "tls_cert",
        env = "SIGNALBOX_XDS_CLIENT_CA"
    )]
    pub xds_client_ca: Option<PathBuf>,
    /// A proxy's certificate that names no fleet opens every fleet, without a join token.
    #[arg(long, requires = "xds_client_ca", env = "SIGNALBOX_XDS_CERT_ANY_FLEET")]
    pub xds_cert_any_fleet: bool,
    /// Listen on other addresses than loopback although nothing is encrypted: for networks that encrypt below.
    #[arg(long, env = "SIGNALBOX_PLAINTEXT")]
    pub plaintext: bool,
    /// How log lines look. What is logged is chosen with RUST_LOG.
    #[arg(long, value_enum, default_value_t = LogFormat::Text, env = "SIGNALBOX_LOG_FORMAT")]
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// Why settings cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A port would be open to others.
    #[error(
        "--{port} {address} is not a loopback address, and tokens would cross the network for everybody to read. Give \
         --tls-cert and --tls-key, or say --plaintext if the network encrypts"
    )]
    Exposed {
        /// The option.
        port: &'static str,
        /// The address.
        address: SocketAddr,
    },
}

impl Settings {
    /// Refuses what would be unsafe.
    ///
    /// # Errors
    /// An address that others can reach, without TLS and without `--plaintext`.
    pub fn check(&self) -> Result<(), SettingsError> {
        let encrypted = self.tls_cert.is_some() || self.plaintext;
        let exposed = |address: &SocketAddr| !address.ip().is_loopback() && !encrypted;
        let ports = [("admin", self.admin), ("xds", self.xds)];
        match ports.into_iter().find(|(_, address)| exposed(address)) {
            Some((port, address)) => Err(SettingsError::Exposed { port, address }),
            None => Ok(()),
        }
    }

    /// Whether the admin API asks everybody for a token.
    pub fn admin_asks(&self) -> bool {
        self.require_token || !self.admin.ip().is_loopback()
    }

    /// Whether proxies are asked for a join token at once. Those that show a certificate are not: it may say their fleet.
    pub fn xds_asks(&self) -> bool {
        let open = self.xds.ip().is_loopback() && !self.require_token;
        !open && self.xds_client_ca.is_none()
    }

    /// The files of the admin port's TLS, if it has any.
    pub fn admin_tls(&self) -> Option<TlsFiles> {
        Some(TlsFiles {
            cert: self.tls_cert.clone()?,
            key: self.tls_key.clone()?,
            client_ca: None,
        })
    }

    /// The files of the xDS port's TLS, if it has any.
    pub fn xds_tls(&self) -> Option<TlsFiles> {
        Some(TlsFiles {
            client_ca: self.xds_client_ca.clone(),
            ..self.admin_tls()?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        settings: Settings,
    }

    fn check(options: &[&str]) -> Result<(), SettingsError> {
        let line = Line::try_parse_from([&["signalbox"], options].concat()).unwrap();
        line.settings.check()
    }

    #[test]
    fn a_port_that_others_can_reach_must_be_asked_for() {
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&["--admin", "[::1]:0"]), Ok(()));
        let error = check(&["--xds", "0.0.0.0:18000"]).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("--xds 0.0.0.0:18000 is not a loopback address")
        );
        assert_eq!(check(&["--xds", "0.0.0.0:18000", "--plaintext"]), Ok(()));
        let tls = ["--tls-cert", "c.pem", "--tls-key", "k.pem"];
        assert_eq!(
            check(&[&["--xds", "0.0.0.0:18000"], &tls[..]].concat()),
            Ok(())
        );
    }

    #[test]
    fn tokens_are_asked_for_wherever_others_can_reach_a_port() {
        let asks = |options: &[&str]| {
            let line = Line::try_parse_from([&["signalbox"], options].concat()).unwrap();
            (line.settings.admin_asks(), line.settings.xds_asks())
        };
        assert_eq!(asks(&[]), (false, false));
        assert_eq!(asks(&["--require-token"]), (true, true));
        assert_eq!(
            asks(&["--admin", "0.0.0.0:1", "--plaintext"]),
            (true, false)
        );
        assert_eq!(asks(&["--xds", "0.0.0.0:1", "--plaintext"]), (false, true));
        let certificates = [
            "--require-token",
            "--tls-cert=c",
            "--tls-key=k",
            "--xds-client-ca=r",
        ];
        assert_eq!(asks(&certificates), (true, false));
    }

    #[test]
    fn hosts_of_webhooks_are_given_one_by_one_or_with_commas() {
        let hosts = |options: &[&str]| {
            let line = Line::try_parse_from([&["signalbox"], options].concat());
            line.map(|line| line.settings.webhook_allow.len()).ok()
        };
        assert_eq!(hosts(&[]), Some(0));
        let twice = ["--webhook-allow", "a,b:8080", "--webhook-allow", "c"];
        assert_eq!(hosts(&twice), Some(3));
        assert_eq!(hosts(&["--webhook-allow", "http://a"]), None);
        assert_eq!(hosts(&["--webhook-ca", "a.pem"]), None);
    }

    #[test]
    fn a_certificate_needs_its_key() {
        for options in [
            &["signalbox", "--tls-cert", "c"][..],
            &["signalbox", "--tls-key", "k"],
            &["signalbox", "--xds-client-ca", "r"],
            &["signalbox", "--xds-cert-any-fleet"],
        ] {
            assert!(Line::try_parse_from(options).is_err(), "{options:?}");
        }
    }
}
