//! What a control plane is told at start. In: the command line and `SIGNALBOX_…` variables. Out: [`Settings`], checked.
//! Not here: config, which arrives through the API.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

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
    /// The database instead of the embedded one: postgres://USER@HOST/NAME or sqlite:PATH.
    #[arg(
        long,
        value_name = "URL",
        env = "SIGNALBOX_DATABASE",
        hide_env_values = true
    )]
    pub database: Option<String>,
    /// Listen on other addresses than loopback although nothing is encrypted and nobody is asked who they are: for
    /// networks that do both below.
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
        "--{port} {address} is not a loopback address: whoever reaches it could read and change everything, since \
         there are neither tokens nor TLS yet. Use a loopback address, or say --plaintext if the network protects it"
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
    /// An address that others can reach, without `--plaintext`.
    pub fn check(&self) -> Result<(), SettingsError> {
        let exposed = |address: &SocketAddr| !address.ip().is_loopback() && !self.plaintext;
        let ports = [("admin", self.admin), ("xds", self.xds)];
        match ports.into_iter().find(|(_, address)| exposed(address)) {
            Some((port, address)) => Err(SettingsError::Exposed { port, address }),
            None => Ok(()),
        }
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
    }
}
