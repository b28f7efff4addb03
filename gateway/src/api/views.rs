//! What the API shows: consents, refusals, the access log, oneself.
//!
//! To a party a subject is its pairwise id and nothing else; people see the ids that this gateway knows them by.

use http::StatusCode;
use sekisho_policy::{PersonId, Refusal, Scope, Timestamp};
use serde_json::{Value, json};

use super::consents::{decided_by, limit};
use super::problem::Problem;
use super::{Answer, Call};
use crate::consent::people::rfc3339;
use crate::consent::refused::still_stands;
use crate::consent::seen;
use crate::ids::TextId;
use crate::ledger::event::{Booking, Closed, Outcome, Terms};
use crate::ledger::seal::SealKey;
use crate::request::authenticate::{Caller, KnownParty};
use crate::sabotage::{self, Check};
use crate::store::state::{Agreement, Global, Proposal, Subject};
use crate::store::{LogLine, Logged, Look};

pub(super) fn hex_hash(hash: &[u8; 32]) -> String {
    data_encoding::HEXLOWER.encode(hash)
}

fn terms_view(id: String, status: &str, terms: &Terms) -> Value {
    json!({
        "id": id,
        "status": status,
        "recipient": terms.recipient,
        "purpose": terms.purpose,
        "categories": terms.categories,
        "source": terms.source,
        "from": rfc3339(Timestamp::from_millis(terms.from_ms)),
        "until": rfc3339(Timestamp::from_millis(terms.until_ms)),
        "data_from": terms.data_from,
        "data_until": terms.data_until,
        "text_hash": hex_hash(&terms.text_hash.0),
        "booking": terms.booking.as_ref().map(|b| booking_view(b, Timestamp::from_millis(b.visit_ms))),
    })
}

fn booking_view(booking: &Booking, visit: Timestamp) -> Value {
    json!({"reference": booking.reference, "visit_at": rfc3339(visit)})
}

fn add(view: &mut Value, name: &str, value: Value) {
    if let Some(object) = view.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}

pub(super) fn proposal_view(proposal: &Proposal, caller: &Caller) -> Value {
    let status = if proposal.declined { "declined" } else { "proposed" };
    let mut view = terms_view(proposal.consent.text(), status, &proposal.terms);
    if caller.party.is_none() {
        add(&mut view, "proposed_at", json!(rfc3339(proposal.at)));
    }
    view
}

pub(super) fn agreement_view(subject: &Subject, agreement: &Agreement, caller: &Caller, now: Timestamp) -> Value {
    let consent = subject.records.consents.iter().find(|c| c.id == agreement.consent);
    let status = agreement.status(&subject.records, now);
    let mut view = terms_view(agreement.consent.text(), status, &agreement.terms);
    let booking = agreement.terms.booking.as_ref().zip(agreement.visit()).map(|(b, visit)| booking_view(b, visit));
    add(&mut view, "booking", json!(booking));
    add(&mut view, "until", json!(rfc3339(agreement.until())));
    let proposer = |party: &KnownParty| {
        agreement.proposed_by.as_deref() == Some(&*party.code) && *party.code != *agreement.terms.recipient
    };
    if caller.party.as_ref().is_some_and(proposer) && !sabotage::off(Check::ProposerSees) {
        // How it stands, and nothing of what was taken out, of who it is about, or of when it is used.
        let (terms, id) = (&agreement.terms, agreement.consent.text());
        return json!({
            "id": id, "status": status, "recipient": terms.recipient, "purpose": terms.purpose, "booking": booking,
        });
    }
    if let Some(party) = &caller.party {
        let pairwise = subject.pairwise_at(&party.code).filter(|_| status == "active");
        add(&mut view, "patient", json!(pairwise.map(|p| p.id.text())));
        return view;
    }
    add(&mut view, "subject", json!(subject.records.subject.text()));
    add(&mut view, "given_by", json!(consent.map(|c| c.grantor.text())));
    add(&mut view, "given_at", json!(consent.map(|c| rfc3339(c.approved_at))));
    add(&mut view, "how", json!(agreement.how));
    add(&mut view, "attested_by", json!(agreement.attestation.as_ref().map(|a| &a.party)));
    add(&mut view, "ended_at", json!(consent.and_then(|c| c.ended_at).map(rfc3339)));
    view
}

