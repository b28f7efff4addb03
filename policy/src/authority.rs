//! Authority of a guardian (保護者: 親権者・未成年後見人) over one subject.

use crate::ids::{AuthorityId, PersonId};
use crate::time::Period;

/// Authority over the subject, while it lasts. A suspension ends the record; what comes after is a new one, so nothing
/// that was given under the old one revives (P-9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Which record.
    pub id: AuthorityId,
    /// Who holds it.
    pub guardian: PersonId,
    /// From when until when. Coming of age ends it whatever stands here (P-8).
    pub period: Period,
}
