//! A list to print: case number, name and safe contact; reasons only where they were asked for. It says when, for whom, until when,
//! which copy, and who printed it.

use askama::Template;
use http::StatusCode;

use super::super::page::{Answer, Frame, Trouble};
use super::super::visit::Visit;
use super::Member;
use super::list::{Filter, Line, line_of, visible};
use super::release::release;
use crate::week::nurses::{self, Item};
use crate::week::shelf::{Changes, Shelf};

/// Cases on one print.
const PRINTED_MAX: usize = 200;
/// The count of prints stands beside those of weeks.
const PRINTS: (u32, &str) = (0, "prints");

#[derive(Template)]
#[template(path = "nurse/print.html")]
struct Print<'a> {
    f: Frame,
    lines: &'a [Line],
    municipality: String,
    by: String,
    at: String,
    copy: u32,
    until: String,
    reasons: bool,
    more: usize,
}

/// The list, as it goes to a printer.
pub async fn print(visit: &Visit) -> Result<Answer, Trouble> {
    let member = Member::of(visit).await?;
    member.may_look(visit)?;
    for _ in 0..2 {
        if let Some(answer) = built(visit, &member).await? {
            return Ok(answer);
        }
    }
    Err(Trouble::not_now())
}

async fn built(visit: &Visit, member: &Member) -> Result<Option<Answer>, Trouble> {
    let (app, week) = (&visit.app, member.week(visit)?);
    let mut items = visible(visit, member, &Filter::of(visit)).await?;
    items.retain(Item::is_shared);
    let more = items.len().saturating_sub(PRINTED_MAX);
    let items: Vec<&Item> = items.iter().take(PRINTED_MAX).collect();
    let shown = nurses::show(app, week, &member.to, &items, false).await?;
    if let Err(error) = nurses::record_views(app, &member.to, &member.signed_in.sub, &shown.cases, false).await {
        shown.close(app);
        return Err(error.into());
    }
    let copy = match counted(visit, member).await {
        Ok(copy) => copy,
        Err(trouble) => {
            shown.close(app);
            return Err(trouble);
        }
    };
    let row = |item: &&&Item| shown.rows.get(&item.id).map(|row| line_of(visit, member, item, Some(row)));
    let lines: Vec<Line> = items.iter().filter_map(|item| row(&item)).collect();
    let until = shown.rows.values().map(|row| row.valid_until.get(..10).unwrap_or_default()).min();
    let names = visit.app.config.registry.party(&member.to.code);
    let page = Print {
        f: visit.frame(),
        lines: &lines,
        municipality: names.map(|p| visit.t(&p.name_ja, &p.name_en).to_owned()).unwrap_or_default(),
        by: member.staff().name,
        at: visit.lang.minute(visit.now),
        copy,
        until: until.unwrap_or("—").to_owned(),
        reasons: visit.query("reasons").is_some(),
        more,
    };
    let answer = Answer::page(StatusCode::OK, &page);
    release(visit, member, shown, answer).await
}

async fn counted(visit: &Visit, member: &Member) -> Result<u32, Trouble> {
    let _one = visit.app.desk.works().await;
    let (week, what) = PRINTS;
    let copy = Shelf(&visit.app.store).count(member.to.party, week, what)?.saturating_add(1);
    let mut changes = Changes::default();
    changes.put_count(member.to.party, week, what, copy);
    changes.make(&visit.app.store).await?;
    Ok(copy)
}
