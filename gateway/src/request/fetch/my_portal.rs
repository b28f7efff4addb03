//! Asking a My Portal-style source: sign-in, request, result.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sekisho_adapters::http::HttpError;
use sekisho_adapters::my_portal::{PortalAnswer, PortalError, map};
use sekisho_policy::PersonId;
use tokio::sync::Notify;

use super::{Fetched, Known, Portal};
use crate::request::narrow::{Narrowed, Narrowing};
use crate::request::portal::SignIns;
use crate::store::{Recorded, Store};

/// How often the portal is asked whether a result is ready, unless it says so itself.
const PORTAL_POLL: Duration = Duration::from_millis(500);

impl Portal {
    /// What the route asks for.
    pub(super) async fn ask(
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
                Fetched::Narrowed { narrowed, unmapped: u32::try_from(unmapped).unwrap_or(u32::MAX), incomplete: false }
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
