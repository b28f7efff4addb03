//! Explaining a recorded decision in words, Japanese and English: permitted by, forbidden by, or nothing applies with the
//! nearest miss (invariant 9).

use sekisho_policy::{
    Actor, CategoryVersion, Decision, Field, Forbidding, Miss, PartyId, PermittedBy, Reason, Receiver,
};
use serde_json::{Value, json};

use super::{Acting, AdminError};
use crate::app::App;
use crate::consent::people::rfc3339;
use crate::ids::{EntryId, TextId};
use crate::store::Explained;
use crate::store::registry::RegistryText;

pub(super) async fn explain(app: &App, acting: &Acting, id: &str) -> Result<Value, AdminError> {
    let entry = EntryId::parse(id).map_err(|_| AdminError::NotFound)?;
    // Recorded before it is shown: a look that can't be recorded doesn't happen.
    acting.records_look(app, "decision", Some(*entry.bytes())).await?;
    let store = app.store.clone();
    let explained = tokio::task::spawn_blocking(move || store.explain(entry)).await;
    let explained = explained.map_err(|_| crate::store::StoreError::Stopped)??;
    Ok(in_words(&explained))
}

fn in_words(explained: &Explained) -> Value {
    let mut lines = Vec::new();
    let (verdict_ja, verdict_en) = match &explained.decision {
        _ if explained.erased => {
            lines.extend(erased(explained));
            if explained.kept == 0 {
                ("提供しなかった", "was denied")
            } else {
                ("提供してよかった", "was permitted")
            }
        }
        Decision::Permit(permit) => {
            for kept in permit.kept() {
                let (ja, en) = permitted_by(kept.by);
                lines.push(line(explained, kept.category, true, &ja, &en));
            }
            for withheld in permit.withheld() {
                let (ja, en) = reason(withheld.why, &explained.registry.text);
                lines.push(line(explained, withheld.category, false, &ja, &en));
            }
            ("提供してよい", "permitted")
        }
        Decision::Deny(denial) => {
            for withheld in denial.withheld() {
                let (ja, en) = reason(withheld.why, &explained.registry.text);
                lines.push(line(explained, withheld.category, false, &ja, &en));
            }
            ("提供しない", "denied")
        }
    };
    let request = &explained.request;
    json!({
        "decision": explained.entry.text(),
        "at": rfc3339(explained.at),
        "route": explained.route,
        "subject": request.subject.text(),
        "receiver": receiver(explained),
        "source": party(explained, request.source),
        "purpose": request.purpose.0.as_str(),
        "verdict_ja": verdict_ja,
        "verdict_en": verdict_en,
        "agrees_with_record": explained.agrees,
        "erased": explained.erased,
        "categories": lines,
    })
}

/// What was kept, as recorded; why can't be told any more.
fn erased(explained: &Explained) -> impl Iterator<Item = Value> {
    let kept = |at: usize| u32::try_from(at).is_ok_and(|at| explained.kept.checked_shr(at).is_some_and(|b| b & 1 == 1));
    explained.request.categories.as_slice().iter().enumerate().map(move |(at, category)| {
        line(
            explained,
            *category,
            kept(at),
            "根拠となった記録は消去されました",
            "what it was decided on has been erased",
        )
    })
}

fn line(explained: &Explained, category: CategoryVersion, kept: bool, ja: &str, en: &str) -> Value {
    let labels = explained.registry.text.category(category);
    json!({
        "category": category.to_string(),
        "label_ja": labels.map(|l| l.label_ja.as_str()),
        "label_en": labels.map(|l| l.label_en.as_str()),
        "kept": kept,
        "why_ja": ja,
        "why_en": en,
    })
}

fn party(explained: &Explained, id: PartyId) -> String {
    explained.registry.text.party_code(id).unwrap_or("unregistered").to_owned()
}

fn receiver(explained: &Explained) -> String {
    match explained.request.receiver {
        Receiver::Party { party: id, actor } => {
            let actor = match actor {
                Actor::System => "system".to_owned(),
                Actor::Subject(_) => "the subject".to_owned(),
                Actor::Guardian(person) => format!("guardian {}", person.text()),
                Actor::Staff(person) => format!("staff {}", person.text()),
            };
            format!("{} ({actor})", party(explained, id))
        }
        Receiver::Person { person, capacity } => format!("{} ({capacity:?})", person.text()),
    }
}

