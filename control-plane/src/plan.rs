//! What a write would do, before it is done: to the operator's resources, to what each class of client is served, to
//! how many nodes, to requests. Pure: two configs and what is known of nodes and requests come in, a [`Plan`] goes out; nothing
//! is stored.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;
use xds::node::ClientClass;
use xds::snapshot::Snapshot;
use xds::type_url::ResourceType;

use crate::impact::loosened::{self, Loosened};
use crate::impact::{Impact, Side, assess};
use crate::model::{Config, Kind, ResourceId};
use crate::revision::diff::{ResourceDiff, diff};
use crate::sample::Sample;
use crate::translate::{self, FastLane, Translation, shadow};

/// What a write would do.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Plan {
    /// The revision that would be changed.
    pub base_revision: u64,
    /// What happens to each resource; empty if the write would change nothing.
    pub changes: Vec<ResourceDiff>,
    /// What is odd about the result, whoever is served it; the first 1,000.
    pub warnings: Vec<Warning>,
    /// What each class of client would see of it.
    pub classes: Vec<ClassPlan>,
    /// What would become of the requests that the fleet's proxies have seen.
    pub impact: Impact,
    /// Those of the warnings of which there is no word today: routes that would take nothing any more.
    pub newly_shadowed: Vec<Warning>,
    /// What would be less strict, whatever traffic there is.
    pub loosened: Vec<Loosened>,
}

/// What one class of client would see.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ClassPlan {
    /// The class.
    #[schema(example = "envoy")]
    pub class: &'static str,
    /// What would be sent, by type, in the order in which it is sent; types of which nothing changes are left out.
    pub resources: Vec<TypeDiff>,
    /// What this class cannot have.
    pub warnings: Vec<Warning>,
    /// The nodes of the class, if anything changes for them.
    pub nodes_affected: NodeCount,
}

/// What would change of one xDS type, by name.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct TypeDiff {
    /// The type's short name.
    #[schema(example = "VirtualHost")]
    pub r#type: &'static str,
    /// New ones.
    pub added: Vec<String>,
    /// Those with other content.
    pub changed: Vec<String>,
    /// Those that are no longer there.
    pub removed: Vec<String>,
}

/// How many nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct NodeCount {
    /// Those that are connected, to whichever control plane.
    pub connected: u64,
    /// Those that have ever connected.
    pub known: u64,
}

/// Something that is allowed and probably not meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Warning {
    /// The resource that is concerned.
    #[schema(example = "routes/products")]
    pub resource: String,
    /// The kind of oddity, for programs.
    #[schema(example = "shadowed")]
    pub code: &'static str,
    /// A sentence for people.
    pub detail: String,
}

/// So many warnings are told; who has more does not go through them by hand.
const WARNINGS_MAX: usize = 1_000;

/// A config with the number of its revision.
#[derive(Clone, Copy, Debug)]
pub struct Base<'c> {
    /// Its number.
    pub revision: u64,
    /// Its content.
    pub config: &'c Arc<Config>,
}

/// What turning `base` into `next` would do. `next` was validated; `nodes` tells how many nodes of a class there are; what
/// `known` translates like either, and what `served` snapshots have already, is not translated and decoded again. `samples` are
/// the requests that are asked about.
///
/// # Errors
/// What `xds` refuses, which a validated config has none of.
pub fn plan(
    base: Base<'_>,
    next: &Arc<Config>,
    fast_lane: &Arc<FastLane>,
    known: &Translation,
    served: &[Snapshot],
    samples: &[Sample],
    nodes: impl Fn(&str) -> NodeCount,
) -> Result<Plan, Vec<xds::problem::Problem>> {
    let before = known.next(base.config.clone(), fast_lane.clone(), served);
    let before = before.whole()?;
    let after = before.next(next.clone(), fast_lane.clone(), served);
    let after = after.whole()?;
    let impact = impact(&before, &after, samples);
    let classes = before.snapshots().iter().zip(after.snapshots());
    let class_plan = |((class, before), (_, after)): (&(ClientClass, _), &(ClientClass, _))| {
        let resources = by_type(before, after);
        let nodes_affected = if resources.is_empty() {
            NodeCount::default()
        } else {
            nodes(class.as_str())
        };
        ClassPlan {
            class: class.as_str(),
            resources,
            warnings: losses(next, *class),
            nodes_affected,
        }
    };
    Ok(Plan {
        base_revision: base.revision,
        changes: diff(base.config, next),
        newly_shadowed: newly_shadowed(base.config, next),
        loosened: loosened::find(base.config, next),
        warnings: warnings(next),
        classes: classes.map(class_plan).collect(),
        impact,
    })
}

/// What becomes of requests at our own proxies. Without samples nothing is compiled.
pub fn impact(before: &Translation, after: &Translation, samples: &[Sample]) -> Impact {
    if samples.is_empty() {
        return Impact::default();
    }
    let compiled = |translation: &Translation| {
        let snapshot = translation.snapshot(ClientClass::Signalbox);
        snapshot.map(|snapshot| xds::compile::compile(snapshot).0)
    };
    let (old, new) = (compiled(before), compiled(after));
    let side = |translation, compiled| Side {
        config: translation,
        compiled,
    };
    match (&old, &new) {
        (Some(old), Some(new)) => assess(
            side(&**before.config(), old),
            side(&**after.config(), new),
            samples,
        ),
        // The translations are for other clients than our proxies.
        _ => Impact::default(),
    }
}

