//! The registered parties, purposes and categories, and the rules that an operator may choose.

use alloc::vec::Vec;
use core::fmt;

use crate::category::{Category, CategoryVersion};
use crate::ids::PartyId;
use crate::party::Party;
use crate::purpose::{Purpose, PurposeCode};

/// Choices that the law leaves to the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Whether one guardian's refusal stands against another guardian's grant (P-14). Default: it does.
    pub guardian_refusal_stands: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self { guardian_refusal_stands: true }
    }
}

/// What is registered. What isn't here is unknown, and denies (P-2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registry {
    // INVARIANT: each sorted by its key, each key once.
    parties: Vec<Party>,
    purposes: Vec<Purpose>,
    categories: Vec<Category>,
    rules: Rules,
}

/// Two registrations under one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryError {
    /// Two parties with one id.
    Party,
    /// Two purposes with one code.
    Purpose,
    /// Two categories with one code and version.
    Category,
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Party => "two parties have the same id",
            Self::Purpose => "two purposes have the same code",
            Self::Category => "two categories have the same code and version",
        })
    }
}

impl core::error::Error for RegistryError {}

impl Registry {
    /// A registry of these, each of which must be there once.
    ///
    /// # Errors
    /// Names the kind that is registered twice.
    pub fn new(
        mut parties: Vec<Party>,
        mut purposes: Vec<Purpose>,
        mut categories: Vec<Category>,
        rules: Rules,
    ) -> Result<Self, RegistryError> {
        parties.sort_by_key(|p| p.id);
        purposes.sort_by_key(|p| p.code);
        categories.sort_by_key(|c| c.version);
        if !parties.is_sorted_by(|a, b| a.id < b.id) {
            return Err(RegistryError::Party);
        }
        if !purposes.is_sorted_by(|a, b| a.code < b.code) {
            return Err(RegistryError::Purpose);
        }
        if !categories.is_sorted_by(|a, b| a.version < b.version) {
            return Err(RegistryError::Category);
        }
        Ok(Self { parties, purposes, categories, rules })
    }

    /// The party with this id.
    #[must_use]
    pub fn party(&self, id: PartyId) -> Option<&Party> {
        self.parties.binary_search_by_key(&id, |p| p.id).ok().and_then(|at| self.parties.get(at))
    }

    /// The purpose with this code.
    #[must_use]
    pub fn purpose(&self, code: PurposeCode) -> Option<&Purpose> {
        self.purposes.binary_search_by_key(&code, |p| p.code).ok().and_then(|at| self.purposes.get(at))
    }

    /// The category with this very version.
    #[must_use]
    pub fn category(&self, version: CategoryVersion) -> Option<&Category> {
        self.categories.binary_search_by_key(&version, |c| c.version).ok().and_then(|at| self.categories.get(at))
    }

    /// Every registered party.
    #[must_use]
    pub fn parties(&self) -> &[Party] {
        &self.parties
    }

    /// Every registered purpose.
    #[must_use]
    pub fn purposes(&self) -> &[Purpose] {
        &self.purposes
    }

    /// Every registered category version.
    #[must_use]
    pub fn categories(&self) -> &[Category] {
        &self.categories
    }

    /// The operator's choices.
    #[must_use]
    pub const fn rules(&self) -> Rules {
        self.rules
    }
}
