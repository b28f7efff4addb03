//! Sharing: each row is decided and recorded when its package is built, and only then is anything asked of the service.
//!
//! A permit says at most how much may go; a case's own choice can only make it less. What needs no consent needs a recorded legal
//! basis. What is neither is nothing: no row, and no word of it in the package.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _};
use sekisho_adapters::consultation::{ConsultationId, Detail, Identity, Wanted};
use sekisho_policy::{
    AccessRequest, Actor, BasisId, CategoryVersion, Decision, Permit, PermittedBy, PersonId, Receiver, Timestamp,
};

use super::calendar;
use super::collect::CollectError;
use super::row::{Contact, Ground, Reach, Row, RowKind, Who, Words};
use super::shelf::{Case, Minimum, Shelf};
use super::triage::{Flag, Urgency};
use crate::app::App;
use crate::config::week::{Municipality, Week};
use crate::consent::people::rfc3339;
use crate::ids::{CaseId, TextId, party_id};
use crate::ledger::entry::Cause;
use crate::ledger::merkle::sha256;
use crate::request::close_unsent;
use crate::sabotage::{self, Check};
use crate::store::{Recorded, Ruling, StoreError};

/// Rows that are decided at once: they share a sync.
const AT_ONCE: usize = 128;
/// Consultations that a service is asked about in one request.
const DETAILS_AT_ONCE: usize = 100;
/// The name under which decisions of the week stand in the ledger.
pub(super) const ROUTE: &str = "week";
/// What a choice of *nothing* is in a case's row.
const NOTHING: u8 = 0;
/// What a choice of *content* is.
const CONTENT: u8 = 2;

/// How much of a case may go to a municipality, and on which ground.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub kind: RowKind,
    pub basis: Option<BasisId>,
    pub until: Timestamp,
}

/// A case that may be shared: decided, durable.
pub(super) struct Permitted {
    pub id: CaseId,
    pub case: Case,
    pub minimum: Minimum,
    pub recorded: Box<Recorded>,
    pub share: Share,
}

/// A row, and the decision that it rests on.
pub(super) struct Shared {
    pub row: Row,
    pub permitted: Permitted,
}

/// Who would receive what about whom.
pub(super) fn request(week: &Week, to: &Municipality, case: &Case, actor: Actor) -> AccessRequest {
    AccessRequest {
        subject: PersonId::of(case.person),
        receiver: Receiver::Party { party: to.party, actor },
        source: party_id(&case.service),
        purpose: week.purpose,
        categories: week.categories.clone(),
    }
}

/// What a permit lets go of this case; `None` is nothing at all. Who somebody is, and how to reach them safely, go together or not at
/// all: a nurse who can't tell how to call must not call.
///
/// The person's choice counts for the municipality that it names, whatever else was agreed to; a legal basis for the one that it is for.
pub(super) fn share_of(week: &Week, to: &Municipality, case: &Case, permit: &Permit) -> Option<Share> {
    let by = |version: &CategoryVersion| permit.kept().iter().find(|kept| kept.category == *version).map(|k| k.by);
    let identity: Option<Vec<PermittedBy>> = week.identity.iter().map(by).collect();
    let content = by(&week.content);
    let basis_of = |by: &PermittedBy| match by {
        PermittedBy::Basis(id) => Some(*id),
        _ => None,
    };
    let basis = identity?.iter().find_map(basis_of);
    let named = case.recipient.as_ref() == Some(&to.code) || sabotage::off(Check::ChosenFor);
    let chosen = |at_least: u8| named && (case.choice >= at_least || sabotage::off(Check::OwnChoice));
    if basis.is_none() && !chosen(NOTHING + 1) {
        return None;
    }
    let full = match content {
        Some(PermittedBy::Basis(_)) => true,
        Some(_) => chosen(CONTENT),
        None => false,
    };
    let kind = if full { RowKind::Full } else { RowKind::IdentityOnly };
    Some(Share { kind, basis, until: permit.until() })
}

/// What might be shared now, in memory: nothing is recorded, and nothing may go on the strength of it.
pub(super) async fn might(
    app: &App,
    week: &Week,
    to: &Municipality,
    case: &Case,
) -> Result<(Option<Share>, Decision), StoreError> {
    let request = request(week, to, case, Actor::System);
    let snapshot = app.store.snapshot(request.subject).await?;
    let global = app.store.registry().await?;
    let now = app.store.clock().now()?;
    let decision = sekisho_policy::decide(&snapshot.subject.records, &global.registry, &request, now);
    let share = match &decision {
        Decision::Permit(permit) => share_of(week, to, case, permit),
        Decision::Deny(_) => None,
    };
    Ok((share, decision))
}

