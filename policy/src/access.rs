//! The question: who asks for what about whom, for which purpose, in which capacity.

use crate::category::Categories;
use crate::ids::{PartyId, PersonId};
use crate::purpose::PurposeCode;

/// Who acts for a receiving party, and in which capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// A machine of the party, for nobody in particular.
    System,
    /// The subject, through the party's app.
    Subject(PersonId),
    /// A guardian of the subject, through the party's app.
    Guardian(PersonId),
    /// A member of the party's staff.
    Staff(PersonId),
}

impl Actor {
    /// The person who acts, where one is named.
    #[must_use]
    pub const fn person(&self) -> Option<PersonId> {
        match self {
            Self::System => None,
            Self::Subject(p) | Self::Guardian(p) | Self::Staff(p) => Some(*p),
        }
    }
}

/// In which capacity a person looks at our own pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Capacity {
    /// As the subject.
    Subject,
    /// As the subject's guardian.
    Guardian,
}

/// Who would receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Receiver {
    /// A party, through a named actor.
    Party {
        /// The recipient (提供先).
        party: PartyId,
        /// Who acts for it.
        actor: Actor,
    },
    /// Self-access: a person at our own pages; no party receives anything.
    Person {
        /// Who looks.
        person: PersonId,
        /// As what.
        capacity: Capacity,
    },
}

impl Receiver {
    /// The person at the other end, where one is named.
    #[must_use]
    pub const fn person(&self) -> Option<PersonId> {
        match self {
            Self::Party { actor, .. } => actor.person(),
            Self::Person { person, .. } => Some(*person),
        }
    }

    /// The receiving party, if it is one.
    #[must_use]
    pub const fn party(&self) -> Option<PartyId> {
        match self {
            Self::Party { party, .. } => Some(*party),
            Self::Person { .. } => None,
        }
    }
}

/// One question to the policy. It is decided for all its categories at once, each with its own reason.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AccessRequest {
    /// About whom.
    pub subject: PersonId,
    /// Who would receive.
    pub receiver: Receiver,
    /// Who holds the data.
    pub source: PartyId,
    /// What for.
    pub purpose: PurposeCode,
    /// What.
    pub categories: Categories,
}
