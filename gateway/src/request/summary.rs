//! `$summary`: one document from several sources (`[[summary]]`), as an answer. `gather` decides, asks and puts together; what comes
//! is one release: whatever ends one of its permits cuts it all.

use std::sync::Arc;

use http::{Method, Response};
use sekisho_policy::{Categories, CategoryVersion, Receiver};

use super::authenticate::Caller;
use super::body::ReplyBody;
use super::classify::{self, Unclassified, matched, segments};
use super::connection::Connection;
use super::gather::{Gathered, NotGathered, Questions, covers_compulsory, gather};
use super::respond::Reply;
use super::{Admission, bounded, count_denial, last_look, scope, unclassified, untold};
use crate::app::App;
use crate::config::{Route, RouteSource, Summary};
use crate::ledger::entry::Cause;
use crate::metrics::Ended;
use crate::sabotage::{self, Check};
use crate::summary::NoIdentity;

/// A request for a summary.
pub(super) struct Asked<'a> {
    pub method: &'a Method,
    pub summary: &'a Arc<Summary>,
    /// The id by which the caller named the subject.
    pub named: &'a str,
    pub query: Option<&'a str>,
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
    let gathered = match gather(app, &questions, asked.summary.within, cause).await {
        Ok(gathered) => gathered,
        Err(NotGathered::Denied) => {
            *ended = Ended::Denied;
            count_denial(app, party);
            return Err(Reply::not_found());
        }
        Err(NotGathered::Store(error)) => return Err(untold(&error)),
    };
    *ended = if gathered.partly { Ended::Partly } else { Ended::Permitted };
    release(app, connection, caller, gathered).await
}

/// One question for each source, about those categories whose types the token's scopes grant.
fn questions(app: &App, caller: &Caller, asked: &Asked<'_>) -> Result<Questions, Unclassified> {
    if asked.method != Method::GET || asked.query.is_some() {
        return Err(Unclassified::NoRoute);
    }
    let purpose = classify::purpose(&asked.summary.purpose, caller).ok_or(Unclassified::NoRoute)?;
    let granted = |version: &&CategoryVersion| {
        let covers = app.config.registry.category(**version).map_or(&[][..], |category| &category.covers);
        let by_scope = |resource: &str| scope::grants(&caller.claims.scope, resource, "r");
        covers.iter().all(|coverage| by_scope(&coverage.resource)) || sabotage::off(Check::TokenScope)
    };
    let by_source = |route: &Arc<Route>| {
        let categories = Categories::new(route.categories.as_slice().iter().filter(granted).copied())?;
        Some((Arc::clone(route), categories))
    };
    let granted: Vec<(Arc<Route>, Categories)> = asked.summary.parts.iter().filter_map(by_source).collect();
    // What the token lacks is told before anything about who asks, or about whom.
    let lacks = || Unclassified::Scope("of the types of a summary".to_owned());
    if !covers_compulsory(app, purpose, &granted) {
        return Err(lacks());
    }
    let party = caller.party.as_ref().ok_or(Unclassified::NotAParty)?;
    let subject = classify::subject(app, party.id, &caller.claims, asked.named)?;
    let receiver = Receiver::Party { party: party.id, actor: caller.actor_for(subject) };
    Questions::new(app, purpose, granted, subject, receiver).ok_or_else(lacks)
}

/// Registers the release, looks at everything once more, and hands it over.
async fn release(
    app: &Arc<App>,
    connection: &Arc<Connection>,
    caller: &Caller,
    gathered: Gathered,
) -> Result<Response<ReplyBody>, Reply> {
    let Gathered { document, parts, routes, links, .. } = gathered;
    let (mut parts, mut routes) = (parts.into_iter(), routes.into_iter());
    let (Some(first), Some(first_route)) = (parts.next(), routes.next()) else { return Err(Reply::not_found()) };
    let admission = Admission::new(app, caller, &first_route).and(routes.collect());
    let handle = app.releases.register(first, parts.collect(), admission, connection);
    let links: Vec<(&RouteSource, &str)> = links.iter().map(|(source, id)| (source, id.as_str())).collect();
    let refused = match (last_look(app, &handle, Some(caller), &links).await, document) {
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
