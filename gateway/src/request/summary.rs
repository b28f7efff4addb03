//! `$summary`: one document from several sources (`[[summary]]`). Each source is decided about, recorded and narrowed by itself;
//! what may pass is put together by [`crate::summary`], and is one release: whatever ends one of its permits cuts it all.
//!
//! A source that is not permitted is not asked, and looks like one that holds nothing. One that is permitted and can't be
//! asked is said to be missing.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;
use http::{Method, Response};
use sekisho_policy::{AccessRequest, Categories, CategoryVersion, PurposeCode, Receiver, Timestamp};
use tokio::time::timeout;

use super::authenticate::Caller;
use super::body::ReplyBody;
use super::classify::{self, Unclassified, matched, segments};
use super::connection::Connection;
use super::fetch::{Fetched, aside};
use super::narrow::{Narrowed, Narrowing};
use super::paging::Page;
use super::releases::{Contents, Part};
use super::respond::Reply;
use super::{Admission, bounded, close_unsent, count_denial, last_look, scope, unclassified, untold};
use crate::app::App;
use crate::config::{Route, RouteSource, Summary};
use crate::ledger::entry::Cause;
use crate::ledger::merkle::sha256;
use crate::metrics::Ended;
use crate::sabotage::{self, Check};
use crate::store::registry::PartyText;
use crate::store::state::{Global, Pairwise, Subject};
use crate::store::{Recorded, Ruling};
use crate::summary::{About, Came, Contribution, NoIdentity, compose};

/// What one source may bring into a summary. More than this is no summary any more, and the source is said to be missing.
const PART_BYTES_MAX: usize = 8 << 20;

/// A request for a summary.
pub(super) struct Asked<'a> {
    pub method: &'a Method,
    pub summary: &'a Arc<Summary>,
    /// The id by which the caller named the subject.
    pub named: &'a str,
    pub query: Option<&'a str>,
}

/// A source, and what is decided about it.
struct Question<'a> {
    route: &'a Arc<Route>,
    request: AccessRequest,
}

/// A source that may be asked.
struct Permitted<'a> {
    question: &'a Question<'a>,
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

/// The summary with this path, and what stands at `{patient}`.
pub(super) fn find<'a>(summaries: &'a [Arc<Summary>], path: &str) -> Option<(&'a Arc<Summary>, String)> {
    let segments = segments(path)?;
    summaries.iter().find_map(|summary| Some((summary, matched(&summary.segments, &segments)??)))
}

pub(super) async fn steps(
    app: &Arc<App>,
    connection: &Arc<Connection>,
    caller: &Caller,
    asked: &Asked<'_>,
    ended: &mut Ended,
) -> Result<Response<ReplyBody>, Reply> {
    let questions = questions(app, caller, asked).map_err(|error| unclassified(error, ended))?;
    let party = caller.party.as_ref().map(|party| party.id);
    bounded(app, party)?;
    let cause = party.map_or(Cause::Person, Cause::party);
    let permitted = decide(app, &questions, cause).await?;
    if !has_compulsory(app, &questions, &permitted) {
        *ended = Ended::Denied;
        count_denial(app, party);
        close_all(app, &permitted);
        return Err(Reply::not_found());
    }
    *ended = if permitted.len() == questions.len() && permitted.iter().all(|one| nothing_withheld(&one.recorded)) {
        Ended::Permitted
    } else {
        Ended::Partly
    };
    let (snapshot, global, now) = match look_up(app, &permitted).await {
        Ok(found) => found,
        Err(reply) => {
            close_all(app, &permitted);
            return Err(reply);
        }
    };
    let code = party.and_then(|id| global.text.party_code(id));
    let Some(pairwise) = code.and_then(|code| snapshot.pairwise_at(code)) else {
        close_all(app, &permitted);
        return Err(Reply::not_found());
    };
    let about = About { patient: &pairwise.id.text(), birth: snapshot.records.birth, base: &app.config.server.url };
    let answered = ask(app, permitted, asked.summary, &snapshot, &global, pairwise).await;
    release(app, connection, caller, (&about, now), answered).await
}

/// One question for each source, about those categories whose types the token's scopes grant.
fn questions<'a>(app: &App, caller: &Caller, asked: &Asked<'a>) -> Result<Vec<Question<'a>>, Unclassified> {
    if asked.method != Method::GET || asked.query.is_some() {
        return Err(Unclassified::NoRoute);
    }
    let purpose = classify::purpose(&asked.summary.purpose, caller).ok_or(Unclassified::NoRoute)?;
    let granted = |version: &&CategoryVersion| {
        let covers = app.config.registry.category(**version).map_or(&[][..], |category| &category.covers);
        let by_scope = |resource: &str| scope::grants(&caller.claims.scope, resource, "r");
        covers.iter().all(|coverage| by_scope(&coverage.resource)) || sabotage::off(Check::TokenScope)
    };
    let by_source = |route: &'a Arc<Route>| {
        Some((route, Categories::new(route.categories.as_slice().iter().filter(granted).copied())?))
    };
    let granted: Vec<(&'a Arc<Route>, Categories)> = asked.summary.parts.iter().filter_map(by_source).collect();
    let asked_for = |code: &String| granted.iter().any(|(_, all)| all.as_slice().iter().any(|v| is(*v, code)));
    if granted.is_empty() || !compulsory(app, purpose).iter().all(asked_for) {
        return Err(Unclassified::Scope("of the types of a summary".to_owned()));
    }
    let party = caller.party.as_ref().ok_or(Unclassified::NotAParty)?;
    let subject = classify::subject(app, party.id, &caller.claims, asked.named)?;
    let receiver = Receiver::Party { party: party.id, actor: caller.actor_for(subject) };
    let question = |(route, categories): (&'a Arc<Route>, Categories)| Question {
        route,
        request: AccessRequest { subject, receiver, source: route.source.party, purpose, categories },
    };
    Ok(granted.into_iter().map(question).collect())
}

