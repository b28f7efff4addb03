//! Granting, one purpose at a time: who, what, why, until when, and what refusing means. Nothing is chosen beforehand. To
//! agree, the person signs in strongly and freshly; the text that was shown comes back with the answer, by its hash.

use askama::Template;
use http::StatusCode;
use sekisho_policy::{ConsentId, PersonId, Timestamp};

use super::page::{Answer, Frame, Trouble};
use super::refusals::scope_of;
use super::view::{self, TermsView, Words};
use super::visit::Visit;
use crate::consent::give::{self, Approval, GiveError};
use crate::consent::taken::Taken;
use crate::ids::TextId;
use crate::store::state::{Global, Proposal};

#[derive(Template)]
#[template(path = "proposal.html")]
struct Show {
    f: Frame,
    id: String,
    terms: TermsView,
    choice: Choice,
    people: Vec<(String, String)>,
    /// Where to sign in again first, where that is needed.
    again: Option<String>,
    /// What to say above it all.
    notice: Option<&'static str>,
}

/// What is agreed to: the words, and what of them comes back with the answer.
pub struct Choice {
    /// What would happen, what good it does, what refusing means.
    pub words: Words,
    /// The text's hash.
    pub hash: String,
    /// The proposal's revision.
    pub revision: u64,
    /// What could go, and whether it shall.
    pub parts: Vec<Part>,
    /// An earlier end, as it was typed.
    pub until: String,
    /// The end that is proposed, in the form in which an earlier one is typed.
    pub latest: String,
}

/// A category that is proposed.
pub struct Part {
    /// Its version.
    pub version: String,
    /// In words.
    pub label: String,
    /// Without it nothing goes.
    pub compulsory: bool,
    /// The person takes it out.
    pub out: bool,
}

impl Choice {
    /// Of a proposal, with the text that is in force.
    ///
    /// # Errors
    /// When its purpose has none any more.
    pub fn of(visit: &Visit, global: &Global, proposal: &Proposal) -> Result<Self, Trouble> {
        let text = visit.app.config.texts.get(&proposal.terms.purpose).ok_or(Trouble::not_found())?;
        let hash = data_encoding::HEXLOWER.encode(&text.hash);
        let code = |version: &str| version.split_once('@').map(|(code, _)| code.to_owned());
        let part = |version: &String| Part {
            version: version.clone(),
            label: view::category(global, visit.lang, version),
            compulsory: code(version).is_some_and(|code| text.compulsory.contains(&code)),
            out: visit.fields("without").any(|out| out == version),
        };
        Ok(Self {
            words: Words::of(visit.lang, &text.text),
            hash,
            revision: proposal.revision,
            parts: proposal.terms.categories.iter().map(part).collect(),
            until: visit.field("until").unwrap_or_default().to_owned(),
            latest: typed_minute(Timestamp::from_millis(proposal.terms.until_ms)),
        })
    }

    /// Whether less was chosen than what is proposed.
    #[must_use]
    pub fn is_less(&self) -> bool {
        !self.until.is_empty() || self.parts.iter().any(|part| part.out)
    }
}

/// A minute in Japan as a form takes it: `2026-11-22T18:30`.
fn typed_minute(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.millis()).unwrap_or_default();
    at.to_zoned(jiff::tz::TimeZone::fixed(JST)).strftime("%Y-%m-%dT%H:%M").to_string()
}

/// Japan's time: nine hours before UTC, without summer time.
const JST: jiff::tz::Offset = jiff::tz::offset(9);

/// What the person takes of the proposal, as the form says; `None` when the end can't be read.
pub fn taken(visit: &Visit, proposal: &Proposal) -> Option<Taken> {
    let without: Vec<&str> = visit.fields("without").collect();
    let left = proposal.terms.categories.iter().filter(|one| !without.contains(&one.as_str()));
    let categories = (!without.is_empty()).then(|| left.cloned().collect());
    let until = match visit.field("until").map(str::trim).filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => {
            let at = text.parse::<jiff::civil::DateTime>().ok()?;
            let at = at.to_zoned(jiff::tz::TimeZone::fixed(JST)).ok()?.timestamp();
            Some(Timestamp::from_millis(at.as_millisecond()))
        }
    };
    // The last minute, typed as it is shown, is the end that is proposed.
    let proposed = Timestamp::from_millis(proposal.terms.until_ms);
    let until = until.filter(|until| until.millis() != proposed.millis().div_euclid(MINUTE_MS) * MINUTE_MS);
    Some(Taken { categories, until })
}