/// Routes that another one would shadow and that none does today; the first 1,000.
fn newly_shadowed(before: &Config, after: &Config) -> Vec<Warning> {
    let known = shadow::find(before);
    let new = shadow::find(after).into_iter();
    new.filter(|shadow| !known.contains(shadow))
        .take(WARNINGS_MAX)
        .map(warning)
        .collect()
}

/// What a class of client does without; the first 1,000.
pub fn losses(config: &Config, class: ClientClass) -> Vec<Warning> {
    let losses = translate::warnings(config, class).into_iter();
    losses
        .take(WARNINGS_MAX)
        .map(|loss| Warning {
            resource: loss.resource.to_string(),
            code: "left-out",
            detail: match loss.pointer.as_str() {
                "" => loss.detail.to_owned(),
                pointer => format!("{pointer}: {}", loss.detail),
            },
        })
        .collect()
}

/// What is odd about a config.
pub fn warnings(config: &Config) -> Vec<Warning> {
    let shadowed = shadow::find(config).into_iter().take(WARNINGS_MAX);
    shadowed.map(warning).collect()
}

fn warning(shadow: shadow::Shadowed) -> Warning {
    Warning {
        resource: ResourceId::new(Kind::Route, &shadow.route).to_string(),
        code: "shadowed",
        detail: format!(
            "for host {:?} no request reaches it: {:?} is asked before it and takes all that it would",
            shadow.host, shadow.by
        ),
    }
}

fn by_type(before: &Snapshot, after: &Snapshot) -> Vec<TypeDiff> {
    let of_type = |ty: ResourceType| {
        let diff = after.diff(before, ty);
        let names = |is_new: bool| {
            let names = diff.changed.iter().map(|resource| resource.name());
            names
                .filter(|name| before.get(ty, name).is_none() == is_new)
                .map(ToString::to_string)
                .collect()
        };
        (!diff.is_empty()).then(|| TypeDiff {
            r#type: ty.short_name(),
            added: names(true),
            changed: names(false),
            removed: diff.removed.iter().map(ToString::to_string).collect(),
        })
    };
    ResourceType::ALL.into_iter().filter_map(of_type).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::document::tests::config;

    #[test]
    fn each_class_is_told_what_it_would_be_sent() {
        let before = config(
            "
            listeners: [{name: web, address: 0.0.0.0, port: 80}]
            clusters: [{name: a, discovery: api}]
            routes: [{name: r, hosts: [x], forward: {cluster: a}}, {name: s, hosts: [y], respond: {status: 200}}]",
        );
        let before = Arc::new(before);
        let mut after = (*before).clone();
        after.remove::<crate::model::Route>("s");
        after.put(crate::model::Route {
            priority: 1,
            hosts: vec!["x".to_owned(), "z".to_owned()],
            ..(*before.routes["s"]).clone()
        });
        let after = Arc::new(after);
        let base = Base {
            revision: 7,
            config: &before,
        };
        let count = |class: &str| NodeCount {
            connected: class.len() as u64,
            known: 99,
        };
        let plan = plan(
            base,
            &after,
            &Arc::default(),
            &Translation::default(),
            &[],
            &[],
            count,
        )
        .unwrap();
        let told: Vec<_> = plan
            .classes
            .iter()
            .map(|class| {
                let types: Vec<_> = class
                    .resources
                    .iter()
                    .map(|ty| {
                        format!(
                            "{} {:?} {:?} {:?}",
                            ty.r#type, ty.added, ty.changed, ty.removed
                        )
                    })
                    .collect();
                (
                    class.class,
                    types.join("; "),
                    class.nodes_affected.connected,
                )
            })
            .collect();
        let host = r#"VirtualHost ["web/z"] ["web/x"] ["web/y"]"#.to_owned();
        let routes = r#"RouteConfiguration [] ["web"] []"#.to_owned();
        assert!(told.contains(&("signalbox", host, 9)), "{told:?}");
        assert!(told.contains(&("envoy", routes, 5)), "{told:?}");
        assert_eq!((plan.base_revision, plan.changes.len()), (7, 1));
        assert_eq!(plan.warnings[0].resource, "routes/r");
    }

    #[test]
    fn nobody_is_affected_by_what_changes_nothing() {
        let config = Arc::new(config(
            "listeners: [{name: web, address: 0.0.0.0, port: 80}]",
        ));
        let base = Base {
            revision: 1,
            config: &config,
        };
        let count = |_: &str| NodeCount {
            connected: 1,
            known: 1,
        };
        let plan = plan(
            base,
            &config,
            &Arc::default(),
            &Translation::default(),
            &[],
            &[],
            count,
        )
        .unwrap();
        assert!(plan.changes.is_empty());
        let classes = plan.classes.iter();
        assert!(classes.into_iter().all(
            |class| class.resources.is_empty() && class.nodes_affected == NodeCount::default()
        ));
    }
}
