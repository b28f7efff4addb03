//! Reports for an auditor: who received what since an instant, and what is kept of one person by law.
//!
//! Each is recorded as a look before it is answered. A look at one person names that person's first entry, nobody by name.

use std::collections::HashMap;

use sekisho_policy::{AuthorityId, BasisId, BlockId, ConsentId, PartyId, PersonId, RefusalId, Timestamp};
use serde_json::{Value, json};

use super::{Acting, AdminError};
use crate::app::App;
use crate::consent::attested::way_word;
use crate::consent::people::{parse_instant, rfc3339};
use crate::ids::{AlertId, CaseId, ForwardId, LinkId, TextId, party_id};
use crate::ledger::entry::Bytes16;
use crate::ledger::event::{Attestation, BlockedFrom, Event, LinkTarget, Outcome, Terms};
use crate::store::state::Global;
use crate::store::{Kept, Logged, ReportAsked, StoreError};

/// `GET /releases?since=…&until=…&party=…`: every permit of a period, oldest first.
pub(super) async fn releases(app: &App, acting: &Acting, query: Option<&str>) -> Result<Value, AdminError> {
    let given: HashMap<String, String> =
        form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect();
    if let Some(unknown) = given.keys().find(|name| !["since", "until", "party", "after"].contains(&name.as_str())) {
        return Err(AdminError::Query(format!("`{unknown}` is not known; there are since, until, party, after")));
    }
    let instant = |name: &str| match given.get(name).map(|text| parse_instant(text)) {
        Some(None) => Err(AdminError::Query(format!("`{name}` must be an instant such as 2026-11-01T00:00:00+09:00"))),
        Some(Some(at)) => Ok(Some(at)),
        None => Ok(None),
    };
    let since = instant("since")?.ok_or_else(|| AdminError::Query("`since` must say from when on".to_owned()))?;
    let until = instant("until")?.unwrap_or(Timestamp::MAX);
    let party = given.get("party").map(|code| party_id(code));
    let after = given.get("after").map(|text| text.parse::<u64>()).transpose();
    let after = after.map_err(|_| AdminError::Query("`after` must be what `more_after` said".to_owned()))?;
    acting.records_look(app, "releases", None).await?;
    let (store, asked) = (app.store.clone(), ReportAsked { since, until, party, after });
    let received = tokio::task::spawn_blocking(move || store.received(asked)).await;
    let received = received.map_err(|_| StoreError::Stopped)??;
    let global = app.store.registry().await?;
    Ok(json!({
        "releases": received.lines.iter().map(|line| release(line, &global)).collect::<Vec<_>>(),
        "erased": received.erased,
        "pruned_before": received.pruned_before.filter(|before| since < *before).map(rfc3339),
        "more_after": received.more_after,
    }))
}

/// `GET /people/{psn}/records`: what is kept of a person under the record key, erased or not.
pub(super) async fn records(app: &App, acting: &Acting, person: &str) -> Result<Value, AdminError> {
    let person = PersonId::parse(person).map_err(|_| AdminError::NotFound)?;
    let kept = app.store.kept(person)?;
    let first = kept.records.first().ok_or(AdminError::NotFound)?;
    acting.records_look(app, "records", Some(*first.entry.bytes())).await?;
    let global = app.store.registry().await?;
    let records: Vec<Value> = kept.records.iter().map(kept_record).collect();
    let decisions: Vec<Value> = kept.decisions.iter().map(|line| release(line, &global)).collect();
    Ok(json!({"person": person.text(), "records": records, "decisions": decisions, "complete": kept.complete}))
}

fn release(line: &Logged, global: &Global) -> Value {
    let question = &line.decided.question;
    let party = |id: Bytes16| {
        let id = PartyId::of(id.0);
        global.text.party_code(id).map_or_else(|| id.text(), str::to_owned)
    };
    let kept =
        |at: usize| u32::try_from(at).is_ok_and(|at| line.decided.kept.checked_shr(at).is_some_and(|b| b & 1 == 1));
    let categories = question.categories.iter().enumerate();
    let closed = line.closed.as_ref();
    json!({
        "decision": line.entry.text(),
        "at": rfc3339(line.at),
        "route": line.decided.route,
        "subject": PersonId::of(question.subject.0).text(),
        "recipient": question.party.map(party),
        "person": question.person.map(|p| PersonId::of(p.0).text()),
        "source": party(question.source),
        "purpose": question.purpose,
        "categories": categories.filter(|(at, _)| kept(*at)).map(|(_, code)| code).collect::<Vec<_>>(),
        "by_legal_basis": line.decided.by_basis,
        "outcome": closed.map_or("under-way", |closed| match closed.outcome {
            Outcome::Complete => "complete",
            Outcome::Cut => "cut",
            Outcome::Failed => "failed",
            Outcome::Unknown => "unknown",
            Outcome::NothingSent => "nothing-sent",
        }),
        "items": closed.map(|closed| closed.items),
        "bytes": closed.map(|closed| closed.bytes),
        "sha256": closed.and_then(|closed| closed.digest.as_ref()).map(|d| data_encoding::HEXLOWER.encode(&d.0)),
    })
}

