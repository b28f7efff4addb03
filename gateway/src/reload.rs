//! One configuration after another, without a restart.
//!
//! A reload reads the file and everything it names, and is refused whole if anything is wrong: nothing has been changed
//! then. If all is well the registry goes into the ledger, requests from then on find the new [`App`], and the barrier
//! passes over every release under way: what the new configuration would not admit is cut before the reload is told to be
//! done (invariant 2). Connections stay; what was settled by them, such as a client certificate, is looked at again.

use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use crate::app::{self, App, BuildError};
use crate::config::{Config, ConfigError, Server};
use crate::consent::barrier::BarrierError;
use crate::ledger::entry::Cause;
use crate::store::StoreError;

/// How long a reload waits for issuers' keys, so that the first requests after it need not.
const KEYS_WAIT: Duration = Duration::from_secs(5);

/// What is in force.
pub struct Current {
    app: ArcSwap<App>,
    /// One reload at a time.
    reloading: Mutex<()>,
}

/// What a reload did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// Whether parties, purposes, categories or rules changed, which is in the ledger.
    pub registry_changed: bool,
    /// Releases that the new configuration would not admit, cut.
    pub transfers_cut: u32,
}

/// Why a reload was refused. Unless it says otherwise, nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// The file.
    #[error("nothing was changed: {0}{problems}", problems = listed(.0))]
    Config(#[from] ConfigError),
    /// A setting that can't change while the gateway runs.
    #[error("nothing was changed: `{0}` in [server] can't change while the gateway runs. Restart it, or put it back")]
    Fixed(&'static str),
    /// A file that the configuration names.
    #[error("nothing was changed: {0}")]
    Build(#[from] BuildError),
    /// The ledger.
    #[error("nothing was changed: the registry could not be recorded: {0}")]
    Store(#[from] StoreError),
    /// The barrier.
    #[error("the new configuration is in force, but {0}, so what it ended may still be leaving. Reload again")]
    Barrier(#[from] BarrierError),
}

fn listed(error: &ConfigError) -> String {
    error.problems.iter().map(|p| format!("\n{}:{}: {}", error.file.display(), p.line, p.message)).collect()
}

impl Current {
    pub(crate) fn new(app: impl FnOnce(Weak<Self>) -> App) -> Arc<Self> {
        Arc::new_cyclic(|current| Self {
            app: ArcSwap::from_pointee(app(Weak::clone(current))),
            reloading: Mutex::default(),
        })
    }

    /// What is in force now.
    #[must_use]
    pub fn app(&self) -> Arc<App> {
        self.app.load_full()
    }

    /// Reads the configuration file again.
    ///
    /// # Errors
    /// Why it is refused; what is in force stays so.
    pub async fn reload(&self, cause: Cause) -> Result<Reloaded, ReloadError> {
        let _one_at_a_time = self.reloading.lock().await;
        let before = self.app();
        let config = Config::read(&before.config.file)?;
        if let Some(name) = fixed_that_differs(&before.config.server, &config.server) {
            return Err(ReloadError::Fixed(name));
        }
        let next = Arc::new(before.under(config)?);
        // Whether they come or not: an issuer that is down must not hold up a reload, and its people are denied anyway.
        let _ = tokio::time::timeout(KEYS_WAIT, next.tokens.fetch_first_keys()).await;
        let registry_changed = app::activate(&next.store, &next.config, cause).await?;
        next.metrics.cover(&next.config);
        self.app.store(Arc::clone(&next));
        let transfers_cut = next.barrier.after_reload(&next).await?;
        // A week that was not configured before, or otherwise, need not wait for the next look.
        next.desk.looks();
        tracing::info!(generation = next.generation, registry_changed, transfers_cut, "configuration reloaded");
        Ok(Reloaded { registry_changed, transfers_cut })
    }
}

/// The first of the settings that a running gateway has already acted on, if it differs.
fn fixed_that_differs(before: &Server, after: &Server) -> Option<&'static str> {
    let differs = [
        ("listen", before.listen != after.listen),
        ("url", before.url != after.url),
        ("data", before.data != after.data),
        ("master_key", before.master_key != after.master_key),
        ("ledger", before.ledger != after.ledger),
        ("operators_socket", before.operators_socket != after.operators_socket),
        ("connections_max", before.connections_max != after.connections_max),
        ("connections_per_address_max", before.connections_per_address_max != after.connections_per_address_max),
        ("workers", before.workers != after.workers),
        ("management", before.management != after.management),
        ("disk_free_min_mib", before.disk_free_min_mib != after.disk_free_min_mib),
        ("drain_s", before.drain != after.drain),
    ];
    differs.into_iter().find_map(|(name, differs)| differs.then_some(name))
}
