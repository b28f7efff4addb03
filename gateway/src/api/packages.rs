//! Packages of the nurses' week, for a municipality's own system: which there are, a copy of one, and that it arrived.
//!
//! The municipal side pulls. A copy is built when it is asked for, and is a release like any other: whatever ends one of the decisions
//! that it rests on cuts it.

use data_encoding::{BASE64, HEXLOWER};
use http::{HeaderName, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

use super::problem::Problem;
use super::{Answer, Call};
use crate::config::week::Municipality;
use crate::consent::people::rfc3339;
use crate::consent::receipt::Receipt;
use crate::ids::{PackageId, TextId};
use crate::ledger::entry::Cause;
use crate::request::admission::Admission;
use crate::request::last_look;
use crate::week::package::{self, Built, PackageError};
use crate::week::shelf::{Package, Shelf};

/// Scope of a token that may pull packages.
const SCOPE: &str = "packages/pull";
/// Packages in a list, at most.
const LIST_MAX: usize = 1_000;

/// A municipality that takes cases, by its own system.
fn municipality(call: &Call<'_>) -> Result<Arc<Municipality>, Problem> {
    let party = call.machine()?;
    let caller = call.caller.as_ref().ok_or_else(Problem::unauthenticated)?;
    if !caller.claims.has_scope(SCOPE) {
        return Err(Problem::scope(SCOPE));
    }
    let week = call.app.config.week.as_ref();
    week.and_then(|week| week.municipality(party.id)).cloned().ok_or_else(Problem::not_found)
}

fn package_id(id: &str) -> Result<PackageId, Problem> {
    PackageId::parse(id).map_err(|_| Problem::not_found())
}

pub(super) fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let to = municipality(call)?;
    let packages = Shelf(&call.app.store).packages(to.party, LIST_MAX)?;
    let items: Vec<Value> = packages.iter().map(|(id, package)| view(*id, package)).collect();
    Ok(Answer::ok(&json!({"items": items})))
}

fn view(id: PackageId, package: &Package) -> Value {
    let instant = |ms| rfc3339(sekisho_policy::Timestamp::from_millis(ms));
    json!({
        "id": id.text(),
        "week": package::week_name(package.week),
        "part": package.part,
        "cases": package.cases,
        "planned_at": instant(package.planned_ms),
        "copies": package.copies,
        "received_at": package.confirmed_ms.map(instant),
    })
}

pub(super) async fn copy(call: &Call<'_>, id: &str) -> Result<Answer, Problem> {
    let to = municipality(call)?;
    let id = package_id(id)?;
    let built = package::build(call.app, &to, id, false, Cause::party(to.party)).await?;
    released(call, &to, built).await
}

/// Registers the release, looks at everything once more, and hands the copy over.
async fn released(call: &Call<'_>, to: &Arc<Municipality>, built: Built) -> Result<Answer, Problem> {
    let Built { copy, bytes, digest, parts, package, cases, .. } = built;
    let caller = call.caller().await?;
    let mut answer = Answer {
        status: StatusCode::OK,
        content_type: "application/octet-stream",
        body: bytes.into(),
        headers: Vec::new(),
        handle: None,
    };
    answer = answer
        .with(HeaderName::from_static("sekisho-package"), &package.text())
        .with(HeaderName::from_static("sekisho-copy"), &copy.to_string())
        // RFC 9530.
        .with(HeaderName::from_static("repr-digest"), &format!("sha-256=:{}:", BASE64.encode(&digest)));
    let mut parts = parts.into_iter();
    // Without a row it is about nobody.
    let Some(first) = parts.next() else { return Ok(answer) };
    let admission = Admission::of_package(call.app, &caller, to);
    let handle = call.app.releases.register(first, parts.collect(), admission, call.connection);
    let looked = last_look(call.app, &handle, Some(&caller), &[]).await;
    let still = package::still(call.app, to, &cases).await;
    if matches!((looked, still), (Ok(true), Ok(true))) {
        answer.handle = Some(handle);
        return Ok(answer);
    }
    handle.nothing_sent();
    Err(Problem::not_now())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Received {
    /// SHA-256 of the file, in hexadecimal.
    digest: String,
}

pub(super) async fn receive(call: &Call<'_>, id: &str) -> Result<Answer, Problem> {
    let to = municipality(call)?;
    let id = package_id(id)?;
    let received: Received = call.json()?;
    let digest = HEXLOWER.decode(received.digest.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    let digest =
        digest.ok_or_else(|| Problem::field("digest", "must be the SHA-256 of the file, 64 hexadecimal digits"))?;
    let confirmed = package::confirm(call.app, &to, id, digest).await?;
    let receipt = confirmed.ending.and_then(|ending| {
        let issuer = &call.app.config.server.url;
        Receipt::new(issuer, "package-received", &ending, id.text(), 0).sign(call.app.store.ledger_key())
    });
    Ok(Answer::ok(&json!({
        "package": id.text(),
        "copy": confirmed.copy,
        "received_at": rfc3339(confirmed.at),
        "receipt": receipt,
    })))
}

impl From<PackageError> for Problem {
    fn from(error: PackageError) -> Self {
        match error {
            PackageError::Unknown => Self::not_found(),
            PackageError::NoKey { .. } => Self::no_package_key(),
            PackageError::NotACopy => Self::field("digest", "is none of the last copies of this package"),
            PackageError::Store(error) => error.into(),
            PackageError::Changed | PackageError::Collect(_) | PackageError::Seal(_) => {
                tracing::error!(%error, "a package could not be built");
                Self::not_now()
            }
        }
    }
}