/// What nobody gets a summary for this purpose without.
fn compulsory(app: &App, purpose: PurposeCode) -> &[String] {
    app.config.texts.get(purpose.0.as_str()).map_or(&[], |text| &text.compulsory)
}

fn is(version: CategoryVersion, code: &str) -> bool {
    version.code.0.as_str() == code
}

/// Decides and records all of them; gives those that are permitted.
async fn decide<'a>(app: &App, questions: &'a [Question<'a>], cause: Cause) -> Result<Vec<Permitted<'a>>, Reply> {
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
        tracing::error!(%error, "a decision could not be recorded; nothing was released");
        close_all(app, &permitted);
        return Err(Reply::not_now(5));
    }
    Ok(permitted)
}

fn has_compulsory(app: &App, questions: &[Question<'_>], permitted: &[Permitted<'_>]) -> bool {
    let kept = |code: &str| {
        permitted.iter().any(|one| one.recorded.permit().kept().iter().any(|kept| is(kept.category, code)))
    };
    let purpose = questions.first().map(|question| question.request.purpose);
    let all = purpose.is_some_and(|purpose| compulsory(app, purpose).iter().all(|code| kept(code)));
    !permitted.is_empty() && (all || sabotage::off(Check::Compulsory))
}

fn nothing_withheld(recorded: &Recorded) -> bool {
    recorded.permit().withheld().is_empty()
}

/// The records of whom it is about, the registry, and the time that the document bears.
async fn look_up(app: &App, permitted: &[Permitted<'_>]) -> Result<(Arc<Subject>, Arc<Global>, Timestamp), Reply> {
    let Some(first) = permitted.first() else { return Err(Reply::not_found()) };
    let snapshot = app.store.snapshot(first.recorded.request().subject).await.map_err(|error| untold(&error))?;
    let global = app.store.registry().await.map_err(|error| untold(&error))?;
    let now = app.store.clock().now().map_err(|error| untold(&error.into()))?;
    Ok((snapshot.subject, global, now))
}

/// Nothing of what was permitted goes anywhere.
fn close_all(app: &App, permitted: &[Permitted<'_>]) {
    permitted.iter().for_each(|one| close_unsent(app, &one.recorded));
}

/// Asks all of them at once, for as long as the summary gives them. Those that hold nothing are closed, and not told of.
async fn ask<'a>(
    app: &App,
    permitted: Vec<Permitted<'a>>,
    summary: &Summary,
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
        let came = timeout(summary.within, one(app, &permitted, global, pairwise, id)).await;
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
        route: question.route,
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

/// Puts the document together, registers it, looks at everything once more, and hands it over.
async fn release(
    app: &Arc<App>,
    connection: &Arc<Connection>,
    caller: &Caller,
    (about, now): (&About<'_>, Timestamp),
    answered: Vec<Answered<'_>>,
) -> Result<Response<ReplyBody>, Reply> {
    let contributions: Vec<Contribution<'_>> =
        answered.iter().map(|one| Contribution { party: one.party, came: &one.came }).collect();
    let composed = aside(answered.iter().map(Answered::bytes).sum(), || compose(about, &contributions, now));
    drop(contributions);
    let digest = composed.as_ref().map(|document| sha256(&document.json)).unwrap_or_default();
    let counts: Vec<u32> = composed.as_ref().map(|document| document.items.clone()).unwrap_or_default();
    let (mut parts, mut routes, mut links) = (Vec::new(), Vec::new(), Vec::new());
    for (at, one) in answered.into_iter().enumerate() {
        let Answered { permitted: Permitted { question, recorded }, id_at_source, withheld, .. } = one;
        let items = counts.get(at).copied().unwrap_or(0);
        parts.push(Part { recorded, contents: Contents { items, withheld, digest } });
        routes.push(Arc::clone(question.route));
        links.push((&question.route.source, id_at_source));
    }
    if parts.is_empty() {
        return Err(Reply::not_found());
    }
    let (first, first_route) = (parts.remove(0), routes.remove(0));
    let admission = Admission::new(app, caller, &first_route).and(routes);
    let handle = app.releases.register(first, parts, admission, connection);
    let links: Vec<(&RouteSource, &str)> = links.iter().map(|(source, id)| (*source, id.as_str())).collect();
    let refused = match (last_look(app, &handle, caller, &links).await, composed) {
        (Ok(true), Ok(document)) => {
            let reply = Reply::ok(document.json.into());
            let body = ReplyBody::release(reply.body.clone(), handle);
            return Ok(reply.into_response(body));
        }
        (Ok(true), Err(NoIdentity { missing: true })) => Reply::source_slow(5),
        (Ok(true), Err(NoIdentity { missing: false })) => Reply::no_identity(),
        // Of several consents one ended while the sources were asked: asked again, there is a summary without it.
        (Ok(false), _) if handle.still_permitted_in_part().await => Reply::not_now(1),
        (Ok(false), _) => Reply::not_found(),
        (Err(reply), _) => reply,
    };
    handle.nothing_sent();
    Err(refused)
}
