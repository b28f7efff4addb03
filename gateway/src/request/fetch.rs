//! Fetching what a recorded permit allows, through the source's adapter (design §3.5).
//!
//! Everything here takes a [`Recorded`]: without a durable permit there is no way to ask a source. Asking is bounded in
//! time, size and pages. The source sees neither the caller's credentials nor its trace id.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode};
use sekisho_adapters::http::{HttpClient, HttpError};
use sekisho_adapters::my_portal::{PortalAnswer, PortalClient, PortalError, ProcessId, map};
use sekisho_policy::{PartyId, PersonId};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Notify;

use super::classify::Asked;
use super::narrow::{Narrowed, Narrowing};
use super::portal::SignIns;
use crate::config::{Source, SourceKind, SubjectIn};
use crate::sabotage::{self, Check};
use crate::store::{Recorded, Store};

/// Pages of one search that are followed.
const PAGES_MAX: usize = 20;
/// A source's answer of more than this is not narrowed between a worker's other tasks: one takes a few hundred microseconds.
const ON_WORKER_BYTES_MAX: usize = 64 << 10;
/// Portal requests that wait for their result, at most.
const PORTAL_JOBS_MAX: usize = 10_000;
/// How often the portal is asked whether a result is ready, unless it says so itself.
const PORTAL_POLL: Duration = Duration::from_millis(500);

/// What a source answered.
#[derive(Debug)]
pub enum Fetched {
    /// What may pass of the source's answer; some of it could not be mapped.
    Narrowed {
        /// What may pass.
        narrowed: Narrowed,
        /// Items of the source that could not be mapped.
        unmapped: u32,
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
    portal: Option<Portal>,
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
        let jobs_of = |party| before?.known.get(&party)?.portal.as_ref().map(|portal| Arc::clone(&portal.jobs));
        let known = |(config, http): (Source, HttpClient)| {
            let jobs = jobs_of(config.party);
            (config.party, Known::new(config, http, jobs))
        };
        Self { known: sources.into_iter().map(known).collect() }
    }

    /// The portal client of a source, if it is a portal.
    #[must_use]
    pub fn portal(&self, source: PartyId) -> Option<(&Source, &PortalClient)> {
        let known = self.known.get(&source)?;
        known.portal.as_ref().map(|portal| (&known.config, &portal.client))
    }

    /// The portal says that a result is ready: whoever waits for it looks at once.
    pub fn ready(&self, source: PartyId, process: &str) {
        let portal = self.known.get(&source).and_then(|known| known.portal.as_ref());
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
        match &known.portal {
            None => known.fhir(asked, narrowing).await,
            Some(portal) => Box::pin(portal.ask(recorded, known, narrowing, store, sign_ins)).await,
        }
    }
}

/// Work on so many bytes. On many it takes milliseconds, in which nothing else of this worker would get on, a withdrawal
/// for one: so its other tasks go to another thread meanwhile.
fn aside<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let many = bytes > ON_WORKER_BYTES_MAX;
    if many && Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread {
        return tokio::task::block_in_place(work);
    }
    work()
}

impl Known {
    fn new(config: Source, http: HttpClient, jobs: Option<Arc<Jobs>>) -> Self {
        let portal = match &config.kind {
            SourceKind::Fhir => None,
            SourceKind::MyPortal { client_id, redirect_uri, codes } => {
                let portal = sekisho_adapters::my_portal::PortalConfig {
                    base_url: config.url.clone(),
                    client_id: client_id.clone(),
                    redirect_uri: redirect_uri.clone(),
                    codes: codes.as_ref().clone(),
                };
                let client = PortalClient::new(http.clone(), portal);
                Some(Portal { client, jobs: jobs.unwrap_or_default() })
            }
        };
        Self { config, http, portal }
    }

    /// A FHIR server: one search with its pages, or one read.
    async fn fhir(&self, asked: &Asked<'_>, narrowing: &Narrowing<'_>) -> Fetched {
        let id = narrowing.id_at_source();
        let mut url = format!("{}{}", self.config.url, asked.route.source.path.replace("{patient}", id));
        let mut query: Vec<(String, String)> = asked.query.clone();
        if let SubjectIn::Query(name) = &asked.route.subject {
            query.insert(0, (name.clone(), id.to_owned()));
        }
        if !query.is_empty() {
            let encoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
            url = format!("{url}?{encoded}");
        }
        let mut narrowed = Narrowed::default();
        for _ in 0..PAGES_MAX {
            let body = match self.get(&url).await {
                Ok(Some(body)) => body,
                Ok(None) => return Fetched::NoData,
                Err(failed) => return failed,
            };
            let next = aside(body.len(), || {
                if asked.route.read {
                    narrowing.read(&body, &mut narrowed).map(|()| None)
                } else {
                    narrowing.page(&body, &mut narrowed)
                }
            });
            match next {
                Err(error) => return Fetched::Failed(error.to_string()),
                Ok(None) => return Fetched::Narrowed { narrowed, unmapped: 0 },
                Ok(Some(next)) if self.is_ours(&next) || sabotage::off(Check::NextPage) => url = next,
                Ok(Some(_)) => return Fetched::Failed("the source's next page is at another place".to_owned()),
            }
        }
        Fetched::Failed(format!("the source's answer has more than {PAGES_MAX} pages"))
    }

