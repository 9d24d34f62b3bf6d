//! Which name servers this machine asks, and how: `/etc/resolv.conf`, as `resolv.conf(5)` describes it. Text in, settings of the
//! resolver out; what is not understood is left out, as everywhere on a machine.

use std::time::Duration;

use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::proto::rr::Name;
use resolv_conf::Config;

/// The settings in a text; `None` if it names no server.
pub(super) fn read(text: &[u8]) -> Option<(ResolverConfig, ResolverOpts)> {
    let (parsed, _) = Config::parse_with_errors(text);
    let servers = parsed.nameservers.iter();
    let servers: Vec<NameServerConfig> = servers
        .map(|server| NameServerConfig::udp_and_tcp(server.into()))
        .collect();
    if servers.is_empty() {
        return None;
    }
    let search = parsed.get_last_search_or_domain();
    let search = search.filter_map(|domain| Name::from_str_relaxed(domain).ok());
    let config = ResolverConfig::from_parts(None, search.collect(), servers);
    let mut options = ResolverOpts::default();
    options.ndots = parsed.ndots as usize;
    options.timeout = Duration::from_secs(parsed.timeout.into());
    options.attempts = parsed.attempts as usize;
    options.edns0 = parsed.edns0;
    Some((config, options))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_search_path_and_options_are_read_and_the_rest_is_left_out() {
        let text = b"nonsense here\nsearch a.example b.example\nnameserver 192.0.2.53\nnameserver ::1\noptions ndots:5 timeout:2 unknown";
        let (config, options) = read(text).unwrap();
        let servers: Vec<String> = config
            .name_servers()
            .iter()
            .map(|server| server.ip.to_string())
            .collect();
        assert_eq!(servers, ["192.0.2.53", "::1"]);
        let search: Vec<String> = config.search().iter().map(ToString::to_string).collect();
        assert_eq!(search, ["a.example", "b.example"]);
        assert_eq!(
            (options.ndots, options.timeout),
            (5, Duration::from_secs(2))
        );
        assert!(read(b"search a.example").is_none());
    }
}
