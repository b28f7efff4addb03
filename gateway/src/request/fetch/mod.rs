//! Fetching what a recorded permit allows, through the source's adapter (design §3.5).
//!
//! Everything here takes a [`Recorded`]: without a durable permit there is no way to ask a source. Asking is bounded in
//! time, size and pages. The source sees neither the caller's credentials nor its trace id.

mod fhir;
mod my_portal;
mod phr_app;

use std::collections::HashMap;
use std::sync::Arc;

use sekisho_adapters::http::HttpClient;
use sekisho_adapters::my_portal::{PortalClient, ProcessId};
use sekisho_adapters::phr_app::PhrApp;
use sekisho_policy::{PartyId, PersonId};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Notify;

use super::classify::Asked;
use super::narrow::{Narrowed, Narrowing};
use super::portal::SignIns;
use crate::config::{Source, SourceKind};
use crate::store::{Recorded, Store};

/// A source's answer of more than this is not narrowed between a worker's other tasks: one takes a few hundred microseconds.
const ON_WORKER_BYTES_MAX: usize = 64 << 10;
/// Portal requests that wait for their result, at most.
const PORTAL_JOBS_MAX: usize = 10_000;

/// What a source answered.
#[derive(Debug)]
pub enum Fetched {
    /// What may pass of the source's answer; some of it could not be mapped.
    Narrowed {
        /// What may pass.
        narrowed: Narrowed,
        /// Items of the source that could not be mapped.
        unmapped: u32,
        /// Not all that was asked for was answered.
        incomplete: bool,
    },
    /// The subject is not known there, or there is nothing.
    NoData,
    /// The person must sign in at the source first, here.
    MustSignIn(String),
    /// Not ready; try again after so many seconds.
    NotReady(u32),
    /// The person's municipality does not offer it.
    NotSupported,
    /// No usable answer. The message is for the operator.
    Failed(String),
}

/// How to reach the configured sources.
pub struct Sources {
    known: HashMap<PartyId, Known>,
}

struct Known {
    config: Source,
    http: HttpClient,
    how: How,
}

/// How a source is asked.
enum How {
    Fhir,
    Portal(Box<Portal>),
    PhrApp(PhrApp),
}

struct Portal {
    client: PortalClient,
    jobs: Arc<Jobs>,
}

/// Requests under way at a portal; they outlive a configuration.
struct Jobs {
    of: quick_cache::sync::Cache<(PersonId, String), ProcessId>,
    notices: quick_cache::sync::Cache<String, Arc<Notify>>,
}

impl Default for Jobs {
    fn default() -> Self {
        use quick_cache::sync::Cache;
        Self { of: Cache::new(PORTAL_JOBS_MAX), notices: Cache::new(PORTAL_JOBS_MAX) }
    }
}

impl Sources {
    /// These sources, each with a client that carries our identity there; what is under way at a portal goes on.
    #[must_use]
    pub fn new(sources: impl IntoIterator<Item = (Source, HttpClient)>, before: Option<&Self>) -> Self {
        let jobs_of = |party| before?.known.get(&party)?.portal().map(|portal| Arc::clone(&portal.jobs));
        let known = |(config, http): (Source, HttpClient)| {
            let jobs = jobs_of(config.party);
            Some((config.party, Known::new(config, http, jobs)?))
        };
        Self { known: sources.into_iter().filter_map(known).collect() }
    }

    /// The portal client of a source, if it is a portal.
    #[must_use]
    pub fn portal(&self, source: PartyId) -> Option<(&Source, &PortalClient)> {
        let known = self.known.get(&source)?;
        known.portal().map(|portal| (&known.config, &portal.client))
    }

    /// The portal says that a result is ready: whoever waits for it looks at once.
    pub fn ready(&self, source: PartyId, process: &str) {
        let portal = self.known.get(&source).and_then(Known::portal);
        if let Some(notify) = portal.and_then(|portal| portal.jobs.notices.get(process)) {
            notify.notify_one();
        }
    }

    /// Fetches what the permit allows.
    pub async fn fetch(
        &self,
        recorded: &Recorded,
        asked: &Asked<'_>,
        narrowing: &Narrowing<'_>,
        store: &Store,
        sign_ins: &SignIns,
    ) -> Fetched {
        if recorded.expired() {
            return Fetched::NotReady(1);
        }
        let Some(known) = self.known.get(&recorded.request().source) else {
            return Fetched::Failed("the source is not configured".to_owned());
        };
        match &known.how {
            How::Fhir => known.fhir(asked, narrowing).await,
            How::Portal(portal) => Box::pin(portal.ask(recorded, known, narrowing, store, sign_ins)).await,
            How::PhrApp(app) => match store.clock().now() {
                Ok(now) => Box::pin(phr_app::ask(app, narrowing, now)).await,
                Err(error) => Fetched::Failed(error.to_string()),
            },
        }
    }
}

/// The answers of one source to several questions as one. Nothing usable among them: the first of the reasons why.
fn merged(answers: Vec<Fetched>) -> Fetched {
    let (mut narrowed, mut unmapped, mut incomplete) = (Narrowed::default(), 0_u32, None);
    let mut usable = false;
    for answer in answers {
        match answer {
            Fetched::Narrowed { narrowed: more, unmapped: not, incomplete: missing } => {
                usable = true;
                narrowed.add(more);
                unmapped = unmapped.saturating_add(not);
                if missing {
                    incomplete.get_or_insert(Fetched::NoData);
                }
            }
            Fetched::NoData => usable = true,
            failed => {
                if let Fetched::Failed(why) = &failed {
                    tracing::warn!(why, "no usable answer from a source to one question of several");
                }
                incomplete.get_or_insert(failed);
            }
        }
    }
    match incomplete {
        Some(failed) if !usable => failed,
        incomplete => Fetched::Narrowed { narrowed, unmapped, incomplete: incomplete.is_some() },
    }
}

/// Work on so many bytes. On many it takes milliseconds, in which nothing else of this worker would get on, a withdrawal
/// for one: so its other tasks go to another thread meanwhile.
pub(super) fn aside<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let many = bytes > ON_WORKER_BYTES_MAX;
    if many && Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread {
        return tokio::task::block_in_place(work);
    }
    work()
}

impl Known {
    /// `None` for what no route may ask.
    fn new(config: Source, http: HttpClient, jobs: Option<Arc<Jobs>>) -> Option<Self> {
        let how = match &config.kind {
            SourceKind::Consultation(_) => return None,
            SourceKind::Fhir => How::Fhir,
            SourceKind::PhrApp => How::PhrApp(PhrApp::new(http.clone(), config.url.clone())),
            SourceKind::MyPortal { client_id, redirect_uri, codes } => {
                let portal = sekisho_adapters::my_portal::PortalConfig {
                    base_url: config.url.clone(),
                    client_id: client_id.clone(),
                    redirect_uri: redirect_uri.clone(),
                    codes: codes.as_ref().clone(),
                };
                let client = PortalClient::new(http.clone(), portal);
                How::Portal(Box::new(Portal { client, jobs: jobs.unwrap_or_default() }))
            }
        };
        Some(Self { config, http, how })
    }

    fn portal(&self) -> Option<&Portal> {
        match &self.how {
            How::Portal(portal) => Some(portal),
            How::Fhir | How::PhrApp(_) => None,
        }
    }
}
