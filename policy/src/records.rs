//! All that the decision looks at about one subject.

use alloc::vec::Vec;

use jiff::civil::Date;

use crate::authority::Authority;
use crate::consent::{Block, Consent, LegalBasis, Refusal};
use crate::decision::Field;
use crate::ids::PersonId;

/// The records about one subject. Their order means nothing (P-3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectRecords {
    /// Whose records.
    pub subject: PersonId,
    /// Date of birth, which decides from when the subject acts alone.
    pub birth: Date,
    /// Consents, ended ones included.
    pub consents: Vec<Consent>,
    /// Refusals, lifted ones included.
    pub refusals: Vec<Refusal>,
    /// Blocks, ended ones included.
    pub blocks: Vec<Block>,
    /// Guardians' authority, ended ones included.
    pub authorities: Vec<Authority>,
    /// Legal bases, ended ones included.
    pub bases: Vec<LegalBasis>,
    /// A field of some record that was not understood. It denies everything (P-2): what can't be read might forbid.
    pub unreadable: Option<Field>,
}

impl SubjectRecords {
    /// A subject about whom nothing is recorded yet.
    #[must_use]
    pub const fn new(subject: PersonId, birth: Date) -> Self {
        Self {
            subject,
            birth,
            consents: Vec::new(),
            refusals: Vec::new(),
            blocks: Vec::new(),
            authorities: Vec::new(),
            bases: Vec::new(),
            unreadable: None,
        }
    }
}