/// Whether the person's own consent lets a municipality know who they are: what a page of theirs may rest on. Legal bases are left out
/// of the question, not looked for in the answer: one comes before a consent, and nobody may tell from a page that there is one.
pub(super) async fn by_consent(app: &App, week: &Week, to: &Municipality, case: &Case) -> Result<bool, StoreError> {
    let request = request(week, to, case, Actor::System);
    let snapshot = app.store.snapshot(request.subject).await?;
    let global = app.store.registry().await?;
    let now = app.store.clock().now()?;
    let mut records = snapshot.subject.records.clone();
    if !sabotage::off(Check::WindowsByConsent) {
        records.bases.clear();
    }
    Ok(match sekisho_policy::decide(&records, &global.registry, &request, now) {
        Decision::Permit(permit) => share_of(week, to, case, &permit).is_some_and(|share| share.basis.is_none()),
        Decision::Deny(_) => false,
    })
}

/// Decides these cases for a municipality and records each decision; gives those of which something may go.
pub(super) async fn decide(
    app: &Arc<App>,
    week: &Week,
    to: &Municipality,
    cases: Vec<CaseId>,
    actor: Actor,
    cause: Cause,
) -> Result<Vec<Permitted>, StoreError> {
    let one = |id: CaseId| async move { decide_one(app, week, to, id, actor, cause).await };
    let mut running = stream::iter(cases.into_iter().map(one)).buffer_unordered(AT_ONCE);
    let (mut permitted, mut failed) = (Vec::new(), None);
    while let Some(done) = running.next().await {
        match done {
            Ok(one) => permitted.extend(one),
            Err(error) => failed = Some(error),
        }
    }
    drop(running);
    if let Some(error) = failed {
        close_all(app, &permitted);
        return Err(error);
    }
    permitted.sort_by_key(|p| (std::cmp::Reverse(p.case.urgency), p.case.consulted_ms, p.id));
    Ok(permitted)
}

/// Nothing of what was permitted goes anywhere.
pub(super) fn close_all(app: &App, permitted: &[impl std::borrow::Borrow<Permitted>]) {
    permitted.iter().for_each(|one| close_unsent(app, &one.borrow().recorded));
}

async fn decide_one(
    app: &Arc<App>,
    week: &Week,
    to: &Municipality,
    id: CaseId,
    actor: Actor,
    cause: Cause,
) -> Result<Option<Permitted>, StoreError> {
    let shelf = Shelf(&app.store);
    let Some(case) = shelf.case(id)? else { return Ok(None) };
    // Of somebody who was erased nothing is left to share.
    let Some(minimum) = shelf.minimum(PersonId::of(case.person), id)? else { return Ok(None) };
    let recorded = match app.store.decide_and_record(&request(week, to, &case, actor), ROUTE, cause).await? {
        Ruling::Permitted(recorded) => recorded,
        Ruling::Denied(_) => return Ok(None),
    };
    match share_of(week, to, &case, recorded.permit()) {
        Some(share) => Ok(Some(Permitted { id, case, minimum, recorded, share })),
        None => {
            close_unsent(app, &recorded);
            Ok(None)
        }
    }
}

