//! The request path: authenticate → classify → decide and record → fetch → narrow → release → close (design §3).
//!
//! [`handle`] calls the steps in order; reading it is reading the life of a request. The compiler keeps the order: what
//! fetches takes the [`Recorded`] that only the store's `decide_and_record` makes.

pub mod admission;
pub mod authenticate;
pub mod body;
pub mod bounds;
pub mod classify;
pub mod connection;
pub mod cors;
pub mod cut;
pub mod dpop;
pub mod fetch;
mod frames;
pub(crate) mod gather;
pub(crate) mod held;
mod http2;
pub mod incoming;
pub mod issuer;
pub(crate) mod json;
pub mod logout;
pub mod narrow;
pub mod paging;
pub mod portal;
pub mod precedence;
mod prepared;
pub mod releases;
pub(crate) mod respond;
pub mod scope;
pub mod server;
pub(crate) mod socket;
mod summary;
mod to_the_end;
pub mod token;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use sekisho_policy::{AccessRequest, PartyId};

use crate::app::App;
use crate::config::{Form, RouteSource};
use crate::ledger::entry::{Bytes16, Cause};
use crate::ledger::event::{Closed, Outcome};
use crate::metrics::Ended;
use crate::sabotage::{self, Check};
use crate::store::{Recorded, Ruling, StoreError};
use admission::Admission;
use authenticate::{AuthError, Caller, Showing, authenticate};
use body::ReplyBody;
use classify::{Asked, Unclassified, classify};
use connection::Connection;
use fetch::Fetched;
use incoming::RequestBody;
use narrow::Narrowing;
use paging::NoPage;
use prepared::Prepared;
use releases::{Handle, Part};
use respond::Reply;

/// One request for data, from accept to release.
pub async fn handle(
    app: &Arc<App>,
    connection: &Arc<Connection>,
    request: &Request<RequestBody>,
) -> Response<ReplyBody> {
    let (began, mut noted) = (Instant::now(), Noted::default());
    let answered = steps(app, connection, request, &mut noted).await;
    app.metrics.ended(noted.route, noted.ended, began.elapsed());
    answered.unwrap_or_else(|reply| reply.plain())
}

/// What is counted of a request.
#[derive(Default)]
struct Noted<'a> {
    route: Option<&'a str>,
    ended: Ended,
}

async fn steps<'a>(
    app: &'a Arc<App>,
    connection: &Arc<Connection>,
    request: &Request<RequestBody>,
    noted: &mut Noted<'a>,
) -> Result<Response<ReplyBody>, Reply> {
    let (path, query) = (request.uri().path(), request.uri().query());
    let showing = Showing { method: request.method(), path, headers: request.headers() };
    let caller = authenticate(app, connection, showing).await;
    let caller = caller.map_err(|error| unauthenticated(error, showing.is_by_key(), noted))?;
    let asked = classify(app, request.method(), path, query, &caller);
    // No route has a summary's path: routes, asked for far more often, are looked through once.
    if matches!(asked, Err(Unclassified::NoRoute))
        && let Some((summary, named)) = summary::find(&app.config.summaries, path)
    {
        noted.route = Some(&summary.name);
        let asked = summary::Asked { method: request.method(), summary, named: &named, query };
        return Box::pin(summary::steps(app, connection, &caller, &asked, &mut noted.ended)).await;
    }
    let asked = asked.map_err(|error| unclassified(error, &mut noted.ended))?;
    noted.route = Some(&asked.route.name);
    let cause = caller.party.as_ref().map_or(Cause::Person, |party| Cause::party(party.id));
    if sabotage::off(Check::AskBeforeDecision) {
        Box::pin(ask_unrecorded(app, &asked)).await;
    }
    let party = caller.party.as_ref().map(|party| party.id);
    bounded(app, party)?;
    let began = Instant::now();
    let ruling = app.store.decide_and_record(&asked.request, &asked.route.name, cause).await;
    app.metrics.decision.observe(began.elapsed().as_secs_f64());
    let recorded = match ruling {
        Ok(Ruling::Permitted(recorded)) => recorded,
        Ok(Ruling::Denied(denial)) => {
            noted.ended = Ended::Denied;
            count_denial(app, party);
            return Err(denied(app, &asked, &denial));
        }
        Err(error) => {
            tracing::error!(%error, "a decision could not be recorded; nothing was released");
            return Err(Reply::not_now(5));
        }
    };
    let narrowed = fetch_and_narrow(app, &recorded, &asked, noted).await?;
    let permitted = permitted(&recorded);
    // If the last look says no, it is a denial.
    noted.ended = Ended::Denied;
    let prepared = narrowed.unless_held(request.headers());
    let response = release(app, connection, recorded, &asked, &caller, prepared).await?;
    noted.ended = permitted;
    Ok(response)
}

