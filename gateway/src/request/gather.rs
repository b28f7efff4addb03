//! What several sources hold about a person, put together under a permit for each (decision 0018): decide → ask → compose. Who
//! hands it over is another's concern: an answer (`summary`), a delivery (`crate::forward`), a page.
//!
//! A source that is not permitted is not asked, and looks like one that holds nothing. One that is permitted and can't be
//! asked is said to be missing. Whatever ends early closes every permit as *nothing sent*.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use sekisho_policy::{AccessRequest, Categories, CategoryVersion, PersonId, PurposeCode, Receiver, Timestamp};
use tokio::time::timeout;

use super::fetch::{Fetched, aside};
use super::narrow::{Narrowed, Narrowing};
use super::paging::Page;
use super::releases::{Contents, Part};
use super::{classify, close_unsent};
use crate::app::App;
use crate::config::{Route, RouteSource};
use crate::ledger::entry::Cause;
use crate::ledger::merkle::sha256;
use crate::sabotage::{self, Check};
use crate::store::registry::PartyText;
use crate::store::state::{Global, Pairwise, Subject};
use crate::store::{Recorded, Ruling, StoreError};
use crate::summary::{About, Came, Contribution, Document, NoIdentity, compose};

/// What one source may bring into a summary. More than this is no summary any more, and the source is said to be missing.
const PART_BYTES_MAX: usize = 8 << 20;

/// One question for each source of a summary.
pub(crate) struct Questions {
    purpose: PurposeCode,
    all: Vec<Question>,
}

/// A source, and what is decided about it.
struct Question {
    route: Arc<Route>,
    request: AccessRequest,
}

/// Why nothing was gathered. What had been permitted was closed.
#[derive(Debug)]
pub(crate) enum NotGathered {
    /// Not permitted, or nobody known: to the caller the same.
    Denied,
    /// The store can't tell, or record.
    Store(StoreError),
}

impl From<StoreError> for NotGathered {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What may pass, put together. Nothing of it has gone anywhere.
pub(crate) struct Gathered {
    /// The document, or why there is none.
    pub document: Result<Document, NoIdentity>,
    /// The decisions that it rests on; none when no source holds anything.
    pub parts: Vec<Part>,
    /// The routes of those.
    pub routes: Vec<Arc<Route>>,
    /// Under which ids the sources know the person.
    pub links: Vec<(RouteSource, String)>,
    /// Something that was asked for is not permitted.
    pub partly: bool,
}

/// A source that may be asked.
struct Permitted<'a> {
    question: &'a Question,
    recorded: Box<Recorded>,
}

/// What came of asking it.
struct Answered<'a> {
    permitted: Permitted<'a>,
    party: &'a PartyText,
    id_at_source: String,
    came: Came,
    withheld: u32,
}

impl Answered<'_> {
    /// How much there is to be put together.
    const fn bytes(&self) -> usize {
        match &self.came {
            Came::Items { json, .. } => json.len(),
            Came::Missing | Came::Nothing => 0,
        }
    }
}

impl Questions {
    /// About these categories of these sources. `None` when one without which nothing goes is not among them.
    pub(crate) fn new(
        app: &App,
        purpose: PurposeCode,
        wanted: Vec<(Arc<Route>, Categories)>,
        subject: PersonId,
        receiver: Receiver,
    ) -> Option<Self> {
        if !covers_compulsory(app, purpose, &wanted) {
            return None;
        }
        let question = |(route, categories): (Arc<Route>, Categories)| {
            let request = AccessRequest { subject, receiver, source: route.source.party, purpose, categories };
            Question { route, request }
        };
        Some(Self { purpose, all: wanted.into_iter().map(question).collect() })
    }
}

