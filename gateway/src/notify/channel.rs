//! A channel for notices: a mail address, or an app of the person's, confirmed by a code. It lies sealed in the vault and goes with the
//! person's erasure; the ledger says only that there is one, or is none any more.

use sekisho_adapters::mail::is_address;
use sekisho_policy::{PersonId, Timestamp};
use serde::{Deserialize, Serialize};

use super::send::{Message, NotSent};
use crate::app::App;
use crate::ids::random;
use crate::ledger::entry::Cause;
use crate::ledger::event::{ChannelChanged, Event};
use crate::ledger::merkle::sha256;
use crate::sabotage::{self, Check};
use crate::store::{Draft, Store, StoreError};

/// What the vault keeps it as, among what goes with a person. No party's id: those are hashes.
pub const KEPT_AS: [u8; 16] = *b"notice channel 1";

/// How long a code holds.
const CODE_LASTS_MS: i64 = 30 * 60_000;
/// Tries of one code.
const TRIES_MAX: u32 = 5;
/// Codes that are sent for one person within an hour.
const CODES_PER_HOUR_MAX: usize = 3;
const HOUR_MS: i64 = 3_600_000;
/// Reasons that are remembered as told.
const TOLD_MAX: usize = 500;

/// Where notices go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum To {
    /// To a mail address.
    Mail(String),
    /// To the person in an app: the party's code.
    App(String),
}

/// A channel.
#[derive(Clone, Serialize, Deserialize)]
pub struct Channel {
    /// Where to; of one that was never confirmed, where its code went.
    pub to: To,
    /// When the last notice was sent, ms since the epoch.
    pub sent_ms: i64,
    confirmed: bool,
    code: Option<Code>,
    codes_sent_ms: Vec<i64>,
    told: Vec<String>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Code {
    salt: [u8; 16],
    hash: [u8; 32],
    until_ms: i64,
    tries: u32,
    /// Where it went.
    to: To,
}

/// Why a channel was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChannelError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing can go there.
    #[error("not a place to which anything can go")]
    Address,
    /// Too many codes.
    #[error("too many codes were sent within an hour")]
    TooMany,
    /// It was not taken.
    #[error("the code was not sent")]
    NotSent,
    /// The code is not right, too old, or was tried too often.
    #[error("the code is not right, or not any more")]
    Code,
}

