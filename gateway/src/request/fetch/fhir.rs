//! Asking a FHIR server: one search with its pages, one read, or all that it holds of what is permitted.

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, StatusCode};
use sekisho_adapters::http::HttpError;

use super::{Fetched, Known, aside, merged};
use crate::config::{Form, SubjectIn};
use crate::request::classify::Asked;
use crate::request::narrow::{NarrowError, Narrowed, Narrowing, Wanted};
use crate::sabotage::{self, Check};

/// Pages of one search that are followed.
const PAGES_MAX: usize = 20;

impl Known {
    /// What the route asks for.
    pub(super) async fn fhir(&self, asked: &Asked<'_>, narrowing: &Narrowing<'_>) -> Fetched {
        let id = narrowing.id_at_source();
        let path = asked.route.source.path.replace("{patient}", id);
        let mut query: Vec<(&str, &str)> = asked.query.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        if let SubjectIn::Query(name) = &asked.route.subject {
            query.insert(0, (name, id));
        }
        match asked.route.form {
            Form::Searchset => self.search(self.url(&path, &query), narrowing).await,
            Form::Read => {
                let read = |body: &[u8], narrowed: &mut Narrowed| narrowing.read(body, narrowed);
                self.read(&self.url(&path, &query), read).await
            }
            Form::Part => {
                let wanted = narrowing.wanted();
                merged(join_all(wanted.iter().map(|one| self.all_of(one, narrowing))).await)
            }
        }
    }

    /// All resources of a type about the subject.
    async fn all_of(&self, wanted: &Wanted<'_>, narrowing: &Narrowing<'_>) -> Fetched {
        let id = narrowing.id_at_source();
        if wanted.resource == "Patient" {
            let entry = |body: &[u8], narrowed: &mut Narrowed| narrowing.entry(body, narrowed);
            return self.read(&self.url(&format!("/Patient/{id}"), &[]), entry).await;
        }
        let codes = wanted.codes.join(",");
        let mut query = vec![("patient", id)];
        if !codes.is_empty() {
            query.push(("code", &codes));
        }
        match self.search(self.url(&format!("/{}", wanted.resource), &query), narrowing).await {
            // A search that finds nothing answers so (FHIR R4 §3.1.1.5). Whatever this is, it must not look like *no allergies*.
            Fetched::NoData => Fetched::Failed(format!("the source does not know {}", wanted.resource)),
            answer => answer,
        }
    }

    fn url(&self, path: &str, query: &[(&str, &str)]) -> String {
        let url = format!("{}{path}", self.config.url);
        if query.is_empty() {
            return url;
        }
        let encoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        format!("{url}?{encoded}")
    }

    async fn read(&self, url: &str, narrow: impl FnOnce(&[u8], &mut Narrowed) -> Result<(), NarrowError>) -> Fetched {
        let mut narrowed = Narrowed::default();
        match self.get(url).await {
            Ok(Some(body)) => match aside(body.len(), || narrow(&body, &mut narrowed)) {
                Ok(()) => Fetched::Narrowed { narrowed, unmapped: 0, incomplete: false },
                Err(error) => Fetched::Failed(error.to_string()),
            },
            Ok(None) => Fetched::NoData,
            Err(failed) => failed,
        }
    }

    async fn search(&self, mut url: String, narrowing: &Narrowing<'_>) -> Fetched {
        let mut narrowed = Narrowed::default();
        for _ in 0..PAGES_MAX {
            let body = match self.get(&url).await {
                Ok(Some(body)) => body,
                Ok(None) => return Fetched::NoData,
                Err(failed) => return failed,
            };
            match aside(body.len(), || narrowing.page(&body, &mut narrowed)) {
                Err(error) => return Fetched::Failed(error.to_string()),
                Ok(None) => return Fetched::Narrowed { narrowed, unmapped: 0, incomplete: false },
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
