//! A case in detail: what is shared of it, and the nurses' own record beside.

use askama::Template;
use http::StatusCode;

use super::super::page::{Answer, Frame, Trouble};
use super::super::visit::Visit;
use super::Member;
use super::list::{Choice, Line, line_of, shown_cases};
use super::release::release;
use crate::week::nurses::{self, Item};
use crate::week::shelf::Shelf;
use crate::week::work::{Matched, Outcome, Question, Status, words};

/// Colleagues that a case can be handed to, at most.
const COLLEAGUES_MAX: usize = 500;

#[derive(Template)]
#[template(path = "nurse/case.html")]
struct Page<'a> {
    f: Frame,
    line: &'a Line,
    steps: Vec<Step>,
    version: u32,
    watch: &'a str,
    silent: bool,
    trouble: Option<&'static str>,
    note: &'a str,
    is_mine: bool,
    is_closed: bool,
    is_confirmed: bool,
    visit_day: Option<&'a str>,
    colleagues: Vec<Choice>,
    matches: Vec<Choice>,
    outcomes: Vec<Choice>,
    questions: Vec<Choice>,
    at: String,
}

/// Something that was done.
pub struct Step {
    at: String,
    by: String,
    what: String,
    detail: String,
    note: String,
}

/// What was written and could not be kept, and why.
#[derive(Default)]
pub struct Draft<'a> {
    /// What was written.
    pub note: &'a str,
    /// Why it is not kept.
    pub trouble: Option<&'static str>,
    /// The answer's status.
    pub status: Option<StatusCode>,
}

/// A case by its number.
pub async fn case(visit: &Visit, number: &str) -> Result<Answer, Trouble> {
    let member = Member::of(visit).await?;
    member.may_look(visit)?;
    show(visit, &member, number, &Draft::default()).await
}

/// The case, if this member sees it.
pub async fn seen(visit: &Visit, member: &Member, number: &str) -> Result<Item, Trouble> {
    let item = nurses::find(&visit.app, member.week(visit)?, &member.to, number).await?;
    item.filter(|item| member.sees(item)).ok_or(Trouble::no_case())
}

/// The same, with a draft kept.
pub async fn show(visit: &Visit, member: &Member, number: &str, draft: &Draft<'_>) -> Result<Answer, Trouble> {
    for _ in 0..2 {
        let item = seen(visit, member, number).await?;
        if let Some(answer) = built(visit, member, &item, draft).await? {
            return Ok(answer);
        }
    }
    Err(Trouble::not_now())
}

async fn built(visit: &Visit, member: &Member, item: &Item, draft: &Draft<'_>) -> Result<Option<Answer>, Trouble> {
    let (app, week) = (&visit.app, member.week(visit)?);
    // Of a case that is closed nothing more is needed.
    let wanted: &[&Item] = if item.work.status == Status::Closed { &[] } else { &[item] };
    let shown = nurses::show(app, week, &member.to, wanted, true).await?;
    if let Err(error) = nurses::record_views(app, &member.to, &member.signed_in.sub, &shown.cases, true).await {
        shown.close(app);
        return Err(error.into());
    }
    if item.work.has_begun() {
        nurses::tell_stopped(app, &member.to, item).await?;
    }
    let line = line_of(visit, member, item, shown.rows.get(&item.id));
    let watch = app.web.sessions.watched.put(member, shown_cases(&shown));
    let page = page(visit, member, item, &line, &watch, !shown.silent.is_empty(), draft)?;
    let answer = Answer::page(draft.status.unwrap_or(StatusCode::OK), &page);
    release(visit, member, shown, answer).await
}

fn page<'a>(
    visit: &Visit,
    member: &Member,
    item: &'a Item,
    line: &'a Line,
    watch: &'a str,
    silent: bool,
    draft: &Draft<'a>,
) -> Result<Page<'a>, Trouble> {
    let work = &item.work;
    let colleagues = Shelf(&visit.app.store).nurses(member.to.party, COLLEAGUES_MAX)?;
    let choice = |code: &str, words: &str| Choice { code: code.to_owned(), words: words.to_owned(), chosen: false };
    let both = |code, (ja, en): (&'static str, &'static str)| choice(code, visit.t(ja, en));
    let others = colleagues.iter().filter(|one| one.login != member.signed_in.sub);
    Ok(Page {
        f: visit.frame(),
        line,
        steps: work.steps.iter().rev().map(|step| said(visit, step)).collect(),
        version: work.version,
        watch,
        silent,
        trouble: draft.trouble,
        note: draft.note,
        is_mine: work.holder.as_ref().is_some_and(|holder| holder.login == member.signed_in.sub),
        is_closed: work.status == Status::Closed,
        is_confirmed: work.matched == Matched::Confirmed,
        visit_day: work.visit.as_deref(),
        colleagues: others.map(|one| choice(&one.login, &one.name)).collect(),
        matches: Matched::ALL.iter().skip(1).map(|m| both(m.code(), m.words())).collect(),
        outcomes: Outcome::ALL.iter().map(|o| both(o.code(), o.words())).collect(),
        questions: Question::ALL.iter().map(|q| both(q.code(), q.words())).collect(),
        at: visit.lang.second(visit.now),
    })
}

fn said(visit: &Visit, step: &crate::week::work::Step) -> Step {
    let (ja, en) = words(&step.what);
    let person = || visit.t("本人", "The person").to_owned();
    Step {
        at: visit.lang.minute(sekisho_policy::Timestamp::from_millis(step.at_ms)),
        by: step.by.as_ref().map_or_else(person, |by| by.name.clone()),
        what: visit.t(&ja, &en).to_owned(),
        detail: step.detail.clone(),
        note: step.note.clone(),
    }
}