/// A party that has caused too many denials in this second has to wait.
fn bounded(app: &App, party: Option<PartyId>) -> Result<(), Reply> {
    let spent = |party| app.store.clock().now().is_ok_and(|now| app.denials.spent(party, now));
    if party.is_some_and(spent) && !sabotage::off(Check::DenialsBound) {
        return Err(Reply::too_many());
    }
    Ok(())
}

fn count_denial(app: &App, party: Option<PartyId>) {
    if let (Some(party), Ok(now)) = (party, app.store.clock().now()) {
        app.denials.count(party, now);
    }
}

fn permitted(recorded: &Recorded) -> Ended {
    if recorded.permit().withheld().is_empty() { Ended::Permitted } else { Ended::Partly }
}

fn unauthenticated(error: AuthError, by_key: bool, noted: &mut Noted<'_>) -> Reply {
    tracing::info!(%error, "not authenticated");
    match error {
        AuthError::Store(_) => Reply::not_now(5),
        AuthError::Token(token::TokenError::KeysUnavailable) => Reply::not_now(5),
        AuthError::TooManyProofs => Reply::not_now(5),
        AuthError::Token(_) | AuthError::Certificate(_) | AuthError::Proof(_) => {
            noted.ended = Ended::Unauthenticated;
            Reply::unauthenticated(by_key)
        }
    }
}

fn unclassified(error: Unclassified, ended: &mut Ended) -> Reply {
    tracing::info!(%error, "not a question");
    if !matches!(error, Unclassified::Store(_)) {
        *ended = Ended::NotAQuestion;
    }
    match error {
        Unclassified::NoRoute | Unclassified::NotAParty => Reply::not_found(),
        Unclassified::Scope(_) => Reply::scope(),
        Unclassified::Store(_) => Reply::not_now(5),
    }
}

/// The one shape of a denial, by route: it depends on nothing but what the caller itself sent (invariant 5).
fn denied(app: &App, asked: &Asked<'_>, denial: &sekisho_policy::Denial) -> Reply {
    let forbidden = || denial.withheld().iter().any(|w| matches!(w.why, sekisho_policy::Reason::ForbiddenBy(_)));
    if sabotage::off(Check::UniformDenial) && forbidden() {
        return Reply::scope();
    }
    if sabotage::off(Check::DenialTime) && forbidden() {
        std::thread::sleep(Duration::from_micros(200));
    }
    nothing(app, asked)
}

fn nothing(app: &App, asked: &Asked<'_>) -> Reply {
    match asked.route.form {
        Form::Searchset => Reply::searchset(&[], 0, &self_link(app, asked), None),
        Form::Read | Form::Part => Reply::not_found(),
    }
}

/// Our own URL for what was asked.
fn self_link(app: &App, asked: &Asked<'_>) -> String {
    link(app, asked, asked.page.sent())
}

/// Our own URL for the next page of it.
fn next_link(app: &App, asked: &Asked<'_>, place: &str) -> String {
    let count = asked.page.count().map(|count| count.to_string()).unwrap_or_default();
    link(app, asked, [("_count", count.as_str()), ("_page", place)].into_iter())
}

