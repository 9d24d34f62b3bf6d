//! Who may do what, as pure decisions: an [`Actor`] asks for a [`Role`] over an [`Object`], a [`Verdict`] answers.
//! Not here: where tokens are kept (`store`), how one is recognised (`tokens`), and what each URL asks for
//! (`api::guard`).

pub mod secret;
pub mod spiffe;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What somebody may do; each role may do everything that the ones before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads.
    Reader,
    /// Changes what fleets serve.
    Editor,
    /// Decides how changes reach proxies.
    Operator,
    /// Creates and deletes fleets and tokens.
    Admin,
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TokenKind {
    /// For the admin API.
    Api,
    /// For proxies of one fleet: with it they may connect by xDS, and do nothing else.
    Join,
}

/// Which fleets somebody may know of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fleets {
    /// All there are and all there will be.
    All,
    /// These; of others they do not learn that they exist.
    These(BTreeSet<String>),
}

/// Somebody who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Stands in every revision and audit row.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Where.
    pub fleets: Fleets,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object<'a> {
    /// One fleet.
    Fleet(&'a str),
    /// Whatever the actor may see: the handler leaves out the rest.
    Visible,
    /// What belongs to no fleet.
    Everything,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Granted,
    /// No, and it may be said.
    Forbidden,
    /// There is no such thing, as far as the actor may know.
    Hidden,
}

/// The name of those who need not say who they are: they reach the API on loopback.
pub const LOCAL: &str = "local";

impl Role {
    /// Its name in the API and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Editor => "editor",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// The role of a name.
    pub fn of_str(name: &str) -> Option<Self> {
        [Self::Reader, Self::Editor, Self::Operator, Self::Admin]
            .into_iter()
            .find(|role| role.as_str() == name)
    }
}

impl TokenKind {
    /// Its name in the API and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Join => "join",
        }
    }

    /// The kind of a name.
    pub fn of_str(name: &str) -> Option<Self> {
        [Self::Api, Self::Join]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    }
}

impl Fleets {
    /// Whether a fleet is among them.
    pub fn contain(&self, fleet: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(fleets) => fleets.contains(fleet),
        }
    }

    /// Whether all of `other` are among them: nobody hands on more than they have.
    pub fn cover(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::These(_), Self::All) => false,
            (Self::These(own), Self::These(other)) => own.is_superset(other),
        }
    }
}

impl Actor {
    /// Somebody on this machine, where nobody is asked.
    pub fn local() -> Self {
        Self {
            name: LOCAL.to_owned(),
            role: Role::Admin,
            fleets: Fleets::All,
        }
    }

    /// Whether the actor may do what takes `role` to `object`.
    pub fn may(&self, role: Role, object: Object<'_>) -> Verdict {
        let in_sight = match object {
            Object::Fleet(fleet) if !self.fleets.contain(fleet) => return Verdict::Hidden,
            Object::Fleet(_) | Object::Visible => true,
            Object::Everything => self.fleets == Fleets::All,
        };
        if in_sight && self.role >= role {
            Verdict::Granted
        } else {
            Verdict::Forbidden
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(role: Role, fleets: &[&str]) -> Actor {
        Actor {
            name: "ada".to_owned(),
            role,
            fleets: match fleets {
                [] => Fleets::All,
                fleets => Fleets::These(fleets.iter().map(ToString::to_string).collect()),
            },
        }
    }

    #[test]
    fn a_role_may_do_what_lesser_roles_may_and_no_more() {
        let roles = [Role::Reader, Role::Editor, Role::Operator, Role::Admin];
        for (has, role) in roles.into_iter().enumerate() {
            for (needs, needed) in roles.into_iter().enumerate() {
                let expected = if has >= needs {
                    Verdict::Granted
                } else {
                    Verdict::Forbidden
                };
                let verdict = actor(role, &[]).may(needed, Object::Fleet("a"));
                assert_eq!(verdict, expected, "{role:?} {needed:?}");
            }
            assert_eq!(Role::of_str(role.as_str()), Some(role));
        }
    }

    #[test]
    fn a_fleet_of_others_does_not_exist_whatever_the_role() {
        let actor = actor(Role::Admin, &["a"]);
        assert_eq!(
            actor.may(Role::Reader, Object::Fleet("a")),
            Verdict::Granted
        );
        assert_eq!(actor.may(Role::Reader, Object::Fleet("b")), Verdict::Hidden);
        assert_eq!(actor.may(Role::Admin, Object::Fleet("b")), Verdict::Hidden);
        assert_eq!(actor.may(Role::Reader, Object::Visible), Verdict::Granted);
        assert_eq!(
            actor.may(Role::Reader, Object::Everything),
            Verdict::Forbidden
        );
    }

    #[test]
    fn nobody_hands_on_more_fleets_than_they_have() {
        let these = |fleets: &[&str]| actor(Role::Admin, fleets).fleets;
        assert!(Fleets::All.cover(&Fleets::All) && Fleets::All.cover(&these(&["a"])));
        assert!(these(&["a", "b"]).cover(&these(&["b"])));
        assert!(!these(&["a"]).cover(&these(&["a", "b"])) && !these(&["a"]).cover(&Fleets::All));
    }
}
