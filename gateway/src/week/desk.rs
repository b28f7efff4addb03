//! What the week's parts share while the gateway runs: one at a time for what must not be done twice at once, and the clients of
//! services and of those who are on call.

use sekisho_adapters::consultation::{Broken, Consultation, ConsultationService, Rejected, Shape, read_pushed};
use sekisho_adapters::http::{HttpClient, Limits};
use sekisho_adapters::webhook::Webhook;
use sekisho_policy::Timestamp;
use tokio::sync::{Mutex, Notify};

use crate::app::App;
use crate::config::week::{OnCall, Service};
use crate::config::{Source, SourceKind};

use crate::tls;

/// Records that were pushed, each by itself.
pub type Pushed = Vec<Result<Consultation, Rejected>>;

/// Shared by all of one gateway; it outlives a configuration.
#[derive(Default)]
pub struct Desk {
    /// Held while a service's feed is collected.
    pub(super) collecting: Mutex<()>,
    /// Held while changed choices are taken over.
    pub(super) choosing: Mutex<()>,
    /// Held while packages are made up, built or confirmed.
    pub(super) packing: Mutex<()>,
    /// Held while rows of cases are read and changed; taken after `packing`, `choosing` or `collecting`, never before.
    pub(super) rows: Mutex<()>,
    /// Held while the work on a case is changed; no other is taken under it.
    pub(super) working: Mutex<()>,
    /// When withdrawals were last read for open lists.
    pub(super) freshened: Mutex<Option<std::time::Instant>>,
    /// Held while an alert's row is changed.
    pub(super) alerting: Mutex<()>,
    /// Somebody new may have to be called.
    pub(super) stirred: Notify,
    /// Something may be due sooner than it was thought.
    pub(super) look: Notify,
}

impl Desk {
    /// Something may be due sooner than it was thought.
    pub fn looks(&self) {
        self.look.notify_one();
        self.stirred.notify_one();
    }

    /// The work on cases, and what is counted with it, is changed by one at a time.
    pub async fn works(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.working.lock().await
    }

    /// How to ask a service.
    pub(super) fn client(&self, app: &App, service: &Service) -> Option<ConsultationService> {
        let (source, shape) = source_of(app, service)?;
        Some(ConsultationService::new(app.http_of(source)?.clone(), source.url.clone(), shape.clone()))
    }

    /// Reads what a service pushed; `None` when nothing of it can be read.
    ///
    /// # Errors
    /// When it is no record, and none in a list.
    pub fn pushed(&self, app: &App, service: &Service, body: &[u8], now: Timestamp) -> Result<Pushed, Broken> {
        let shape = source_of(app, service).map_or(&Shape::Plain, |(_, shape)| shape);
        let now = jiff::Timestamp::from_millisecond(now.millis()).unwrap_or_default();
        read_pushed(body, shape, now)
    }
}

/// Calls whom a step names, with these words; whether the call was taken.
pub(super) async fn call(to: &OnCall, message: &str, at: Timestamp, words: &serde_json::Value) -> bool {
    let limits = Limits { connect_ms: 2_000, total_ms: 10_000, body_bytes_max: 64 << 10 };
    let Ok(tls) = tls::client(&to.ca, None) else { return false };
    let Ok(webhook) = Webhook::new(to.url.clone(), HttpClient::new(tls, limits), &to.secret) else { return false };
    webhook.send(message, at.millis().div_euclid(1_000), words).await.is_ok()
}

fn source_of<'a>(app: &'a App, service: &Service) -> Option<(&'a Source, &'a Shape)> {
    let source = app.config.sources.iter().find(|source| source.party == service.party)?;
    match &source.kind {
        SourceKind::Consultation(shape) => Some((source, shape)),
        _ => None,
    }
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Desk(..)")
    }
}