fn link<'a>(app: &App, asked: &'a Asked<'_>, page: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut url = app.config.server.url.clone();
    for segment in &asked.route.segments {
        url.push('/');
        url.push_str(segment.as_deref().unwrap_or(&asked.named));
    }
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    if let crate::config::SubjectIn::Query(name) = &asked.route.subject {
        pairs.push((name, &asked.named));
    }
    pairs.extend(asked.query.iter().map(|(n, v)| (n.as_str(), v.as_str())));
    pairs.extend(page);
    for (at, (name, value)) in pairs.into_iter().enumerate() {
        url.push(if at == 0 { '?' } else { '&' });
        url.push_str(name);
        url.push('=');
        url.push_str(value);
    }
    url
}

/// The negative control of "no source is asked before the decision": what a build that fetches early would do.
async fn ask_unrecorded(app: &App, asked: &Asked<'_>) -> Option<()> {
    let source = app.config.sources.iter().find(|s| s.party == asked.route.source.party)?;
    let http = app.http_of(source)?;
    let request = Request::get(format!("{}{}", source.url, asked.route.source.path)).body(Bytes::new()).ok()?;
    http.send(request).await.ok().map(|_| ())
}

async fn fetch_and_narrow(
    app: &App,
    recorded: &Recorded,
    asked: &Asked<'_>,
    noted: &mut Noted<'_>,
) -> Result<Prepared, Reply> {
    let not_sent = |reply: Reply| {
        close_unsent(app, recorded);
        reply
    };
    let snapshot = app.store.snapshot(recorded.request().subject).await.map_err(|_| not_sent(Reply::not_now(5)))?;
    let global = app.store.registry().await.map_err(|_| not_sent(Reply::not_now(5)))?;
    let party = recorded.request().receiver.party().and_then(|id| global.text.party_code(id));
    let pairwise = party.and_then(|code| snapshot.subject.pairwise_at(code));
    let id_at_source = snapshot.subject.id_at(&asked.route.source.code);
    let (Some(pairwise), Some(id_at_source)) = (pairwise, id_at_source) else {
        noted.ended = permitted(recorded);
        return Err(not_sent(nothing(app, asked)));
    };
    let at_source = (asked.route.source.code.as_str(), id_at_source);
    let narrowing = Narrowing::new(recorded.permit(), &global.text, pairwise, at_source, &app.config.server.url);
    let began = Instant::now();
    let fetched = app.sources.fetch(recorded, asked, &narrowing, &app.store, &app.sign_ins).await;
    app.metrics.source.observe(began.elapsed().as_secs_f64());
    noted.ended = match fetched {
        Fetched::Narrowed { .. } | Fetched::NoData => permitted(recorded),
        _ => Ended::Source,
    };
    // What a source says of its own state is about the person as well: it goes no further than the permit.
    let reply = match fetched {
        Fetched::Narrowed { narrowed, unmapped, .. } => {
            let dropped = narrowed.dropped;
            if dropped.total() > 0 {
                tracing::info!(?dropped, source = asked.route.source.code, "not everything the source gave may pass");
            }
            let withheld = dropped.total().saturating_add(unmapped);
            if narrowed.items == 0 && asked.route.form != Form::Searchset {
                return Err(not_sent(Reply::not_found()));
            }
            match Prepared::of(app, asked, pairwise, narrowed, withheld) {
                Ok((reply, contents)) => {
                    return Ok(Prepared { reply, contents, id_at_source: id_at_source.to_owned() });
                }
                Err(NoPage::Changed) => Reply::changed(),
                Err(NoPage::Store(error)) => return Err(not_sent(untold(&error))),
            }
        }
        Fetched::NoData => nothing(app, asked),
        Fetched::MustSignIn(url) => Reply::must_sign_in(&url),
        Fetched::NotReady(seconds) => Reply::source_slow(seconds),
        Fetched::NotSupported => Reply::not_supported(),
        Fetched::Failed(why) => {
            tracing::warn!(source = asked.route.source.code, why, "no usable answer from a source");
            Reply::source_failed()
        }
    };
    let (reply, ended) = match still_permitted(app, recorded).await {
        Ok(true) => (reply, noted.ended),
        Ok(false) => (nothing(app, asked), Ended::Denied),
        Err(reply) => (reply, Ended::Busy),
    };
    noted.ended = ended;
    Err(not_sent(reply))
}

