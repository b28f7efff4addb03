//! What a party may see of what it proposes, before anybody has agreed: items that it holds a permit for itself, at that moment,
//! and that the proposal covers as well. Each source is a decision of its own with the party as the receiver; what comes is
//! one release to it, cut by whatever cuts a release.
//!
//! It never looks at what the person's records say about the recipient: a refusal, a block or another consent would show.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use sekisho_policy::{AccessRequest, Categories, CategoryVersion, Permit, PersonId, Receiver, Timestamp};

use super::admission::Admission;
use super::authenticate::{Caller, KnownParty};
use super::classify::{self, Asked};
use super::connection::Connection;
use super::fetch::Fetched;
use super::narrow::{Narrowed, Narrowing};
use super::paging::Page;
use super::releases::{Contents, Handle, Part};
use super::respond::Reply;
use super::{bounded, close_unsent, count_denial, last_look, scope};
use crate::app::App;
use crate::config::{Form, Route, RouteSource};
use crate::consent::foreseen;
use crate::ledger::entry::Cause;
use crate::ledger::event::Terms;
use crate::ledger::merkle::sha256;
use crate::sabotage::{self, Check};
use crate::store::state::Global;
use crate::store::{Recorded, Ruling, StoreError};

/// Routes that are looked at, at most.
const ROUTES_MAX: usize = 100;

/// What a party wants to see.
pub(crate) struct Sought<'a> {
    /// What it proposes.
    pub terms: &'a Terms,
    /// About whom: the party's own id.
    pub patient: &'a str,
    /// Our URL for it.
    pub link: &'a str,
}

/// What is shown.
pub(crate) struct Shown {
    /// A searchset.
    pub body: Bytes,
    /// The release that it is; none where nothing was permitted.
    pub release: Option<Arc<Handle>>,
}

/// Why nothing is shown. Everything is closed then.
pub(crate) enum NotShown {
    /// The party has asked too often in vain.
    TooMany,
    /// The store can't tell or record, a source did not answer, or what it rests on ended meanwhile.
    NotNow,
}

impl From<StoreError> for NotShown {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a preview could not be decided about; nothing was released");
        Self::NotNow
    }
}

/// What the party could ask for itself at one source, for one purpose.
struct Way<'a> {
    /// By which of its routes.
    first: &'a Arc<Route>,
    others: Vec<&'a Arc<Route>>,
    request: AccessRequest,
    /// What the proposal would give of this source.
    proposed: Permit,
}

/// One that is permitted.
struct Held<'a> {
    way: &'a Way<'a>,
    recorded: Box<Recorded>,
    id_at_source: String,
}

/// What a release rests on.
#[derive(Default)]
struct Rests {
    parts: Vec<Part>,
    routes: Vec<Arc<Route>>,
    links: Vec<(RouteSource, String)>,
}

/// Decides and records for the party, asks the sources, and registers what comes as a release to it.
pub(crate) async fn show(
    app: &Arc<App>,
    connection: &Arc<Connection>,
    (caller, party): (&Caller, &KnownParty),
    sought: &Sought<'_>,
) -> Result<Shown, NotShown> {
    bounded(app, Some(party.id)).map_err(|_| NotShown::TooMany)?;
    let subject = classify::subject(app, party.id, &caller.claims, sought.patient)?;
    let global = app.store.registry().await?;
    let now = app.store.clock().now().map_err(StoreError::from)?;
    let ways = ways(app, &global, (caller, party), subject, sought.terms, now);
    let held = decide(app, &ways, party).await?;
    if held.is_empty() {
        count_denial(app, Some(party.id));
        return Ok(Shown { body: body(&[], sought), release: None });
    }
    let narrowed = match ask(app, &global, party, &held).await {
        Ok(narrowed) => narrowed,
        Err(error) => {
            held.iter().for_each(|one| close_unsent(app, &one.recorded));
            return Err(error);
        }
    };
    let body = body(&narrowed, sought);
    let digest = sha256(&body);
    let mut rests = Rests::default();
    for (one, narrowed) in held.into_iter().zip(&narrowed) {
        let contents = Contents { items: narrowed.items, withheld: narrowed.dropped.total(), digest };
        rests.links.push((one.way.first.source.clone(), one.id_at_source));
        rests.routes.extend(std::iter::once(one.way.first).chain(one.way.others.iter().copied()).map(Arc::clone));
        rests.parts.push(Part { recorded: one.recorded, contents });
    }
    release(app, connection, caller, rests, body).await
}

