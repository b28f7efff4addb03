//! Before agreeing: the very items that would go, one route of the recipient's at a time.
//!
//! The person looks at what is theirs, or their child's: that is decided and recorded as their own access, fetched, and
//! released like everything else. What they see of it is narrowed by the decision that would follow from agreeing
//! (`consent::foreseen`), with the recipient's elements and dates. The recipient gets nothing, and isn't asked.

use std::sync::Arc;

use askama::Template;
use http::StatusCode;
use sekisho_policy::{AccessRequest, Capacity, Categories, ConsentId, Permit, PersonId, Receiver};

use super::grant::{self, Choice};
use super::items::{self, Item};
use super::page::{Answer, Frame, Trouble};
use super::view::{self, TermsView};
use super::visit::Visit;
use crate::config::{Form, Route};
use crate::consent::foreseen;
use crate::consent::give::{self, GiveError};
use crate::consent::taken::narrowed;
use crate::ids::{PairwiseId, TextId, random};
use crate::ledger::entry::Cause;
use crate::ledger::event::Terms;
use crate::request::admission::Admission;
use crate::request::classify::Asked;
use crate::request::close_unsent;
use crate::request::fetch::Fetched;
use crate::request::json::Json;
use crate::request::narrow::{Narrowed, Narrowing};
use crate::request::paging::Page;
use crate::request::releases::{Contents, Part};
use crate::sabotage::{self, Check};
use crate::store::state::{Pairwise, Proposal};
use crate::store::{Recorded, Ruling};
use crate::summary;

/// Routes of which a preview is offered, at most.
const ROUTES_MAX: usize = 20;
/// The route's name in the log of a person's own looks.
const OWN: &str = "preview";

#[derive(Template)]
#[template(path = "preview.html")]
struct Preview {
    f: Frame,
    id: String,
    choice: Choice,
    terms: TermsView,
    who: String,
    subject: String,
    seen: Seen,
    /// Something of the source's that would go can't be shown now.
    incomplete: bool,
    source: String,
    items: Vec<Item>,
    at: usize,
    of: usize,
}

/// What came of looking.
enum Seen {
    /// These items.
    Items,
    /// There is nothing there.
    Nothing,
    /// No route leads anywhere under these terms.
    NoRoute,
    /// The source asks for a sign-in of its own.
    SignIn(String),
    /// The source can't be asked now.
    Unavailable,
}

/// Shows one page of the preview.
pub async fn show(visit: &Visit, id: &str) -> Result<Answer, Trouble> {
    let person = visit.sent_by().await?;
    let (consent, proposal) = grant::proposal(visit, person, id).await?;
    let subject = visit.field("subject").and_then(|text| PersonId::parse(text).ok());
    // As at agreeing: not chosen, or not signed in freshly enough, is said on the page of the choice.
    let (Some(subject), true) = (subject, grant::strong(visit)) else {
        return grant::not_chosen(visit, person, id).await;
    };
    // What the choice would give, not what was proposed.
    let taken = grant::taken(visit, &proposal).ok_or(grant::UNREADABLE);
    let terms = match taken.and_then(|taken| narrowed(&proposal.terms, &taken, visit.now)) {
        Ok(terms) => terms,
        Err(error) => return grant::not_agreed(visit, person, id, error).await,
    };
    let global = visit.app.store.registry().await?;
    let snapshot = visit.app.store.snapshot(subject).await?;
    if !give::may_decide_on(&snapshot.subject, &global, person, &terms.categories, visit.now) {
        return Err(GiveError::NoAuthority.into());
    }
    let routes: Vec<(&Arc<Route>, Permit)> = visit
        .app
        .config
        .routes
        .iter()
        .filter_map(|route| {
            let permit = foreseen::by_route(&snapshot.subject, &global, &terms, person, route, visit.now)?;
            Some((route, permit))
        })
        .take(ROUTES_MAX)
        .collect();
    let at = visit.field("at").and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
    let look = Look { visit, person, subject, consent, proposal: &proposal, terms: &terms };
    match routes.get(at) {
        Some((route, permit)) => look.at(route, permit, at, routes.len()).await,
        None => look.page(Seen::NoRoute, Vec::new(), None, (0, 0), false).await,
    }
}

struct Look<'a> {
    visit: &'a Visit,
    person: PersonId,
    subject: PersonId,
    consent: ConsentId,
    proposal: &'a Proposal,
    /// What the person takes of it.
    terms: &'a Terms,
}

