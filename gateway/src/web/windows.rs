//! The municipalities' windows for parents: who helps, and asking to be contacted by a nurse, where one may know of it.

use askama::Template;
use http::StatusCode;

use super::page::{Answer, Frame, Trouble};
use super::visit::Visit;
use crate::week::nurses;

#[derive(Template)]
#[template(path = "windows.html")]
struct Page {
    f: Frame,
    windows: Vec<Window>,
    asked: bool,
}

/// A municipality's.
struct Window {
    code: String,
    name: String,
    words: Option<String>,
    /// Whether they may be asked to call: `Some(true)` when they were.
    may_ask: Option<bool>,
}

/// The page.
pub async fn show(visit: &Visit) -> Result<Answer, Trouble> {
    let person = visit.person().await?;
    let Some(week) = &visit.app.config.week else { return Err(Trouble::not_found()) };
    let open = nurses::windows_of(&visit.app, week, person).await?;
    let names = &visit.app.config.registry;
    let window = |to: &std::sync::Arc<crate::config::week::Municipality>| Window {
        code: to.code.clone(),
        name: names.party(&to.code).map(|p| visit.t(&p.name_ja, &p.name_en).to_owned()).unwrap_or_default(),
        words: match visit.lang {
            super::page::Lang::Ja => to.window_ja.clone(),
            super::page::Lang::En => to.window_en.clone().or_else(|| to.window_ja.clone()),
        },
        may_ask: open.iter().find(|(code, _)| *code == to.code).map(|(_, asked)| *asked),
    };
    let windows = week.municipalities.iter().map(window).collect();
    let page = Page { f: visit.frame(), windows, asked: visit.query("asked").is_some() };
    Ok(Answer::page(StatusCode::OK, &page))
}

/// Asks a municipality to contact this person.
pub async fn ask(visit: &Visit) -> Result<Answer, Trouble> {
    let person = visit.sent_by().await?;
    let Some(week) = &visit.app.config.week else { return Err(Trouble::not_found()) };
    let code = visit.field("municipality").unwrap_or_default();
    let to = week.municipalities.iter().find(|to| to.code == code).ok_or(Trouble::not_found())?;
    if !nurses::ask_contact(&visit.app, week, person, to).await? {
        return Err(Trouble::not_found());
    }
    Ok(Answer::see("/my/windows?asked=1"))
}
