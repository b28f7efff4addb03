//! Several consents for one category add up (P-15).

use alloc::vec::Vec;

use crate::consent::Consent;
use crate::decide::Cover;
use crate::decision::{DataScope, PermittedBy};
use crate::time::{DataPeriod, Timestamp};

/// P-15: the sum of several covering consents. One without data period covers all dates; else their periods add up.
#[derive(Default)]
pub(crate) struct Total<'a> {
    all: Option<(Timestamp, &'a Consent)>,
    some: Option<(Timestamp, &'a Consent)>,
    first_end: Option<Timestamp>,
    periods: Vec<DataPeriod>,
}

impl<'a> Total<'a> {
    pub(crate) fn add(&mut self, consent: &'a Consent, until: Timestamp) {
        let best = match consent.data_period {
            None => &mut self.all,
            Some(period) => {
                self.periods.push(period);
                self.first_end = Some(self.first_end.map_or(until, |end| end.min(until)));
                &mut self.some
            }
        };
        let better = best.is_none_or(|(end, b)| end < until || (end == until && consent.id < b.id));
        if better {
            *best = Some((until, consent));
        }
    }

    pub(crate) fn into_cover(self) -> Option<Cover> {
        if let Some((until, consent)) = self.all {
            return Some(Cover { by: PermittedBy::Consent(consent.id), data: DataScope::All, until });
        }
        let (_, consent) = self.some?;
        let until = self.first_end?;
        let data = DataScope::Within(merge(self.periods));
        Some(Cover { by: PermittedBy::Consent(consent.id), data, until })
    }
}

/// Sorted, overlapping and touching periods made one.
fn merge(mut periods: Vec<DataPeriod>) -> Vec<DataPeriod> {
    periods.sort_unstable();
    let mut merged: Vec<DataPeriod> = Vec::new();
    for period in periods {
        match merged.last_mut() {
            Some(last) if period.from() <= last.until() => *last = last.joined(period),
            _ => merged.push(period),
        }
    }
    merged
}
