//! The client of a consultation service: what is new, who it is about, and what the service is told.
//!
//! What it never does: ask for names or words by itself, or say to the service more than a code.

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::details::{self, Refused};
use super::fhir::{self, FhirNames};
use super::wire::{self, Broken};
use super::{ChoiceChanged, Consultation, ConsultationId, Detail, Page, Rejected, Wanted};
use crate::http::{HttpClient, HttpError, Limits, Response};

/// Bytes of one answer, at most: a page of sound records and one of 10 MB among them.
pub const ANSWER_BYTES_MAX: usize = 32 << 20;
/// Consultations whose details are asked for at once, at most.
pub const DETAILS_MAX: usize = 100;
/// What the service is told at once, at most.
const TOLD_MAX: usize = 1_000;

/// Why there is no answer from the service. Nothing personal is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// The service couldn't be talked to.
    #[error(transparent)]
    Upstream(#[from] HttpError),
    /// The service answered with this status.
    #[error("the consultation service answered with status {0}")]
    Refused(u16),
    /// The answer isn't in the agreed shape.
    #[error("the consultation service's answer can't be read: {what}")]
    Malformed {
        /// Where.
        what: &'static str,
        /// Whether something in it looks as if it couldn't wait.
        urgent: bool,
    },
    /// The answer holds a consultation that wasn't asked for, or one twice. All of it is refused.
    #[error("the consultation service's answer is about somebody else")]
    NotAskedFor,
    /// More ids than may be asked for at once.
    #[error("more than {DETAILS_MAX} consultations at once")]
    TooMany,
    /// Our own configuration can't be used.
    #[error("the consultation service's configuration can't be used: {0}")]
    Config(&'static str),
}

impl ServiceError {
    const fn malformed(what: &'static str) -> Self {
        Self::Malformed { what, urgent: false }
    }
}

impl From<Broken> for ServiceError {
    fn from(Broken { what, urgent }: Broken) -> Self {
        Self::Malformed { what, urgent }
    }
}

impl From<Refused> for ServiceError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Malformed(what) => Self::malformed(what),
            Refused::NotAskedFor => Self::NotAskedFor,
        }
    }
}

/// In which shape the service tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// Ours.
    Plain,
    /// FHIR R4 `QuestionnaireResponse`, with the service's names for the items.
    Fhir(Box<FhirNames>),
}

/// Reads what a service pushed: a page's records or one, or a FHIR bundle or resource. The caller bounds the body.
///
/// # Errors
/// [`Broken`] when it is none of these; what is wrong with a record is said at its place.
pub fn read_pushed(body: &[u8], shape: &Shape, now: Timestamp) -> Result<Vec<Result<Consultation, Rejected>>, Broken> {
    match shape {
        Shape::Plain => wire::pushed(body, now),
        Shape::Fhir(names) => fhir::pushed(body, names, now),
    }
}

/// Something that goes back to the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// Which consultation.
    pub id: ConsultationId,
    /// Which field of it, by its path.
    pub field: String,
    /// What is wrong, as a code.
    pub why: String,
}

impl Rejected {
    /// What the service is told of it: nothing, where not even its id can be read.
    pub fn returned(&self) -> impl Iterator<Item = Returned> + '_ {
        let id = self.id.as_ref().ok();
        id.into_iter().flat_map(|id| {
            self.problems.iter().map(|problem| Returned {
                id: id.clone(),
                field: problem.field.clone(),
                why: problem.why.to_owned(),
            })
        })
    }
}

/// All that the service learns of what became of a consultation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeCode {
    /// A nurse has been in contact.
    Contacted,
    /// They were invited to something.
    Invited,
    /// The case is closed (終結).
    Closed,
}

impl OutcomeCode {
    /// The code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Contacted => "contacted",
            Self::Invited => "invited",
            Self::Closed => "closed",
        }
    }
}