    /// Whether a URL lies under the source's own.
    fn is_ours(&self, url: &str) -> bool {
        url.strip_prefix(self.config.url.as_str()).is_some_and(|rest| rest.starts_with('/'))
    }

    async fn get(&self, url: &str) -> Result<Option<Bytes>, Fetched> {
        let request = Request::get(url).header(http::header::ACCEPT, "application/fhir+json").body(Bytes::new());
        let request = request.map_err(|_| Fetched::Failed("the source's URL is not one".to_owned()))?;
        // Permits become durable in groups: their sources are asked one right after the other, and wake once.
        tokio::task::yield_now().await;
        match self.http.send(request).await {
            Ok(answer) if answer.status == StatusCode::OK => Ok(Some(answer.body)),
            Ok(answer) if answer.status == StatusCode::NOT_FOUND || answer.status == StatusCode::GONE => Ok(None),
            Ok(answer) if answer.status == StatusCode::SERVICE_UNAVAILABLE => Err(Fetched::NotReady(5)),
            Ok(answer) => Err(Fetched::Failed(format!("the source answered {}", answer.status.as_u16()))),
            Err(HttpError::TimedOut) => Err(Fetched::NotReady(5)),
            Err(error) => Err(Fetched::Failed(error.to_string())),
        }
    }
}

impl Portal {
    /// A My Portal-style source: sign-in, request, result.
    async fn ask(
        &self,
        recorded: &Recorded,
        known: &Known,
        narrowing: &Narrowing<'_>,
        store: &Store,
        sign_ins: &SignIns,
    ) -> Fetched {
        let account = narrowing.id_at_source();
        let subject = recorded.request().subject;
        let Some(token) = sign_ins.token(store, subject, &known.config, account) else {
            return sign_ins.begin(subject, &known.config, &self.client);
        };
        let deadline = Instant::now() + Duration::from_millis(known.config.timeout_ms);
        let job = (subject, account.to_owned());
        let answer = self.result(&job, &token, deadline).await;
        if !matches!(
            answer,
            Ok(PortalAnswer::Pending) | Err(PortalError::RateLimited { .. } | PortalError::Upstream(_))
        ) {
            self.jobs.of.remove(&job);
        }
        match answer {
            Ok(PortalAnswer::Pending) => Fetched::NotReady(3),
            Ok(PortalAnswer::WithData(records)) => {
                let mapped = map::map(&records, self.client.codes(), &format!("Patient/{account}"));
                for unmapped in &mapped.unmapped {
                    tracing::warn!(
                        index = unmapped.index,
                        field = unmapped.field,
                        why = ?unmapped.why,
                        left_out = unmapped.record_left_out,
                        "a portal record could not be mapped whole"
                    );
                }
                let unmapped = mapped.unmapped.iter().filter(|u| u.record_left_out).count();
                let mut narrowed = Narrowed::default();
                narrowing.resources(&mapped.immunizations, &mut narrowed);
                Fetched::Narrowed { narrowed, unmapped: u32::try_from(unmapped).unwrap_or(u32::MAX) }
            }
            Ok(PortalAnswer::WithoutData) => Fetched::NoData,
            Ok(PortalAnswer::NotSupported { .. }) => Fetched::NotSupported,
            Ok(PortalAnswer::CapacityExceeded) => Fetched::NotReady(60),
            Err(PortalError::Unauthenticated) => {
                sign_ins.forget(store, subject, &known.config);
                sign_ins.begin(subject, &known.config, &self.client)
            }
            Err(PortalError::RateLimited { retry_after_s }) => {
                Fetched::NotReady(u32::try_from(retry_after_s).unwrap_or(3_600).min(3_600))
            }
            Err(PortalError::Upstream(HttpError::TimedOut)) => Fetched::NotReady(5),
            Err(error) => Fetched::Failed(error.to_string()),
        }
    }

    /// Goes on with the request that is under way for the subject, or makes one; asks until it is ready or time is up.
    async fn result(
        &self,
        job: &(PersonId, String),
        token: &sekisho_adapters::my_portal::PortalToken,
        deadline: Instant,
    ) -> Result<PortalAnswer, PortalError> {
        let process = match self.jobs.of.get(job) {
            Some(process) => process,
            None => match self.client.request(token).await? {
                Ok(process) => {
                    self.jobs.of.insert(job.clone(), process.clone());
                    process
                }
                Err(municipality) => return Ok(PortalAnswer::NotSupported { municipality }),
            },
        };
        let notice = Arc::new(Notify::new());
        self.jobs.notices.insert(process.as_str().to_owned(), Arc::clone(&notice));
        loop {
            let answer = self.client.result(token, &process).await?;
            let left = deadline.saturating_duration_since(Instant::now());
            if answer != PortalAnswer::Pending || left.is_zero() {
                self.jobs.notices.remove(process.as_str());
                return Ok(answer);
            }
            // Whichever is first: the portal's notice, the next poll, the end of our patience.
            let _ = tokio::time::timeout(left.min(PORTAL_POLL), notice.notified()).await;
        }
    }
}