/// Decides and records, asks those that are permitted for at most `within`, and puts together what came.
///
/// # Errors
/// When it is not permitted, or can't be told. Everything is closed then.
pub(crate) async fn gather(
    app: &App,
    questions: &Questions,
    within: Duration,
    cause: Cause,
) -> Result<Gathered, NotGathered> {
    let permitted = decide(app, &questions.all, cause).await?;
    if !has_compulsory(app, questions, &permitted) {
        close_all(app, &permitted);
        return Err(NotGathered::Denied);
    }
    let all = permitted.len() == questions.all.len();
    let partly = !all || permitted.iter().any(|one| !one.recorded.permit().withheld().is_empty());
    let (snapshot, global, now) = match look_up(app, &permitted).await {
        Ok(found) => found,
        Err(error) => {
            close_all(app, &permitted);
            return Err(error);
        }
    };
    let party = questions.all.first().and_then(|question| question.request.receiver.party());
    let code = party.and_then(|id| global.text.party_code(id));
    let Some(pairwise) = code.and_then(|code| snapshot.pairwise_at(code)) else {
        close_all(app, &permitted);
        return Err(NotGathered::Denied);
    };
    let about = About { patient: &pairwise.id.text(), birth: snapshot.records.birth, base: &app.config.server.url };
    let answered = ask(app, permitted, within, &snapshot, &global, pairwise).await;
    Ok(put_together(&about, answered, now, partly))
}

/// Whether there is anything at all, and everything without which nothing goes.
pub(crate) fn covers_compulsory(app: &App, purpose: PurposeCode, wanted: &[(Arc<Route>, Categories)]) -> bool {
    let asked_for = |code: &String| wanted.iter().any(|(_, all)| all.as_slice().iter().any(|v| is(*v, code)));
    !wanted.is_empty() && compulsory(app, purpose).iter().all(asked_for)
}

/// What nobody gets a summary for this purpose without.
fn compulsory(app: &App, purpose: PurposeCode) -> &[String] {
    app.config.texts.get(purpose.0.as_str()).map_or(&[], |text| &text.compulsory)
}

fn is(version: CategoryVersion, code: &str) -> bool {
    version.code.0.as_str() == code
}

/// Decides and records all of them; gives those that are permitted.
async fn decide<'a>(app: &App, questions: &'a [Question], cause: Cause) -> Result<Vec<Permitted<'a>>, NotGathered> {
    let began = Instant::now();
    let decided = questions.iter().map(|question| async move {
        (question, app.store.decide_and_record(&question.request, &question.route.name, cause).await)
    });
    let rulings = join_all(decided).await;
    app.metrics.decision.observe(began.elapsed().as_secs_f64());
    let (mut permitted, mut failed) = (Vec::new(), None);
    for (question, ruling) in rulings {
        match ruling {
            Ok(Ruling::Permitted(recorded)) => permitted.push(Permitted { question, recorded }),
            Ok(Ruling::Denied(_)) => {}
            Err(error) => failed = Some(error),
        }
    }
    if let Some(error) = failed {
        close_all(app, &permitted);
        return Err(NotGathered::Store(error));
    }
    Ok(permitted)
}

