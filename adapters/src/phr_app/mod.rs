//! A PHR app as a source: what people measure, take and report themselves, and the app's dated copy of what the national
//! portal said.
//!
//! What it does: asks an app for those parts of a person's records that may be asked for, reads the answer strictly, and
//! maps it to FHIR R4. What it never does: ask for more, convert a unit or a value by guess, choose between contradictions,
//! pass what it doesn't know, drop something without saying so, or keep anything.
//!
//! No standard for this was found, so the shape is ours: `docs/phr-app-source.md` has it, with an example and every rule.
//! Facts that the mapping rests on stand in [`map`].

pub mod client;
mod decimal;
pub mod map;
mod measures;
mod reader;
mod resources;
pub mod stand_in;
pub(crate) mod strict;
pub mod text;
pub(crate) mod when;
pub mod wire;

pub use client::{PhrApp, PhrAppError};
pub use map::{Mapped, Unmapped, Why};

/// A part of the records, asked for by itself: as a category of a consent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// Name, birth date, sex.
    Profile,
    /// 持病.
    Conditions,
    /// 服薬.
    Medications,
    /// アレルギー, or the assertion that none is known.
    Allergies,
    /// 身長.
    Heights,
    /// 体重.
    Weights,
    /// 日々の体温.
    Temperatures,
    /// 予防接種, mostly a copy of the portal's history.
    Vaccinations,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Profile,
        Self::Conditions,
        Self::Medications,
        Self::Allergies,
        Self::Heights,
        Self::Weights,
        Self::Temperatures,
        Self::Vaccinations,
    ];

    /// Its name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Conditions => "conditions",
            Self::Medications => "medications",
            Self::Allergies => "allergies",
            Self::Heights => "heights",
            Self::Weights => "weights",
            Self::Temperatures => "temperatures",
            Self::Vaccinations => "vaccinations",
        }
    }
}
