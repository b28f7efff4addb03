//! A consent that was given on paper, in person or by telephone.

use askama::Template;
use http::StatusCode;
use sekisho_policy::{ConsentId, PersonId, Timestamp};

use super::super::page::{Answer, Frame, Trouble};
use super::super::view::{self, TermsView, Words};
use super::super::visit::Visit;
use super::Member;
use super::home::nobody;
use super::word::{Named, Typed, given_of, terms_of, way_of, word, wrong};
use crate::consent::attested;
use crate::consent::give::GiveError;
use crate::ids::TextId;
use crate::import::cell::{begins_ms, day};
use crate::ledger::entry::{Bytes32, Idempotency};
use crate::ledger::event::{Event, Terms};
use crate::store::StoreError;

#[derive(Template)]
#[template(path = "counter/consent.html")]
struct Ask {
    f: Frame,
    v: Typed,
    purpose: (String, String),
    recipient: (String, String),
    words: Words,
    hash: String,
    categories: Vec<(String, String, bool)>,
    sources: Vec<(String, String, bool)>,
    notice: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "counter/recorded.html")]
struct Recorded {
    f: Frame,
    v: Typed,
    way: &'static str,
    terms: TermsView,
    given: String,
    recorded_by: String,
    text: String,
    at: String,
    consent: String,
    entry: String,
    leaf: String,
}

/// The form, for one purpose and one recipient.
pub async fn ask(visit: &Visit) -> Result<Answer, Trouble> {
    let member = Member::sent(visit).await?;
    let v = Typed::of(visit);
    if Named::of(visit, &member, &v).await?.is_none() {
        return Ok(nobody(visit, &member, v));
    }
    asked(visit, &member, v, StatusCode::OK, None)
}

/// What it is about: chosen as one value on the page before, told apart in the form itself.
fn about(visit: &Visit) -> (&str, &str) {
    let both = visit.field("use").and_then(|both| both.split_once(' '));
    both.unwrap_or((visit.field("purpose").unwrap_or_default(), visit.field("recipient").unwrap_or_default()))
}

fn asked(
    visit: &Visit,
    member: &Member,
    v: Typed,
    status: StatusCode,
    notice: Option<&'static str>,
) -> Result<Answer, Trouble> {
    let (purpose, recipient) = about(visit);
    let registry = &member.global.text;
    let (Some(text), Some(_)) = (visit.app.config.texts.get(purpose), registry.party(recipient)) else {
        return Err(Trouble::bad_form());
    };
    let categories = registry.categories.iter().map(|c| {
        let chosen = visit.fields("category").any(|version| version == c.version);
        (c.version.clone(), view::category(&member.global, visit.lang, &c.version), chosen)
    });
    let page = Ask {
        f: visit.frame(),
        v,
        purpose: (purpose.to_owned(), view::purpose(&member.global, visit.lang, purpose)),
        recipient: (recipient.to_owned(), view::party(&member.global, visit.lang, recipient)),
        words: Words::of(visit.lang, &text.text),
        hash: data_encoding::HEXLOWER.encode(&text.hash),
        categories: categories.collect(),
        sources: super::word::parties(visit, member, visit.field("source").unwrap_or_default()),
        notice,
    };
    Ok(Answer::page(status, &page))
}

/// Records it, once however often the form is sent, and shows exactly what was recorded.
pub async fn record(visit: &Visit) -> Result<Answer, Trouble> {
    let member = Member::sent(visit).await?;
    let v = Typed::of(visit);
    let once = member.once(visit, "consent");
    if let Some(before) = earlier(visit, once)? {
        return shown(visit, &member, v, once, before).await;
    }
    let Some(named) = Named::of(visit, &member, &v).await? else { return Ok(nobody(visit, &member, v)) };
    let again = |v, status, why: (&'static str, &'static str)| {
        asked(visit, &member, v, status, Some(visit.lang.t(why.0, why.1)))
    };
    let word = match word(visit, &member, &named, &v) {
        Ok(word) => word,
        Err(why) => return again(v, StatusCode::UNPROCESSABLE_ENTITY, why),
    };
    let Some(terms) = terms(visit, &v) else {
        let why = ("最後の日を 2026-04-01 の形で書いてください。", "Write the last day as 2026-04-01.");
        return again(v, StatusCode::UNPROCESSABLE_ENTITY, why);
    };
    match attested::grant(&visit.app, &word, &terms, member.cause(), Some(once)).await {
        Ok(_) | Err(GiveError::Store(StoreError::Repeated)) => {}
        Err(error) => {
            let (status, why) = wrong(error)?;
            return again(v, status, why);
        }
    }
    let recorded = earlier(visit, once)?.ok_or(Trouble::not_now())?;
    shown(visit, &member, v, once, recorded).await
}

fn terms(visit: &Visit, v: &Typed) -> Option<Terms> {
    let (purpose, recipient) = about(visit);
    let after = day(&v.until)?.tomorrow().ok()?;
    let hash = visit.field("text").and_then(|hex| data_encoding::HEXLOWER.decode(hex.as_bytes()).ok());
    let mut categories: Vec<String> = visit.fields("category").map(str::to_owned).collect();
    categories.sort_unstable();
    categories.dedup();
    Some(Terms {
        recipient: recipient.to_owned(),
        purpose: purpose.to_owned(),
        categories,
        source: visit.field("source").filter(|code| !code.is_empty()).map(str::to_owned),
        from_ms: visit.now.millis(),
        until_ms: begins_ms(after)?,
        data_from: None,
        data_until: None,
        text_hash: Bytes32(hash.and_then(|hash| hash.try_into().ok()).unwrap_or([0; 32])),
        booking: None,
    })
}

/// What this very form recorded.
fn earlier(visit: &Visit, once: Idempotency) -> Result<Option<crate::ledger::event::ConsentApproved>, Trouble> {
    match visit.app.store.by_idempotency(once.key.0)? {
        Some((Event::ConsentApproved(event), body, _)) if body == once.body.0 => Ok(Some(event)),
        Some(_) => Err(Trouble::stale_form()),
        None => Ok(None),
    }
}

async fn shown(
    visit: &Visit,
    member: &Member,
    v: Typed,
    once: Idempotency,
    event: crate::ledger::event::ConsentApproved,
) -> Result<Answer, Trouble> {
    let (_, _, ending) = visit.app.store.by_idempotency(once.key.0)?.ok_or(Trouble::not_now())?;
    // A crash may have come between the consent and its recipient's id.
    attested::known_to(&visit.app, PersonId::of(event.subject.0), &event.terms.recipient).await?;
    let page = Recorded {
        f: visit.frame(),
        way: way_of(visit, &v.way),
        terms: terms_of(visit, member, &event.terms),
        given: event.attestation.as_ref().map(|a| given_of(visit, a.given_ms)).unwrap_or_default(),
        recorded_by: member.login.clone(),
        text: data_encoding::HEXLOWER.encode(&event.terms.text_hash.0),
        at: visit.lang.second(Timestamp::from_millis(event.approved_ms)),
        consent: ConsentId::of(event.consent.0).text(),
        entry: ending.entry.text(),
        leaf: data_encoding::BASE64.encode(&ending.leaf),
        v,
    };
    Ok(Answer::page(StatusCode::CREATED, &page))
}
