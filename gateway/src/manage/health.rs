//! Health: whether the gateway has started, lives, and is ready, each condition with what to do about it.
//!
//! What is told here may be read by whoever reaches the management port: counts and configured addresses, nothing about
//! anybody.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};

use crate::app::App;
use crate::clock::Clock;
use crate::config::Server;
use crate::metrics::Metrics;
use crate::reload::Current;
use crate::store::Watch;

/// What the gateway knows of its own state, from before the store is opened to after it is closed.
pub struct Health {
    clock: Clock,
    data: PathBuf,
    disk_free_min_mib: u64,
    watch: Arc<Watch>,
    current: OnceLock<Arc<Current>>,
    draining: AtomicBool,
    metrics: Arc<Metrics>,
}

/// One thing that must hold.
struct Condition {
    name: &'static str,
    ok: bool,
    say: String,
}

impl Condition {
    fn new(name: &'static str, ok: bool, say: impl Into<String>) -> Self {
        Self { name, ok, say: say.into() }
    }
}

/// Which question is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Has the start come to its end?
    Started,
    /// Should the process be left running?
    Live,
    /// Should requests be sent to it?
    Ready,
}

impl Health {
    /// Of a gateway that is about to start.
    #[must_use]
    pub fn new(server: &Server, clock: Clock, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            data: server.data.clone(),
            disk_free_min_mib: server.disk_free_min_mib,
            watch: Arc::new(Watch::counted(metrics.writing.clone())),
            current: OnceLock::new(),
            draining: AtomicBool::new(false),
            metrics,
        })
    }

    /// What the opening of the store is watched by.
    #[must_use]
    pub const fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// It serves from now on.
    pub fn serves(&self, current: &Arc<Current>) {
        let _ = self.current.set(Arc::clone(current));
    }

    fn app(&self) -> Option<Arc<App>> {
        self.current.get().map(|current| current.app())
    }

    /// It takes no requests any more.
    pub fn drains(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// The answer to a question: whether it is a yes, and JSON that says why.
    #[must_use]
    pub fn answer(&self, question: Question) -> (bool, Value) {
        let conditions = match question {
            Question::Started => vec![self.store(), self.index()],
            Question::Live => vec![self.ledger()],
            Question::Ready => {
                vec![
                    self.store(),
                    self.index(),
                    self.ledger(),
                    self.clock(),
                    self.issuers(),
                    self.disk(),
                    self.serving(),
                ]
            }
        };
        let ok = conditions.iter().all(|condition| condition.ok);
        let listed: Vec<Value> =
            conditions.into_iter().map(|c| json!({"name": c.name, "ok": c.ok, "say": c.say})).collect();
        (ok, json!({"ok": ok, "conditions": listed}))
    }

    /// Every metric, in Prometheus's text format; what is looked at instead of counted is looked at now.
    ///
    /// # Errors
    /// When it can't be written, which is a mistake in here.
    pub fn metrics(&self) -> Result<String, prometheus::Error> {
        let looked = &self.metrics.looked;
        if let Some(free) = self.disk_free() {
            looked.disk_free.set(i64::try_from(free).unwrap_or(i64::MAX));
        }
        if let Some(age) = self.watch.checkpoint_age() {
            looked.checkpoint_age.set(age.as_secs_f64());
        }
        if let Some(app) = self.app() {
            looked.deliveries_waiting.set(i64::try_from(app.outbox.len()).unwrap_or(i64::MAX));
            looked.backlog.set(i64::try_from(app.store.index_backlog()).unwrap_or(i64::MAX));
            // Where the clock is not believed, what was told last stands.
            let Ok(now) = self.clock.now() else { return self.metrics.text() };
            for (name, ends) in &app.certificates {
                let left_ms = ends.millis().saturating_sub(now.millis());
                looked.certificates.with_label_values(&[name]).set(left_ms as f64 / 1_000.0);
            }
        }
        self.metrics.text()
    }

    fn store(&self) -> Condition {
        match self.app() {
            Some(_) => Condition::new("store", true, "The store is open."),
            None => {
                let read = self.watch.read();
                let say = format!(
                    "The store is being opened: {read} ledger entries read so far. Wait; if the number stands still, \
                     look at the log."
                );
                Condition::new("store", false, say)
            }
        }
    }

    fn index(&self) -> Condition {
        let (done, of) = self.watch.indexed();
        match self.app() {
            Some(_) => Condition::new("index", true, format!("The index has taken in the ledger's {of} entries.")),
            None if of == 0 => Condition::new("index", false, "The index waits for the ledger to be read. Wait."),
            None => {
                let say = format!(
                    "The index has taken in {done} of {of} entries. Wait; it is rebuilt when it can't be trusted."
                );
                Condition::new("index", false, say)
            }
        }
    }

    fn ledger(&self) -> Condition {
        if self.app().is_none_or(|app| app.store.is_running()) {
            return Condition::new("ledger", true, "The ledger's writer works, or is not needed yet.");
        }
        Condition::new(
            "ledger",
            false,
            "The ledger's writer has ended: nothing can be recorded. Restart, and look at the log.",
        )
    }

    fn clock(&self) -> Condition {
        match self.clock.now() {
            Ok(_) => Condition::new("clock", true, "The clock is not behind the ledger."),
            Err(error) => {
                let say = format!(
                    "The clock is {} ms behind the last ledger entry; nothing is decided. Set it right (NTP).",
                    error.behind_ms
                );
                Condition::new("clock", false, say)
            }
        }
    }

    fn issuers(&self) -> Condition {
        let Some(app) = self.app() else {
            return Condition::new("issuers", false, "Issuers are asked for their keys once the store is open. Wait.");
        };
        let missing: Vec<&str> = app.tokens.without_keys().collect();
        if missing.is_empty() {
            return Condition::new("issuers", true, "Every issuer's keys have been fetched.");
        }
        let say = format!(
            "No keys yet from {}. Tried again at least every 30 s; check the network, the issuer's certificate, and `ca`.",
            missing.join(", ")
        );
        Condition::new("issuers", false, say)
    }

    fn disk(&self) -> Condition {
        let least = self.disk_free_min_mib;
        match self.disk_free().map(|bytes| bytes >> 20) {
            Some(free) if free >= least => {
                Condition::new("disk", true, format!("{free} MiB are free on the data directory's disk."))
            }
            Some(free) => {
                let say = format!(
                    "{free} MiB are free on the data directory's disk, less than `disk_free_min_mib` = {least}. Make \
                     room: a disk that is full stops the gateway."
                );
                Condition::new("disk", false, say)
            }
            None => {
                let say =
                    "The free space of the data directory's disk can't be told. Check that the directory is there.";
                Condition::new("disk", false, say)
            }
        }
    }

    /// Free space for this user, in bytes.
    fn disk_free(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(&self.data).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    fn serving(&self) -> Condition {
        if self.draining.load(Ordering::Acquire) {
            let say = "It is stopping: requests under way finish, new ones belong elsewhere. Send none.";
            return Condition::new("serving", false, say);
        }
        Condition::new("serving", true, "It is not stopping.")
    }
}
