//! What a person should know before they look for it; and, to a channel that they confirmed as safe (a mail address, an app),
//! a message that says no more than that there is something to look at.
//!
//! The first page shows the reasons (`web/notices`). A message names no sender beyond its address, no party, no purpose, no
//! person and no address of ours; nothing quiet (consultations), no legal basis and no request to erase is ever a reason for
//! one (invariant 11). Nobody gets one who has not confirmed a channel.

pub mod channel;
mod send;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sekisho_policy::{ConsentId, PersonId, Timestamp};

use crate::app::App;
use crate::consent::give;
use crate::ledger::merkle::sha256;
use crate::reload::Current;
use crate::sabotage::{self, Check};
use crate::store::state::{Agreement, Global, Papers, category_version};
use crate::store::{Store, StoreError};
use channel::Channel;
use send::Message;
pub use send::{NotSent, Notifier};

/// A consent that ends within so many days is pointed out.
const SOON_MS: i64 = 30 * 86_400_000;
/// A first access is pointed out for so many days.
const FIRST_MS: i64 = 14 * 86_400_000;
/// How often it is looked whether there is something to send.
const EVERY: Duration = Duration::from_secs(3_600);
/// Nobody gets a second mail sooner than this after one.
const APART_MS: i64 = 20 * 3_600_000;
/// Kind of a party that is about consultations, whatever its categories say.
const CONSULTATION: &str = "consultation-service";

/// Why a consent is pointed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It ends soon.
    Soon,
    /// There is a newer text than the one that was agreed to.
    Older,
    /// Its recipient has had something about this person for the first time.
    First,
}

/// A consent that is pointed out.
#[derive(Clone, Debug)]
pub struct Reason {
    /// Why.
    pub why: Why,
    /// Which.
    pub consent: ConsentId,
    /// Its recipient's code.
    pub recipient: String,
    /// Until when it holds.
    pub until: Timestamp,
    /// Never a reason for a mail.
    pub quiet: bool,
    mark: String,
}

/// What a reason is told by once: the same one is no second news. Bound to this gateway, so that it alone tells nothing.
fn mark(app: &App, consent: ConsentId, news: &[u8]) -> String {
    let all = [app.config.server.url.as_bytes(), consent.bytes(), news].concat();
    data_encoding::HEXLOWER.encode(sha256(&all).first_chunk::<16>().unwrap_or(&[0; 16]))
}

/// Whether another text is in force for the purpose than the one that was agreed to.
#[must_use]
pub fn is_older(app: &App, agreement: &Agreement) -> bool {
    let terms = &agreement.terms;
    app.config.texts.get(&terms.purpose).is_some_and(|text| text.hash != terms.text_hash.0)
}

/// What is to be pointed out to a person, of the consents that they may see.
///
/// # Errors
/// When the store can't be read.
pub async fn reasons(app: &App, person: PersonId, now: Timestamp) -> Result<Vec<Reason>, StoreError> {
    let (store, mut all) = (&app.store, Vec::new());
    let global = store.registry().await?;
    for subject in give::decided_by(store, person, now).await? {
        let dossier = store.dossier(subject).await?;
        let consents = &dossier.subject.records.consents;
        let first = first_uses(store, subject, &dossier.papers)?;
        for agreement in &dossier.papers.agreements {
            let terms = &agreement.terms;
            let Some(consent) = consents.iter().find(|c| c.id == agreement.consent) else { continue };
            let left = consent.period.until().millis().saturating_sub(now.millis());
            let may = |who| give::may_decide_on(&dossier.subject, &global, who, &terms.categories, now);
            // Of one whose giver may not give it any more there is nothing to decide.
            if consent.ended_at.is_some() || left <= 0 || !may(person) || !may(consent.grantor) {
                continue;
            }
            let text = app.config.texts.get(&terms.purpose).map(|text| text.hash).unwrap_or_default();
            let reason = |why, news: &[u8]| Reason {
                why,
                mark: mark(app, agreement.consent, news),
                consent: agreement.consent,
                recipient: terms.recipient.clone(),
                until: consent.period.until(),
                quiet: is_quiet(&global, agreement),
            };
            let ends = consent.period.until().millis().to_le_bytes();
            all.extend((left <= SOON_MS).then(|| reason(Why::Soon, &ends)));
            all.extend(is_older(app, agreement).then(|| reason(Why::Older, &text)));
            let first = first.get(terms.recipient.as_str()).filter(|(consent, _)| *consent == agreement.consent);
            let lately = first.is_some_and(|(_, at)| now.millis().saturating_sub(at.millis()) < FIRST_MS);
            all.extend(lately.then(|| reason(Why::First, b"first")));
        }
    }
    Ok(all)
}

