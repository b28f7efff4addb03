//! What a person should know before they look for it, on the first page.

use sekisho_policy::{ADULT_AGE, Authority, Consent, PersonId, age_reached_at};

use super::page::Trouble;
use super::view;
use super::visit::Visit;
use crate::ids::TextId;
use crate::notify::{self, Why};
use crate::store::state::Global;

/// A consent to look at.
pub struct Pointed {
    /// Its id.
    pub id: String,
    /// 提供先.
    pub recipient: String,
    /// Until when it holds.
    pub until: String,
}

/// What is pointed out.
#[derive(Default)]
pub struct Notices {
    /// Consents on which a recipient has had something for the first time.
    pub first: Vec<Pointed>,
    /// Consents that end soon.
    pub soon: Vec<Pointed>,
    /// Consents to a text of which there is a newer one.
    pub older: Vec<Pointed>,
    /// Consents of former guardians, which ended as this person came of age: whether to go on is theirs to say.
    pub grown: Vec<Pointed>,
}

impl Notices {
    /// Of the consents that this person may see.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn of(visit: &Visit, person: PersonId) -> Result<Self, Trouble> {
        let (app, mut notices) = (&visit.app, Self::default());
        let global = app.store.registry().await?;
        for reason in notify::reasons(app, person, visit.now).await? {
            let list = match reason.why {
                Why::Soon => &mut notices.soon,
                Why::Older => &mut notices.older,
                Why::First => &mut notices.first,
            };
            list.push(Pointed {
                id: reason.consent.text(),
                recipient: view::party(&global, visit.lang, &reason.recipient),
                until: visit.lang.minute(reason.until),
            });
        }
        notices.grown = grown(visit, person, &global).await?;
        Ok(notices)
    }
}

/// What guardians had agreed to and what would still hold but for the birthday, as long as it would have.
async fn grown(visit: &Visit, person: PersonId, global: &Global) -> Result<Vec<Pointed>, Trouble> {
    let dossier = visit.app.store.dossier(person).await?;
    let records = &dossier.subject.records;
    let of_age = age_reached_at(records.birth, ADULT_AGE);
    if visit.now < of_age {
        return Ok(Vec::new());
    }
    let last = of_age.plus_millis(-1);
    let until_then = |c: &Consent| {
        let held =
            |a: &Authority| a.guardian == c.grantor && a.period.contains(c.approved_at) && a.period.contains(last);
        records.authorities.iter().any(held)
    };
    let by_guardian = records.consents.iter().filter(|c| c.grantor != person && c.ended_at.is_none());
    let would_hold = by_guardian.filter(|c| c.period.until() > visit.now && until_then(c));
    let terms = |id| dossier.papers.agreements.iter().find(|a| a.consent == id).map(|a| &a.terms);
    let pointed = would_hold.filter_map(|c| {
        let recipient = view::party(global, visit.lang, &terms(c.id)?.recipient);
        Some(Pointed { id: c.id.text(), recipient, until: visit.lang.minute(c.period.until()) })
    });
    Ok(pointed.collect())
}