const MINUTE_MS: i64 = 60_000;

#[derive(Template)]
#[template(path = "agreed.html")]
struct Agreed {
    f: Frame,
    id: String,
    terms: TermsView,
    agreed: bool,
}

/// The proposal of this id that waits for this person.
///
/// # Errors
/// When there is none such.
pub async fn proposal(visit: &Visit, person: PersonId, id: &str) -> Result<(ConsentId, Proposal), Trouble> {
    let id = ConsentId::parse(id).map_err(|_| Trouble::not_found())?;
    let dossier = visit.app.store.dossier(person).await?;
    let waits = |p: &&Proposal| p.consent == id && !p.declined;
    let proposal = dossier.papers.proposals.iter().find(waits).cloned().ok_or(Trouble::not_found())?;
    if visit.app.store.person_of_consent(id)? != Some(person) {
        return Err(Trouble::not_found());
    }
    Ok((id, proposal))
}

/// Shows a proposal.
pub async fn show(visit: &Visit, id: &str) -> Result<Answer, Trouble> {
    let person = visit.person().await?;
    shown(visit, person, id, StatusCode::OK, None).await
}

async fn shown(
    visit: &Visit,
    person: PersonId,
    id: &str,
    status: StatusCode,
    notice: Option<&'static str>,
) -> Result<Answer, Trouble> {
    let (id, proposal) = proposal(visit, person, id).await?;
    let store = &visit.app.store;
    let global = store.registry().await?;
    let mut people = Vec::new();
    for subject in visit.decided_by(person).await? {
        let snapshot = store.snapshot(subject).await?;
        if give::may_decide_on(&snapshot.subject, &global, person, &proposal.terms.categories, visit.now) {
            people.push((subject.text(), view::who(visit, person, &snapshot.subject)));
        }
    }
    let again = (!strong(visit)).then(|| again(visit, &format!("/my/proposals/{}", id.text()))).flatten();
    let page = Show {
        f: visit.frame(),
        id: id.text(),
        terms: view::terms(visit.lang, &global, &proposal.terms),
        choice: Choice::of(visit, &global, &proposal)?,
        people,
        again,
        notice,
    };
    Ok(Answer::page(status, &page))
}

/// Whether the session's sign-in may grant, now.
pub fn strong(visit: &Visit) -> bool {
    let signed_in = visit.session().map(|session| &session.signed_in);
    let provider = signed_in.and_then(|of| visit.app.web.provider_of(&of.issuer));
    provider.zip(signed_in).is_some_and(|(provider, of)| provider.is_step_up(of, visit.now))
}

/// The address at which to sign in again, and come back to this page.
pub fn again(visit: &Visit, then: &str) -> Option<String> {
    let provider = visit.app.web.provider_of(&visit.session()?.signed_in.issuer)?;
    Some(format!("/my/sign-in/{}?again=1&then={then}", provider.settings.code))
}

/// Agrees.
pub async fn agree(visit: &Visit, id: &str) -> Result<Answer, Trouble> {
    let person = visit.sent_by().await?;
    let (consent, proposal) = match proposal(visit, person, id).await {
        Ok(found) => found,
        // Two windows, one answer: what the other one did stands.
        Err(_) => return Ok(Answer::see(&format!("/my/consents/{id}"))),
    };
    let subject = visit.field("subject").and_then(|text| PersonId::parse(text).ok());
    let (Some(subject), true) = (subject, strong(visit)) else {
        return not_chosen(visit, person, id).await;
    };
    let Some(taken) = taken(visit, &proposal) else { return not_agreed(visit, person, id, UNREADABLE).await };
    let text_hash = visit.field("text").and_then(|hex| data_encoding::HEXLOWER.decode(hex.as_bytes()).ok());
    let approval = Approval {
        person,
        subject,
        taken,
        text_hash: text_hash.and_then(|bytes| bytes.try_into().ok()).ok_or(Trouble::bad_form())?,
        revision: visit.field("revision").and_then(|text| text.parse().ok()),
        acr: visit.session().map(|s| s.signed_in.acr.clone()).unwrap_or_default(),
        idempotency: None,
    };
    let agreed = match give::approve(&visit.app, consent, &approval).await {
        Ok(agreed) => agreed,
        Err(error) => return not_agreed(visit, person, id, error).await,
    };
    let global = visit.app.store.registry().await?;
    let terms = view::terms(visit.lang, &global, &agreed);
    Ok(Answer::page(StatusCode::OK, &Agreed { f: visit.frame(), id: id.to_owned(), terms, agreed: true }))
}

