//! What goes out, whole, and by which way.

use sekisho_adapters::mail::Mailer;
use sekisho_adapters::webhook::Webhook;
use sekisho_policy::{PersonId, Timestamp};
use serde_json::json;

use super::channel::To;
use crate::app::App;
use crate::consent::people::rfc3339;
use crate::ids::{EntryId, TextId};
use crate::store::StoreError;

/// The whole of a notice by mail. It fits anybody, from anybody.
const NOTICE_SUBJECT: &str = "お知らせ";
const NOTICE: &str = "新しいお知らせがあります。いつもの方法でご確認ください。\n\n\
    There is something new for you. Please look where you usually do.\n";
/// The mail that brings a code. It says nothing of what the code is for.
const CODE_SUBJECT: &str = "確認番号";

/// What is said.
#[derive(Clone, Copy, Debug)]
pub enum Message<'a> {
    /// That there is something to look at.
    Notice,
    /// The code that confirms a channel.
    Code(&'a str),
}

/// Why nothing was sent. It says nothing about whom it was for.
#[derive(Debug, thiserror::Error)]
pub enum NotSent {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing is configured for it, or the app does not know the person.
    #[error("there is no way there")]
    NoWay,
    /// It was not taken.
    #[error("it was not taken: {0}")]
    NotTaken(String),
}

/// The ways that are configured.
pub struct Notifier {
    /// By mail.
    pub mailer: Option<Mailer>,
    /// To apps, by party.
    pub apps: Vec<(String, Webhook)>,
}

impl Notifier {
    /// Sends a message to a person's channel.
    ///
    /// # Errors
    /// Why it was not sent.
    pub async fn send(
        &self,
        app: &App,
        person: PersonId,
        to: &To,
        message: Message<'_>,
        now: Timestamp,
    ) -> Result<(), NotSent> {
        let not_taken = |error: &dyn std::error::Error| NotSent::NotTaken(error.to_string());
        match to {
            To::Mail(address) => {
                let mailer = self.mailer.as_ref().ok_or(NotSent::NoWay)?;
                let (subject, text) = by_mail(message);
                mailer.send(address, subject, text).await.map_err(|e| not_taken(&e))
            }
            To::App(party) => {
                let (_, webhook) = self.apps.iter().find(|(code, _)| code == party).ok_or(NotSent::NoWay)?;
                let snapshot = app.store.snapshot(person).await?;
                // An app learns of nobody whom it does not know already.
                let known = snapshot.subject.pairwise_at(party).ok_or(NotSent::NoWay)?;
                let (kind, code) = match message {
                    Message::Notice => ("notice", None),
                    Message::Code(code) => ("notice.code", Some(code)),
                };
                let body = json!({
                    "type": kind, "timestamp": rfc3339(now), "data": {"patient": known.id.text(), "code": code},
                });
                let id = format!("msg_{}", EntryId::mint().text());
                let at_s = now.millis().div_euclid(1_000);
                webhook.send(&id, at_s, &body).await.map_err(|e| not_taken(&e))
            }
        }
    }
}

fn by_mail(message: Message<'_>) -> (&'static str, String) {
    match message {
        Message::Notice => (NOTICE_SUBJECT, NOTICE.to_owned()),
        Message::Code(digits) => {
            let ja = format!("確認番号: {digits}\n30分のあいだ使えます。\n\n");
            (CODE_SUBJECT, format!("{ja}Code: {digits}\nIt can be used for 30 minutes.\n"))
        }
    }
}
