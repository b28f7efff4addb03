//! One delivery, tried once: everything is decided, recorded and fetched now, at the moment of sending, never when it was asked for.
//!
//! The recipient is reached before anything is decided: where nobody takes it, no source is asked. What is sent is a release like any
//! other, under the barrier; it is over once the recipient says that it has it.

use std::sync::Arc;

use http::{Request, StatusCode};
use sekisho_policy::{Actor, Categories, PurposeCode, Receiver, Timestamp};
use serde::Serialize;

use super::line::{Answered, Line, Recipient};
use super::{erase, last_time};
use crate::app::App;
use crate::config::{Route, RouteSource};
use crate::consent::people::{mint_pairwise, rfc3339};
use crate::consent::refused;
use crate::ids::{TextId, party_id};
use crate::ledger::entry::{Bytes16, Bytes32, Cause};
use crate::ledger::event::{Event, ForwardEnd, ForwardEnded};
use crate::ledger::merkle::{Hash, sha256};
use crate::request::admission::Admission;
use crate::request::body::ReplyBody;
use crate::request::gather::{Gathered, NotGathered, Questions, gather};
use crate::request::last_look;
use crate::request::releases::Handle;
use crate::sabotage::{self, Check};
use crate::store::embedded::vault::Waiting;
use crate::store::state::{Agreement, Forward, category_version};
use crate::store::{Dossier, Draft, StoreError};

/// What came of a try.
pub(super) enum Came {
    /// It waits no more.
    Over,
    /// To be tried again, after so long or when the back-off says.
    Again { after_ms: Option<i64> },
    /// Nobody takes anything there now.
    Unreachable,
}

pub(super) const LATER: Came = Came::Again { after_ms: None };

/// What goes with the document, in the order in which it is sent.
#[derive(Serialize)]
struct Data<'a> {
    /// The same each time that one delivery comes.
    forward: String,
    consent: String,
    purpose: &'a str,
    /// The recipient's own reference for the visit.
    #[serde(skip_serializing_if = "Option::is_none")]
    booking: Option<&'a str>,
    /// When the visit is, as far as is known now.
    #[serde(skip_serializing_if = "Option::is_none")]
    visit_at: Option<String>,
    /// After this it would not have been sent any more.
    by: String,
}

/// What is sent, after Standard Webhooks: a type, a time, and data. The document is put in as it stands: reading it once more would
/// change nothing, and serde_json's own way to pass JSON through would have every reader here take a certain name for more than a
/// name.
fn envelope(data: &Data<'_>, document: &[u8], now: Timestamp) -> Option<Vec<u8>> {
    let data = serde_json::to_vec(data).ok()?;
    let open = data.strip_suffix(b"}")?;
    let head = format!("{{\"type\":\"patient.summary\",\"timestamp\":\"{}\",\"data\":", rfc3339(now));
    Some([head.as_bytes(), open, b",\"document\":", document, b"}}"].concat())
}

/// Tries it. What can't be told now is tried again later.
pub(super) async fn deliver(app: &Arc<App>, line: &mut Option<Line>, waiting: &Waiting) -> Came {
    match attempt(app, line, waiting).await {
        Ok(came) => came,
        Err(error) => {
            tracing::warn!(%error, "a delivery could not be tried; again later");
            LATER
        }
    }
}

async fn attempt(app: &Arc<App>, line: &mut Option<Line>, waiting: &Waiting) -> Result<Came, StoreError> {
    let dossier = app.store.dossier(waiting.person).await?;
    let now = app.store.clock().now()?;
    let Some(forward) = dossier.papers.forwards.iter().find(|f| f.id == waiting.id) else {
        return erase::attempt(app, line, waiting, &dossier, now).await;
    };
    // The row is left from a stop at the wrong moment.
    if forward.ended.is_some() {
        return Ok(Came::Over);
    }
    let Some(agreement) = standing(&dossier, forward, now) else {
        return end(app, waiting, ForwardEnd::Stopped, None).await;
    };
    if now >= last_time(forward, agreement) && !sabotage::off(Check::ForwardLate) {
        return end(app, waiting, ForwardEnd::Late, None).await;
    }
    let begins_in = agreement.terms.from_ms.saturating_sub(now.millis());
    if begins_in > 0 {
        return Ok(Came::Again { after_ms: Some(begins_in) });
    }
    let global = app.store.registry().await?;
    // As at the approval, where it could have been the last thing that was left undone.
    mint_pairwise(&app.store, waiting.person, &agreement.terms.recipient).await?;
    let Some((recipient, questions)) = asked(app, waiting, forward, agreement) else { return Ok(LATER) };
    let Some(open) = reached(recipient, line).await else { return Ok(Came::Unreachable) };
    let cause = Cause::party(party_id(&forward.asked_by));
    let gathered = match gather(app, &questions, recipient.config.summary.within, cause).await {
        Ok(gathered) => gathered,
        Err(NotGathered::Denied) => {
            *line = Some(open);
            // Something else may stand against it that ends again, such as a party's suspension: it waits, until it is too late.
            let suspended = |code: &str| global.suspended.iter().any(|one| one == code);
            let sources = &recipient.config.summary.parts;
            let pauses = suspended(&agreement.terms.recipient) || sources.iter().any(|s| suspended(&s.source.code));
            let over = !pauses && !refused::counts(&dossier.subject, &global, agreement, now);
            return if over { end(app, waiting, ForwardEnd::Stopped, None).await } else { Ok(LATER) };
        }
        Err(NotGathered::Store(error)) => return Err(error),
    };
    let Some(sending) = prepared(app, recipient, forward, agreement, gathered, &open, now) else {
        *line = Some(open);
        return Ok(LATER);
    };
    hand_over(app, waiting, line, open, sending).await
}

