//! Two listeners cannot have one address. Each is right in itself, so it takes a look at all of them to see it; Envoy
//! refuses the second, and so do we. Pure.

use std::net::SocketAddr;
use std::sync::Arc;

use xds::problem::{Code, Problem};
use xds::resource::Resource;
use xds::snapshot::Snapshot;
use xds::type_url::ResourceType;

/// Takes back those of the `changed` listeners whose address another one has; each gets the version that `before` has. Two
/// listeners that swap their addresses in one response are both right.
pub(super) fn take_back_doubles(
    wire_set: &mut Snapshot,
    before: &Snapshot,
    changed: &[Arc<str>],
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for name in changed {
        let Some(owner) = other_owner(wire_set, name) else {
            continue;
        };
        let Some(refused) = wire_set.remove(ResourceType::Listener, name) else {
            continue;
        };
        if let Some(before) = before.get(ResourceType::Listener, name) {
            wire_set.insert(before.clone());
        }
        problems.push(Problem {
            resource: Some(refused.reference()),
            path: "address".into(),
            code: Code::Duplicate,
            detail: format!("its address is that of listener {owner:?}"),
        });
    }
    problems
}

/// Another listener with the same address, if there is one.
fn other_owner(wire_set: &Snapshot, name: &str) -> Option<Arc<str>> {
    let address = address(wire_set.get(ResourceType::Listener, name)?)?;
    let mut others = wire_set.set(ResourceType::Listener).iter();
    let (owner, _) = others
        .find(|(other, resource)| ***other != *name && self::address(resource) == Some(address))?;
    Some(owner.clone())
}

fn address(resource: &Resource) -> Option<SocketAddr> {
    resource.body().as_listener()?.address
}