/// An outcome of a consultation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Which consultation.
    pub id: ConsultationId,
    /// What became of it.
    pub code: OutcomeCode,
}

/// A service. Its [`HttpClient`] carries our client certificate and bounds times.
#[derive(Debug, Clone)]
pub struct ConsultationService {
    http: HttpClient,
    base_url: String,
    shape: Shape,
}

impl ConsultationService {
    /// A service under `https://…`, without a slash at the end.
    #[must_use]
    pub fn new(http: HttpClient, base_url: String, shape: Shape) -> Self {
        Self { http, base_url, shape }
    }

    /// What is new since a page ended there.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn consultations(
        &self,
        since: Option<&str>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page<Result<Consultation, Rejected>>, ServiceError> {
        let limit = limit.clamp(1, wire::RECORDS_MAX);
        let body = self.feed("/v1/consultations", |names| names.questionnaire.as_str(), since, limit).await?;
        progress(
            since,
            match &self.shape {
                Shape::Plain => wire::consultations(&body, now)?,
                Shape::Fhir(names) => fhir::consultations(&body, names, &self.base_url, since, now)?,
            },
        )
    }

    /// Which choices have changed since a page ended there.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn choices(
        &self,
        since: Option<&str>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page<Result<ChoiceChanged, Rejected>>, ServiceError> {
        let limit = limit.clamp(1, wire::RECORDS_MAX);
        let body = self.feed("/v1/choices", |names| names.choice_questionnaire.as_str(), since, limit).await?;
        progress(
            since,
            match &self.shape {
                Shape::Plain => wire::choices(&body, now)?,
                Shape::Fhir(names) => fhir::choices(&body, names, &self.base_url, since, now)?,
            },
        )
    }

    /// Asks for a page. One that is too large is asked for again with fewer records, down to one.
    async fn feed(
        &self,
        path: &str,
        questionnaire: impl Fn(&FhirNames) -> &str,
        since: Option<&str>,
        mut limit: usize,
    ) -> Result<Bytes, ServiceError> {
        loop {
            let target = match &self.shape {
                Shape::Plain => {
                    let mut query = form_urlencoded::Serializer::new(String::new());
                    if let Some(since) = since {
                        query.append_pair("since", since);
                    }
                    format!("{path}?{}", query.append_pair("limit", &limit.to_string()).finish())
                }
                Shape::Fhir(names) => fhir::target(questionnaire(names), since, limit),
            };
            match self.ask(Method::GET, &target, None).await {
                Err(ServiceError::Upstream(HttpError::TooLarge)) if limit > 1 => limit = limit.div_ceil(2),
                answer => return answer,
            }
        }
    }

