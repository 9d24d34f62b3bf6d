//! What a control plane of a test is started with; a test says what it wants otherwise.

use std::num::NonZeroU32;
use std::path::Path;

use control_plane::settings::{LogFormat, Settings};

/// On loopback, at ports that are free, with its database in a folder; nobody is asked who he is.
pub(crate) fn settings(folder: &Path) -> Settings {
    Settings {
        data_dir: folder.to_owned(),
        admin: ([127, 0, 0, 1], 0).into(),
        xds: ([127, 0, 0, 1], 0).into(),
        new_streams_per_second: NonZeroU32::MAX,
        load_report_seconds: NonZeroU32::MIN,
        max_config_bytes: 64 * 1024 * 1024,
        webhook_allow: Vec::new(),
        webhook_ca: None,
        webhook_secret_file: None,
        database: None,
        require_token: false,
        bootstrap_token: None,
        tls_cert: None,
        tls_key: None,
        xds_client_ca: None,
        xds_cert_any_fleet: false,
        plaintext: false,
        log_format: LogFormat::Text,
    }
}
