//! Lines of the access log in the index, and the permits that have none yet because their outcome is not recorded.

use sekisho_policy::PersonId;

use super::log::Location;

/// A permit whose outcome is not recorded yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) person: PersonId,
    pub(super) position: u64,
    pub(super) location: Location,
}

/// A decision about a person, or a look at them: its number, where it lies, and where a decision's outcome lies once that is
/// recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Number of the entry.
    pub position: u64,
    /// Where the entry lies.
    pub decided: Location,
    /// Where its outcome lies.
    pub closed: Option<Location>,
}

impl Open {
    pub(super) fn written(&self) -> Vec<u8> {
        let (position, location) = (self.position.to_be_bytes(), self.location.number().to_be_bytes());
        [self.person.bytes().as_slice(), &position, &location].concat()
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (person, rest) = bytes.split_first_chunk::<16>()?;
        let (position, rest) = rest.split_first_chunk::<8>()?;
        let location = Location::from_number(u64::from_be_bytes(*rest.first_chunk::<8>()?));
        Some(Self { person: PersonId::from_bytes(*person), position: u64::from_be_bytes(*position), location })
    }
}
