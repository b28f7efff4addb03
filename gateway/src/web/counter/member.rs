//! A member of a party's staff, as the issuer and the configuration in force say; and whom one names by the party's own ids.

use std::sync::Arc;

use sekisho_policy::{PartyId, PersonId};

use super::super::page::Trouble;
use super::super::visit::Visit;
use crate::consent::attested::has_counter;
use crate::consent::give;
use crate::ids::{PairwiseId, party_id};
use crate::ledger::entry::{Bytes16, Bytes32, Cause, Idempotency};
use crate::ledger::event::{CounterLooked, Event};
use crate::ledger::merkle::sha256;
use crate::sabotage::{self, Check};
use crate::store::state::Global;
use crate::store::{Draft, StoreError};

/// Letters of an id that is looked up, at most.
const ID_MAX: usize = 200;

/// A member of staff with a role that may record, now.
pub struct Member {
    /// The party.
    pub party: PartyId,
    /// Its code.
    pub code: String,
    /// The login, as records name it.
    pub login: String,
    /// Whether this one may hand out enrolment codes.
    pub may_enrol: bool,
    /// The registry in force.
    pub global: Arc<Global>,
}

impl Member {
    /// Whoever is signed in, if it is staff that may record at the counter. Asked anew at each request, of the configuration
    /// in force: a reload that takes a role away takes it from whoever is signed in.
    ///
    /// # Errors
    /// Why not.
    pub async fn of(visit: &Visit) -> Result<Self, Trouble> {
        let of = &visit.session().ok_or(Trouble::counter_signed_out())?.signed_in;
        let provider = visit.app.web.provider_of(&of.issuer).ok_or(Trouble::counter_signed_out())?;
        let staff = provider.settings.staff.as_ref().ok_or(Trouble::not_staff())?;
        let has = |roles: &[String]| of.roles.iter().any(|role| roles.contains(role));
        if (!has(&staff.counter_roles) || !provider.admits(&of.acr)) && !sabotage::off(Check::CounterRole) {
            return Err(Trouble::no_counter_role());
        }
        let global = visit.app.store.registry().await?;
        if !has_counter(&global, &staff.party) {
            return Err(Trouble::no_counter_role());
        }
        Ok(Self {
            party: party_id(&staff.party),
            code: staff.party.clone(),
            login: of.sub.clone(),
            may_enrol: has(&staff.enrol_roles) || sabotage::off(Check::CounterRole),
            global,
        })
    }

    /// The same, having sent a form of this very session.
    ///
    /// # Errors
    /// As [`Member::of`], and when the form is another's.
    pub async fn sent(visit: &Visit) -> Result<Self, Trouble> {
        let member = Self::of(visit).await?;
        visit.is_own_form()?;
        Ok(member)
    }

    /// As the cause of an entry.
    #[must_use]
    pub fn cause(&self) -> Cause {
        Cause::party(self.party)
    }

    /// The key of a form that is sent: the same one sent twice is recorded once.
    #[must_use]
    pub fn once(&self, visit: &Visit, route: &str) -> Idempotency {
        let mut scope = Vec::new();
        let form = visit.field("once").unwrap_or_default();
        for part in [self.party.bytes().as_slice(), self.login.as_bytes(), route.as_bytes(), form.as_bytes()] {
            scope.extend_from_slice(&(part.len() as u64).to_le_bytes());
            scope.extend_from_slice(part);
        }
        Idempotency { key: Bytes32(sha256(&scope)), body: Bytes32(visit.form_digest()) }
    }

    /// Whom this party knows by an id: one of its own records, or the one that it was given here. One that is two people's,
    /// by chance or by somebody's doing, is nobody's.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn find(&self, visit: &Visit, id: &str) -> Result<Option<PersonId>, Trouble> {
        let id = id.trim();
        if id.is_empty() || id.chars().count() > ID_MAX {
            return Ok(None);
        }
        let store = &visit.app.store;
        let own = store.person_of_source(&self.code, id).await?;
        let given = match PairwiseId::parse(id) {
            Ok(pairwise) => store.person_of_pairwise(self.party, pairwise)?,
            Err(_) => None,
        };
        let found = match (own, given) {
            (Some(one), Some(other)) if one != other => None,
            (one, other) => one.or(other),
        };
        let Some(person) = found else { return Ok(None) };
        let snapshot = store.snapshot(person).await?;
        Ok((!give::is_hidden_from_party(&snapshot.subject, self.party, visit.now)).then_some(person))
    }

    /// Records that this member of staff looks at what is kept about a person.
    ///
    /// # Errors
    /// When it could not be recorded; then nothing may be shown.
    pub async fn records_look(&self, visit: &Visit, person: PersonId) -> Result<(), Trouble> {
        let looked =
            CounterLooked { subject: Bytes16(*person.bytes()), party: self.code.clone(), by: self.login.clone() };
        let draft = || Draft {
            events: [Event::CounterLooked(looked.clone())].into_iter().collect(),
            cause: Some(self.cause()),
            ..Draft::default()
        };
        visit.app.store.update(person, |_, _, _| Ok::<_, StoreError>(((), draft()))).await?;
        Ok(())
    }
}
