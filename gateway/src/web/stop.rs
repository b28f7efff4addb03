//! 提供を止める（同意の撤回）: one question, one button, and then the proof. Works while every other system is down.

use askama::Template;
use http::StatusCode;
use sekisho_policy::{ConsentId, Timestamp};

use super::consents::find;
use super::page::{Answer, Frame, Trouble};
use super::view::{self, ConsentView, ErasureView};
use super::visit::Visit;
use crate::consent::give::{self, Narrowed, Revoker};
use crate::consent::receipt::Receipt;
use crate::ids::TextId;
use crate::store::state::Agreement;

#[derive(Template)]
#[template(path = "stop.html")]
struct Ask {
    f: Frame,
    /// What would be stopped.
    consents: Vec<ConsentView>,
    action: String,
}

#[derive(Template)]
#[template(path = "stopped.html")]
struct Stopped {
    f: Frame,
    stopped: Vec<Proof>,
}

/// The proof that one consent is stopped.
struct Proof {
    consent: ConsentView,
    at: String,
    cut: u32,
    entry: String,
    leaf: String,
    receipt: Option<String>,
    /// Whether the recipient has answered to the request to erase.
    erasure: Option<ErasureView>,
}

/// Asks once.
pub async fn ask(visit: &Visit, id: &str) -> Result<Answer, Trouble> {
    let (id, consent, _) = find(visit, id).await?;
    let action = format!("/my/consents/{}/stop", id.text());
    Ok(Answer::page(StatusCode::OK, &Ask { f: visit.frame(), consents: vec![consent], action }))
}

/// Asks once, about everything that is in force.
pub async fn ask_all(visit: &Visit) -> Result<Answer, Trouble> {
    let consents = in_force(visit).await?;
    Ok(Answer::page(StatusCode::OK, &Ask { f: visit.frame(), consents, action: "/my/stop-all".to_owned() }))
}

async fn in_force(visit: &Visit) -> Result<Vec<ConsentView>, Trouble> {
    let person = visit.person().await?;
    let mut all = Vec::new();
    for subject in visit.decided_by(person).await? {
        all.extend(view::consents(visit, person, subject).await?.into_iter().filter(|c| c.active));
    }
    Ok(all)
}

/// Stops one.
pub async fn one(visit: &Visit, id: &str) -> Result<Answer, Trouble> {
    visit.sent_by().await?;
    let (id, ..) = find(visit, id).await?;
    let stopped = vec![stop(visit, id).await?];
    Ok(Answer::page(StatusCode::OK, &Stopped { f: visit.frame(), stopped }))
}

/// Stops everything that is in force. If one of them can't be acknowledged the page says so, and pressing again goes on.
pub async fn all(visit: &Visit) -> Result<Answer, Trouble> {
    visit.sent_by().await?;
    let mut stopped = Vec::new();
    for consent in in_force(visit).await? {
        let id = ConsentId::parse(&consent.id).map_err(|_| Trouble::not_found())?;
        stopped.push(stop(visit, id).await?);
    }
    Ok(Answer::page(StatusCode::OK, &Stopped { f: visit.frame(), stopped }))
}

async fn stop(visit: &Visit, id: ConsentId) -> Result<Proof, Trouble> {
    let person = visit.person().await?;
    let narrowed = give::revoke(&visit.app, id, Revoker::Person(person)).await?;
    let (_, consent, agreement) = find(visit, &id.text()).await?;
    Ok(proof(visit, consent, &agreement, &narrowed))
}

fn proof(visit: &Visit, consent: ConsentView, agreement: &Agreement, narrowed: &Narrowed) -> Proof {
    let (id, ending) = (agreement.consent, &narrowed.ending);
    let mut receipt = Receipt::new(visit.app.barrier.issuer(), "revoked", ending, id.text(), narrowed.transfers_cut);
    receipt.asked_to_erase = vec![agreement.terms.recipient.clone()];
    Proof {
        erasure: agreement.erasure.as_ref().map(|request| view::erasure(visit, request)),
        consent,
        at: visit.lang.second(Timestamp::from_millis(ending.at.millis())),
        cut: narrowed.transfers_cut,
        entry: ending.entry.text(),
        leaf: data_encoding::BASE64.encode(&ending.leaf),
        receipt: receipt.sign(visit.app.store.ledger_key()),
    }
}