impl Channel {
    /// Of a person.
    ///
    /// # Errors
    /// When the vault can't be read.
    pub fn of(store: &Store, person: PersonId) -> Result<Option<Self>, StoreError> {
        let kept = store.vault().token(person, KEPT_AS)?;
        // One that this build can't read is none: nothing is sent.
        Ok(kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Whether notices may go there.
    #[must_use]
    pub const fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    /// Whether a code was sent that can still be entered.
    #[must_use]
    pub fn waits(&self, now: Timestamp) -> Option<&To> {
        let code = self.code.as_ref()?;
        (now.millis() < code.until_ms && code.tries < TRIES_MAX).then_some(&code.to)
    }

    /// Whether all of this was told.
    #[must_use]
    pub fn knows_all(&self, marks: &[String]) -> bool {
        marks.iter().all(|mark| self.told.contains(mark))
    }

    /// This is told now.
    pub fn told(&mut self, marks: &[String], now: Timestamp) {
        let new: Vec<&String> = marks.iter().filter(|mark| !self.told.contains(mark)).collect();
        let new: Vec<String> = new.into_iter().cloned().collect();
        self.told.extend(new);
        self.told.drain(..self.told.len().saturating_sub(TOLD_MAX));
        self.sent_ms = now.millis();
    }

    /// Keeps it.
    ///
    /// # Errors
    /// When the vault can't be written.
    pub async fn keep(&self, store: &Store, person: PersonId) -> Result<(), StoreError> {
        // Texts, numbers and lists of them always serialise.
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        store.in_vault(move |vault| vault.put_token(person, KEPT_AS, &bytes)).await
    }
}

/// Sends a code there. What is confirmed stays so until the new one is.
///
/// # Errors
/// Why it was not sent.
pub async fn propose(app: &App, person: PersonId, to: To) -> Result<(), ChannelError> {
    if matches!(&to, To::Mail(address) if !is_address(address)) {
        return Err(ChannelError::Address);
    }
    let now = app.store.clock().now().map_err(StoreError::from)?;
    let mut channel = Channel::of(&app.store, person)?.unwrap_or_else(|| Channel {
        to: to.clone(),
        sent_ms: 0,
        confirmed: false,
        code: None,
        codes_sent_ms: Vec::new(),
        told: Vec::new(),
    });
    channel.codes_sent_ms.retain(|sent| now.millis().saturating_sub(*sent) < HOUR_MS);
    if channel.codes_sent_ms.len() >= CODES_PER_HOUR_MAX {
        return Err(ChannelError::TooMany);
    }
    let digits = format!("{:08}", u32::from_le_bytes(random()) % 100_000_000);
    let salt = random();
    let hash = hashed(&salt, &digits);
    let until_ms = now.millis() + CODE_LASTS_MS;
    channel.codes_sent_ms.push(now.millis());
    channel.code = Some(Code { salt, hash, until_ms, tries: 0, to: to.clone() });
    // Kept first: whatever happens to the message, it was one of the three.
    channel.keep(&app.store, person).await?;
    let sent = app.web.notifier.send(app, person, &to, Message::Code(&digits), now).await;
    sent.map_err(|error| match error {
        NotSent::Store(error) => ChannelError::Store(error),
        NotSent::NoWay => ChannelError::Address,
        NotSent::NotTaken(_) => ChannelError::NotSent,
    })
}

/// Confirms the place that a code was sent to.
///
/// # Errors
/// When the code is not right.
pub async fn confirm(app: &App, person: PersonId, digits: &str) -> Result<(), ChannelError> {
    let now = app.store.clock().now().map_err(StoreError::from)?;
    let mut channel = Channel::of(&app.store, person)?.ok_or(ChannelError::Code)?;
    if channel.waits(now).is_none() && !sabotage::off(Check::ChannelCode) {
        return Err(ChannelError::Code);
    }
    let code = channel.code.as_mut().ok_or(ChannelError::Code)?;
    code.tries = code.tries.saturating_add(1);
    let typed: String = digits.chars().filter(char::is_ascii_digit).collect();
    let right = aws_lc_rs::constant_time::verify_slices_are_equal(&hashed(&code.salt, &typed), &code.hash).is_ok();
    if !right && !sabotage::off(Check::ChannelCode) {
        channel.keep(&app.store, person).await?;
        return Err(ChannelError::Code);
    }
    (channel.to, channel.confirmed) = (code.to.clone(), true);
    channel.code = None;
    record(app, person, true).await?;
    // What is there already, the person has before their eyes: only what is new from here on is news.
    channel.told(&super::marks(app, person, now).await?, now);
    channel.sent_ms = 0;
    Ok(channel.keep(&app.store, person).await?)
}

/// Nothing is sent any more, and where it went is forgotten.
///
/// # Errors
/// When it could not be recorded.
pub async fn forget(app: &App, person: PersonId) -> Result<(), ChannelError> {
    let had = Channel::of(&app.store, person)?.is_some_and(|channel| channel.is_confirmed());
    app.store.in_vault(move |vault| vault.drop_token(person, KEPT_AS)).await?;
    if had {
        record(app, person, false).await?;
    }
    Ok(())
}

async fn record(app: &App, person: PersonId, on: bool) -> Result<(), StoreError> {
    let recorded = app.store.update(person, |_, _, now| {
        let event = Event::ChannelChanged(ChannelChanged { on, at_ms: now.millis() });
        let events = [event].into_iter().collect();
        Ok::<_, StoreError>(((), Draft { events, cause: Some(Cause::Person), ..Draft::default() }))
    });
    recorded.await.map(|_| ())
}

fn hashed(salt: &[u8; 16], digits: &str) -> [u8; 32] {
    sha256(&[salt, digits.as_bytes()].concat())
}
