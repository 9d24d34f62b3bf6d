//! The two programs of the product as children of a test: started with what a test needs, known by the addresses they print.

mod control_plane;
mod proxy;

use std::net::SocketAddr;
use std::time::Duration;

pub use self::control_plane::{ControlPlane, ControlPlaneSettings};
pub use self::proxy::{Proxy, ProxySettings};

/// From the start of a program to its ready line; a debug build on a busy machine takes seconds.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// `name=address` out of a line such as `signalbox ready admin=127.0.0.1:8080 xds=127.0.0.1:18000`.
fn ready_address(line: &str, program: &str, name: &str) -> Option<SocketAddr> {
    let mut words = line
        .strip_prefix(program)?
        .strip_prefix(" ready ")?
        .split(' ');
    words.find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_from_the_ready_line_of_the_right_program_only() {
        let line = "signalbox ready admin=127.0.0.1:8080 xds=127.0.0.1:18000";
        assert_eq!(
            ready_address(line, "signalbox", "xds"),
            Some(([127, 0, 0, 1], 18000).into())
        );
        assert_eq!(ready_address(line, "signalbox", "data"), None);
        assert_eq!(
            ready_address(
                "signalbox-proxy ready admin=127.0.0.1:1",
                "signalbox",
                "admin"
            ),
            None
        );
    }
}
