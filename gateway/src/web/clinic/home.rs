//! The first page: sign in, or type a booking's reference. And what is said when nothing is there, or it is somebody else.

use askama::Template;
use http::StatusCode;

use super::super::Provider;
use super::super::page::{Answer, Frame, Trouble};
use super::super::view;
use super::super::visit::Visit;
use super::Viewer;
use crate::ids::PairwiseId;
use crate::ledger::entry::Bytes16;
use crate::ledger::event::{Event, NotTheirPatient};

#[derive(Template)]
#[template(path = "clinic/home.html")]
struct Home {
    f: Frame,
    /// Where staff sign in, while nobody is.
    providers: Vec<(String, String)>,
    /// The clinic, once they are.
    party: Option<String>,
    notice: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "clinic/closed.html")]
struct Closed {
    f: Frame,
    at: String,
}

/// The first page.
pub async fn home(visit: &Visit) -> Result<Answer, Trouble> {
    if visit.session().is_none() {
        let opens = |p: &&Provider| p.settings.staff.as_ref().is_some_and(|staff| !staff.viewer_roles.is_empty());
        let named =
            |p: &Provider| (p.settings.code.clone(), visit.t(&p.settings.name_ja, &p.settings.name_en).to_owned());
        let providers = visit.app.web.providers.iter().filter(opens).map(named).collect();
        let page = Home { f: visit.frame(), providers, party: None, notice: None };
        return Ok(Answer::page(StatusCode::OK, &page));
    }
    let viewer = Viewer::of(visit).await?;
    Ok(asked(visit, &viewer, StatusCode::OK, None))
}

/// The form for a reference.
pub fn asked(visit: &Visit, viewer: &Viewer, status: StatusCode, notice: Option<&'static str>) -> Answer {
    let party = Some(view::party(&viewer.global, visit.lang, &viewer.code));
    Answer::page(status, &Home { f: visit.frame(), providers: Vec::new(), party, notice })
}

/// Nothing under this reference, whatever the reason.
pub fn nothing(visit: &Visit, viewer: &Viewer) -> Answer {
    let notice = visit.t(
        "この予約番号でお見せできる情報はありません。番号を確かめるか、患者さんに同意の状態を確かめてもらってください。",
        "There is nothing to show under this reference. Check it, or have the patient check what they agreed to.",
    );
    asked(visit, viewer, StatusCode::NOT_FOUND, Some(notice))
}

/// The person who was shown is not this clinic's patient: closed, recorded, and told to whoever runs this.
pub async fn not_theirs(visit: &Visit) -> Result<Answer, Trouble> {
    let viewer = Viewer::sent(visit).await?;
    if !viewer.may_look(visit) {
        let notice = visit.t("この1時間の操作が上限に達しました。", "Too much was done in this hour.");
        return Ok(asked(visit, &viewer, StatusCode::TOO_MANY_REQUESTS, Some(notice)));
    }
    let shown = visit.field("patient").and_then(|id| PairwiseId::parse(id).ok());
    let person = match shown {
        Some(id) => visit.app.store.person_of_pairwise(viewer.party, id)?,
        None => None,
    };
    // Only somebody whom this clinic was shown has an id there.
    let Some(person) = person else { return Ok(nothing(visit, &viewer)) };
    let said = NotTheirPatient {
        subject: Bytes16(*person.bytes()),
        party: viewer.code.clone(),
        by: viewer.signed_in.sub.clone(),
        at_ms: visit.now.millis(),
    };
    viewer.record(visit, person, &Event::NotTheirPatient(said)).await?;
    visit.app.metrics.not_their_patient.inc();
    tracing::warn!(party = viewer.code, "staff say that whom they were shown is not their patient");
    let page = Closed { f: visit.frame(), at: visit.lang.second(visit.now) };
    Ok(Answer::page(StatusCode::OK, &page))
}
