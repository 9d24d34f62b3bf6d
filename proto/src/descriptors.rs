//! The descriptors of Envoy's API, v3, with the well-known types and the validation rules that the files carry as options.
//! In: `envoy.binpb.zst`, which `cargo xtask descriptors` makes from the `.proto` files of the `envoy-types` package.
//! Out: one pool, decoded at first use.

use std::sync::LazyLock;

use prost_reflect::DescriptorPool;

/// The compressed `google.protobuf.FileDescriptorSet`.
pub const COMPRESSED: &[u8] = include_bytes!("../envoy.binpb.zst");

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let set = zstd::decode_all(COMPRESSED).expect("the set in the program is whole");
    DescriptorPool::decode(set.as_slice()).expect("the set in the program is a descriptor set")
});

/// Every message of Envoy's API. The first call decodes the set (tens of milliseconds): keep it off traffic threads.
pub fn pool() -> &'static DescriptorPool {
    &POOL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_knows_the_types_that_travel_over_xds() {
        for name in [
            "envoy.config.listener.v3.Listener",
            "envoy.config.route.v3.RouteConfiguration",
            "envoy.config.route.v3.VirtualHost",
            "envoy.config.cluster.v3.Cluster",
            "envoy.config.endpoint.v3.ClusterLoadAssignment",
            "envoy.extensions.transport_sockets.tls.v3.Secret",
            "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "envoy.service.discovery.v3.DeltaDiscoveryResponse",
        ] {
            assert!(pool().get_message_by_name(name).is_some(), "{name}");
        }
    }

    #[test]
    fn validation_rules_are_kept() {
        let cluster = pool()
            .get_message_by_name("envoy.config.cluster.v3.Cluster")
            .unwrap();
        let name = cluster.get_field_by_name("name").unwrap();
        let rules = pool().get_extension_by_name("validate.rules").unwrap();
        assert!(name.options().has_extension(&rules));
    }
}
