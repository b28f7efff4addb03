//! Parties (事業者・機関): the organisations that hold or receive data.

use crate::ids::PartyId;

/// What kind of organisation a party is; purposes allow kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PartyKind {
    /// An app in which people keep their own records.
    PhrApp,
    /// A clinic or hospital.
    Clinic,
    /// A municipality (市区町村).
    Municipality,
    /// A consultation service that parents ask for help.
    ConsultationService,
    /// A research body.
    Research,
    /// A public portal that hands people their own records (My Portal style).
    Portal,
    /// Not an organisation: the person at our own pages. Purposes for self-access allow this kind.
    Person,
}

/// Whether a party may take part at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Active,
    /// It is suspended: nothing goes to it or comes from it.
    Suspended,
}

/// A registered party, as far as the decision needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party {
    /// Who.
    pub id: PartyId,
    /// What kind of organisation.
    pub kind: PartyKind,
    /// Active or suspended.
    pub standing: Standing,
}
