//! Opening what a booking leads to: record who looks, decide and record for each source, ask, put together, look once more,
//! hand over. The page is written from the document that a clinic's system would get, and from nothing else.

use std::sync::Arc;

use askama::Template;
use http::StatusCode;
use sekisho_policy::{Actor, Categories, CategoryVersion, Code, PurposeCode, Receiver};

use super::super::page::{Answer, Frame, Trouble};
use super::super::visit::Visit;
use super::Viewer;
use super::home::{asked, nothing};
use super::sheet::Sheet;
use crate::config::{PurposeFrom, Route, Summary};
use crate::consent::booking::{self, Booked, Reference};
use crate::consent::give::GiveError;
use crate::request::admission::Admission;
use crate::request::gather::{Gathered, NotGathered, Questions, gather};
use crate::request::releases::{Contents, Part};
use crate::sabotage::{self, Check};
use crate::summary::Document;

#[derive(Template)]
#[template(path = "clinic/check.html")]
struct WhoIsIt<'a> {
    f: Frame,
    reference: &'a str,
    patient: &'a str,
    sheet: &'a Sheet,
    visit: &'a str,
}

#[derive(Template)]
#[template(path = "clinic/summary.html")]
struct Whole<'a> {
    f: Frame,
    patient: &'a str,
    sheet: &'a Sheet,
    visit: &'a str,
    /// When this was put together.
    at: &'a str,
}

/// Name and date of birth: is it the right person?
pub async fn check(visit: &Visit) -> Result<Answer, Trouble> {
    let viewer = Viewer::sent(visit).await?;
    open(visit, &viewer, false).await
}

/// The summary, once somebody has said that it is the right person.
pub async fn summary(visit: &Visit) -> Result<Answer, Trouble> {
    let viewer = Viewer::sent(visit).await?;
    open(visit, &viewer, true).await
}

async fn open(visit: &Visit, viewer: &Viewer, confirmed: bool) -> Result<Answer, Trouble> {
    if !viewer.may_look(visit) {
        let notice = visit.t("この1時間に開いた数が上限に達しました。", "Too many were opened in this hour.");
        return Ok(asked(visit, viewer, StatusCode::TOO_MANY_REQUESTS, Some(notice)));
    }
    let Some(reference) = visit.field("reference").and_then(|typed| Reference::parse(typed.trim())) else {
        return Ok(nothing(visit, viewer));
    };
    let booked = match booking::find(&visit.app, &viewer.code, &reference).await {
        Ok(booked) => booked,
        Err(GiveError::Unknown(_)) => return Ok(nothing(visit, viewer)),
        Err(GiveError::SeveralPeople) => {
            let notice = visit.t(
                "この予約番号には、別々の方の同意があります。取り違えを防ぐため、どちらもお見せしません。患者さんに確かめてください。",
                "Consents of several people stand under this reference. So that nobody is taken for somebody else, none is shown.",
            );
            return Ok(asked(visit, viewer, StatusCode::CONFLICT, Some(notice)));
        }
        Err(error) => return Err(error.into()),
    };
    // Who was confirmed must be who is shown: the reference may lead to somebody else by now.
    let same = visit.field("patient") == Some(booked.patient.text().as_str());
    shown(visit, viewer, &reference, &booked, confirmed && same).await
}

/// The configured summary for what the visit is for.
fn configured(visit: &Visit, booked: &Booked) -> Option<(Arc<Summary>, PurposeCode)> {
    let purpose = PurposeCode(Code::parse(&booked.purpose).ok()?);
    let fits = |summary: &&Arc<Summary>| match &summary.purpose {
        PurposeFrom::Route(of) => *of == purpose,
        PurposeFrom::Token(all) => all.contains(&purpose),
    };
    visit.app.config.summaries.iter().find(fits).map(|summary| (Arc::clone(summary), purpose))
}

/// What is asked of each source: all that it is configured for, or who it is alone.
fn wanted(visit: &Visit, summary: &Summary, whole: bool) -> Vec<(Arc<Route>, Categories)> {
    let says_who = |version: &&CategoryVersion| {
        let category = visit.app.config.registry.category(**version);
        whole || category.is_some_and(|category| category.covers.iter().any(|of| of.resource == "Patient"))
    };
    let of = |route: &Arc<Route>| {
        let categories = Categories::new(route.categories.as_slice().iter().filter(says_who).copied())?;
        Some((Arc::clone(route), categories))
    };
    summary.parts.iter().filter_map(of).collect()
}

