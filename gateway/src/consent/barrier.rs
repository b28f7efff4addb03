//! The barrier (design §4): whatever narrows is final when it is acknowledged.
//!
//! The event is durable and seen by every new decision before this is called. Then every release under way that the
//! current records no longer cover is cut, and the call returns once none of their bytes can leave any more. It goes by
//! the decision itself, not by which consent was named: a revocation, a refusal, a block, the end of an authority or a
//! suspended party all cut what they should, and nothing else.

use std::sync::Arc;

use sekisho_policy::PersonId;

use crate::app::App;
use crate::metrics::Metrics;
use crate::request::cut::{NotSilent, cut_all};
use crate::request::releases::{Handle, Releases};
use crate::sabotage::{self, Check};
use crate::store::StoreError;

/// Why nothing can be acknowledged. What was recorded stands; calling again goes on.
#[derive(Debug, thiserror::Error)]
pub enum BarrierError {
    /// The records can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A connection did not close in time.
    #[error(transparent)]
    Open(#[from] NotSilent),
}

/// Cuts releases that are no longer covered.
pub struct Barrier {
    releases: Arc<Releases>,
    issuer: String,
    metrics: Arc<Metrics>,
}

impl Barrier {
    /// For these releases; `issuer` names the gateway on receipts.
    #[must_use]
    pub const fn new(releases: Arc<Releases>, issuer: String, metrics: Arc<Metrics>) -> Self {
        Self { releases, issuer, metrics }
    }

    /// Who signs receipts.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// After something about a person narrowed: returns how many releases were cut, once they are silent.
    ///
    /// # Errors
    /// When it can't be made sure; then nothing may be acknowledged.
    pub async fn after_person(&self, subject: PersonId) -> Result<u32, BarrierError> {
        self.cut(self.releases.of(subject), Some(subject), |_| true).await
    }

    /// After something for everyone narrowed: a party's standing.
    ///
    /// # Errors
    /// When it can't be made sure; then nothing may be acknowledged.
    pub async fn after_all(&self) -> Result<u32, BarrierError> {
        self.cut(self.releases.all(), None, |_| true).await
    }

    /// After another configuration came into force: also cuts what it would not admit.
    ///
    /// # Errors
    /// When it can't be made sure; then nothing may be acknowledged.
    pub async fn after_reload(&self, app: &Arc<App>) -> Result<u32, BarrierError> {
        let admitted = |handle: &Handle| handle.is_admitted_by(app) || sabotage::off(Check::AdmittedStill);
        self.cut(self.releases.all(), None, admitted).await
    }

    /// Cuts every release about a person, or asked for by one, covered or not: for when what is being released may be somebody else's.
    ///
    /// # Errors
    /// When it can't be made sure; then nothing may be acknowledged.
    pub async fn everything_about(&self, person: PersonId) -> Result<u32, BarrierError> {
        let (_timed, _first) = (self.metrics.barrier.start_timer(), self.releases.precedence.first());
        let handles: Vec<_> = self.releases.all().into_iter().filter(|handle| handle.concerns(person)).collect();
        let cut = handles.len();
        cut_all(handles).await?;
        Ok(u32::try_from(cut).unwrap_or(u32::MAX))
    }

    /// Cuts what the records no longer cover, or is not `admitted`; where only one person's have changed, those are looked at.
    async fn cut(
        &self,
        handles: Vec<Arc<Handle>>,
        changed: Option<PersonId>,
        admitted: impl Fn(&Handle) -> bool,
    ) -> Result<u32, BarrierError> {
        let (_timed, _first) = (self.metrics.barrier.start_timer(), self.releases.precedence.first());
        let mut uncovered = Vec::new();
        for handle in handles {
            let covered = handle.still_permitted_about(changed).await;
            // Not knowing is a reason to stop as well.
            if !covered.unwrap_or(false) || !admitted(&handle) {
                uncovered.push(handle);
            } else {
                // What covers it now may end earlier.
                self.releases.time(&handle);
            }
        }
        let cut = uncovered.len();
        cut_all(uncovered).await?;
        Ok(u32::try_from(cut).unwrap_or(u32::MAX))
    }
}
