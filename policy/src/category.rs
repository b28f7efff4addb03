//! Categories (提供する情報), registered and versioned: widening one makes a new version, which needs new consent.

use core::fmt;

use arrayvec::ArrayVec;

use crate::code::Code;

/// Most categories that one request, or one consent, can name.
pub const MAX_CATEGORIES: usize = 16;

/// The registered code of a category, whatever its version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CategoryCode(pub Code);

/// One version of a category, written `vaccination@1`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CategoryVersion {
    /// The category.
    pub code: CategoryCode,
    /// Its version, from 1.
    pub version: u16,
}

impl fmt::Display for CategoryVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.code.0, self.version)
    }
}

impl fmt::Debug for CategoryVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A registered category version, as far as the decision needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Category {
    /// Code and version.
    pub version: CategoryVersion,
    /// Age in years from which the subject decides alone and guardians no longer reach the category (P-8). 18 unless
    /// configured otherwise; 0 keeps guardians out from birth, as for a minor's own consultations.
    pub own_consent_age: u8,
}

/// The categories of one request or consent: 1 to [`MAX_CATEGORIES`], sorted, each once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Categories(ArrayVec<CategoryVersion, MAX_CATEGORIES>);

impl Categories {
    /// Sorts and keeps each category once. `None` when there is none, or more than [`MAX_CATEGORIES`].
    #[must_use]
    pub fn new(categories: impl IntoIterator<Item = CategoryVersion>) -> Option<Self> {
        let mut kept: ArrayVec<CategoryVersion, MAX_CATEGORIES> = ArrayVec::new();
        for category in categories {
            if let Err(place) = kept.binary_search(&category) {
                kept.try_insert(place, category).ok()?;
            }
        }
        (!kept.is_empty()).then_some(Self(kept))
    }

    /// The categories in order.
    #[must_use]
    pub fn as_slice(&self) -> &[CategoryVersion] {
        &self.0
    }

    /// Whether this very version is among them.
    #[must_use]
    pub fn contains(&self, category: CategoryVersion) -> bool {
        self.0.contains(&category)
    }
}