/// A connection to the recipient: the one that there is, if it serves, or a new one.
pub(super) async fn reached(recipient: &Recipient, line: &mut Option<Line>) -> Option<Line> {
    if let Some(mut kept) = line.take()
        && kept.serves(recipient).await
    {
        return Some(kept);
    }
    match Line::open(recipient).await {
        Ok(line) => Some(line),
        Err(error) => {
            tracing::warn!(recipient = recipient.config.code, %error, "a recipient can't be reached");
            None
        }
    }
}

/// The consent that it was asked for under, unless something ended it.
pub(super) fn standing<'d>(dossier: &'d Dossier, forward: &Forward, now: Timestamp) -> Option<&'d Agreement> {
    let agreement = dossier.papers.agreements.iter().find(|a| a.consent == forward.consent)?;
    let stands = |c: &&sekisho_policy::Consent| c.id == forward.consent && c.ended_at.is_none_or(|at| now < at);
    dossier.subject.records.consents.iter().find(stands).map(|_| agreement)
}

/// Who receives, as it is configured now, and what is asked for: of the summary what this consent names.
fn asked<'a>(
    app: &'a App,
    waiting: &Waiting,
    forward: &Forward,
    agreement: &Agreement,
) -> Option<(&'a Recipient, Questions)> {
    let terms = &agreement.terms;
    let recipient = app.recipient(waiting.recipient, &forward.summary)?;
    let named: Vec<_> = terms.categories.iter().filter_map(|text| category_version(text)).collect();
    let wanted = |route: &Arc<Route>| {
        let of_source = terms.source.as_deref().is_none_or(|source| source == route.source.code);
        let both = route.categories.as_slice().iter().filter(|version| named.contains(version)).copied();
        of_source.then(|| Categories::new(both)).flatten().map(|categories| (Arc::clone(route), categories))
    };
    let wanted = recipient.config.summary.parts.iter().filter_map(wanted).collect();
    let purpose = PurposeCode(sekisho_policy::Code::parse(&terms.purpose).ok()?);
    let receiver = Receiver::Party { party: waiting.recipient, actor: Actor::System };
    Questions::new(app, purpose, wanted, waiting.person, receiver).map(|questions| (recipient, questions))
}

/// A delivery, registered and signed.
struct Sending {
    handle: Arc<Handle>,
    links: Vec<(RouteSource, String)>,
    request: http::request::Builder,
    body: Vec<u8>,
    digest: Hash,
    last: Timestamp,
}

/// `None` when there is nothing to send now: no source says who it is, or none holds anything.
fn prepared(
    app: &Arc<App>,
    recipient: &Recipient,
    forward: &Forward,
    agreement: &Agreement,
    gathered: Gathered,
    line: &Line,
    now: Timestamp,
) -> Option<Sending> {
    let Gathered { document, mut parts, routes, links, .. } = gathered;
    let data = Data {
        forward: forward.id.text(),
        consent: forward.consent.text(),
        purpose: &agreement.terms.purpose,
        booking: agreement.terms.booking.as_ref().map(|booking| booking.reference.as_str()),
        visit_at: agreement.visit().map(rfc3339),
        by: rfc3339(last_time(forward, agreement)),
    };
    let body = document.ok().and_then(|document| envelope(&data, &document.json, now));
    let digest = sha256(body.as_deref().unwrap_or_default());
    parts.iter_mut().for_each(|part| part.contents.digest = digest);
    let (mut parts, mut routes) = (parts.into_iter(), routes.into_iter());
    let (first, first_route) = (parts.next()?, routes.next()?);
    let admission = Admission::of_delivery(app, &recipient.config, &first_route).and(routes.collect());
    let handle = app.releases.register(first, parts.collect(), admission, line.connection());
    let Some(body) = body else {
        handle.nothing_sent();
        return None;
    };
    let request = posted(recipient, &forward.id.text(), now, &body);
    Some(Sending { handle, links, request, body, digest, last: last_time(forward, agreement) })
}