    /// Asks who consultations are about and, if wanted, what was said. What the service doesn't give is absent.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn details(
        &self,
        ids: &[ConsultationId],
        wanted: Wanted,
        now: Timestamp,
    ) -> Result<Vec<Result<Detail, Rejected>>, ServiceError> {
        if ids.len() > DETAILS_MAX {
            return Err(ServiceError::TooMany);
        }
        let mut read = Vec::with_capacity(ids.len());
        let mut open = vec![ids];
        while let Some(ids) = open.pop().filter(|ids| !ids.is_empty()) {
            match self.some_details(ids, wanted, now).await {
                Ok(some) => read.extend(some),
                Err(ServiceError::Upstream(HttpError::TooLarge)) => match ids {
                    [id] => read.push(Err(Rejected {
                        id: Ok(id.clone()),
                        user: None,
                        problems: vec![wire::whole("too-large")],
                        urgent: false,
                    })),
                    more => {
                        let (first, second) = more.split_at(more.len() / 2);
                        open.extend([second, first]);
                    }
                },
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    async fn some_details(
        &self,
        ids: &[ConsultationId],
        wanted: Wanted,
        now: Timestamp,
    ) -> Result<Vec<Result<Detail, Rejected>>, ServiceError> {
        let body = match &self.shape {
            Shape::Plain => {
                let ids: Vec<&str> = ids.iter().map(ConsultationId::as_str).collect();
                let wanted = if wanted == Wanted::Content { "content" } else { "identity" };
                self.ask(Method::POST, "/v1/details", Some(json!({"ids": ids, "wanted": wanted}))).await?
            }
            Shape::Fhir(names) => {
                let answer = self.ask(Method::GET, &fhir::by_ids(ids), None).await?;
                fhir::details(&answer, names, wanted).map(Bytes::from).ok_or(ServiceError::malformed("bundle"))?
            }
        };
        Ok(details::read(&body, ids, wanted, now)?)
    }

    /// Tells what couldn't be taken.
    ///
    /// # Errors
    /// See [`ServiceError`]; what was told before an error was told.
    pub async fn returned(&self, returned: &[Returned]) -> Result<(), ServiceError> {
        let item = |Returned { id, field, why }: &Returned| json!({"id": id.as_str(), "field": field, "why": why});
        self.tell("/v1/returned", returned, item).await
    }

    /// Tells what became of consultations.
    ///
    /// # Errors
    /// The same.
    pub async fn outcomes(&self, outcomes: &[Outcome]) -> Result<(), ServiceError> {
        self.tell(
            "/v1/outcomes",
            outcomes,
            |outcome| json!({"id": outcome.id.as_str(), "outcome": outcome.code.code()}),
        )
        .await
    }

    /// Calls the service's on-call professional to the gateway. It says nothing of anybody.
    ///
    /// # Errors
    /// See [`ServiceError`].
    pub async fn alert(&self, alert: &str, step: u32) -> Result<(), ServiceError> {
        self.ask(Method::POST, "/v1/on-call", Some(json!({"alert": alert, "step": step}))).await.map(drop)
    }

    async fn tell<T>(&self, path: &str, items: &[T], as_json: impl Fn(&T) -> Value) -> Result<(), ServiceError> {
        for some in items.chunks(TOLD_MAX) {
            let items: Vec<Value> = some.iter().map(&as_json).collect();
            self.ask(Method::POST, path, Some(json!({"items": items}))).await?;
        }
        Ok(())
    }

    async fn ask(&self, method: Method, target: &str, body: Option<Value>) -> Result<Bytes, ServiceError> {
        let told = method == Method::POST && target != "/v1/details";
        let mut request = Request::builder().method(method).uri(format!("{}{target}", self.base_url));
        let accept = if self.shape == Shape::Plain { "application/json" } else { "application/fhir+json" };
        request = request.header(header::ACCEPT, accept);
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let request = request.body(body).map_err(|_| ServiceError::Config("base_url"))?;
        let limits = Limits { body_bytes_max: ANSWER_BYTES_MAX, ..self.http.limits() };
        let response = self.http.send_within(request, limits).await?;
        match response.status {
            StatusCode::OK | StatusCode::NO_CONTENT if told => Ok(Bytes::new()),
            StatusCode::OK if is_json(&response) => Ok(response.body),
            StatusCode::OK => Err(ServiceError::malformed("content-type")),
            other => Err(ServiceError::Refused(other.as_u16())),
        }
    }
}

/// A feed that says there is more, and stands still, would be read for ever.
fn progress<T>(since: Option<&str>, page: Page<T>) -> Result<Page<T>, ServiceError> {
    if page.more && since == Some(page.next.as_str()) { Err(ServiceError::malformed("next")) } else { Ok(page) }
}

fn is_json(response: &Response) -> bool {
    let given = response.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (kind, parameters) = given.split_once(';').unwrap_or((given, ""));
    let utf8 = matches!(parameters.trim().to_ascii_lowercase().as_str(), "" | "charset=utf-8");
    utf8 && matches!(kind.trim().to_ascii_lowercase().as_str(), "application/json" | "application/fhir+json")
}
