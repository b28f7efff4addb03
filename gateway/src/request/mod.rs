//! The request path: authenticate → classify → decide and record → fetch → narrow → release → close (design §3).
//!
//! [`handle`] calls the steps in order; reading it is reading the life of a request. The compiler keeps the order: what
//! fetches takes the [`Recorded`] that only the store's `decide_and_record` makes.

pub mod authenticate;
pub mod body;
pub mod classify;
pub mod connection;
pub mod fetch;
mod json;
pub mod narrow;
pub mod portal;
pub mod releases;
mod respond;
pub mod server;
pub mod token;

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;

use crate::app::App;
use crate::ledger::entry::{Bytes16, Cause};
use crate::ledger::event::{Closed, Outcome};
use crate::ledger::merkle::sha256;
use crate::sabotage::{self, Check};
use crate::store::{Recorded, Ruling, StoreError};
use authenticate::{AuthError, Caller, authenticate};
use body::ReplyBody;
use classify::{Asked, Unclassified, classify};
use connection::Connection;
use fetch::Fetched;
use narrow::{Narrowed, Narrowing};
use releases::Contents;
use respond::Reply;

/// One request for data, from accept to release.
pub async fn handle(app: &App, connection: &Arc<Connection>, request: &Request<Incoming>) -> Response<ReplyBody> {
    match steps(app, connection, request).await {
        Ok(response) => response,
        Err(reply) => reply.plain(connection),
    }
}

async fn steps(
    app: &App,
    connection: &Arc<Connection>,
    request: &Request<Incoming>,
) -> Result<Response<ReplyBody>, Reply> {
    let caller = authenticate(app, connection, request.headers()).await.map_err(unauthenticated)?;
    let (path, query) = (request.uri().path(), request.uri().query());
    let asked = classify(app, request.method(), path, query, &caller).map_err(unclassified)?;
    let cause = caller.party.as_ref().map_or(Cause::Person, |party| Cause::party(party.id));
    if sabotage::off(Check::AskBeforeDecision) {
        Box::pin(ask_unrecorded(app, &asked)).await;
    }
    let ruling = app.store.decide_and_record(&asked.request, &asked.route.name, cause).await;
    let recorded = match ruling {
        Ok(Ruling::Permitted(recorded)) => recorded,
        Ok(Ruling::Denied(denial)) => return Err(denied(app, &asked, &denial)),
        Err(error) => {
            tracing::error!(%error, "a decision could not be recorded; nothing was released");
            return Err(Reply::not_now(5));
        }
    };
    let narrowed = fetch_and_narrow(app, &recorded, &asked).await?;
    release(app, connection, recorded, &asked, &caller, narrowed).await
}

fn unauthenticated(error: AuthError) -> Reply {
    tracing::info!(%error, "not authenticated");
    match error {
        AuthError::Store(_) => Reply::not_now(5),
        AuthError::Token(token::TokenError::KeysUnavailable) => Reply::not_now(5),
        AuthError::Token(_) | AuthError::Certificate(_) => Reply::unauthenticated(),
    }
}

fn unclassified(error: Unclassified) -> Reply {
    tracing::info!(%error, "not a question");
    match error {
        Unclassified::NoRoute | Unclassified::NotAParty => Reply::not_found(),
        Unclassified::Scope(_) => Reply::scope(),
        Unclassified::Store(_) => Reply::not_now(5),
    }
}

/// The one shape of a denial, by route: it depends on nothing but what the caller itself sent (invariant 5).
fn denied(app: &App, asked: &Asked<'_>, denial: &sekisho_policy::Denial) -> Reply {
    if sabotage::off(Check::UniformDenial)
        && denial.withheld().iter().any(|w| matches!(w.why, sekisho_policy::Reason::ForbiddenBy(_)))
    {
        return Reply::scope();
    }
    nothing(app, asked)
}

fn nothing(app: &App, asked: &Asked<'_>) -> Reply {
    if asked.route.read { Reply::not_found() } else { Reply::searchset(&[], 0, &self_link(app, asked)) }
}