/// The beginning of what is sent to a recipient under this id, signed.
pub(super) fn posted(recipient: &Recipient, id: &str, now: Timestamp, body: &[u8]) -> http::request::Builder {
    let (url, at_s) = (&recipient.config.url, now.millis().div_euclid(1_000));
    let host = url.port().map_or_else(|| host(url), |port| format!("{}:{port}", host(url)));
    let target = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    Request::post(target)
        .header("host", host)
        .header("content-type", "application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", at_s)
        .header("webhook-signature", recipient.secret.sign(id, at_s, body))
}

fn host(url: &url::Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

/// Looks at everything once more, sends, and records what the recipient says.
async fn hand_over(
    app: &Arc<App>,
    waiting: &Waiting,
    kept: &mut Option<Line>,
    line: Line,
    sending: Sending,
) -> Result<Came, StoreError> {
    let Sending { handle, links, request, body, digest, last } = sending;
    let links: Vec<(&RouteSource, &str)> = links.iter().map(|(source, id)| (source, id.as_str())).collect();
    let may = last_look(app, &handle, None, &links).await;
    // Reaching, asking and putting together took their time.
    let late = app.store.clock().now()? >= last && !sabotage::off(Check::ForwardLate);
    let request = match may {
        Ok(true) if !late => request.body(ReplyBody::release(body.into(), Arc::clone(&handle))).ok(),
        _ => None,
    };
    let Some(request) = request else {
        handle.nothing_sent();
        *kept = Some(line);
        // Whatever changed is looked at afresh.
        return Ok(LATER);
    };
    let (answered, line) = line.send(request).await;
    *kept = line;
    match answered {
        Some(Answered { status, .. }) if status.is_success() => {
            end(app, waiting, ForwardEnd::Delivered, Some(digest)).await
        }
        Some(Answered { status, .. }) if never(status) => {
            tracing::warn!(status = status.as_u16(), "a recipient will never take a delivery");
            end(app, waiting, ForwardEnd::Refused, None).await
        }
        Some(Answered { status, retry_after_s }) => {
            tracing::warn!(status = status.as_u16(), "a recipient did not take a delivery; again later");
            Ok(Came::Again { after_ms: retry_after_s.map(|seconds| seconds.saturating_mul(1_000)) })
        }
        // It may have it: it comes again under the same id.
        None => Ok(LATER),
    }
}

/// Answers that say that it will never be taken as it is. Everything else is tried again, a redirect too: it is never followed.
pub(super) fn never(status: StatusCode) -> bool {
    [
        StatusCode::BAD_REQUEST,
        StatusCode::GONE,
        StatusCode::PAYLOAD_TOO_LARGE,
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        StatusCode::UNPROCESSABLE_ENTITY,
    ]
    .contains(&status)
}

/// Records how it ended, once.
async fn end(app: &Arc<App>, waiting: &Waiting, end: ForwardEnd, digest: Option<Hash>) -> Result<Came, StoreError> {
    let tried = u32::from(matches!(end, ForwardEnd::Delivered | ForwardEnd::Refused));
    let recorded = app.store.update(waiting.person, |dossier, _, _| {
        let open = dossier.papers.forwards.iter().find(|f| f.id == waiting.id && f.ended.is_none());
        let event = Event::ForwardEnded(ForwardEnded {
            forward: Bytes16(*waiting.id.bytes()),
            end,
            attempts: waiting.attempts.saturating_add(tried),
            digest: digest.map(Bytes32),
        });
        let events = open.map(|_| event).into_iter().collect();
        Ok::<_, StoreError>((
            open.map(|f| f.consent),
            Draft { events, cause: Some(Cause::Gateway), ..Draft::default() },
        ))
    });
    let (consent, _) = recorded.await?;
    app.metrics.forwarded(end);
    // It was withdrawn while the recipient took it.
    if let (ForwardEnd::Delivered, Some(consent)) = (end, consent) {
        erase::tell(app, waiting.person, consent).await?;
    }
    Ok(Came::Over)
}
