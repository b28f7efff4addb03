//! Requests to erase (消去のお願い), told to a recipient that has had a delivery: which consent was withdrawn, and nothing else. The
//! recipient reads the request itself, and answers it, through the API (`crate::consent::erase_request`).
//!
//! It waits in the outbox under the consent's id, in the recipient's lane and with its back-off, until it is taken, answered, or
//! its time is over.

use http::Request;
use sekisho_policy::{ConsentId, PersonId, Timestamp};
use serde_json::json;

use super::deliver::{Came, LATER, never, posted, reached};
use super::line::{Answered, Line};
use crate::app::App;
use crate::consent::people::rfc3339;
use crate::ids::{ForwardId, TextId, party_id};
use crate::ledger::event::ForwardEnd;
use crate::request::body::ReplyBody;
use crate::store::embedded::vault::Waiting;
use crate::store::state::Papers;
use crate::store::{Dossier, StoreError};

/// After this nobody is reminded any more: the request stands in the API all the same.
const TELL_FOR_MS: i64 = 14 * 86_400_000;

/// The summary of which the recipient of a consent has had a delivery under it.
fn delivered(papers: &Papers, consent: ConsentId) -> Option<&str> {
    let had = |f: &&crate::store::state::Forward| {
        f.consent == consent && f.ended.as_ref().is_some_and(|ended| ended.end == ForwardEnd::Delivered)
    };
    papers.forwards.iter().find(had).map(|forward| forward.summary.as_str())
}

/// As [`tell`], where nobody can do anything about a failure: the request stands in the API all the same.
pub async fn told(app: &App, subject: PersonId, consent: ConsentId) {
    if let Err(error) = tell(app, subject, consent).await {
        tracing::error!(%error, "a recipient will not be told of a request to erase; it can read it itself");
    }
}

/// Has the recipient be told that it is asked to erase, if it has had a delivery under this consent and has not answered yet.
///
/// # Errors
/// When the records can't be read.
pub async fn tell(app: &App, subject: PersonId, consent: ConsentId) -> Result<(), StoreError> {
    let dossier = app.store.dossier(subject).await?;
    let open = dossier.papers.agreements.iter().find(|agreement| {
        agreement.consent == consent && agreement.erasure.as_ref().is_some_and(|request| request.answer.is_none())
    });
    let Some(agreement) = open.filter(|_| delivered(&dossier.papers, consent).is_some()) else { return Ok(()) };
    let waiting = Waiting {
        id: ForwardId::of(*consent.bytes()),
        person: subject,
        recipient: party_id(&agreement.terms.recipient),
        next: app.store.clock().now()?,
        attempts: 0,
    };
    // A withdrawal may be acknowledged again.
    if app.outbox.waiting(waiting.id).is_none() {
        app.outbox.keep(waiting).await?;
        app.outbox.line_up(waiting);
    }
    Ok(())
}

/// Tries it: what waits under an id that is no delivery's.
pub(super) async fn attempt(
    app: &App,
    line: &mut Option<Line>,
    waiting: &Waiting,
    dossier: &Dossier,
    now: Timestamp,
) -> Result<Came, StoreError> {
    let consent = ConsentId::of(*waiting.id.bytes());
    let agreement = dossier.papers.agreements.iter().find(|agreement| agreement.consent == consent);
    // Never recorded, or the person was erased; or it is answered, or too long ago.
    let Some(request) = agreement.and_then(|agreement| agreement.erasure.as_ref()) else { return Ok(Came::Over) };
    if request.answer.is_some() || now.millis().saturating_sub(request.asked.millis()) > TELL_FOR_MS {
        return Ok(Came::Over);
    }
    let Some(summary) = delivered(&dossier.papers, consent) else { return Ok(Came::Over) };
    let Some(recipient) = app.recipient(waiting.recipient, summary) else { return Ok(LATER) };
    let Some(open) = reached(recipient, line).await else { return Ok(Came::Unreachable) };
    let id = consent.text();
    let body = json!({"type": "erasure.requested", "timestamp": rfc3339(request.asked), "data": {"consent": id}});
    let body = body.to_string().into_bytes();
    let request: Request<ReplyBody> = match posted(recipient, &id, now, &body).body(ReplyBody::plain(body.into())) {
        Ok(request) => request,
        Err(_) => return Ok(LATER),
    };
    let (answered, kept) = open.send(request).await;
    *line = kept;
    Ok(match answered {
        Some(Answered { status, .. }) if status.is_success() || never(status) => Came::Over,
        Some(Answered { status, retry_after_s }) => {
            tracing::warn!(status = status.as_u16(), "a recipient was not told of a request to erase; again later");
            Came::Again { after_ms: retry_after_s.map(|seconds| seconds.saturating_mul(1_000)) }
        }
        None => LATER,
    })
}
