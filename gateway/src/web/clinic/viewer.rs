//! A member of a clinic's staff who may open summaries, as the issuer and the configuration in force say.

use std::sync::Arc;

use sekisho_policy::{PartyId, PersonId};

use super::super::page::Trouble;
use super::super::session::SignedIn;
use super::super::visit::Visit;
use crate::ids::party_id;
use crate::ledger::entry::{Bytes16, Cause};
use crate::ledger::event::{Event, SummaryOpened};
use crate::sabotage::{self, Check};
use crate::store::state::Global;
use crate::store::{Draft, StoreError};

/// Views that one login opens in an hour, at most: each is several entries of the ledger.
const AN_HOUR: u32 = 600;

/// A doctor or a nurse.
pub struct Viewer {
    /// The clinic.
    pub party: PartyId,
    /// Its code.
    pub code: String,
    /// How they signed in.
    pub signed_in: SignedIn,
    /// The registry in force.
    pub global: Arc<Global>,
}

impl Viewer {
    /// Whoever is signed in, if it is a clinic's staff that may open summaries. Asked anew at each request, of the
    /// configuration in force.
    ///
    /// # Errors
    /// Why not.
    pub async fn of(visit: &Visit) -> Result<Self, Trouble> {
        let of = &visit.session().ok_or(Trouble::clinic_signed_out())?.signed_in;
        let provider = visit.app.web.provider_of(&of.issuer).ok_or(Trouble::clinic_signed_out())?;
        let staff = provider.settings.staff.as_ref().ok_or(Trouble::not_clinic())?;
        let global = visit.app.store.registry().await?;
        if global.text.party(&staff.party).is_none_or(|party| party.kind != "clinic") {
            return Err(Trouble::not_clinic());
        }
        let has = of.roles.iter().any(|role| staff.viewer_roles.contains(role));
        if (!has || !provider.admits(&of.acr)) && !sabotage::off(Check::ViewerRole) {
            return Err(Trouble::no_viewer_role());
        }
        Ok(Self { party: party_id(&staff.party), code: staff.party.clone(), signed_in: of.clone(), global })
    }

    /// The same, having sent a form of this very session.
    ///
    /// # Errors
    /// As [`Viewer::of`], and when the form is another's.
    pub async fn sent(visit: &Visit) -> Result<Self, Trouble> {
        let viewer = Self::of(visit).await?;
        visit.is_own_form()?;
        Ok(viewer)
    }

    /// As the cause of an entry.
    #[must_use]
    pub fn cause(&self) -> Cause {
        Cause::party(self.party)
    }

    /// Whether one more may be opened in this hour.
    #[must_use]
    pub fn may_look(&self, visit: &Visit) -> bool {
        let who = format!("{} {}", self.signed_in.issuer, self.signed_in.sub);
        visit.app.web.sessions.tries.may(["summaries opened", &who], AN_HOUR, visit.now)
    }

    /// Records that this one opens a summary.
    ///
    /// # Errors
    /// When it could not be recorded; then nothing may be shown.
    pub async fn records_view(&self, visit: &Visit, person: PersonId, identity_only: bool) -> Result<(), Trouble> {
        if sabotage::off(Check::ViewRecorded) {
            return Ok(());
        }
        let opened = SummaryOpened {
            subject: Bytes16(*person.bytes()),
            party: self.code.clone(),
            by: self.signed_in.sub.clone(),
            identity_only,
        };
        self.record(visit, person, &Event::SummaryOpened(opened)).await
    }

    /// Records an event about a person that this one caused.
    ///
    /// # Errors
    /// When it could not be recorded.
    pub async fn record(&self, visit: &Visit, person: PersonId, event: &Event) -> Result<(), Trouble> {
        let draft =
            || Draft { events: [event.clone()].into_iter().collect(), cause: Some(self.cause()), ..Draft::default() };
        visit.app.store.update(person, |_, _, _| Ok::<_, StoreError>(((), draft()))).await?;
        Ok(())
    }
}