/// Whether each person is still whom the service means by its id.
pub(super) async fn still_linked(app: &App, permitted: &[&Permitted]) -> Result<bool, StoreError> {
    for one in permitted {
        let snapshot = app.store.snapshot(PersonId::of(one.case.person)).await?;
        if !snapshot.subject.is_at(&one.case.service, &one.minimum.asker) && !sabotage::off(Check::StillLinked) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Asks the services about those that are permitted, and makes rows; with their `words`, of those of which they may go. A case that its
/// service does not tell about is left out, and waits for the next package.
pub(super) async fn rows(
    app: &Arc<App>,
    week: &Week,
    to: &Municipality,
    permitted: Vec<Permitted>,
    words: bool,
) -> Result<Vec<Shared>, CollectError> {
    let details = match details(app, week, &permitted, words).await {
        Ok(details) => details,
        Err(error) => {
            close_all(app, &permitted);
            return Err(error);
        }
    };
    let numbers = app.store.vault().secret("case numbers").map_err(StoreError::from)?;
    let mut shared = Vec::with_capacity(permitted.len());
    for one in permitted {
        let found = details.get(&(one.case.service.clone(), one.minimum.consultation.clone()));
        // What is about somebody else is nobody's row.
        let theirs = found.filter(|detail| detail.asker.id.as_str() == one.minimum.asker);
        let article = match article(app, &one).await {
            Ok(article) => article,
            Err(error) => {
                close_unsent(app, &one.recorded);
                close_all(app, &shared.iter().map(|s: &Shared| &s.permitted).collect::<Vec<_>>());
                return Err(error.into());
            }
        };
        match theirs.and_then(|detail| row(app, week, to, &numbers, &one, article, detail)) {
            Some(row) => shared.push(Shared { row, permitted: one }),
            None => {
                tracing::warn!(service = one.case.service, "a service does not tell about a case that may be shared");
                close_unsent(app, &one.recorded);
            }
        }
    }
    Ok(shared)
}

type Details = HashMap<(String, String), Detail>;

async fn details(app: &Arc<App>, week: &Week, permitted: &[Permitted], words: bool) -> Result<Details, CollectError> {
    let mut asked: HashMap<(&str, bool), Vec<ConsultationId>> = HashMap::new();
    for one in permitted {
        let full = words && one.share.kind == RowKind::Full;
        let id = ConsultationId::parse(&one.minimum.consultation);
        asked.entry((&one.case.service, full)).or_default().extend(id);
    }
    let mut details = HashMap::new();
    for ((code, full), ids) in asked {
        let service = week.service(party_id(code)).ok_or_else(|| CollectError::NoService(code.to_owned()))?;
        let client = app.desk.client(app, service).ok_or_else(|| CollectError::NoService(code.to_owned()))?;
        let wanted = if full { Wanted::Content } else { Wanted::Identity };
        for some in ids.chunks(DETAILS_AT_ONCE) {
            let answered = client.details(some, wanted, super::collect::local(app)?).await;
            let answered =
                answered.map_err(|error| CollectError::Feed { service: code.to_owned(), why: error.to_string() })?;
            for detail in answered {
                match detail {
                    Ok(detail) => drop(details.insert((code.to_owned(), detail.id.as_str().to_owned()), detail)),
                    Err(rejected) => super::collect::return_rejected(app, service, &rejected).await?,
                }
            }
        }
    }
    Ok(details)
}

/// The case's number at a municipality: nobody can tell from it which case it is at another.
#[must_use]
pub(super) fn number(secret: &[u8; 32], to: &Municipality, case: CaseId) -> String {
    let hash = sha256(&[secret.as_slice(), to.party.bytes(), case.bytes()].concat());
    let letters = data_encoding::BASE32_NOPAD.encode(hash.first_chunk::<10>().map_or(&[][..], |part| part));
    let groups: Vec<&str> = [letters.get(..4), letters.get(4..8), letters.get(8..12)].into_iter().flatten().collect();
    groups.join("-")
}

fn row(
    app: &App,
    week: &Week,
    to: &Municipality,
    numbers: &[u8; 32],
    one: &Permitted,
    article: Option<String>,
    detail: &Detail,
) -> Option<Row> {
    let Permitted { id, case, minimum, share, .. } = one;
    let flag: Flag = serde_json::from_str(&minimum.flag).ok()?;
    let full = share.kind == RowKind::Full;
    let now = app.store.clock().now().ok()?;
    let valid = now.plus_millis(i64::try_from(week.valid.as_millis()).unwrap_or(i64::MAX)).min(share.until);
    let here = |spot: &&super::shelf::Spot| spot.municipality == to.number.as_str();
    let present = minimum.present.as_ref();
    let spot = [Some(&minimum.residence), present].into_iter().flatten().find(here);
    let ground = match share.basis {
        None => Ground::Consent,
        // A ground that nobody can name is none.
        Some(_) => Ground::Basis { article: article? },
    };
    Some(Row {
        case: number(numbers, to, *id),
        kind: share.kind,
        ground,
        urgency: match case.urgency {
            0 => Urgency::Weekly,
            1 => Urgency::Raised,
            _ => Urgency::Urgent,
        },
        reasons: super::row::reasons(&flag, full, &week.criteria.marks),
        consulted: calendar::date(Timestamp::from_millis(case.consulted_ms)),
        asker: who(&detail.asker),
        // A child is a subject of its own, decided by itself: nothing of it comes with its parent's permit.
        child: None,
        address: detail.address.clone(),
        postal: spot.and_then(|spot| spot.postal.clone()),
        district: app.week_districts(to, spot.and_then(|spot| spot.postal.as_deref())),
        present: present.map(|spot| spot.municipality.clone()),
        contact: contact(minimum, detail),
        valid_until: rfc3339(valid),
        content: detail.content.as_ref().filter(|_| full).map(|content| Words {
            judgement: content.judgement.clone(),
            epds: minimum.epds.map(|scores| scores.0.map(|score| (score != u8::MAX).then_some(score))),
            consultation: content.consultation.clone(),
            advice: content.advice.clone(),
            course: content.course.clone(),
        }),
    })
}

/// The article of a basis, as it was recorded.
async fn article(app: &App, one: &Permitted) -> Result<Option<String>, StoreError> {
    let Some(basis) = one.share.basis else { return Ok(None) };
    let dossier = app.store.dossier(PersonId::of(one.case.person)).await?;
    let found = dossier.papers.bases.iter().find(|paper| paper.id == basis);
    Ok(found.map(|paper| paper.article.clone()))
}

fn who(of: &Identity) -> Who {
    Who { name: of.name.clone(), kana: of.kana.clone(), birth: of.birth }
}

/// By the means that were named, in their order; a number for a means that nobody named goes nowhere.
fn contact(minimum: &Minimum, detail: &Detail) -> Contact {
    let at = |name: &str| {
        let found = detail.reach.iter().find(|(means, _)| Reach::name(*means) == name);
        found.map(|(_, at)| at.clone()).unwrap_or_default()
    };
    Contact {
        by: minimum.means.iter().map(|name| Reach { means: name.clone(), at: at(name) }).collect(),
        hours: minimum.hours.clone(),
        voicemail: minimum.voicemail,
        hidden_from_family: minimum.hidden_from_family,
    }
}