async fn shown(
    visit: &Visit,
    viewer: &Viewer,
    reference: &Reference,
    booked: &Booked,
    whole: bool,
) -> Result<Answer, Trouble> {
    let app = &visit.app;
    let Some((summary, purpose)) = configured(visit, booked) else { return Ok(nothing(visit, viewer)) };
    // Whoever looks is nobody as a citizen; who it was stands in the entry beside.
    let receiver = Receiver::Party { party: viewer.party, actor: Actor::Staff(app.store.nobody()) };
    let wanted = wanted(visit, &summary, whole);
    let Some(questions) = Questions::new(app, purpose, wanted, booked.subject, receiver) else {
        return Ok(nothing(visit, viewer));
    };
    viewer.records_view(visit, booked.subject, !whole).await?;
    let gathered = match gather(app, &questions, summary.within, viewer.cause()).await {
        Ok(gathered) => gathered,
        Err(NotGathered::Denied) => return Ok(nothing(visit, viewer)),
        Err(NotGathered::Store(error)) => return Err(error.into()),
    };
    let page = gathered.document.as_ref().ok().map(|document| page(visit, viewer, reference, booked, document, whole));
    release(visit, viewer, gathered, page).await
}

fn page(
    visit: &Visit,
    viewer: &Viewer,
    reference: &Reference,
    booked: &Booked,
    document: &Document,
    whole: bool,
) -> Answer {
    let sheet = Sheet::of(document, &viewer.global.text, visit.now);
    let (patient, when, at) = (booked.patient.text(), visit.lang.minute(booked.visit), visit.lang.minute(visit.now));
    if whole {
        let page = Whole { f: visit.frame(), patient: &patient, sheet: &sheet, visit: &when, at: &at };
        return Answer::page(StatusCode::OK, &page);
    }
    let reference = reference.as_str();
    Answer::page(
        StatusCode::OK,
        &WhoIsIt { f: visit.frame(), reference, patient: &patient, sheet: &sheet, visit: &when },
    )
}

/// Registers the page as a release under all of its decisions, looks at everything once more, and hands it over.
async fn release(visit: &Visit, viewer: &Viewer, gathered: Gathered, page: Option<Answer>) -> Result<Answer, Trouble> {
    let app = &visit.app;
    let Gathered { parts, routes, links, .. } = gathered;
    let digest = page.as_ref().map(Answer::digest).unwrap_or_default();
    let of_page = |part: Part| Part { contents: Contents { digest, ..part.contents }, ..part };
    let (mut parts, mut routes) = (parts.into_iter().map(of_page), routes.into_iter());
    let (Some(first), Some(first_route)) = (parts.next(), routes.next()) else { return Ok(nothing(visit, viewer)) };
    let admission = Admission::of_viewer(app, &viewer.signed_in, &viewer.code, &first_route).and(routes.collect());
    let handle = app.releases.register(first, parts.collect(), admission, &visit.connection);
    let last_look = async {
        let admitted = app.now().is_some_and(|now| handle.is_admitted_by(&now));
        let permitted = handle.still_permitted().await? && !handle.is_expired();
        let snapshot = app.store.snapshot(handle.request().subject).await?;
        let linked = links.iter().all(|(source, id)| snapshot.subject.id_at(&source.code) == Some(id.as_str()));
        let permitted = permitted || sabotage::off(Check::DecideAgain);
        Ok::<bool, Trouble>(admitted && permitted && (linked || sabotage::off(Check::StillLinked)))
    };
    let refused = match (last_look.await, page) {
        (Ok(true), Some(page)) => {
            app.releases.time(&handle);
            return Ok(page.released(handle));
        }
        (Ok(true), None) => Ok(unsure(visit, viewer)),
        (Ok(false), _) => Ok(nothing(visit, viewer)),
        (Err(trouble), _) => Err(trouble),
    };
    handle.nothing_sent();
    refused
}

/// No source says now whose it would be.
fn unsure(visit: &Visit, viewer: &Viewer) -> Answer {
    let notice = visit.t(
        "いまは、氏名と生年月日を確かめられません（提供元が答えていません）。少し待って、もう一度お試しください。",
        "Name and date of birth can't be made sure of now: the source does not answer. Wait a little and try again.",
    );
    asked(visit, viewer, StatusCode::SERVICE_UNAVAILABLE, Some(notice))
}