fn instant(ms: i64) -> String {
    rfc3339(Timestamp::from_millis(ms))
}

fn id<T: TextId>(bytes: Bytes16) -> String {
    T::of(bytes.0).text()
}

fn terms(terms: &Terms) -> Value {
    json!({
        "recipient": terms.recipient,
        "purpose": terms.purpose,
        "categories": terms.categories,
        "source": terms.source,
        "from": instant(terms.from_ms),
        "until": instant(terms.until_ms),
        "data_from": terms.data_from,
        "data_until": terms.data_until,
        "text_sha256": data_encoding::HEXLOWER.encode(&terms.text_hash.0),
        "booking": terms.booking.as_ref().map(|b| json!({"reference": b.reference, "visit": instant(b.visit_ms)})),
    })
}

/// One record in words that need no knowledge of the format. Where it is gone, only that there was one.
fn kept_record(record: &Kept) -> Value {
    let mut view =
        json!({"entry": record.entry.text(), "at": rfc3339(record.at), "kind": format!("{:?}", record.kind)});
    let told = record.event.as_ref().map_or(Value::Null, told);
    if let Some(object) = view.as_object_mut() {
        object.insert("record".to_owned(), told);
    }
    view
}

fn attested(attestation: &Attestation) -> Value {
    json!({
        "party": attestation.party, "way": way_word(attestation.way), "evidence": attestation.evidence,
        "checked_by": attestation.checked_by, "recorded_by": attestation.recorded_by,
        "given": instant(attestation.given_ms),
    })
}