fn permitted_by(by: PermittedBy) -> (String, String) {
    match by {
        PermittedBy::Basis(id) => {
            (format!("法令に基づく提供 {}", id.text()), format!("permitted by legal basis {}", id.text()))
        }
        PermittedBy::Consent(id) => (format!("同意 {}", id.text()), format!("permitted by consent {}", id.text())),
        PermittedBy::OwnAccess => ("本人の情報".to_owned(), "permitted: it is the person's own".to_owned()),
        PermittedBy::Authority(id) => {
            (format!("保護者の権限 {}", id.text()), format!("permitted by guardian's authority {}", id.text()))
        }
    }
}

/// A decision in a few words: the first reason of those that there are.
#[must_use]
pub fn in_short(decision: &Decision, registry: &RegistryText) -> String {
    let (ja, en) = match decision {
        Decision::Permit(permit) => match (permit.withheld().first(), permit.kept().first()) {
            (Some(withheld), _) => reason(withheld.why, registry),
            (None, Some(kept)) => permitted_by(kept.by),
            (None, None) => Default::default(),
        },
        Decision::Deny(denial) => denial.withheld().first().map(|w| reason(w.why, registry)).unwrap_or_default(),
    };
    format!("{ja} / {en}")
}

fn reason(why: Reason, registry: &RegistryText) -> (String, String) {
    match why {
        Reason::ForbiddenBy(Forbidding::Block(id)) => {
            (format!("提供停止措置 {}", id.text()), format!("forbidden by block {}", id.text()))
        }
        Reason::ForbiddenBy(Forbidding::Refusal(id)) => {
            (format!("同意しない {}", id.text()), format!("forbidden by refusal {}", id.text()))
        }
        Reason::ForbiddenBy(Forbidding::Suspension(id)) => {
            let code = registry.party_code(id).unwrap_or("unregistered");
            (format!("事業者 {code} は停止中"), format!("forbidden: party {code} is suspended"))
        }
        Reason::NotUnderstood(field) => {
            let field = field_name(field);
            (format!("理解できない項目 {field}"), format!("not understood: {field}"))
        }
        Reason::NothingApplies(nearest) => {
            let (ja, en) = miss(nearest.miss);
            let consent = nearest.consent.map(|id| id.text());
            match consent {
                Some(id) => (
                    format!("当てはまる同意なし。最も近い {id}: {ja}"),
                    format!("nothing applies; nearest is {id}: {en}"),
                ),
                None => (format!("当てはまる同意なし: {ja}"), format!("nothing applies: {en}")),
            }
        }
    }
}

const fn field_name(field: Field) -> &'static str {
    match field {
        Field::Subject => "subject",
        Field::Recipient => "recipient",
        Field::Source => "source",
        Field::Purpose => "purpose",
        Field::Category => "category",
        Field::Record(name) => name,
    }
}

const fn miss(miss: Miss) -> (&'static str, &'static str) {
    match miss {
        Miss::ReceiverKind => ("この利用目的の提供先ではない種別", "the purpose is not for this kind of receiver"),
        Miss::Actor => {
            ("本人でも、権限のある保護者でもない", "the actor is neither the subject nor a guardian with authority")
        }
        Miss::NoConsent => ("同意がまだない", "there is no consent at all"),
        Miss::OtherRecipient => ("提供先が違う", "it names another recipient"),
        Miss::OtherPurpose => ("利用目的が違う", "it names another purpose"),
        Miss::OtherCategory => ("提供する情報が違う", "it names other categories"),
        Miss::OtherVersion => ("提供する情報の版が違う", "it names another version of the category"),
        Miss::OtherSource => ("提供元が違う", "it names another source"),
        Miss::Attester => ("取得を代行できない事業者による", "its attesting party may not attest it"),
        Miss::Grantor => ("同意した人に、いま決める権限がない", "its grantor is not, or no longer, entitled to decide"),
        Miss::GrantorBlocked => ("同意した人に提供停止措置がある", "a block names its grantor"),
        Miss::Ended => ("撤回または置き換え済み", "it was revoked or superseded"),
        Miss::Expired => ("期間が終わった", "it has expired"),
        Miss::NotYet => ("期間がまだ始まらない", "it has not begun"),
    }
}
