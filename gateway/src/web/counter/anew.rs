//! Whom to ask anew, of those whose consent this party attested: the text or a category has changed, or a recipient came new.

use askama::Template;
use http::StatusCode;
use sekisho_policy::{ConsentId, PersonId};

use super::super::page::{Answer, Frame, Trouble};
use super::super::view;
use super::super::visit::Visit;
use super::Member;
use super::word::{parties, purposes};
use crate::consent::{anew, give};
use crate::ids::TextId;
use crate::ledger::event::{Event, LinkTarget, OperatorRead};
use crate::ledger::merkle::sha256;
use crate::store::Dossier;
use crate::store::state::Agreement;

/// Consents looked at for one page, at most.
const LOOKED_AT: usize = 5_000;

#[derive(Template)]
#[template(path = "counter/anew.html")]
struct Page {
    f: Frame,
    purposes: Vec<(String, String, bool)>,
    parties: Vec<(String, String, bool)>,
    /// Whether something was asked for.
    asked: bool,
    rows: Vec<Row>,
    /// Where the list goes on.
    next: Option<String>,
}

struct Row {
    id: String,
    recipient: String,
    why: Vec<&'static str>,
}

/// The list, for one purpose and perhaps one new recipient. That it was looked at is recorded first.
pub async fn list(visit: &Visit) -> Result<Answer, Trouble> {
    let member = Member::of(visit).await?;
    let registry = &member.global.text;
    let purpose = visit.query("purpose").filter(|code| registry.purpose(code).is_some());
    let recipient = visit.query("recipient").filter(|code| registry.party(code).is_some());
    let (mut rows, mut next) = (Vec::new(), None);
    if let Some(purpose) = purpose {
        look(visit, &member).await?;
        let after = visit.query("after").map(ConsentId::parse).transpose().map_err(|_| Trouble::not_found())?;
        let all = visit.app.store.consents_after(after, LOOKED_AT)?;
        for (id, person) in &all {
            rows.extend(row(visit, &member, purpose, recipient, *id, *person).await?);
        }
        next = all.last().filter(|_| all.len() == LOOKED_AT).map(|(id, _)| {
            let recipient = recipient.unwrap_or_default();
            format!("/counter/ask-anew?purpose={purpose}&recipient={recipient}&after={}", id.text())
        });
    }
    let page = Page {
        f: visit.frame(),
        purposes: purposes(visit, &member, purpose.unwrap_or_default()),
        parties: parties(visit, &member, recipient.unwrap_or_default()),
        asked: purpose.is_some(),
        rows,
        next,
    };
    Ok(Answer::page(StatusCode::OK, &page))
}

async fn row(
    visit: &Visit,
    member: &Member,
    purpose: &str,
    recipient: Option<&str>,
    id: ConsentId,
    person: PersonId,
) -> Result<Option<Row>, Trouble> {
    let dossier = visit.app.store.dossier(person).await?;
    let records = &dossier.subject.records;
    let own = |a: &&Agreement| {
        let attested = a.attestation.as_ref().is_some_and(|s| s.party == member.code);
        let all = crate::sabotage::off(crate::sabotage::Check::CounterOwn);
        a.consent == id && a.terms.purpose == purpose && (attested || all) && a.status(records, visit.now) == "active"
    };
    if give::is_hidden_from_party(&dossier.subject, member.party, visit.now) {
        return Ok(None);
    }
    let Some(agreement) = dossier.papers.agreements.iter().find(own) else { return Ok(None) };
    let why = anew::why(&visit.app, &member.global, &dossier, agreement, recipient, visit.now);
    let word = |why: &str| match why {
        "text" => visit.lang.t("文面が新しくなりました", "The text has changed"),
        "category" => visit.lang.t("情報の範囲が新しくなりました", "What the information covers has changed"),
        _ => visit.lang.t("新しい提供先への同意がありません", "No consent for the new recipient"),
    };
    let shown = || Row {
        id: known_as(member, &dossier).unwrap_or_else(|| visit.t("番号なし", "no id").to_owned()),
        recipient: view::party(&member.global, visit.lang, &agreement.terms.recipient),
        why: why.iter().map(|why| word(why)).collect(),
    };
    Ok((!why.is_empty()).then(shown))
}

/// The id under which this party knows a person: of its own records, else the one that it was given here.
fn known_as(member: &Member, dossier: &Dossier) -> Option<String> {
    let own = dossier.subject.links.iter().find_map(|link| match &link.to {
        LinkTarget::Source { party, id } if *party == member.code => Some(id.clone()),
        _ => None,
    });
    own.or_else(|| dossier.subject.pairwise_at(&member.code).map(|pairwise| pairwise.id.text()))
}

/// Who looked stands in clear in the ledger: by the party, and a digest of the login.
async fn look(visit: &Visit, member: &Member) -> Result<(), Trouble> {
    let digest = data_encoding::HEXLOWER.encode(sha256(member.login.as_bytes()).get(..8).unwrap_or_default());
    let read = OperatorRead { operator: format!("{} {digest}", member.code), what: "ask-anew".to_owned(), entry: None };
    visit.app.store.record_global(Event::OperatorRead(read), member.cause()).await?;
    Ok(())
}