fn has_compulsory(app: &App, questions: &Questions, permitted: &[Permitted<'_>]) -> bool {
    let kept = |code: &str| {
        permitted.iter().any(|one| one.recorded.permit().kept().iter().any(|kept| is(kept.category, code)))
    };
    let all = compulsory(app, questions.purpose).iter().all(|code| kept(code));
    !permitted.is_empty() && (all || sabotage::off(Check::Compulsory))
}

/// The records of whom it is about, the registry, and the time that the document bears.
async fn look_up(
    app: &App,
    permitted: &[Permitted<'_>],
) -> Result<(Arc<Subject>, Arc<Global>, Timestamp), NotGathered> {
    let Some(first) = permitted.first() else { return Err(NotGathered::Denied) };
    let snapshot = app.store.snapshot(first.recorded.request().subject).await?;
    let global = app.store.registry().await?;
    let now = app.store.clock().now().map_err(StoreError::from)?;
    Ok((snapshot.subject, global, now))
}

/// Nothing of what was permitted goes anywhere.
fn close_all(app: &App, permitted: &[Permitted<'_>]) {
    permitted.iter().for_each(|one| close_unsent(app, &one.recorded));
}

/// Asks all of them at once. Those that hold nothing are closed, and not told of.
async fn ask<'a>(
    app: &App,
    permitted: Vec<Permitted<'a>>,
    within: Duration,
    subject: &Subject,
    global: &'a Global,
    pairwise: &Pairwise,
) -> Vec<Answered<'a>> {
    let began = Instant::now();
    let asked = permitted.into_iter().map(|permitted| async {
        let source = &permitted.question.route.source;
        let (Some(id), Some(party)) = (subject.id_at(&source.code), global.text.party(&source.code)) else {
            close_unsent(app, &permitted.recorded);
            return None;
        };
        let came = timeout(within, one(app, &permitted, global, pairwise, id)).await;
        let (came, withheld) = came.unwrap_or_else(|_| {
            tracing::warn!(source = source.code, "a source took longer than a summary gives it");
            (Came::Missing, 0)
        });
        if matches!(came, Came::Nothing) {
            close_unsent(app, &permitted.recorded);
            return None;
        }
        let id_at_source = id.to_owned();
        Some(Answered { permitted, party, id_at_source, came, withheld })
    });
    let answered = join_all(asked).await.into_iter().flatten().collect();
    app.metrics.source.observe(began.elapsed().as_secs_f64());
    answered
}

/// Asks one of them: what came, and how much of it was withheld.
async fn one(app: &App, permitted: &Permitted<'_>, global: &Global, pairwise: &Pairwise, id: &str) -> (Came, u32) {
    let Permitted { question, recorded } = permitted;
    let source = question.route.source.code.as_str();
    let base = &app.config.server.url;
    let narrowing = Narrowing::new(recorded.permit(), &global.text, pairwise, (source, id), base);
    let request = question.request.clone();
    let asked = classify::Asked {
        route: &question.route,
        request,
        named: String::new(),
        query: Vec::new(),
        page: Page::default(),
    };
    match app.sources.fetch(recorded, &asked, &narrowing, &app.store, &app.sign_ins).await {
        Fetched::Narrowed { narrowed, unmapped, incomplete } => {
            let Narrowed { json, items, dropped, .. } = narrowed;
            if dropped.total() > 0 {
                tracing::info!(?dropped, source, "not everything the source gave may pass");
            }
            // Nobody chose that these don't pass: a doctor must not take them for not being there.
            let lost = dropped.malformed + dropped.leaking + dropped.my_number;
            let incomplete = incomplete || lost.saturating_add(unmapped) > 0;
            let withheld = dropped.total().saturating_add(unmapped);
            if json.len() > PART_BYTES_MAX {
                tracing::warn!(source, bytes = json.len(), "a source holds more than fits into a summary");
                return (Came::Missing, withheld);
            }
            let nothing = items == 0 && !incomplete;
            (if nothing { Came::Nothing } else { Came::Items { json, incomplete } }, withheld)
        }
        Fetched::NoData | Fetched::NotSupported => (Came::Nothing, 0),
        Fetched::MustSignIn(_) => {
            tracing::info!(source, "a source that wants the person to sign in can't be asked for a summary");
            (Came::Missing, 0)
        }
        Fetched::NotReady(_) => (Came::Missing, 0),
        Fetched::Failed(why) => {
            tracing::warn!(source, why, "no usable answer from a source");
            (Came::Missing, 0)
        }
    }
}

fn put_together(about: &About<'_>, answered: Vec<Answered<'_>>, now: Timestamp, partly: bool) -> Gathered {
    let contributions: Vec<Contribution<'_>> =
        answered.iter().map(|one| Contribution { party: one.party, came: &one.came }).collect();
    let document = aside(answered.iter().map(Answered::bytes).sum(), || compose(about, &contributions, now));
    drop(contributions);
    let digest = document.as_ref().map(|document| sha256(&document.json)).unwrap_or_default();
    let (mut parts, mut routes, mut links) = (Vec::new(), Vec::new(), Vec::new());
    for (at, one) in answered.into_iter().enumerate() {
        let Answered { permitted: Permitted { question, recorded }, id_at_source, withheld, .. } = one;
        let items = document.as_ref().ok().and_then(|document| document.items.get(at).copied()).unwrap_or(0);
        parts.push(Part { recorded, contents: Contents { items, withheld, digest } });
        routes.push(Arc::clone(&question.route));
        links.push((question.route.source.clone(), id_at_source));
    }
    Gathered { document, parts, routes, links, partly }
}