/// Of each recipient, on which consent it had something about the subject for the first time, and when.
fn first_uses<'a>(
    store: &Store,
    subject: PersonId,
    papers: &'a Papers,
) -> Result<HashMap<&'a str, (ConsentId, Timestamp)>, StoreError> {
    let uses = store.uses(subject)?;
    let mut first: HashMap<&str, (ConsentId, Timestamp)> = HashMap::new();
    for agreement in &papers.agreements {
        let Some(used) = uses.get(&agreement.consent) else { continue };
        let known = first.entry(agreement.terms.recipient.as_str()).or_insert((agreement.consent, used.first));
        if used.first < known.1 {
            *known = (agreement.consent, used.first);
        }
    }
    Ok(first)
}

/// Whether a consent is about something of which no mail may ever hint. What is not registered any more is.
fn is_quiet(global: &Global, agreement: &Agreement) -> bool {
    let terms = &agreement.terms;
    let consultation = |code: &str| global.text.party(code).is_none_or(|party| party.kind == CONSULTATION);
    let quiet = |version: &String| {
        category_version(version).and_then(|v| global.text.category(v)).is_none_or(|category| category.quiet)
    };
    consultation(&terms.recipient)
        || terms.source.as_deref().is_some_and(consultation)
        || terms.categories.iter().any(quiet)
}

/// Looks every hour, for as long as the gateway runs.
pub async fn run(current: Arc<Current>) {
    let mut tick = tokio::time::interval(EVERY);
    loop {
        tick.tick().await;
        match round(&current.app()).await {
            Ok(0) => {}
            Ok(sent) => tracing::info!(sent, "notices were sent"),
            Err(error) => tracing::error!(%error, "notices could not be looked through; again in an hour"),
        }
    }
}

/// One look at everybody who has confirmed a channel: how many mails went out. What the server did not take is tried again at
/// the next look.
///
/// # Errors
/// When the store can't be read.
pub async fn round(app: &App) -> Result<usize, StoreError> {
    let (mut sent, now) = (0, app.store.clock().now()?);
    for person in app.store.vault().with_token(channel::KEPT_AS)? {
        let Some(mut channel) = Channel::of(&app.store, person)?.filter(|channel| channel.is_confirmed()) else {
            continue;
        };
        let marks = marks(app, person, now).await?;
        if channel.knows_all(&marks) || now.millis().saturating_sub(channel.sent_ms) < APART_MS {
            continue;
        }
        match app.web.notifier.send(app, person, &channel.to, Message::Notice, now).await {
            Ok(()) => {
                channel.told(&marks, now);
                channel.keep(&app.store, person).await?;
                sent += 1;
            }
            Err(error) => tracing::warn!(%error, "a notice was not sent; it is tried again at the next look"),
        }
    }
    Ok(sent)
}

async fn marks(app: &App, person: PersonId, now: Timestamp) -> Result<Vec<String>, StoreError> {
    let all = reasons(app, person, now).await?;
    let may_hint = |reason: &&Reason| !reason.quiet || sabotage::off(Check::QuietNotice);
    Ok(all.iter().filter(may_hint).map(|reason| reason.mark.clone()).collect())
}
