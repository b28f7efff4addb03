//! The nearest miss (P-16): of all consents, which came closest to permitting a category that nothing permits.

use crate::decision::{Miss, NearestMiss, Reason};
use crate::ids::ConsentId;

/// A miss in which no consent had a part.
pub(crate) const fn without_consent(miss: Miss) -> Reason {
    Reason::NothingApplies(NearestMiss { miss, consent: None })
}

/// The consent that came closest so far; of two equally close, the one with the smaller id.
#[derive(Default)]
pub(crate) struct Nearest(Option<(Miss, ConsentId)>);

impl Nearest {
    pub(crate) fn add(&mut self, miss: Miss, consent: ConsentId) {
        if self.0.is_none_or(|(nearest, id)| nearest < miss || (nearest == miss && consent < id)) {
            self.0 = Some((miss, consent));
        }
    }

    pub(crate) fn into_reason(self) -> Reason {
        self.0.map_or(without_consent(Miss::NoConsent), |(miss, id)| {
            Reason::NothingApplies(NearestMiss { miss, consent: Some(id) })
        })
    }
}
