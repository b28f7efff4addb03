//! At the counter (窓口): a party's staff record what a person said on paper, in person or by telephone.
//!
//! It needs the party's certificate, a member of staff signed in with the party's client, and the scope `consent/attest`.
//! The person is named by the id that this very party knows: its pairwise id, or the id in its own records.

use http::StatusCode;
use sekisho_policy::{ConsentId, PersonId, RefusalId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::consents::{Proposed, acknowledged, created, receipt, terms};
use super::problem::Problem;
use super::{Answer, Call};
use crate::consent::attested::{self, Withdrawal, Word, has_counter, way};
use crate::consent::give::{self, GiveError, Narrowed, RefusedScope};
use crate::consent::people::parse_instant;
use crate::ids::{PairwiseId, TextId};
use crate::ledger::entry::Cause;
use crate::ledger::event::{Attestation, Event};
use crate::request::authenticate::{Caller, KnownParty};
use crate::sabotage::{self, Check};
use crate::store::StoreError;

/// Scope of a token that may attest.
pub(super) const ATTEST_SCOPE: &str = "consent/attest";

/// A person, by one of the ids that the party knows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    /// The party's pairwise id.
    patient: Option<String>,
    /// The id in the party's own records, to which the person is linked.
    id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    way: String,
    evidence: String,
    checked_by: String,
    given_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewConsent {
    subject: Named,
    grantor: Option<Named>,
    recipient: String,
    terms: Proposed,
    attestation: Said,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRefusal {
    subject: Named,
    grantor: Option<Named>,
    recipient: Option<String>,
    purpose: Option<String>,
    categories: Option<Vec<String>>,
    attestation: Said,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewWithdrawal {
    subject: Named,
    grantor: Option<Named>,
    recipient: String,
    purpose: Option<String>,
    attestation: Said,
}

/// A member of a party's staff at its counter.
struct Counter<'a> {
    call: &'a Call<'a>,
    caller: Caller,
    party: KnownParty,
}

impl<'a> Counter<'a> {
    async fn of(call: &'a Call<'a>) -> Result<Self, Problem> {
        let caller = call.caller().await?;
        // A machine's own token names nobody: somebody must have been asked, and must have looked.
        let (Some(party), Some(_)) = (caller.party.clone(), caller.person) else {
            return Err(Problem::counter_needed());
        };
        if !has_counter(&*call.app.store.registry().await?, &party.code) {
            return Err(Problem::counter_needed());
        }
        if !caller.claims.has_scope(ATTEST_SCOPE) && !sabotage::off(Check::AttestScope) {
            return Err(Problem::scope(ATTEST_SCOPE));
        }
        Ok(Self { call, caller, party })
    }

    async fn person(&self, named: &Named, field: &'static str) -> Result<PersonId, Problem> {
        let store = &self.call.app.store;
        let person = match (&named.patient, &named.id) {
            (Some(patient), None) => match PairwiseId::parse(patient) {
                Ok(id) => store.person_of_pairwise(self.party.id, id)?,
                Err(_) => None,
            },
            (None, Some(id)) => store.person_of_source(&self.party.code, id).await?,
            _ => return Err(Problem::field(field, "must name `patient` or `id`, one of the two")),
        };
        let person = person.ok_or_else(Problem::not_found)?;
        let snapshot = store.snapshot(person).await?;
        let now = store.clock().now().map_err(StoreError::from)?;
        if give::is_hidden_from_party(&snapshot.subject, self.party.id, now) {
            return Err(Problem::not_found());
        }
        Ok(person)
    }

    async fn word(&self, subject: &Named, grantor: Option<&Named>, said: Said) -> Result<Word, Problem> {
        let subject = self.person(subject, "subject").await?;
        let person = match grantor {
            Some(named) => self.person(named, "grantor").await?,
            None => subject,
        };
        let now = self.call.app.store.clock().now().map_err(StoreError::from)?;
        let given = match said.given_at.as_deref() {
            Some(text) => {
                parse_instant(text).ok_or_else(|| Problem::field("given_at", "must be an RFC 3339 instant"))?
            }
            None => now,
        };
        let way = way(&said.way);
        let attestation = Attestation {
            party: self.party.code.to_string(),
            way: way.ok_or_else(|| Problem::field("way", "must be paper, in-person or telephone"))?,
            evidence: said.evidence,
            checked_by: said.checked_by,
            recorded_by: self.caller.claims.sub.clone(),
            given_ms: given.millis(),
        };
        Ok(Word { subject, person, attestation })
    }
}

pub(super) async fn consent(call: &Call<'_>) -> Result<Answer, Problem> {
    let counter = Counter::of(call).await?;
    let idempotency = call.idempotency(&counter.caller, "POST /v1/attested/consents")?;
    if let Some((Event::ConsentApproved(before), _)) = call.earlier(idempotency)? {
        attested::known_to(call.app, PersonId::of(before.subject.0), &before.terms.recipient).await?;
        return created(call, &counter.caller, ConsentId::of(before.consent.0)).await;
    }
    let new: NewConsent = call.json()?;
    let word = counter.word(&new.subject, new.grantor.as_ref(), new.attestation).await?;
    let terms = terms(call, new.terms, &new.recipient).await?;
    let cause = Cause::party(counter.party.id);
    let id = match attested::grant(call.app, &word, &terms, cause, idempotency).await {
        // The same request came twice at once, and the other was first.
        Err(GiveError::Store(StoreError::Repeated)) => match call.earlier(idempotency)? {
            Some((Event::ConsentApproved(before), _)) => ConsentId::of(before.consent.0),
            _ => return Err(Problem::not_now()),
        },
        other => other?,
    };
    created(call, &counter.caller, id).await
}

pub(super) async fn refusal(call: &Call<'_>) -> Result<Answer, Problem> {
    let counter = Counter::of(call).await?;
    let idempotency = call.idempotency(&counter.caller, "POST /v1/attested/refusals")?;
    let (id, narrowed) = match call.earlier(idempotency)? {
        Some((Event::Refused(before), ending)) => {
            // Acknowledged again, after making sure again.
            let about = PersonId::of(before.subject.0);
            let transfers_cut = call.app.barrier.after_person(about).await.map_err(GiveError::from)?;
            (RefusalId::of(before.refusal.0), Narrowed { ending, transfers_cut })
        }
        _ => {
            let new: NewRefusal = call.json()?;
            let word = counter.word(&new.subject, new.grantor.as_ref(), new.attestation).await?;
            let scope = RefusedScope { recipient: new.recipient, purpose: new.purpose, categories: new.categories };
            attested::refuse(call.app, &word, &scope, idempotency).await?
        }
    };
    let mut answer = receipt(call, "refused", id.text(), &narrowed, &[]);
    answer.status = StatusCode::CREATED;
    Ok(answer)
}

pub(super) async fn withdrawal(call: &Call<'_>) -> Result<Answer, Problem> {
    let counter = Counter::of(call).await?;
    let idempotency = call.idempotency(&counter.caller, "POST /v1/attested/withdrawals")?;
    let earlier = match call.earlier(idempotency)? {
        Some((Event::ConsentEnded(before), _)) => Some(ConsentId::of(before.consent.0)),
        _ => None,
    };
    let new: NewWithdrawal = call.json()?;
    let word = counter.word(&new.subject, new.grantor.as_ref(), new.attestation).await?;
    let (recipient, purpose) = (new.recipient.as_str(), new.purpose.as_deref());
    let asked = Withdrawal { recipient, purpose, idempotency, earlier };
    let ended = attested::withdraw(call.app, &word, &asked).await?;
    let asked_to_erase = [new.recipient.clone()];
    let receipts = ended.iter().map(|(id, n)| acknowledged(call, "revoked", id.text(), n, &asked_to_erase));
    Ok(Answer::ok(&json!({"ended": receipts.collect::<Vec<Value>>()})))
}