/// Our own URL for what was asked.
fn self_link(app: &App, asked: &Asked<'_>) -> String {
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

async fn fetch_and_narrow(app: &App, recorded: &Recorded, asked: &Asked<'_>) -> Result<Prepared, Reply> {
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
        return Err(not_sent(nothing(app, asked)));
    };
    let narrowing = Narrowing::new(recorded.permit(), &global.text, pairwise, id_at_source, &app.config.server.url);
    let fetched = app.sources.fetch(recorded, asked, &narrowing, &app.store, &app.sign_ins).await;
    // What a source says of its own state is about the person as well: it goes no further than the permit.
    if !matches!(fetched, Fetched::Narrowed { .. }) {
        match still_permitted(app, recorded).await {
            Ok(true) => {}
            Ok(false) => return Err(not_sent(nothing(app, asked))),
            Err(reply) => return Err(not_sent(reply)),
        }
    }
    let (narrowed, unmapped) = match fetched {
        Fetched::Narrowed { narrowed, unmapped } => (narrowed, unmapped),
        Fetched::NoData => return Err(not_sent(nothing(app, asked))),
        Fetched::MustSignIn(url) => return Err(not_sent(Reply::must_sign_in(&url))),
        Fetched::NotReady(seconds) => return Err(not_sent(Reply::source_slow(seconds))),
        Fetched::NotSupported => return Err(not_sent(Reply::not_supported())),
        Fetched::Failed(why) => {
            tracing::warn!(source = asked.route.source.code, why, "no usable answer from a source");
            return Err(not_sent(Reply::source_failed()));
        }
    };
    let Narrowed { json, items, dropped } = narrowed;
    if dropped.total() > 0 {
        tracing::info!(?dropped, source = asked.route.source.code, "not everything the source gave may pass");
    }
    let withheld = dropped.total().saturating_add(unmapped);
    let reply = match (asked.route.read, items) {
        (false, _) => Reply::searchset(&json, items, &self_link(app, asked)),
        (true, 0) => return Err(not_sent(Reply::not_found())),
        (true, _) => Reply::ok(json.into()),
    };
    let contents = Contents { items, withheld, digest: sha256(&reply.body) };
    Ok(Prepared { reply, contents, id_at_source: id_at_source.to_owned() })
}

struct Prepared {
    reply: Reply,
    contents: Contents,
    id_at_source: String,
}

async fn still_permitted(app: &App, recorded: &Recorded) -> Result<bool, Reply> {
    app.store.still_permitted(recorded.request(), recorded.permit()).await.map_err(|error| untold(&error))
}

/// A store that can't tell releases nothing. "No data" would be a wrong answer about somebody whose consent stands.
fn untold(error: &StoreError) -> Reply {
    tracing::error!(%error, "the last look at the records failed; nothing was released");
    Reply::not_now(5)
}

/// Whether the links that led here still hold: the subject's id at the source, and the caller's login.
async fn still_linked(
    app: &App,
    recorded: &Recorded,
    asked: &Asked<'_>,
    caller: &Caller,
    id_at_source: &str,
) -> Result<bool, Reply> {
    let snapshot = app.store.snapshot(recorded.request().subject).await.map_err(|error| untold(&error))?;
    let same_id = snapshot.subject.id_at(&asked.route.source.code) == Some(id_at_source);
    let same_login = match caller.person {
        Some(person) if person != app.store.nobody() => {
            let now = app.store.person_of_login(&caller.claims.iss, &caller.claims.sub).await;
            now.map_err(|error| untold(&error))? == Some(person)
        }
        _ => true,
    };
    Ok(same_id && same_login)
}

/// Registers the release, looks at the records once more, and hands the body over. From the registration on, whatever
/// narrows finds this release; whatever narrowed before is seen by the last look.
async fn release(
    app: &App,
    connection: &Arc<Connection>,
    recorded: Box<Recorded>,
    asked: &Asked<'_>,
    caller: &Caller,
    prepared: Prepared,
) -> Result<Response<ReplyBody>, Reply> {
    let handle = app.releases.register(recorded, prepared.contents, connection);
    let recorded = handle.recorded();
    let last_look = async {
        let permitted = still_permitted(app, recorded).await? && !recorded.expired();
        let linked = still_linked(app, recorded, asked, caller, &prepared.id_at_source).await?;
        Ok((permitted || sabotage::off(Check::DecideAgain)) && (linked || sabotage::off(Check::StillLinked)))
    };
    match last_look.await {
        Ok(true) => {}
        Ok(false) => {
            handle.nothing_sent();
            return Err(nothing(app, asked));
        }
        Err(reply) => {
            handle.nothing_sent();
            return Err(reply);
        }
    }
    let body = ReplyBody::release(prepared.reply.body.clone(), handle);
    Ok(prepared.reply.into_response(body))
}

fn close_unsent(app: &App, recorded: &Recorded) {
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
