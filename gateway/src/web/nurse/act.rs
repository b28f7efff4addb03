//! Something that a nurse does about a case. What can't be done changes nothing, says why, and keeps what was written.

use http::StatusCode;

use super::super::page::{Answer, Trouble};
use super::super::visit::Visit;
use super::Member;
use super::case::{Draft, seen, show};
use crate::week::nurses::{self, Doing};
use crate::week::shelf::Shelf;
use crate::week::work::{Action, Matched, Outcome, Question, Refused, Staff};

/// Does it, and shows the case again.
pub async fn act(visit: &Visit) -> Result<Answer, Trouble> {
    let member = Member::sent(visit).await?;
    member.may_look(visit)?;
    let number = visit.field("case").unwrap_or_default();
    let note = visit.field("note").unwrap_or_default();
    let item = seen(visit, &member, number).await?;
    let version = visit.field("version").and_then(|text| text.parse::<u32>().ok());
    let (Some(version), Some(action)) = (version, action(visit, &member)?) else {
        return refused(visit, &member, number, note, Refused::Field).await;
    };
    let by = member.staff();
    let doing = Doing { item: &item, version, by: &by, action: &action, note };
    match nurses::act(&visit.app, &member.to, &doing).await? {
        Ok(_) => Ok(Answer::see(&format!("/nurse/cases/{number}"))),
        Err(why) => refused(visit, &member, number, note, why).await,
    }
}

/// What the form says; `None` when something of it is missing or no such thing.
fn action(visit: &Visit, member: &Member) -> Result<Option<Action>, Trouble> {
    let field = |name| visit.field(name).unwrap_or_default();
    let action = match field("action") {
        "take" => Some(Action::Take),
        "hand-over" => colleague(visit, member, field("to"))?.map(Action::HandOver),
        "match" => Matched::of(field("matched")).filter(|m| *m != Matched::NotYet).map(Action::Match),
        "attempted" => Some(Action::Attempted),
        "contacted" => Some(Action::Contacted),
        "visit" => field("day").parse().ok().map(Action::Visit),
        "note" => Some(Action::Note),
        "ask" => Question::of(field("question")).map(Action::Ask),
        "close" => Outcome::of(field("outcome")).map(Action::Close),
        "reopen" => Some(Action::Reopen),
        _ => None,
    };
    Ok(action)
}

fn colleague(visit: &Visit, member: &Member, login: &str) -> Result<Option<Staff>, Trouble> {
    let nurse = Shelf(&visit.app.store).nurse(member.to.party, login)?;
    Ok(nurse.map(|nurse| Staff { login: nurse.login, name: nurse.name }))
}

async fn refused(visit: &Visit, member: &Member, number: &str, note: &str, why: Refused) -> Result<Answer, Trouble> {
    let (status, ja, en) = match why {
        Refused::Changed => (
            StatusCode::CONFLICT,
            "ほかの保健師がこの事例を更新したため、保存していません。下の「これまでの対応」を確かめてください。書いた内容は下の欄に残してあります。",
            "A colleague changed this case meanwhile, so nothing was saved. See what was done below; what you wrote is kept in the field.",
        ),
        Refused::NotMatched => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "住民との照合が「確認済」になっていないため、保存していません。連絡の前に住民基本台帳と照合してください。",
            "Not saved: look them up in the resident register and confirm who it is before any contact.",
        ),
        Refused::NotHolder => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "担当者ではないため、保存していません。先に「受け持つ」を押してください。",
            "Not saved: you do not have this case. Take it first.",
        ),
        Refused::Closed => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "終結した事例のため、保存していません。続けるときは「再開する」を押してください。",
            "Not saved: the case is closed. Open it again to go on.",
        ),
        Refused::NotClosed => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "終結していない事例です。何も変わっていません。",
            "The case is not closed. Nothing has changed.",
        ),
        Refused::Field => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "必要な項目が空か、長すぎるため、保存していません（記録は2,000字まで、日付は年月日）。",
            "Not saved: something needed is missing or too long (a note has 2,000 letters at most; a date has year, month and day).",
        ),
        Refused::Full => (
            StatusCode::UNPROCESSABLE_ENTITY,
            "この事例の記録が上限に達したため、保存していません。続きは自治体の記録に残してください。",
            "Not saved: there are too many entries of this case. Go on in the municipality's own records.",
        ),
    };
    let draft = Draft { note, trouble: Some(visit.t(ja, en)), status: Some(status) };
    show(visit, member, number, &draft).await
}
