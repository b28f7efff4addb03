//! The manager's page: what was done in the last weeks, in numbers, and who sees which districts.

use askama::Template;
use http::StatusCode;

use super::super::page::{Answer, Frame, Trouble};
use super::super::visit::Visit;
use super::Member;
use super::list::{Choice, Filter, visible};
use crate::ledger::entry::Cause;
use crate::ledger::event::{DistrictsAssigned, Event};
use crate::week::calendar::{self, Week};
use crate::week::shelf::nurses::Nurse;
use crate::week::shelf::{Changes, Shelf};
use crate::week::work::{Status, words};

/// Weeks that are counted.
const WEEKS: usize = 8;
/// Kinds of things that are counted in a week, at most.
const KINDS_MAX: usize = 100;
/// Nurses of a municipality, at most.
const NURSES_MAX: usize = 500;

#[derive(Template)]
#[template(path = "nurse/manage.html")]
struct Page {
    f: Frame,
    saved: bool,
    open: Vec<(&'static str, usize)>,
    waiting: i64,
    weeks: Vec<String>,
    counts: Vec<(String, Vec<u32>)>,
    nurses: Vec<Assigned>,
    at: String,
}

/// A nurse and what she sees.
pub struct Assigned {
    login: String,
    name: String,
    all: bool,
    districts: Vec<Choice>,
}

/// The page.
pub async fn manage(visit: &Visit) -> Result<Answer, Trouble> {
    let member = manager(visit, Member::of(visit).await?)?;
    shown(visit, &member, visit.query("saved").is_some()).await
}

fn manager(_visit: &Visit, member: Member) -> Result<Member, Trouble> {
    if member.is_manager { Ok(member) } else { Err(Trouble::no_manager_role()) }
}

async fn shown(visit: &Visit, member: &Member, saved: bool) -> Result<Answer, Trouble> {
    let shelf = Shelf(&visit.app.store);
    let items = visible(visit, member, &Filter::default()).await?;
    let of = |status: Status| items.iter().filter(|item| item.work.status == status).count();
    let open = Status::ALL.iter().filter(|s| **s != Status::Closed);
    let open = open.map(|status| (visit.t(status.words().0, status.words().1), of(*status))).collect();
    let mut weeks: Vec<Week> = Vec::new();
    for back in 0..WEEKS {
        let day = visit.now.plus_millis(-(back as i64) * 7 * 86_400_000);
        weeks.push(Week::of(calendar::date(day)));
    }
    let mut counts: Vec<(String, Vec<u32>)> = Vec::new();
    for (at, week) in weeks.iter().enumerate() {
        for (what, count) in shelf.counts(member.to.party, week.number(), KINDS_MAX)? {
            if !counts.iter().any(|(known, _)| *known == what) {
                counts.push((what.clone(), vec![0; WEEKS]));
            }
            let line = counts.iter_mut().find(|(known, _)| *known == what);
            if let Some(cell) = line.and_then(|(_, cells)| cells.get_mut(at)) {
                *cell = count;
            }
        }
    }
    counts.sort();
    let named = |(what, cells): (String, Vec<u32>)| {
        let (ja, en) = words(&what);
        (visit.t(&ja, &en).to_owned(), cells)
    };
    let nurses = shelf.nurses(member.to.party, NURSES_MAX)?;
    let page = Page {
        f: visit.frame(),
        saved,
        open,
        waiting: items.iter().map(|item| item.days(visit.now)).max().unwrap_or_default(),
        weeks: weeks.iter().map(ToString::to_string).collect(),
        counts: counts.into_iter().map(named).collect(),
        nurses: nurses.into_iter().map(|nurse| assigned(visit, member, nurse)).collect(),
        at: visit.lang.second(visit.now),
    };
    Ok(Answer::page(StatusCode::OK, &page))
}

fn assigned(visit: &Visit, member: &Member, nurse: Nurse) -> Assigned {
    let all = visit.app.districts_at(&member.to).into_iter();
    let districts = all.map(|(code, words)| Choice { chosen: nurse.districts.contains(&code), code, words }).collect();
    Assigned { login: nurse.login, name: nurse.name, all: nurse.all, districts }
}

/// Says what a nurse sees.
pub async fn assign(visit: &Visit) -> Result<Answer, Trouble> {
    let member = manager(visit, Member::sent(visit).await?)?;
    let shelf = Shelf(&visit.app.store);
    let nurse = shelf.nurse(member.to.party, visit.field("nurse").unwrap_or_default())?;
    let mut nurse = nurse.ok_or(Trouble::bad_form())?;
    let known = visit.app.districts_at(&member.to);
    let chosen = visit.fields("district").filter(|code| known.iter().any(|(known, _)| known == code));
    nurse.districts = chosen.map(str::to_owned).collect();
    nurse.all = visit.field("all").is_some();
    let event = DistrictsAssigned {
        party: member.to.code.clone(),
        by: member.signed_in.sub.clone(),
        nurse: nurse.login.clone(),
        districts: nurse.districts.clone(),
        all: nurse.all,
    };
    visit.app.store.record_global(Event::DistrictsAssigned(event), Cause::party(member.to.party)).await?;
    let mut changes = Changes::default();
    changes.put_nurse(member.to.party, &nurse);
    changes.make(&visit.app.store).await?;
    Ok(Answer::see("/nurse/manage?saved=1"))
}