async fn still_permitted(app: &App, recorded: &Recorded) -> Result<bool, Reply> {
    app.store.still_permitted(recorded.request(), recorded.permit()).await.map_err(|error| untold(&error))
}

/// A store that can't tell releases nothing. "No data" would be a wrong answer about somebody whose consent stands.
fn untold(error: &StoreError) -> Reply {
    tracing::error!(%error, "the last look at the records failed; nothing was released");
    Reply::not_now(5)
}

/// Whether the links that led here still hold: the subject's ids at the sources, and the caller's login.
async fn still_linked(
    app: &App,
    request: &AccessRequest,
    caller: Option<&Caller>,
    links: &[(&RouteSource, &str)],
) -> Result<bool, Reply> {
    let snapshot = app.store.snapshot(request.subject).await.map_err(|error| untold(&error))?;
    let counted = if sabotage::off(Check::LinksOfAll) { 1 } else { links.len() };
    let same_ids = links.iter().take(counted).all(|(source, id)| snapshot.subject.id_at(&source.code) == Some(*id));
    let same_login = match caller.and_then(|caller| Some((caller, caller.person?))) {
        Some((caller, person)) if person != app.store.nobody() => {
            let now = app.store.person_of_login(&caller.claims.iss, &caller.claims.sub).await;
            now.map_err(|error| untold(&error))? == Some(person)
        }
        _ => true,
    };
    Ok(same_ids && same_login)
}

/// Looks at everything once more, and says whether the body may be handed over; a delivery has no caller whose login could end. The handle was registered before: from
/// then on, whatever narrows finds this release; whatever narrowed before is seen here.
pub(crate) async fn last_look(
    app: &App,
    handle: &Arc<Handle>,
    caller: Option<&Caller>,
    links: &[(&RouteSource, &str)],
) -> Result<bool, Reply> {
    // A reload since then is seen here, or sees this release.
    let admitted = app.now().is_some_and(|now| handle.is_admitted_by(&now)) || sabotage::off(Check::AdmittedStill);
    let permitted = handle.still_permitted().await.map_err(|error| untold(&error))? && !handle.is_expired();
    let linked = still_linked(app, handle.request(), caller, links).await?;
    let (permitted, linked) =
        (permitted || sabotage::off(Check::DecideAgain), linked || sabotage::off(Check::StillLinked));
    let may = admitted && permitted && linked;
    if may {
        // What it rests on now may end sooner than what it was permitted by.
        app.releases.time(handle);
    }
    Ok(may)
}

/// Registers the release, looks at the records once more, and hands the body over.
async fn release(
    app: &Arc<App>,
    connection: &Arc<Connection>,
    recorded: Box<Recorded>,
    asked: &Asked<'_>,
    caller: &Caller,
    prepared: Prepared,
) -> Result<Response<ReplyBody>, Reply> {
    let part = Part { recorded, contents: prepared.contents };
    let admission = Admission::new(app, caller, asked.route);
    let handle = app.releases.register(part, Vec::new(), admission, connection);
    let refused = match last_look(app, &handle, Some(caller), &[(&asked.route.source, &prepared.id_at_source)]).await {
        Ok(true) => {
            let body = ReplyBody::release(prepared.reply.body.clone(), handle);
            return Ok(prepared.reply.into_response(body));
        }
        Ok(false) => nothing(app, asked),
        Err(reply) => reply,
    };
    handle.nothing_sent();
    Err(refused)
}

/// Nothing of what was permitted goes anywhere.
pub(crate) fn close_unsent(app: &App, recorded: &Recorded) {
    app.store.close(
        recorded.request().subject,
        Closed {
            decision: Bytes16(*recorded.decision().bytes()),
            outcome: Outcome::NothingSent,
            items: 0,
            withheld: 0,
            bytes: 0,
            digest: None,
        },
    );
}