/// The proposal again: the sign-in is not fresh and strong, or nobody was chosen.
///
/// # Errors
/// When there is no such proposal.
pub async fn not_chosen(visit: &Visit, person: PersonId, id: &str) -> Result<Answer, Trouble> {
    let (status, ja, en) = if strong(visit) {
        let (ja, en) = (
            "どなたについての同意かを選んでください。まだ同意していません。",
            "Choose whom this is about. You have not agreed yet.",
        );
        (StatusCode::BAD_REQUEST, ja, en)
    } else {
        let (ja, en) = (
            "同意するには、あらためて本人確認のサインインをしてください。まだ同意していません。",
            "To agree, sign in again first. You have not agreed yet.",
        );
        (StatusCode::FORBIDDEN, ja, en)
    };
    shown(visit, person, id, status, Some(visit.t(ja, en))).await
}

/// An end that can't be read.
pub const UNREADABLE: GiveError = GiveError::Field { field: "until", why: "can't be read" };

/// The proposal again, with why it was not agreed to.
///
/// # Errors
/// When there is no such proposal, or it is no reason to choose anew.
pub async fn not_agreed(visit: &Visit, person: PersonId, id: &str, error: GiveError) -> Result<Answer, Trouble> {
    let notice = match &error {
        GiveError::OutdatedText(_) | GiveError::Changed => visit.t(
            "文面や内容が変わりました。まだ同意していません。新しい文面を読んでから選び直してください。",
            "The text has changed. You have not agreed. Read the new one and choose again.",
        ),
        GiveError::RefusalStands(_) => visit.t(
            "「同意しない」という記録が残っているため、同意できません。先にその記録を取り消してください。まだ同意していません。",
            "A refusal on record stands against this. Lift it first. You have not agreed.",
        ),
        GiveError::NoAuthority => visit.t(
            "この方について同意する権限が確認できません。まだ同意していません。",
            "You have no recorded authority to agree for this person. You have not agreed.",
        ),
        GiveError::Field { field: "until", .. } => visit.t(
            "終わりの日時を確かめてください。いまより後で、申し込みより早い日時にしてください。まだ同意していません。",
            "Check the end: after now, and no later than what is proposed. You have not agreed.",
        ),
        GiveError::Field { field: "categories", .. } => visit.t(
            "渡す情報が足りません。「必ず含みます」とある情報と、一つ以上の情報を残してください。まだ同意していません。",
            "Too little is left. Keep what is always part of it, and at least one. You have not agreed.",
        ),
        GiveError::Field { .. } => visit.t(
            "この申し込みは、期間や内容が今の決まりに合わなくなっています。アプリからやり直してください。まだ同意していません。",
            "The period or content no longer fits the rules. Start again from the app. You have not agreed.",
        ),
        _ => return Err(error.into()),
    };
    shown(visit, person, id, StatusCode::CONFLICT, Some(notice)).await
}

/// Declines; and, where a person is named, records that this stands.
pub async fn decline(visit: &Visit, id: &str) -> Result<Answer, Trouble> {
    let person = visit.sent_by().await?;
    let (consent, proposal) = proposal(visit, person, id).await?;
    let about = visit.field("refuse").filter(|text| !text.is_empty());
    let about = about.map(PersonId::parse).transpose().map_err(|_| Trouble::bad_form())?;
    if let Some(about) = about {
        give::may_decide(&visit.app.store.snapshot(about).await?.subject, person, visit.now)?;
    }
    give::decline(&visit.app, consent, person).await?;
    if let Some(about) = about {
        give::refuse(&visit.app, about, person, &scope_of(&proposal.terms), None).await?;
    }
    let global = visit.app.store.registry().await?;
    let terms = view::terms(visit.lang, &global, &proposal.terms);
    Ok(Answer::page(StatusCode::OK, &Agreed { f: visit.frame(), id: id.to_owned(), terms, agreed: false }))
}
