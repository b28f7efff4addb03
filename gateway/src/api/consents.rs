//! Consents and refusals: propose, list, show, approve, refuse, lift, revoke.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_DISPOSITION, ETAG, LOCATION};
use sekisho_policy::{ConsentId, PersonId, RefusalId, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::problem::Problem;
use super::views::{agreement_view, proposal_view, refusal_view};
use super::{Answer, Call};
use crate::consent::booking;
use crate::consent::give::{self, Approval, GiveError, Narrowed, RefusedScope, Revoker};
use crate::consent::people::parse_instant;
use crate::consent::receipt::Receipt;
use crate::consent::record::{self, ConsentRecord};
use crate::consent::taken::Taken;
use crate::ids::TextId;
use crate::ledger::entry::Bytes32;
use crate::ledger::event::{Booking, Event, Terms};
use crate::request::authenticate::Caller;
use crate::sabotage::{self, Check};
use crate::store::StoreError;
use crate::store::state::{Agreement, Papers};

/// Scope of a token that may propose.
pub(super) const PROPOSE_SCOPE: &str = "consent/propose";
/// Lines of a list at once, at most and by default.
pub(super) const PAGE_MAX: usize = 200;
pub(super) const PAGE: usize = 50;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Proposed {
    purpose: String,
    categories: Vec<String>,
    /// Who receives; without it the party that proposes.
    recipient: Option<String>,
    source: Option<String>,
    from: Option<String>,
    /// Needed where the purpose is not one of visits.
    until: Option<String>,
    booking: Option<Booked>,
    data_from: Option<String>,
    data_until: Option<String>,
    text_hash: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Booked {
    reference: String,
    visit_at: String,
}

pub(super) async fn propose(call: &Call<'_>) -> Result<Answer, Problem> {
    let caller = call.caller().await?;
    let (Some(party), Some(person)) = (&caller.party, caller.person) else { return Err(Problem::party_needed()) };
    if !caller.claims.has_scope(PROPOSE_SCOPE) {
        return Err(Problem::scope(PROPOSE_SCOPE));
    }
    let idempotency = call.idempotency(&caller, "POST /v1/consents")?;
    if let Some((Event::ConsentProposed(before), _)) = call.earlier(idempotency)? {
        return created(call, &caller, ConsentId::of(before.consent.0)).await;
    }
    let proposed: Proposed = call.json()?;
    let recipient = proposed.recipient.clone().unwrap_or_else(|| party.code.to_string());
    let terms = terms(call, proposed, &recipient).await?;
    let id = match give::propose(call.app, &party.code, person, &terms, idempotency).await {
        // The same request came twice at once, and the other was first.
        Err(GiveError::Store(StoreError::Repeated)) => match call.earlier(idempotency)? {
            Some((Event::ConsentProposed(before), _)) => ConsentId::of(before.consent.0),
            _ => return Err(Problem::not_now()),
        },
        other => other?,
    };
    created(call, &caller, id).await
}

pub(super) async fn created(call: &Call<'_>, caller: &Caller, id: ConsentId) -> Result<Answer, Problem> {
    let mut answer = shown(call, caller, id).await?;
    answer.status = StatusCode::CREATED;
    Ok(answer.with(LOCATION, &format!("{}/v1/consents/{}", call.app.config.server.url, id.text())))
}

pub(super) async fn terms(call: &Call<'_>, proposed: Proposed, recipient: &str) -> Result<Terms, Problem> {
    let now = call.app.store.clock().now().map_err(crate::store::StoreError::from)?;
    let instant =
        |text: &str, name| parse_instant(text).ok_or_else(|| Problem::field(name, "must be an RFC 3339 instant"));
    let from = proposed.from.as_deref().map(|text| instant(text, "from")).transpose()?.unwrap_or(now);
    let booking = match proposed.booking {
        Some(Booked { reference, visit_at }) => {
            Some(Booking { reference, visit_ms: instant(&visit_at, "booking")?.millis() })
        }
        None => None,
    };
    let until = match (proposed.until.as_deref(), &booking) {
        (Some(text), _) => instant(text, "until")?,
        (None, None) => return Err(Problem::field("until", "must be an RFC 3339 instant")),
        (None, Some(booking)) => {
            let global = call.app.store.registry().await?;
            let visit = Timestamp::from_millis(booking.visit_ms);
            let latest = global.text.purpose(&proposed.purpose).and_then(|purpose| booking::latest_end(purpose, visit));
            latest.ok_or_else(|| Problem::field("until", "must be there: this purpose is not one of visits"))?
        }
    };
    if proposed.recipient.as_deref().is_some_and(|named| named != recipient) {
        return Err(Problem::field("recipient", "is named twice"));
    }
    let mut categories = proposed.categories;
    categories.sort_unstable();
    categories.dedup();
    Ok(Terms {
        recipient: recipient.to_owned(),
        purpose: proposed.purpose,
        categories,
        source: proposed.source,
        from_ms: from.millis(),
        until_ms: until.millis(),
        data_from: proposed.data_from,
        data_until: proposed.data_until,
        text_hash: hash(&proposed.text_hash)?,
        booking,
    })
}

fn hash(text: &str) -> Result<Bytes32, Problem> {
    let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).ok().and_then(|b| b.try_into().ok());
    bytes.map(Bytes32).ok_or_else(|| Problem::field("text_hash", "must be SHA-256 in lower-case hex"))
}

pub(super) fn consent_id(text: &str) -> Result<ConsentId, Problem> {
    ConsentId::parse(text).map_err(|_| Problem::not_found())
}

pub(super) async fn one(call: &Call<'_>, id: &str) -> Result<Answer, Problem> {
    let caller = call.caller().await?;
    shown(call, &caller, consent_id(id)?).await
}

/// A consent or proposal, to the party that receives under it or attested it, or to the people who decide about it; to
/// nobody else.
async fn shown(call: &Call<'_>, caller: &Caller, id: ConsentId) -> Result<Answer, Problem> {
    let store = &call.app.store;
    let person = store.person_of_consent(id)?.ok_or_else(Problem::not_found)?;
    let dossier = store.dossier(person).await?;
    let (subject, papers) = (&dossier.subject, &dossier.papers);
    let global = store.registry().await?;
    let now = store.clock().now().map_err(crate::store::StoreError::from)?;
    let attested_by = papers.agreements.iter().find(|a| a.consent == id).and_then(|a| a.attestation.as_ref());
    let attested_by = attested_by.map(|a| a.party.as_str());
    let proposed_by = proposer(papers, id);
    let found =
        match (papers.agreements.iter().find(|a| a.consent == id), papers.proposals.iter().find(|p| p.consent == id)) {
            (Some(agreement), _) => {
                Some((agreement_view(subject, agreement, caller, now), &agreement.terms, agreement.revision))
            }
            (None, Some(proposal)) => Some((proposal_view(proposal, caller), &proposal.terms, proposal.revision)),
            (None, None) => None,
        };
    let (view, terms, revision) = found.ok_or_else(Problem::not_found)?;
    let may = match (&caller.party, caller.person) {
        (Some(party), _) => {
            // Whoever receives sees nothing of what nobody has agreed to yet.
            let receives = *party.code == *terms.recipient && proposed_by.is_none_or(|(_, agreed)| agreed);
            let proposed = proposed_by.is_some_and(|(by, _)| *by == *party.code);
            let concerned = receives || proposed || attested_by == Some(&*party.code);
            concerned && !give::is_hidden_from_party(subject, party.id, now)
        }
        (None, Some(asking)) => {
            asking == person || give::may_decide_on(subject, &global, asking, &terms.categories, now)
        }
        (None, None) => false,
    };
    if !may && !sabotage::off(Check::ShownTo) {
        return Err(Problem::not_found());
    }
    Ok(Answer::ok(&view).with(ETAG, &format!("\"r{revision}\"")))
}

/// Which party proposed it, where that is not the one that receives, and whether it was agreed to.
fn proposer(papers: &Papers, id: ConsentId) -> Option<(&str, bool)> {
    if let Some(agreement) = papers.agreements.iter().find(|a| a.consent == id) {
        return agreement.proposed_by.as_deref().map(|by| (by, true));
    }
    let proposal = papers.proposals.iter().find(|p| p.consent == id && p.proposed_by != p.terms.recipient)?;
    Some((&proposal.proposed_by, false))
}

/// The consent as a signed record to keep, for the subject and for who gave it.
pub(super) async fn record(call: &Call<'_>, id: &str) -> Result<Answer, Problem> {
    let (person, _) = call.person().await?;
    let (id, store) = (consent_id(id)?, &call.app.store);
    let subject = store.person_of_consent(id)?.ok_or_else(Problem::not_found)?;
    let dossier = store.dossier(subject).await?;
    let global = store.registry().await?;
    let now = store.clock().now().map_err(crate::store::StoreError::from)?;
    let agreement = dossier.papers.agreements.iter().find(|a| a.consent == id).ok_or_else(Problem::not_found)?;
    let decides = give::may_decide_on(&dossier.subject, &global, person, &agreement.terms.categories, now);
    if !record::is_for(person, &dossier.subject, agreement, decides) && !sabotage::off(Check::RecordFor) {
        return Err(Problem::not_found());
    }
    let record = ConsentRecord::of(&call.app.config, &global, &dossier.subject, agreement, now);
    let signed = record.and_then(|record| record.sign(store.ledger_key())).ok_or_else(Problem::not_now)?;
    let mut answer = Answer::ok(&Value::Null);
    (answer.content_type, answer.body) = ("application/jose", Bytes::from(signed));
    Ok(answer.with(CONTENT_DISPOSITION, "attachment; filename=\"consent-receipt.jws\""))
}

/// The people about whom this person decides: themself, and those under their authority now.
pub(super) async fn decided_by(call: &Call<'_>, person: PersonId, now: Timestamp) -> Result<Vec<PersonId>, Problem> {
    Ok(give::decided_by(&call.app.store, person, now).await?)
}

pub(super) async fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let (person, caller) = call.person().await?;
    let now = call.app.store.clock().now().map_err(crate::store::StoreError::from)?;
    let global = call.app.store.registry().await?;
    let mut views: Vec<Value> = Vec::new();
    for subject in decided_by(call, person, now).await? {
        let dossier = call.app.store.dossier(subject).await?;
        let subject_records = &dossier.subject;
        let own = |a: &&Agreement| give::may_decide_on(subject_records, &global, person, &a.terms.categories, now);
        let agreements = dossier.papers.agreements.iter().filter(own);
        views.extend(agreements.map(|a| agreement_view(subject_records, a, &caller, now)));
        if subject == person {
            for proposal in &dossier.papers.proposals {
                // One that was approved for a child lives on as the child's consent.
                if call.app.store.person_of_consent(proposal.consent)? == Some(person) {
                    views.push(proposal_view(proposal, &caller));
                }
            }
        }
    }
    page(call, views)
}

