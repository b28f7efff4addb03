//! What open pages show, and whether it may still be shown.
//!
//! A page asks by itself, twice a second, and takes away what is gone. Without scripts it loads a style sheet that is held here until
//! something is gone, and then hides all of it. Either way a withdrawal is off an open screen within a second. Nothing about
//! anybody is in these answers, and asking keeps nobody signed in.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::StatusCode;
use serde_json::json;
use tokio::sync::Semaphore;

use super::super::page::{Answer, Trouble};
use super::super::visit::Visit;
use super::Member;
use crate::ids::{CaseId, random};
use crate::week::nurses::{freshen, gone};

/// Pages that are remembered, at most; the oldest is taken for gone.
const PAGES_MAX: usize = 2_000;
/// Style sheets that are held at once, at most.
const HELD_MAX: usize = 200;
/// How often a held one is looked at, and how long it is held (less than a request may take): a page that nothing was done with for so
/// long shows nothing any more.
const EVERY: Duration = Duration::from_millis(300);
const HELD_FOR: Duration = Duration::from_secs(100);
/// Hides what was shared, and says so.
const GONE: &str = "[data-case]{display:none!important}[data-gone]{display:block!important}\n";

/// A case that a page shows.
#[derive(Clone)]
struct Page {
    id: [u8; 16],
    party: [u8; 16],
    login: String,
    cases: Vec<(CaseId, bool, String)>,
}

/// What nurses' open pages show.
pub struct Watched {
    pages: Mutex<VecDeque<Page>>,
    held: Semaphore,
}

impl Default for Watched {
    fn default() -> Self {
        Self { pages: Mutex::default(), held: Semaphore::new(HELD_MAX) }
    }
}

impl Watched {
    /// Remembers what a page of this nurse shows: cases, whether with words, and their numbers. Gives its name.
    pub fn put(&self, member: &Member, cases: Vec<(CaseId, bool, String)>) -> String {
        let id = random::<16>();
        let page = Page { id, party: *member.to.party.bytes(), login: member.signed_in.sub.clone(), cases };
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if pages.len() >= PAGES_MAX {
            pages.pop_front();
        }
        pages.push_back(page);
        BASE64URL_NOPAD.encode(&id)
    }

    fn get(&self, member: &Member, name: &str) -> Option<Page> {
        let id: [u8; 16] = BASE64URL_NOPAD.decode(name.as_bytes()).ok()?.try_into().ok()?;
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let own = |page: &&Page| {
            page.id == id && page.party == *member.to.party.bytes() && page.login == member.signed_in.sub
        };
        pages.iter().find(own).cloned()
    }
}

/// Whether what a page shows may still be shown.
pub async fn watch(visit: &Visit, name: &str) -> Result<Answer, Trouble> {
    let member = Member::of(visit).await?;
    let page = visit.app.web.sessions.watched.get(&member, name);
    if visit.query("held").is_some() {
        return held(visit, &member, page).await;
    }
    let said = match page {
        Some(page) => json!({"all": false, "gone": looked(visit, &member, &page).await?}),
        None => json!({"all": true, "gone": []}),
    };
    Ok(Answer::of(StatusCode::OK, "application/json; charset=utf-8", Bytes::from(said.to_string())))
}

/// The numbers of what is gone.
async fn looked(visit: &Visit, member: &Member, page: &Page) -> Result<Vec<String>, Trouble> {
    let week = member.week(visit)?;
    freshen(&visit.app, week).await;
    let cases: Vec<(CaseId, bool)> = page.cases.iter().map(|(id, full, _)| (*id, *full)).collect();
    let gone = gone(&visit.app, week, &member.to, &cases).await?;
    let of = |(id, _, number): &(CaseId, bool, String)| gone.contains(id).then(|| number.clone());
    Ok(page.cases.iter().filter_map(of).collect())
}

async fn held(visit: &Visit, member: &Member, page: Option<Page>) -> Result<Answer, Trouble> {
    let answer = || Answer::of(StatusCode::OK, "text/css; charset=utf-8", Bytes::from_static(GONE.as_bytes()));
    let place = visit.app.web.sessions.watched.held.try_acquire();
    let (Some(page), Ok(_place)) = (page, place) else { return Ok(answer()) };
    let until = tokio::time::Instant::now() + HELD_FOR;
    let mut tick = tokio::time::interval(EVERY);
    while tokio::time::Instant::now() < until && visit.is_still_signed_in() {
        tick.tick().await;
        if !looked(visit, member, &page).await?.is_empty() {
            break;
        }
    }
    Ok(answer())
}
