//! The nearest miss (P-16): of all consents, which came closest to permitting a category that nothing permits.
//!
//! Only a denial that is being explained needs it, so it is computed apart, after everything else said no.

use crate::decide::Case;
use crate::decision::{Miss, NearestMiss, Reason};

/// A miss in which no consent had a part.
pub(crate) const fn without_consent(miss: Miss) -> Reason {
    Reason::NothingApplies(NearestMiss { miss, consent: None })
}

/// The consent that came closest; of two equally close, the one with the smaller id.
pub(crate) fn nearest(case: &Case<'_>) -> Reason {
    let misses = case.records.consents.iter().filter_map(|c| case.covers(c).err().map(|miss| (miss, c.id)));
    let nearest = misses.max_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    nearest.map_or(without_consent(Miss::NoConsent), |(miss, id)| {
        Reason::NothingApplies(NearestMiss { miss, consent: Some(id) })
    })
}