fn told(event: &Event) -> Value {
    match event {
        Event::Enrolled(e) => json!({"birth": e.birth, "evidence": e.evidence, "verified_by": e.verified_by}),
        Event::Linked(e) => {
            let to = match &e.to {
                LinkTarget::Login { issuer, sub } => json!({"issuer": issuer, "sub": sub}),
                LinkTarget::Source { party, id } => json!({"party": party, "id": id}),
            };
            json!({"link": id::<LinkId>(e.link), "to": to, "evidence": e.evidence, "verified_by": e.verified_by})
        }
        Event::LinkEnded(e) => json!({"link": id::<LinkId>(e.link), "reason": e.reason}),
        Event::AuthorityRecorded(e) => json!({
            "authority": id::<AuthorityId>(e.authority), "guardian": id::<PersonId>(e.guardian), "kind": e.kind,
            "from": instant(e.from_ms), "until": e.until_ms.map(instant), "evidence": e.evidence,
            "verified_by": e.verified_by, "recheck": e.recheck_ms.map(instant),
        }),
        Event::AuthorityEnded(e) => {
            json!({"authority": id::<AuthorityId>(e.authority), "ended": instant(e.at_ms), "reason": e.reason})
        }
        Event::ConsentProposed(e) => {
            json!({"consent": id::<ConsentId>(e.consent), "proposed_by": e.proposed_by, "terms": terms(&e.terms)})
        }
        Event::ConsentApproved(e) => json!({
            "consent": id::<ConsentId>(e.consent), "grantor": id::<PersonId>(e.grantor), "terms": terms(&e.terms),
            "approved": instant(e.approved_ms), "attested_by": e.attested_by, "how": e.how,
            "attestation": e.attestation.as_ref().map(attested),
        }),
        Event::ConsentEnded(e) => json!({
            "consent": id::<ConsentId>(e.consent), "ended": instant(e.at_ms), "by": id::<PersonId>(e.by),
            "superseded_by": e.superseded_by.map(id::<ConsentId>),
            "attestation": e.attestation.as_ref().map(attested),
        }),
        Event::ProposalClosed(e) => {
            json!({"consent": id::<ConsentId>(e.consent), "by": id::<PersonId>(e.by), "approved": e.approved})
        }
        Event::Refused(e) => json!({
            "refusal": id::<RefusalId>(e.refusal), "grantor": id::<PersonId>(e.grantor), "recipient": e.recipient,
            "purpose": e.purpose, "categories": e.categories, "from": instant(e.from_ms),
            "attestation": e.attestation.as_ref().map(attested),
        }),
        Event::RefusalLifted(e) => {
            json!({"refusal": id::<RefusalId>(e.refusal), "by": id::<PersonId>(e.by), "lifted": instant(e.at_ms)})
        }
        Event::BlockSet(e) => {
            let target = match &e.target {
                BlockedFrom::Person(person) => json!({"person": id::<PersonId>(*person)}),
                BlockedFrom::Party(party) => json!({"party": party}),
            };
            json!({
                "block": id::<BlockId>(e.block), "target": target, "from": instant(e.from_ms),
                "until": e.until_ms.map(instant), "evidence": e.evidence,
            })
        }
        Event::BlockEnded(e) => json!({"block": id::<BlockId>(e.block), "ended": instant(e.at_ms)}),
        Event::BasisRecorded(e) => json!({
            "basis": id::<BasisId>(e.basis), "recipient": e.recipient, "purpose": e.purpose, "categories": e.categories,
            "from": instant(e.from_ms), "until": instant(e.until_ms), "article": e.article, "requester": e.requester,
            "decided_by": e.decided_by, "reason": e.reason,
        }),
        Event::BasisEnded(e) => json!({"basis": id::<BasisId>(e.basis), "ended": instant(e.at_ms)}),
        // The id is the party's for the person; the secret beside it is nobody's to see.
        Event::PairwiseMinted(e) => json!({"party": e.party}),
        Event::PairwiseRetired(e) => json!({"parties": e.ids.iter().map(|r| &r.party).collect::<Vec<_>>()}),
        Event::SpeciallyAdopted(e) => json!({
            "in_effect_from": instant(e.from_ms), "recorded": instant(e.at_ms), "evidence": e.evidence,
            "verified_by": e.verified_by,
        }),
        Event::ChannelChanged(e) => json!({"on": e.on, "changed": instant(e.at_ms)}),
        Event::ErasureAsked(e) => json!({
            "consent": id::<ConsentId>(e.consent), "recipient": e.recipient, "asked": instant(e.at_ms),
        }),
        Event::ErasureAnswered(e) => json!({
            "consent": id::<ConsentId>(e.consent), "recipient": e.recipient, "answer": e.answer.code(),
            "law": e.answer.law(), "answered": instant(e.at_ms),
        }),
        // The hash of a code is of no use to anybody.
        Event::EnrolmentCodeIssued(e) => {
            json!({"until": instant(e.until_ms), "attestation": attested(&e.attestation)})
        }
        Event::CodeUsed(_) => json!({}),
        Event::CounterLooked(e) => json!({"party": e.party, "by": e.by}),
        Event::ForwardAsked(e) => json!({
            "forward": id::<ForwardId>(e.forward), "consent": id::<ConsentId>(e.consent), "summary": e.summary,
            "asked_by": e.asked_by, "by": e.by_ms.map(instant),
        }),
        Event::ForwardEnded(e) => json!({
            "forward": id::<ForwardId>(e.forward), "end": e.end.code(), "attempts": e.attempts,
        }),
        Event::SummaryOpened(e) => json!({"party": e.party, "by": e.by, "identity_only": e.identity_only}),
        Event::NotTheirPatient(e) => json!({"party": e.party, "by": e.by, "said": instant(e.at_ms)}),
        Event::VisitMoved(e) => json!({
            "consent": id::<ConsentId>(e.consent), "visit": instant(e.visit_ms), "until": instant(e.until_ms),
            "moved": instant(e.at_ms), "party": e.party,
        }),
        Event::CaseFlagged(e) => json!({
            "case": id::<CaseId>(e.case), "service": e.service, "reasons": e.reasons, "urgency": e.urgency,
            "consulted": instant(e.consulted_ms),
        }),
        Event::AlertDecided(e) => json!({
            "alert": id::<AlertId>(e.alert), "case": id::<CaseId>(e.case), "decision": e.decision.code(), "by": e.by,
            "acknowledged_by": e.acknowledged_by, "reason": e.reason, "basis": e.basis.map(id::<BasisId>),
        }),
        Event::BasisConfirmed(e) => json!({
            "basis": id::<BasisId>(e.basis), "by": e.by, "upheld": e.upheld, "confirmed": instant(e.at_ms),
            "reason": e.reason,
        }),
        Event::BasisDisclosed(e) => json!({
            "basis": id::<BasisId>(e.basis), "by": e.by, "disclosed": instant(e.at_ms),
        }),
        Event::CaseViewed(e) => json!({"case": id::<CaseId>(e.case), "party": e.party, "by": e.by, "whole": e.whole}),
        Event::CaseWorked(e) => json!({
            "case": id::<CaseId>(e.case), "party": e.party, "by": e.by, "what": e.what, "done": instant(e.at_ms),
        }),
        Event::RegistryActivated(_)
        | Event::TextPublished(_)
        | Event::Decided(_)
        | Event::Closed(_)
        | Event::StandingChanged(_)
        | Event::KeyDestroyed(_)
        | Event::OperatorRead(_)
        | Event::Pruned(_)
        | Event::LinkCodeIssued(_)
        | Event::PackagePlanned(_)
        | Event::PackageCopied(_)
        | Event::PackageReceived(_)
        | Event::AlertRaised(_)
        | Event::AlertAcknowledged(_)
        | Event::DistrictsAssigned(_) => Value::Null,
    }
}