/// What the party could ask for itself of those sources of which the recipient would be told, and of no other: one question for each
/// source and purpose, as if by one route.
fn ways<'a>(
    app: &'a App,
    global: &Global,
    (caller, party): (&Caller, &KnownParty),
    subject: PersonId,
    terms: &Terms,
    now: Timestamp,
) -> Vec<Way<'a>> {
    let receiver = Receiver::Party { party: party.id, actor: caller.actor_for(subject) };
    let mut ways: Vec<Way<'a>> = Vec::new();
    for route in app.config.routes.iter().take(ROUTES_MAX) {
        let Some(purpose) = classify::purpose(&route.purpose, caller) else { continue };
        let Some(proposed) = proposed(app, global, subject, terms, &route.source, now) else { continue };
        let kind = global.text.party(&party.code).map_or("", |known| known.kind.as_str());
        let receives = global.text.purpose(purpose.0.as_str()).is_some_and(|p| p.receivers.iter().any(|r| r == kind));
        let wanted = |version: &&CategoryVersion| {
            let in_both = proposed.kept().iter().any(|kept| kept.category == **version);
            receives && in_both && granted(app, caller, route, **version)
        };
        let versions: Vec<CategoryVersion> = route.categories.as_slice().iter().filter(wanted).copied().collect();
        if versions.is_empty() {
            continue;
        }
        let source = route.source.party;
        let known = ways.iter_mut().find(|way| way.request.source == source && way.request.purpose == purpose);
        if let Some(way) = known {
            let all = way.request.categories.as_slice().iter().copied().chain(versions);
            if let Some(categories) = Categories::new(all) {
                way.request.categories = categories;
                way.others.push(route);
            }
        } else if let Some(categories) = Categories::new(versions) {
            let request = AccessRequest { subject, receiver, source, purpose, categories };
            ways.push(Way { first: route, others: Vec::new(), request, proposed });
        }
    }
    ways
}

/// What the terms would give the recipient of a source, by any of its routes.
fn proposed(
    app: &App,
    global: &Global,
    subject: PersonId,
    terms: &Terms,
    source: &RouteSource,
    now: Timestamp,
) -> Option<Permit> {
    let leads =
        |route: &&Arc<Route>| route.source.party == source.party && foreseen::purpose(route, &terms.purpose).is_some();
    let all = app.config.routes.iter().filter(leads).flat_map(|route| route.categories.as_slice());
    let mut versions: Vec<CategoryVersion> =
        all.filter(|version| terms.categories.contains(&version.to_string())).copied().collect();
    versions.sort_unstable();
    versions.dedup();
    foreseen::by_terms(subject, global, terms, (source.party, Categories::new(versions)?), now)
}

/// Whether the token grants a category on a route, as it must where the route itself is asked.
fn granted(app: &App, caller: &Caller, route: &Route, version: CategoryVersion) -> bool {
    if route.form != Form::Part {
        return caller.claims.has_scope(&route.scope);
    }
    let covers = app.config.registry.category(version).map_or(&[][..], |category| &category.covers);
    covers.iter().all(|coverage| scope::grants(&caller.claims.scope, &coverage.resource, "r"))
}

