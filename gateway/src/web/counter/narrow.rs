//! A withdrawal or a refusal that was said at the counter: recorded, cut, acknowledged with a signed receipt.

use askama::Template;
use http::StatusCode;
use sekisho_policy::{ConsentId, PersonId, RefusalId, Timestamp};

use super::super::page::{Answer, Frame, Trouble};
use super::super::view;
use super::super::visit::Visit;
use super::Member;
use super::home::nobody;
use super::word::{Named, Typed, Why, given_of, parties, purposes, way_of, word, wrong};
use crate::consent::attested::{self, Withdrawal};
use crate::consent::give::{GiveError, Narrowed, RefusedScope};
use crate::consent::receipt::Receipt;
use crate::ids::TextId;
use crate::import::cell::{begins_ms, day};
use crate::ledger::entry::Idempotency;
use crate::ledger::event::Event;

#[derive(Template)]
#[template(path = "counter/narrow.html")]
struct Ask {
    f: Frame,
    v: Typed,
    refusal: bool,
    parties: Vec<(String, String, bool)>,
    purposes: Vec<(String, String, bool)>,
    categories: Vec<(String, String, bool)>,
    notice: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "counter/narrowed.html")]
struct Done {
    f: Frame,
    v: Typed,
    way: &'static str,
    given: String,
    recorded_by: String,
    refusal: bool,
    recipient: Option<String>,
    purpose: Option<String>,
    categories: Vec<String>,
    proofs: Vec<Proof>,
}

/// The proof of one entry.
struct Proof {
    about: String,
    at: String,
    cut: u32,
    entry: String,
    leaf: String,
    receipt: Option<String>,
}

/// The form for a withdrawal.
pub async fn ask_withdrawal(visit: &Visit) -> Result<Answer, Trouble> {
    ask(visit, false).await
}

/// The form for a refusal.
pub async fn ask_refusal(visit: &Visit) -> Result<Answer, Trouble> {
    ask(visit, true).await
}

async fn ask(visit: &Visit, refusal: bool) -> Result<Answer, Trouble> {
    let member = Member::sent(visit).await?;
    let v = Typed::of(visit);
    if Named::of(visit, &member, &v).await?.is_none() {
        return Ok(nobody(visit, &member, v));
    }
    Ok(asked(visit, &member, v, refusal, StatusCode::OK, None))
}

fn asked(visit: &Visit, member: &Member, v: Typed, refusal: bool, status: StatusCode, notice: Option<Why>) -> Answer {
    let mut categories: Vec<(String, String, bool)> = Vec::new();
    for code in member.global.text.categories.iter().filter_map(|c| c.version.split_once('@').map(|(code, _)| code)) {
        if !categories.iter().any(|(known, ..)| known == code) {
            let chosen = visit.fields("category").any(|named| named == code);
            categories.push((code.to_owned(), view::category_code(&member.global, visit.lang, code), chosen));
        }
    }
    let chosen = |name| visit.field(name).unwrap_or_default();
    let page = Ask {
        f: visit.frame(),
        v,
        refusal,
        parties: parties(visit, member, chosen("recipient")),
        purposes: purposes(visit, member, chosen("purpose")),
        categories,
        notice: notice.map(|(ja, en)| visit.lang.t(ja, en)),
    };
    Answer::page(status, &page)
}

fn chosen(visit: &Visit, name: &str) -> Option<String> {
    visit.field(name).filter(|code| !code.is_empty()).map(str::to_owned)
}

/// What is asked for, once whoever is named is found and the word is whole; else the answer that says what is wrong.
async fn ready(
    visit: &Visit,
    member: &Member,
    refusal: bool,
) -> Result<Result<(Typed, attested::Word), Answer>, Trouble> {
    let v = Typed::of(visit);
    let Some(named) = Named::of(visit, member, &v).await? else { return Ok(Err(nobody(visit, member, v))) };
    Ok(match word(visit, member, &named, &v) {
        Ok(word) => Ok((v, word)),
        Err(why) => Err(asked(visit, member, v, refusal, StatusCode::UNPROCESSABLE_ENTITY, Some(why))),
    })
}

