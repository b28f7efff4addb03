//! The first page: sign in; or, signed in, what waits for an answer, what is in force with a button to stop it, and who
//! looked last.

use askama::Template;
use http::StatusCode;
use sekisho_policy::PersonId;

use super::log;
use super::notices::Notices;
use super::page::{Answer, Frame, Trouble};
use super::view::{self, ConsentView, LogView};
use super::visit::Visit;
use crate::ids::TextId;

/// Lines of the log on the first page.
const LOOKED: usize = 5;

#[derive(Template)]
#[template(path = "welcome.html")]
struct Welcome {
    f: Frame,
    providers: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "home.html")]
struct Home {
    f: Frame,
    proposals: Vec<Waiting>,
    consents: Vec<ConsentView>,
    notices: Notices,
    looked: Vec<LogView>,
    /// Whether municipalities have windows for parents here.
    windows: bool,
}

struct Waiting {
    id: String,
    terms: view::TermsView,
}

/// The first page.
pub async fn home(visit: &Visit) -> Result<Answer, Trouble> {
    if visit.session().is_none() {
        let named = |p: &super::Provider| {
            (p.settings.code.clone(), visit.t(&p.settings.name_ja, &p.settings.name_en).to_owned())
        };
        let citizens = visit.app.web.providers.iter().filter(|p| p.settings.staff.is_none());
        let providers = citizens.map(named).collect();
        return Ok(Answer::page(StatusCode::OK, &Welcome { f: visit.frame(), providers }));
    }
    let person = visit.person().await?;
    let (mut consents, mut lines) = (Vec::new(), Vec::new());
    for subject in visit.decided_by(person).await? {
        consents.extend(view::consents(visit, person, subject).await?.into_iter().filter(|c| c.active));
        // However many that may not be shown stand before them: fewer would tell of those.
        lines.extend(log::newest(visit, person, subject, LOOKED).await?);
    }
    lines.sort_by_key(|line| std::cmp::Reverse(line.position));
    lines.truncate(LOOKED);
    let looked = lines;
    let (proposals, notices) = (waiting(visit, person).await?, Notices::of(visit, person).await?);
    let windows = visit.app.config.week.is_some();
    Ok(Answer::page(StatusCode::OK, &Home { f: visit.frame(), proposals, consents, notices, looked, windows }))
}

/// Proposals that wait for this person's answer.
async fn waiting(visit: &Visit, person: PersonId) -> Result<Vec<Waiting>, Trouble> {
    let store = &visit.app.store;
    let (dossier, global) = (store.dossier(person).await?, store.registry().await?);
    let mut all = Vec::new();
    for proposal in dossier.papers.proposals.iter().filter(|p| !p.declined) {
        // One that was approved for a child lives on as the child's consent.
        if store.person_of_consent(proposal.consent)? == Some(person) {
            let terms = view::terms(visit.lang, &global, &proposal.terms);
            all.push(Waiting { id: proposal.consent.text(), terms });
        }
    }
    Ok(all)
}