pub(super) fn refusal_view(about: &Subject, refusal: &Refusal, global: &Global, now: Timestamp) -> Value {
    let status = match refusal.lift {
        Some(_) => "lifted",
        None if still_stands(about, global, refusal, now) => "standing",
        None => "ended",
    };
    let scope = &refusal.scope;
    let recipient = match scope.recipient {
        Scope::Any => None,
        Scope::Only(party) => global.text.party_code(party),
    };
    let purpose = match &scope.purpose {
        Scope::Any => None,
        Scope::Only(purpose) => Some(purpose.0.as_str()),
    };
    let categories = match &scope.categories {
        Scope::Any => None,
        Scope::Only(codes) => Some(codes.iter().map(|c| c.0.as_str()).collect::<Vec<_>>()),
    };
    json!({
        "id": refusal.id.text(),
        "status": status,
        "subject": about.records.subject.text(),
        "given_by": refusal.grantor.text(),
        "recipient": recipient,
        "purpose": purpose,
        "categories": categories,
        "from": rfc3339(refusal.from),
    })
}

/// Oneself, and the people about whom one decides.
pub(super) async fn me(call: &Call<'_>) -> Result<Answer, Problem> {
    let (person, _) = call.person().await?;
    let now = call.app.store.clock().now().map_err(crate::store::StoreError::from)?;
    let mut subjects = Vec::new();
    for subject in decided_by(call, person, now).await? {
        let snapshot = call.app.store.snapshot(subject).await?;
        subjects.push(json!({
            "id": subject.text(),
            "self": subject == person,
            "birth": snapshot.subject.records.birth.to_string(),
        }));
    }
    Ok(Answer::ok(&json!({"id": person.text(), "subjects": subjects})))
}

/// The text to agree to for a purpose, with its hash.
pub(super) fn text(call: &Call<'_>, purpose: &str) -> Result<Answer, Problem> {
    let text = call.app.config.texts.get(purpose).ok_or_else(Problem::not_found)?;
    let words = &text.text;
    Ok(Answer::ok(&json!({
        "purpose": purpose,
        "version": words.version,
        "text_ja": words.ja,
        "text_en": words.en,
        "benefit_ja": words.benefit_ja,
        "benefit_en": words.benefit_en,
        "refusing_ja": words.refusing_ja,
        "refusing_en": words.refusing_en,
        "text_hash": hex_hash(&text.hash),
    })))
}

/// Who looked (閲覧・提供の記録): decisions, and looks at counters, about oneself or about someone one decides about. What may
/// not be shown is not among them, and leaves no gap (`consent::seen`).
pub(super) async fn access_log(call: &Call<'_>) -> Result<Answer, Problem> {
    let (person, _) = call.person().await?;
    let now = call.app.store.clock().now().map_err(crate::store::StoreError::from)?;
    let subject = match call.parameter("subject") {
        None => person,
        Some(text) => {
            let subject = PersonId::parse(text).map_err(|_| Problem::not_found())?;
            if !decided_by(call, person, now).await?.contains(&subject) {
                return Err(Problem::not_found());
            }
            subject
        }
    };
    let limit = limit(call)?;
    let cursors = Cursors::new(call, person, subject)?;
    let mut before = match call.parameter("cursor") {
        None => u64::MAX,
        Some(cursor) => cursors.open(cursor).ok_or_else(|| Problem::field("cursor", "is not one that was given"))?,
    };
    let global = call.app.store.registry().await?;
    let snapshot = call.app.store.snapshot(subject).await?;
    let about = &snapshot.subject;
    let (mut items, mut more) = (Vec::new(), true);
    // Hidden lines are passed over, so a page is always full while there is more: bounded by the log itself.
    while more && items.len() < limit {
        let lines = call.app.store.access_log(subject, before, limit)?;
        more = lines.len() == limit;
        for line in lines {
            if items.len() == limit {
                more = true;
                break;
            }
            before = line.position();
            if seen::may_see(about, &global, person, &line, now) {
                items.push(match &line {
                    LogLine::Decision(line) => line_view(line, &global),
                    LogLine::Look(look) => look_view(look, &global),
                });
            }
        }
    }
    let next = if more { json!(cursors.seal(before)) } else { Value::Null };
    Ok(Answer::json(StatusCode::OK, &json!({"items": items, "next": next})))
}

