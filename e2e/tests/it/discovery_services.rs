//! The services of one type each, and what a stream is told that cannot be served; by tonic's own clients.

use std::time::Duration;

use anyhow::{Context as _, Result};
use e2e::programs::ControlPlane;
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::service::cluster::v3::cluster_discovery_service_client::ClusterDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::envoy::service::route::v3::virtual_host_discovery_service_client::VirtualHostDiscoveryServiceClient;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use xds::type_url::ResourceType;

use crate::fleet::{Fleet, hello_config, hello_route};

const CLUSTERS: &str = "clusters: [{name: a, endpoints: [{address: 127.0.0.1, port: 9}]}]";

async fn control_plane() -> Result<ControlPlane> {
    let control_plane = ControlPlane::start().await?;
    let config = format!("{}\n{CLUSTERS}", hello_config(Fleet::port()?, "first"));
    control_plane.apply(&config).await?;
    Ok(control_plane)
}

fn endpoint(control_plane: &ControlPlane) -> Result<Endpoint> {
    Ok(Endpoint::from_shared(format!(
        "http://{}",
        control_plane.xds()
    ))?)
}

fn node(fleet: &str, user_agent: &str) -> Node {
    Node {
        id: "n".into(),
        cluster: fleet.into(),
        user_agent_name: user_agent.into(),
        ..Default::default()
    }
}

async fn clusters(
    channel: Channel,
    requests: mpsc::Receiver<DiscoveryRequest>,
) -> Result<Streaming<DiscoveryResponse>, Status> {
    let mut client = ClusterDiscoveryServiceClient::new(channel);
    let stream = client
        .stream_clusters(ReceiverStream::new(requests))
        .await?;
    Ok(stream.into_inner())
}

#[tokio::test]
async fn a_stream_of_clusters_needs_no_type_and_takes_no_other() -> Result<()> {
    let control_plane = control_plane().await?;
    let (requests, queue) = mpsc::channel(4);
    let first = DiscoveryRequest {
        node: Some(node("default", "envoy")),
        ..Default::default()
    };
    requests.send(first).await?;
    let channel = endpoint(&control_plane)?.connect().await?;
    let mut stream = clusters(channel, queue).await?;
    let response = stream.message().await?.context("a response")?;
    assert_eq!(response.type_url, ResourceType::Cluster.type_url());
    assert_eq!(response.resources.len(), 1);
    let foreign = DiscoveryRequest {
        type_url: ResourceType::Listener.type_url().into(),
        ..Default::default()
    };
    requests.send(foreign).await?;
    assert_eq!(
        stream.message().await.unwrap_err().code(),
        Code::InvalidArgument
    );
    Ok(())
}

#[tokio::test]
async fn virtual_hosts_come_by_a_service_of_their_own_in_deltas() -> Result<()> {
    let control_plane = control_plane().await?;
    let (requests, queue) = mpsc::channel(4);
    let first = DeltaDiscoveryRequest {
        node: Some(node("default", "signalbox-proxy")),
        type_url: ResourceType::VirtualHost.type_url().into(),
        resource_names_subscribe: vec!["*".into()],
        ..Default::default()
    };
    requests.send(first).await?;
    let channel = endpoint(&control_plane)?.connect().await?;
    let mut client = VirtualHostDiscoveryServiceClient::new(channel);
    let stream = client
        .delta_virtual_hosts(ReceiverStream::new(queue))
        .await?;
    let response: DeltaDiscoveryResponse =
        stream.into_inner().message().await?.context("a response")?;
    assert_eq!(response.resources.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_stream_without_a_node_or_of_a_fleet_that_is_not_is_told_so() -> Result<()> {
    let control_plane = control_plane().await?;
    let cases = [
        (None, Code::InvalidArgument),
        (Some(node("", "envoy")), Code::InvalidArgument),
        (Some(node("nowhere", "envoy")), Code::NotFound),
    ];
    for (node, code) in cases {
        let channel = endpoint(&control_plane)?.connect().await?;
        let (requests, queue) = mpsc::channel(1);
        let first = DiscoveryRequest {
            node,
            ..Default::default()
        };
        requests.send(first).await?;
        let status = match clusters(channel, queue).await {
            Ok(mut stream) => stream.message().await.unwrap_err(),
            Err(status) => status,
        };
        assert_eq!(status.code(), code, "{status}");
    }
    Ok(())
}

#[tokio::test]
async fn an_aggregated_stream_outlives_unknown_types_and_many_pings() -> Result<()> {
    let control_plane = control_plane().await?;
    let (requests, queue) = mpsc::channel(4);
    // A thousand times as often as clients do.
    let often = endpoint(&control_plane)?
        .http2_keep_alive_interval(Duration::from_millis(10))
        .keep_alive_while_idle(true);
    let mut client = AggregatedDiscoveryServiceClient::new(often.connect().await?);
    let unknown = DiscoveryRequest {
        node: Some(node("default", "envoy")),
        type_url: "type.googleapis.com/none".into(),
        ..Default::default()
    };
    let routes = DiscoveryRequest {
        type_url: ResourceType::RouteConfiguration.type_url().into(),
        resource_names: vec!["*".into()],
        ..Default::default()
    };
    requests.send(unknown).await?;
    requests.send(routes.clone()).await?;
    let stream = client.stream_aggregated_resources(ReceiverStream::new(queue));
    let mut stream = stream.await?.into_inner();
    let response = stream.message().await?.context("a response")?;
    let ack = DiscoveryRequest {
        response_nonce: response.nonce,
        version_info: response.version_info.clone(),
        ..routes
    };
    requests.send(ack).await?;
    // Long enough for some hundred pings: their number over time is what a server may object to.
    tokio::time::sleep(Duration::from_secs(2)).await;
    control_plane
        .replace_route("hello", &hello_route("second"))
        .await?;
    let changed = stream.message().await?.context("a change")?;
    assert_ne!(changed.version_info, response.version_info);
    Ok(())
}