/// Records a withdrawal.
pub async fn withdrawal(visit: &Visit) -> Result<Answer, Trouble> {
    let member = Member::sent(visit).await?;
    let (v, word) = match ready(visit, &member, false).await? {
        Ok(ready) => ready,
        Err(answer) => return Ok(answer),
    };
    let once = member.once(visit, "withdrawal");
    let earlier = match earlier(visit, once)? {
        Some(Event::ConsentEnded(before)) => Some(ConsentId::of(before.consent.0)),
        _ => None,
    };
    let (recipient, purpose) = (chosen(visit, "recipient").unwrap_or_default(), chosen(visit, "purpose"));
    let asked_for = Withdrawal { recipient: &recipient, purpose: purpose.as_deref(), idempotency: Some(once), earlier };
    let ended = match attested::withdraw(&visit.app, &word, &asked_for).await {
        Ok(ended) => ended,
        Err(error) => {
            let (status, why) = wrong(error)?;
            return Ok(asked(visit, &member, v, false, status, Some(why)));
        }
    };
    let proofs = ended.iter().map(|(id, narrowed)| proof(visit, "revoked", id.text(), narrowed, &recipient)).collect();
    Ok(done(visit, &member, v, false, proofs))
}

/// Records a refusal.
pub async fn refusal(visit: &Visit) -> Result<Answer, Trouble> {
    let member = Member::sent(visit).await?;
    let once = member.once(visit, "refusal");
    if let Some(Event::Refused(before)) = earlier(visit, once)? {
        // Acknowledged again, after making sure again.
        let transfers_cut = visit.app.barrier.after_person(PersonId::of(before.subject.0)).await;
        let transfers_cut = transfers_cut.map_err(GiveError::from)?;
        let (_, _, ending) = visit.app.store.by_idempotency(once.key.0)?.ok_or(Trouble::not_now())?;
        let narrowed = Narrowed { ending, transfers_cut };
        let proofs = vec![proof(visit, "refused", RefusalId::of(before.refusal.0).text(), &narrowed, "")];
        return Ok(done(visit, &member, Typed::of(visit), true, proofs));
    }
    let (v, word) = match ready(visit, &member, true).await? {
        Ok(ready) => ready,
        Err(answer) => return Ok(answer),
    };
    let categories: Vec<String> = visit.fields("category").map(str::to_owned).collect();
    let scope = RefusedScope {
        recipient: chosen(visit, "recipient"),
        purpose: chosen(visit, "purpose"),
        categories: (!categories.is_empty()).then_some(categories),
    };
    let (id, narrowed) = match attested::refuse(&visit.app, &word, &scope, Some(once)).await {
        Ok(refused) => refused,
        Err(error) => {
            let (status, why) = wrong(error)?;
            return Ok(asked(visit, &member, v, true, status, Some(why)));
        }
    };
    let proofs = vec![proof(visit, "refused", id.text(), &narrowed, "")];
    Ok(done(visit, &member, v, true, proofs))
}

/// What this very form recorded before.
fn earlier(visit: &Visit, once: Idempotency) -> Result<Option<Event>, Trouble> {
    match visit.app.store.by_idempotency(once.key.0)? {
        Some((event, body, _)) if body == once.body.0 => Ok(Some(event)),
        Some(_) => Err(Trouble::stale_form()),
        None => Ok(None),
    }
}

fn proof(visit: &Visit, event: &'static str, about: String, narrowed: &Narrowed, to_erase: &str) -> Proof {
    let ending = &narrowed.ending;
    let issuer = visit.app.barrier.issuer();
    let mut receipt = Receipt::new(issuer, event, ending, about.clone(), narrowed.transfers_cut);
    receipt.asked_to_erase = Some(to_erase.to_owned()).filter(|code| !code.is_empty()).into_iter().collect();
    Proof {
        about,
        at: visit.lang.second(Timestamp::from_millis(ending.at.millis())),
        cut: narrowed.transfers_cut,
        entry: ending.entry.text(),
        leaf: data_encoding::BASE64.encode(&ending.leaf),
        receipt: receipt.sign(visit.app.store.ledger_key()),
    }
}

fn done(visit: &Visit, member: &Member, v: Typed, refusal: bool, proofs: Vec<Proof>) -> Answer {
    let (global, lang) = (&member.global, visit.lang);
    let page = Done {
        f: visit.frame(),
        way: way_of(visit, &v.way),
        given: given_of(visit, day(&v.given).and_then(begins_ms).unwrap_or(visit.now.millis())),
        recorded_by: member.login.clone(),
        refusal,
        recipient: chosen(visit, "recipient").map(|code| view::party(global, lang, &code)),
        purpose: chosen(visit, "purpose").map(|code| view::purpose(global, lang, &code)),
        categories: visit.fields("category").map(|code| view::category_code(global, lang, code)).collect(),
        proofs,
        v,
    };
    Answer::page(StatusCode::OK, &page)
}