/// Decides and records each; gives those that are permitted and lead to somebody.
async fn decide<'a>(app: &App, ways: &'a [Way<'a>], party: &KnownParty) -> Result<Vec<Held<'a>>, NotShown> {
    let cause = Cause::party(party.id);
    let decided = ways
        .iter()
        .map(|way| async move { (way, app.store.decide_and_record(&way.request, &way.first.name, cause).await) });
    let (mut held, mut failed) = (Vec::new(), None);
    for (way, ruling) in join_all(decided).await {
        match ruling {
            Ok(Ruling::Permitted(recorded)) => held.push(Held { way, recorded, id_at_source: String::new() }),
            Ok(Ruling::Denied(_)) => {}
            Err(error) => failed = Some(error),
        }
    }
    let linked = match (failed, held.first()) {
        (None, None) => return Ok(held),
        (None, Some(first)) => app.store.snapshot(first.way.request.subject).await,
        (Some(error), _) => Err(error),
    };
    let snapshot = match linked {
        Ok(snapshot) => snapshot,
        Err(error) => {
            held.iter().for_each(|one| close_unsent(app, &one.recorded));
            return Err(error.into());
        }
    };
    held.retain_mut(|one| {
        let id = snapshot.subject.id_at(&one.way.first.source.code);
        one.id_at_source = id.unwrap_or_default().to_owned();
        if id.is_none() {
            close_unsent(app, &one.recorded);
        }
        id.is_some()
    });
    Ok(held)
}

/// Asks all of them at once, and narrows by both: what the party holds, and what it proposes.
async fn ask(app: &App, global: &Global, party: &KnownParty, held: &[Held<'_>]) -> Result<Vec<Narrowed>, NotShown> {
    let Some(first) = held.first() else { return Ok(Vec::new()) };
    let snapshot = app.store.snapshot(first.way.request.subject).await?;
    let pairwise = snapshot.subject.pairwise_at(&party.code).ok_or(NotShown::NotNow)?;
    let asked = held.iter().map(|one| async {
        let (way, permit) = (one.way, one.recorded.permit());
        let (by, also) = match (sabotage::off(Check::PreviewHeld), sabotage::off(Check::PreviewProposed)) {
            (true, _) => (&way.proposed, &way.proposed),
            (_, true) => (permit, permit),
            _ => (permit, &way.proposed),
        };
        let at_source = (way.first.source.code.as_str(), one.id_at_source.as_str());
        let narrowing = Narrowing::new(by, &global.text, pairwise, at_source, &app.config.server.url).and(also);
        // All that the source holds of it, however the route itself would ask.
        let route = Arc::new(Route { form: Form::Part, ..Route::clone(way.first) });
        let (request, page) = (way.request.clone(), Page::default());
        let asked = Asked { route: &route, request, named: String::new(), query: Vec::new(), page };
        match app.sources.fetch(&one.recorded, &asked, &narrowing, &app.store, &app.sign_ins).await {
            Fetched::Narrowed { incomplete: true, .. } | Fetched::NotReady(_) => Err(NotShown::NotNow),
            Fetched::Narrowed { narrowed, .. } => Ok(narrowed),
            // A sign-in of the person's is not to be had here.
            Fetched::NoData | Fetched::NotSupported | Fetched::MustSignIn(_) => Ok(Narrowed::default()),
            Fetched::Failed(why) => {
                tracing::warn!(source = at_source.0, why, "no usable answer from a source for a preview");
                Err(NotShown::NotNow)
            }
        }
    });
    join_all(asked).await.into_iter().collect()
}

/// A searchset of them. What two ways lead to is one item.
fn body(narrowed: &[Narrowed], sought: &Sought<'_>) -> Bytes {
    let all = narrowed.iter().flat_map(|one| (0..one.items).map(|at| one.entries(at, at + 1)));
    let mut known = HashSet::new();
    let entries: Vec<&[u8]> = all.filter(|entry| known.insert(*entry)).collect();
    let total = u32::try_from(entries.len()).unwrap_or(u32::MAX);
    Reply::searchset(&entries.join(&b','), total, sought.link, None).body
}

/// Registers the release, and looks at everything once more.
async fn release(
    app: &Arc<App>,
    connection: &Arc<Connection>,
    caller: &Caller,
    Rests { parts, routes, links }: Rests,
    body: Bytes,
) -> Result<Shown, NotShown> {
    let (mut parts, mut routes) = (parts.into_iter(), routes.into_iter());
    let (Some(first), Some(first_route)) = (parts.next(), routes.next()) else { return Err(NotShown::NotNow) };
    let admission = Admission::new(app, caller, &first_route).and(routes.collect());
    let handle = app.releases.register(first, parts.collect(), admission, connection);
    let links: Vec<(&RouteSource, &str)> = links.iter().map(|(source, id)| (source, id.as_str())).collect();
    match last_look(app, &handle, Some(caller), &links).await {
        Ok(true) => Ok(Shown { body, release: Some(handle) }),
        Ok(false) | Err(_) => {
            handle.nothing_sent();
            Err(NotShown::NotNow)
        }
    }
}