fn line_view(line: &Logged, global: &Global) -> Value {
    let question = &line.decided.question;
    let party = question.party.map(|p| sekisho_policy::PartyId::from_bytes(p.0));
    let code = party.and_then(|id| global.text.party_code(id));
    let named = code.and_then(|code| global.text.party(code));
    let kept = |at: usize| line.decided.kept >> at & 1 == 1;
    let (released, withheld): (Vec<_>, Vec<_>) = question.categories.iter().enumerate().partition(|(at, _)| kept(*at));
    let capacity = ["system", "subject", "guardian", "staff"].get(usize::from(question.capacity));
    let items = line.closed.as_ref().map(|c| c.items);
    let codes = |list: Vec<(usize, &String)>| list.into_iter().map(|(_, c)| c.clone()).collect::<Vec<_>>();
    json!({
        "entry": line.entry.text(),
        "kind": "decision",
        "decision": line.entry.text(),
        "at": rfc3339(line.at),
        "recipient": code,
        "recipient_name_ja": named.map(|p| p.name_ja.as_str()),
        "recipient_name_en": named.map(|p| p.name_en.as_str()),
        "capacity": capacity,
        "source": global.text.party_code(sekisho_policy::PartyId::from_bytes(question.source.0)),
        "purpose": question.purpose,
        "permitted": codes(released),
        "withheld": codes(withheld),
        "outcome": outcome(line.decided.kept, line.closed.as_ref()),
        "items": items,
    })
}

/// Staff of a party opened the person at its counter, and saw the state of consents. Nothing was released.
fn look_view(look: &Look, global: &Global) -> Value {
    let named = global.text.party(&look.looked.party);
    json!({
        "entry": look.entry.text(),
        "kind": "counter-look",
        "decision": null,
        "at": rfc3339(look.at),
        "recipient": look.looked.party,
        "recipient_name_ja": named.map(|p| p.name_ja.as_str()),
        "recipient_name_en": named.map(|p| p.name_en.as_str()),
        "capacity": "staff",
        "source": null,
        "purpose": null,
        "permitted": [],
        "withheld": [],
        "outcome": "seen-at-counter",
        "items": null,
    })
}

fn outcome(kept: u16, closed: Option<&Closed>) -> &'static str {
    match closed.map(|c| c.outcome) {
        _ if kept == 0 => "denied",
        None => "under-way",
        Some(Outcome::Complete) => "complete",
        Some(Outcome::Cut) => "cut",
        Some(Outcome::Failed) => "failed",
        Some(Outcome::Unknown) => "unknown",
        Some(Outcome::NothingSent) => "nothing-sent",
    }
}

/// Cursors hold a ledger position, which would tell how busy the gateway is: they are sealed, for one person and subject.
struct Cursors {
    key: SealKey,
    aad: Vec<u8>,
}

impl Cursors {
    fn new(call: &Call<'_>, person: PersonId, subject: PersonId) -> Result<Self, Problem> {
        let secret = call.app.store.vault().secret("cursor").map_err(crate::store::StoreError::from)?;
        Ok(Self { key: SealKey::new(secret), aad: [*person.bytes(), *subject.bytes()].concat() })
    }

    fn seal(&self, position: u64) -> String {
        data_encoding::BASE64URL_NOPAD.encode(&self.key.seal(&self.aad, &position.to_be_bytes()))
    }

    fn open(&self, cursor: &str) -> Option<u64> {
        let sealed = data_encoding::BASE64URL_NOPAD.decode(cursor.as_bytes()).ok()?;
        let plain = self.key.open(&self.aad, &sealed).ok()?;
        plain.try_into().ok().map(u64::from_be_bytes)
    }
}