impl Look<'_> {
    /// What one route would give.
    async fn at(&self, route: &Arc<Route>, foreseen: &Permit, at: usize, of: usize) -> Result<Answer, Trouble> {
        let app = &self.visit.app;
        let place = (at, of);
        let Some(request) = self.request(route, foreseen) else {
            return self.page(Seen::NoRoute, Vec::new(), Some(route), place, false).await;
        };
        let recorded = match app.store.decide_and_record(&request, OWN, Cause::Person).await? {
            Ruling::Permitted(recorded) => recorded,
            Ruling::Denied(_) => return Err(Trouble::not_found()),
        };
        // Never more than the person may see: neither another category, nor other dates.
        if !recorded.permit().covers(foreseen) {
            close_unsent(app, &recorded);
            return Err(Trouble::not_found());
        }
        let (seen, narrowed, incomplete) = match self.fetch(route, foreseen, &recorded, request).await {
            Ok(looked) => looked,
            Err(trouble) => {
                close_unsent(app, &recorded);
                return Err(trouble);
            }
        };
        let contents = Contents { items: narrowed.items, withheld: narrowed.dropped.total(), digest: [0; 32] };
        // A summary does not hold what its source takes back.
        let goes = |item: &Json<'_>| route.form != Form::Part || !summary::is_void(item);
        let items = items::read(&narrowed.json, self.visit.lang, goes);
        let page = self.page(seen, items, Some(route), place, incomplete).await;
        let page = match page {
            Ok(page) => page,
            Err(trouble) => {
                close_unsent(app, &recorded);
                return Err(trouble);
            }
        };
        self.release(route, recorded, Contents { digest: page.digest(), ..contents }, page).await
    }

    /// The person's own access to what would be kept.
    fn request(&self, route: &Route, foreseen: &Permit) -> Option<AccessRequest> {
        let capacity = if self.person == self.subject { Capacity::Subject } else { Capacity::Guardian };
        Some(AccessRequest {
            subject: self.subject,
            receiver: Receiver::Person { person: self.person, capacity },
            source: route.source.party,
            purpose: self.visit.app.config.pages.purpose?,
            categories: Categories::new(foreseen.kept().iter().map(|kept| kept.category))?,
        })
    }

    async fn fetch(
        &self,
        route: &Arc<Route>,
        foreseen: &Permit,
        recorded: &Recorded,
        request: AccessRequest,
    ) -> Result<(Seen, Narrowed, bool), Trouble> {
        let app = &self.visit.app;
        let snapshot = app.store.snapshot(self.subject).await?;
        let global = app.store.registry().await?;
        let Some(at_source) = snapshot.subject.id_at(&route.source.code) else {
            return Ok((Seen::Nothing, Narrowed::default(), false));
        };
        // Nobody sees these ids: the page shows none, and the recipient has its own once there is a consent.
        let unseen =
            Pairwise { party: self.terms.recipient.clone(), id: PairwiseId::from_bytes(random()), secret: random() };
        let by = if sabotage::off(Check::PreviewForeseen) { recorded.permit() } else { foreseen };
        let narrowing =
            Narrowing::new(by, &global.text, &unseen, (&route.source.code, at_source), &app.config.server.url);
        let asked = Asked { route, request, named: String::new(), query: Vec::new(), page: Page::default() };
        let fetched = app.sources.fetch(recorded, &asked, &narrowing, &app.store, &app.sign_ins).await;
        let incomplete = matches!(&fetched, Fetched::Narrowed { incomplete: true, .. });
        let (seen, narrowed) = match fetched {
            Fetched::Narrowed { narrowed, .. } if narrowed.items > 0 => (Seen::Items, narrowed),
            Fetched::Narrowed { narrowed, .. } if incomplete => (Seen::Unavailable, narrowed),
            Fetched::Narrowed { narrowed, .. } => (Seen::Nothing, narrowed),
            Fetched::NoData | Fetched::NotSupported => (Seen::Nothing, Narrowed::default()),
            Fetched::MustSignIn(url) => (Seen::SignIn(url), Narrowed::default()),
            Fetched::NotReady(_) => (Seen::Unavailable, Narrowed::default()),
            Fetched::Failed(why) => {
                tracing::warn!(source = route.source.code, why, "no usable answer from a source for a preview");
                (Seen::Unavailable, Narrowed::default())
            }
        };
        Ok((seen, narrowed, incomplete))
    }

    /// Registers the page as a release, looks at everything once more, and hands it over.
    async fn release(
        &self,
        route: &Arc<Route>,
        recorded: Box<Recorded>,
        contents: Contents,
        page: Answer,
    ) -> Result<Answer, Trouble> {
        let (visit, app) = (self.visit, &self.visit.app);
        let issuer = visit.session().map(|session| session.signed_in.issuer.clone()).unwrap_or_default();
        let admission = Admission::of_person(app, &issuer, route);
        let handle = app.releases.register(Part { recorded, contents }, Vec::new(), admission, &visit.connection);
        let last_look = async {
            let admitted = app.now().is_some_and(|now| handle.is_admitted_by(&now));
            let permitted = handle.still_permitted().await?;
            let same_person = visit.person().await? == self.person;
            Ok::<bool, Trouble>(admitted && permitted && same_person && !handle.is_expired())
        };
        match last_look.await {
            Ok(true) => Ok(page.released(handle)),
            Ok(false) => {
                handle.nothing_sent();
                Err(Trouble::not_found())
            }
            Err(trouble) => {
                handle.nothing_sent();
                Err(trouble)
            }
        }
    }

    async fn page(
        &self,
        seen: Seen,
        items: Vec<Item>,
        route: Option<&Route>,
        (at, of): (usize, usize),
        incomplete: bool,
    ) -> Result<Answer, Trouble> {
        let visit = self.visit;
        let global = visit.app.store.registry().await?;
        let snapshot = visit.app.store.snapshot(self.subject).await?;
        let page = Preview {
            f: visit.frame(),
            id: self.consent.text(),
            choice: Choice::of(visit, &global, self.proposal)?,
            terms: view::terms(visit.lang, &global, self.terms),
            who: view::who(visit, self.person, &snapshot.subject),
            subject: self.subject.text(),
            seen,
            incomplete,
            source: route.map(|r| view::party(&global, visit.lang, &r.source.code)).unwrap_or_default(),
            items,
            at,
            of,
        };
        Ok(Answer::page(StatusCode::OK, &page))
    }
}