/// One page of a list: `limit`, and `cursor` as the id of the last item seen.
fn page(call: &Call<'_>, views: Vec<Value>) -> Result<Answer, Problem> {
    let limit = limit(call)?;
    let start = match call.parameter("cursor") {
        None => 0,
        Some(cursor) => {
            let at = views.iter().position(|v| v.get("id").and_then(Value::as_str) == Some(cursor));
            at.map(|at| at + 1).ok_or_else(|| Problem::field("cursor", "is not one that was given"))?
        }
    };
    let mut items: Vec<Value> = views.into_iter().skip(start).take(limit + 1).collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).and_then(|v| v.get("id").cloned()).unwrap_or(Value::Null);
    Ok(Answer::ok(&json!({"items": items, "next": next})))
}

pub(super) fn limit(call: &Call<'_>) -> Result<usize, Problem> {
    let Some(text) = call.parameter("limit") else { return Ok(PAGE) };
    let limit = text.parse().ok().filter(|n| (1..=PAGE_MAX).contains(n));
    limit.ok_or_else(|| Problem::field("limit", "must be 1 to 200"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Approved {
    subject: String,
    text_hash: String,
    /// Less than what is proposed: these categories, until then.
    categories: Option<Vec<String>>,
    until: Option<String>,
}

pub(super) async fn approve(call: &Call<'_>, id: &str) -> Result<Answer, Problem> {
    let (person, caller) = grantor(call).await?;
    let id = consent_id(id)?;
    let body: Approved = call.json()?;
    let subject = subject(&body.subject)?;
    let instant =
        |text: &str| parse_instant(text).ok_or_else(|| Problem::field("until", "must be an RFC 3339 instant"));
    let until = body.until.as_deref().map(instant).transpose()?;
    let approval = Approval {
        person,
        subject,
        taken: Taken { categories: body.categories, until },
        text_hash: hash(&body.text_hash)?.0,
        revision: call.if_match()?,
        acr: caller.claims.acr.clone().unwrap_or_default(),
        idempotency: None,
    };
    give::approve(call.app, id, &approval).await?;
    shown(call, &caller, id).await
}

fn subject(text: &str) -> Result<PersonId, Problem> {
    PersonId::parse(text).map_err(|_| Problem::field("subject", "must be an id that /v1/me gives"))
}

/// Who may grant: an enrolled person at our own client, freshly signed in with the stronger method. No app's token gets
/// here (design §7).
async fn grantor(call: &Call<'_>) -> Result<(PersonId, Caller), Problem> {
    if sabotage::off(Check::OwnGrant) {
        let caller = call.caller().await?;
        let person = caller.person.ok_or_else(Problem::not_a_person)?;
        return Ok((person, caller));
    }
    let (person, caller) = call.person().await?;
    let issuer = call.app.tokens.issuer(&caller.claims.iss).ok_or_else(Problem::unauthenticated)?;
    let now = call.app.store.clock().now().map_err(crate::store::StoreError::from)?;
    let strong = caller.claims.acr.as_ref().is_some_and(|acr| issuer.step_up_acr.contains(acr));
    let age_s = caller.claims.auth_time.map(|at| now.millis().div_euclid(1_000).saturating_sub(at));
    let fresh = age_s.is_some_and(|age| age <= i64::try_from(issuer.step_up_max_age_s).unwrap_or(i64::MAX));
    let enough = (strong && fresh) || sabotage::off(Check::StepUp);
    if !enough {
        return Err(Problem::step_up());
    }
    Ok((person, caller))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Declined {
    /// About whom to record a refusal as well; without it only the proposal is declined.
    subject: Option<String>,
}

pub(super) async fn decline(call: &Call<'_>, id: &str) -> Result<Answer, Problem> {
    let (person, caller) = call.person().await?;
    let id = consent_id(id)?;
    let body: Declined = if call.body.is_empty() { Declined { subject: None } } else { call.json()? };
    let dossier = call.app.store.dossier(person).await?;
    let proposal = dossier.papers.proposals.iter().find(|p| p.consent == id).ok_or_else(Problem::not_found)?;
    // Whoever may not refuse for the subject has not declined either.
    let about = body.subject.as_deref().map(subject).transpose()?;
    if let Some(about) = about {
        let now = call.app.store.clock().now().map_err(crate::store::StoreError::from)?;
        give::may_decide(&call.app.store.snapshot(about).await?.subject, person, now)?;
    }
    give::decline(call.app, id, person).await?;
    let Some(about) = about else { return shown(call, &caller, id).await };
    let codes = proposal.terms.categories.iter().filter_map(|c| c.split_once('@').map(|(code, _)| code.to_owned()));
    let scope = RefusedScope {
        recipient: Some(proposal.terms.recipient.clone()),
        purpose: Some(proposal.terms.purpose.clone()),
        categories: Some(codes.collect()),
    };
    let (refusal, narrowed) = give::refuse(call.app, about, person, &scope, None).await?;
    Ok(receipt(call, "refused", refusal.text(), &narrowed, &[]))
}

pub(super) async fn revoke(call: &Call<'_>, id: &str) -> Result<Answer, Problem> {
    let caller = call.caller().await?;
    let id = consent_id(id)?;
    let revoker = match (&caller.party, caller.person) {
        (Some(party), _) => Revoker::Party(&party.code),
        (None, Some(person)) => Revoker::Person(person),
        (None, None) => return Err(Problem::not_a_person()),
    };
    let narrowed = give::revoke(call.app, id, revoker).await?;
    let subject = call.app.store.person_of_consent(id)?.ok_or_else(Problem::not_found)?;
    let dossier = call.app.store.dossier(subject).await?;
    let recipient = dossier.papers.agreements.iter().find(|a| a.consent == id).map(|a| a.terms.recipient.clone());
    let asked: Vec<String> = recipient.into_iter().collect();
    Ok(receipt(call, "revoked", id.text(), &narrowed, &asked))
}

/// The acknowledgement: from here on not one byte more leaves under what was narrowed.
pub(super) fn receipt(
    call: &Call<'_>,
    event: &'static str,
    about: String,
    narrowed: &Narrowed,
    asked: &[String],
) -> Answer {
    Answer::ok(&acknowledged(call, event, about, narrowed, asked))
}

pub(super) fn acknowledged(
    call: &Call<'_>,
    event: &'static str,
    about: String,
    narrowed: &Narrowed,
    asked: &[String],
) -> Value {
    let issuer = call.app.barrier.issuer();
    let mut receipt = Receipt::new(issuer, event, &narrowed.ending, about, narrowed.transfers_cut);
    receipt.asked_to_erase = asked.to_vec();
    let signed = receipt.sign(call.app.store.ledger_key());
    json!({"receipt": signed, "summary": receipt})
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRefusal {
    subject: String,
    recipient: Option<String>,
    purpose: Option<String>,
    categories: Option<Vec<String>>,
}

pub(super) async fn refuse(call: &Call<'_>) -> Result<Answer, Problem> {
    let (person, caller) = call.person().await?;
    let idempotency = call.idempotency(&caller, "POST /v1/refusals")?;
    if let Some((Event::Refused(before), ending)) = call.earlier(idempotency)? {
        let (id, about) = (RefusalId::of(before.refusal.0), PersonId::of(before.subject.0));
        // Acknowledged again, after making sure again.
        let transfers_cut = call.app.barrier.after_person(about).await.map_err(GiveError::from)?;
        let narrowed = Narrowed { ending, transfers_cut };
        let mut answer = receipt(call, "refused", id.text(), &narrowed, &[]);
        answer.status = StatusCode::CREATED;
        return Ok(answer);
    }
    let body: NewRefusal = call.json()?;
    let scope = RefusedScope { recipient: body.recipient, purpose: body.purpose, categories: body.categories };
    let (id, narrowed) = give::refuse(call.app, subject(&body.subject)?, person, &scope, idempotency).await?;
    let mut answer = receipt(call, "refused", id.text(), &narrowed, &[]);
    answer.status = StatusCode::CREATED;
    Ok(answer)
}

pub(super) async fn refusals(call: &Call<'_>) -> Result<Answer, Problem> {
    let (person, _) = call.person().await?;
    let now = call.app.store.clock().now().map_err(crate::store::StoreError::from)?;
    let mut views = Vec::new();
    for subject in decided_by(call, person, now).await? {
        let snapshot = call.app.store.snapshot(subject).await?;
        let global = call.app.store.registry().await?;
        let about = &snapshot.subject;
        let seen = about.records.refusals.iter().filter(|r| give::may_see_refusal(about, &global, person, r, now));
        views.extend(seen.map(|r| refusal_view(about, r, &global, now)));
    }
    page(call, views)
}

pub(super) async fn lift(call: &Call<'_>, id: &str) -> Result<Answer, Problem> {
    let (person, _) = grantor(call).await?;
    let id = RefusalId::parse(id).map_err(|_| Problem::not_found())?;
    give::lift(call.app, id, person).await.map_err(|e: GiveError| Problem::from(e))?;
    Ok(Answer::ok(&json!({"id": id.text(), "status": "lifted"})))
}
