//! What is running, and lines to try, ready to be copied into another terminal.

use super::{ADMIN, LISTENER_PORT, PROXIES, PROXY_ADMIN_PORT, UPSTREAMS, XDS, lost, rollouts};

/// Prints the overview; `control_plane` is the process to be ended.
pub(super) fn print(control_plane: u32) {
    println!(
        "\nSignalbox runs: a control plane, three proxies of one fleet, two sample upstreams.\n"
    );
    println!("  control plane   http://{ADMIN}   (API: /openapi.json; xDS: {XDS})");
    for (name, address, zone) in PROXIES {
        let admin = format!("admin: http://{address}:{PROXY_ADMIN_PORT}");
        println!("  {name:<15} http://{address}:{LISTENER_PORT}   (zone {zone}; {admin})");
    }
    for (name, port) in UPSTREAMS {
        println!("  {name:<15} http://127.0.0.1:{port}");
    }
    println!("\nTry, in another terminal:\n");
    for (what, line) in lines_to_try().into_iter().chain(rollouts::lines()) {
        println!("  # {what}\n  {line}\n");
    }
    let apply = rollouts::line(&["apply", "-f", lost::FILE]);
    println!("  # lose the control plane while one proxy serves a change: it goes back by itself");
    println!("  {apply} && sleep 3 && kill -9 {control_plane}\n");
    println!("Logs follow; Ctrl-C ends everything.\n");
}

fn lines_to_try() -> [(&'static str, String); 9] {
    let fleet = format!("http://{ADMIN}/v1/fleets/default");
    let (first, octets) = (
        PROXIES[0].1,
        PROXIES.map(|(_, address, _)| address.octets()[3].to_string()),
    );
    let web = format!("http://{first}:{LISTENER_PORT}");
    let ask_all = format!(
        "for i in {}; do curl -s http://127.0.0.$i:{LISTENER_PORT}/hello; done",
        octets.join(" ")
    );
    let green = r#"{"name":"hello","match":{"path":{"exact":"/hello"}},"respond":{"status":200,"body":"green\n"}}"#;
    let json = "Content-Type: application/json";
    [
        ("the proxies answer by themselves", ask_all.clone()),
        (
            "an upstream answers, and says what it was asked",
            format!("curl -s {web}/products/7"),
        ),
        (
            "a header chooses the next release",
            format!("curl -s {web}/products/7 -H 'x-beta: 1'"),
        ),
        (
            "a host has moved",
            format!("curl -si {web}/basket -H 'Host: old.example'"),
        ),
        (
            "read a route",
            format!("curl -si -w '\\n' {fleet}/routes/hello"),
        ),
        (
            "change it …",
            format!(
                "curl -s -w '\\n' -X PUT {fleet}/routes/hello -H 'If-Match: *' -H '{json}' -d '{green}'"
            ),
        ),
        (
            "… and one proxy follows at once, the others when it has served well for five seconds",
            ask_all,
        ),
        (
            "who is connected, and which revision they have",
            format!("curl -s -w '\\n' {fleet}/nodes"),
        ),
        (
            "metrics",
            format!("curl -s http://{ADMIN}/metrics http://{first}:{PROXY_ADMIN_PORT}/metrics"),
        ),
    ]
}
