//! 要ケア一覧: the cases of a nurse's districts, the most urgent first; filtered by what is not about anybody, searched by name.

use askama::Template;
use http::StatusCode;
use unicode_normalization::UnicodeNormalization as _;

use super::super::Provider;
use super::super::page::{Answer, Frame, Trouble};
use super::super::visit::Visit;
use super::Member;
use super::card::{Card, urgency};
use super::release::release;
use crate::week::calendar;
use crate::week::nurses::{self, Item, Shown};
use crate::week::row::Row;
use crate::week::work::{Matched, Status};

/// Cases on one page.
const PAGE: usize = 50;
/// Cases that are looked through for a name, at most.
const SEARCHED: usize = 500;
/// Letters that are searched for, at most.
const SEARCH_MAX: usize = 50;

#[derive(Template)]
#[template(path = "nurse/welcome.html")]
struct Welcome {
    f: Frame,
    providers: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "nurse/list.html")]
struct List<'a> {
    f: Frame,
    municipality: String,
    lines: &'a [Line],
    statuses: Vec<Choice>,
    districts: Vec<Choice>,
    urgencies: Vec<Choice>,
    searched: Option<&'a str>,
    notices: Vec<&'static str>,
    silent: Vec<String>,
    watch: &'a str,
    total: usize,
    pages: Vec<(usize, String, bool)>,
    filter: String,
    is_manager: bool,
    at: String,
}

/// A line of the list.
pub struct Line {
    /// The case's number.
    pub number: String,
    /// What is shared of it; `None` once sharing has stopped, or the service is silent.
    pub card: Option<Card>,
    /// Whether sharing has stopped.
    pub stopped: bool,
    /// The district.
    pub district: String,
    /// Days since they asked.
    pub days: i64,
    /// Where it stands.
    pub status: &'static str,
    /// Who has it.
    pub holder: Option<String>,
    /// Whether the register was looked at.
    pub matched: Option<&'static str>,
    /// They asked to be contacted.
    pub asked: bool,
}

/// Something to choose.
pub struct Choice {
    /// Its value.
    pub code: String,
    /// In words.
    pub words: String,
    /// Whether it is chosen.
    pub chosen: bool,
}

/// What a list is narrowed to.
#[derive(Default)]
pub struct Filter {
    status: Option<Status>,
    district: Option<String>,
    urgency: Option<u8>,
    mine: bool,
}

impl Filter {
    /// As the address says.
    #[must_use]
    pub fn of(visit: &Visit) -> Self {
        let said = |name| visit.query(name).filter(|text| !text.is_empty());
        Self {
            status: said("status").and_then(Status::of),
            district: said("district").map(str::to_owned),
            urgency: said("urgency").and_then(|code| URGENCIES.iter().position(|u| *u == code)).map(|at| at as u8),
            mine: said("mine").is_some(),
        }
    }

    /// Whether a case is among them.
    #[must_use]
    pub fn takes(&self, item: &Item, login: &str) -> bool {
        let mine = || item.work.holder.as_ref().is_some_and(|holder| holder.login == login);
        self.status.is_none_or(|status| item.work.status == status)
            && self.district.as_ref().is_none_or(|district| item.district == *district)
            && self.urgency.is_none_or(|urgency| item.case.urgency == urgency)
            && (!self.mine || mine())
    }

    fn as_query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.status.map(|status| ("status", status.code())));
        query.extend_pairs(self.district.as_ref().map(|district| ("district", district)));
        query.extend_pairs(self.urgency.and_then(|u| URGENCIES.get(usize::from(u))).map(|code| ("urgency", code)));
        query.extend_pairs(self.mine.then_some(("mine", "1")));
        query.finish()
    }
}

const URGENCIES: [&str; 3] = ["weekly", "raised", "urgent"];

/// The first page: sign in, or the list.
pub async fn list(visit: &Visit) -> Result<Answer, Trouble> {
    if visit.session().is_none() {
        return Ok(welcome(visit));
    }
    let member = Member::of(visit).await?;
    member.is_here(visit).await?;
    of_cases(visit, &member, None).await
}

/// The same, of those whose name or kana holds what was typed. It travels in a form: no name is in an address.
pub async fn search(visit: &Visit) -> Result<Answer, Trouble> {
    let member = Member::sent(visit).await?;
    let typed = visit.field("name").unwrap_or_default().trim();
    if typed.is_empty() || typed.chars().count() > SEARCH_MAX {
        return of_cases(visit, &member, None).await;
    }
    of_cases(visit, &member, Some(typed)).await
}

fn welcome(visit: &Visit) -> Answer {
    let opens = |p: &&Provider| {
        p.settings.staff.as_ref().is_some_and(|s| !(s.nurse_roles.is_empty() && s.manager_roles.is_empty()))
    };
    let named = |p: &Provider| (p.settings.code.clone(), visit.t(&p.settings.name_ja, &p.settings.name_en).to_owned());
    let providers = visit.app.web.providers.iter().filter(opens).map(named).collect();
    Answer::page(StatusCode::OK, &Welcome { f: visit.frame(), providers })
}

/// The cases that a member sees, of those that the filter takes.
pub async fn visible(visit: &Visit, member: &Member, filter: &Filter) -> Result<Vec<Item>, Trouble> {
    let mut items = nurses::list(&visit.app, member.week(visit)?, &member.to).await?;
    items.retain(|item| member.sees(item) && filter.takes(item, &member.signed_in.sub));
    Ok(items)
}

async fn of_cases(visit: &Visit, member: &Member, searched: Option<&str>) -> Result<Answer, Trouble> {
    member.may_look(visit)?;
    // Whatever changed while it was built is left out the second time.
    for _ in 0..2 {
        if let Some(answer) = built(visit, member, searched).await? {
            return Ok(answer);
        }
    }
    Err(Trouble::not_now())
}

async fn built(visit: &Visit, member: &Member, searched: Option<&str>) -> Result<Option<Answer>, Trouble> {
    let (app, week, filter) = (&visit.app, member.week(visit)?, Filter::of(visit));
    let items = visible(visit, member, &filter).await?;
    let page = visit.query("page").and_then(|page| page.parse::<usize>().ok()).unwrap_or(1).max(1);
    let of_page: Vec<&Item> = match searched {
        Some(_) => items.iter().filter(|item| item.is_shared()).take(SEARCHED).collect(),
        None => items.iter().skip((page - 1) * PAGE).take(PAGE).collect(),
    };
    let mut shown = nurses::show(app, week, &member.to, &of_page, false).await?;
    if let Some(typed) = searched {
        let wanted = folded(typed);
        shown
            .keep(app, |row| [&row.asker.name, &row.asker.kana].into_iter().any(|name| folded(name).contains(&wanted)));
    }
    if let Err(error) = nurses::record_views(app, &member.to, &member.signed_in.sub, &shown.cases, false).await {
        shown.close(app);
        return Err(error.into());
    }
    for item in &of_page {
        if item.work.has_begun() {
            nurses::tell_stopped(app, &member.to, item).await?;
        }
    }
    let lines = lines(visit, member, &of_page, &shown, searched.is_some());
    let pages = (1..=items.len().div_ceil(PAGE)).map(|n| (n, filter.as_query(), n == page));
    let pages = if searched.is_some() || items.len() <= PAGE { Vec::new() } else { pages.collect() };
    let answer = answer(visit, member, &filter, searched, &shown, &lines, items.len(), pages);
    release(visit, member, shown, answer).await
}

/// Width and kind of kana, and spaces, tell nobody apart who is looked for.
fn folded(text: &str) -> String {
    let katakana = |c: char| match c {
        'ぁ'..='ゖ' => char::from_u32(u32::from(c) + 0x60).unwrap_or(c),
        _ => c,
    };
    text.nfkc().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).map(katakana).collect()
}

fn lines(visit: &Visit, member: &Member, items: &[&Item], shown: &Shown, only_shared: bool) -> Vec<Line> {
    let line = |item: &&Item| {
        let row = shown.rows.get(&item.id);
        (row.is_some() || !only_shared).then(|| line_of(visit, member, item, row))
    };
    items.iter().filter_map(line).collect()
}

/// A line, with what is shared of it now.
pub fn line_of(visit: &Visit, member: &Member, item: &Item, row: Option<&Row>) -> Line {
    let (status, matched) = (item.work.status.words(), item.work.matched);
    let threshold = member.week(visit).ok().map(|week| week.criteria.epds_sum);
    let words = matched.words();
    Line {
        number: item.number.clone(),
        card: row.map(|row| Card::of(row, visit.lang, calendar::date(visit.now), threshold)),
        stopped: !item.is_shared(),
        district: district_name(visit, member, &item.district),
        days: item.days(visit.now),
        status: visit.t(status.0, status.1),
        holder: item.work.holder.as_ref().map(|holder| holder.name.clone()),
        matched: (matched != Matched::NotYet).then(|| visit.t(words.0, words.1)),
        asked: item.work.asked_ms.is_some(),
    }
}

fn district_name(visit: &Visit, member: &Member, code: &str) -> String {
    let all = visit.app.districts_at(&member.to);
    all.into_iter().find(|(known, _)| known == code).map_or_else(|| code.to_owned(), |(_, name)| name)
}

#[expect(clippy::too_many_arguments, reason = "the last step of `built`, apart for its length")]
fn answer(
    visit: &Visit,
    member: &Member,
    filter: &Filter,
    searched: Option<&str>,
    shown: &Shown,
    lines: &[Line],
    total: usize,
    pages: Vec<(usize, String, bool)>,
) -> Answer {
    let names = &visit.app.config.registry;
    let party =
        |code: &str| names.party(code).map_or_else(|| code.to_owned(), |p| visit.t(&p.name_ja, &p.name_en).to_owned());
    let status = |status: &Status| Choice {
        code: status.code().to_owned(),
        words: visit.t(status.words().0, status.words().1).to_owned(),
        chosen: filter.status == Some(*status),
    };
    let district =
        |(code, name): (String, String)| Choice { chosen: filter.district.as_ref() == Some(&code), code, words: name };
    let soon = |(at, code): (usize, &&str)| Choice {
        code: (*code).to_owned(),
        words: urgency(visit.lang, code).to_owned(),
        chosen: filter.urgency == u8::try_from(at).ok(),
    };
    let watch = visit.app.web.sessions.watched.put(member, shown_cases(shown));
    let mut notices = Vec::new();
    if !member.has_districts() {
        notices.push(visit.t(
            "担当地区がまだ割り当てられていません。統括者に割り当てを依頼してください。",
            "No district is assigned to you yet. Ask your manager to assign one.",
        ));
    }
    let page = List {
        f: visit.frame(),
        municipality: party(&member.to.code),
        lines,
        statuses: Status::ALL.iter().filter(|s| **s != Status::Closed).map(status).collect(),
        districts: visit.app.districts_at(&member.to).into_iter().map(district).collect(),
        urgencies: URGENCIES.iter().enumerate().rev().map(soon).collect(),
        searched,
        notices,
        silent: shown.silent.iter().map(|code| party(code)).collect(),
        watch: &watch,
        total,
        pages,
        filter: filter.as_query(),
        is_manager: member.is_manager,
        at: visit.lang.second(visit.now),
    };
    Answer::page(StatusCode::OK, &page)
}

/// What a page shows, for [`super::Watched`].
pub fn shown_cases(shown: &Shown) -> Vec<(crate::ids::CaseId, bool, String)> {
    let number = |id| shown.rows.get(id).map(|row: &Row| row.case.clone()).unwrap_or_default();
    shown.cases.iter().map(|(id, full)| (*id, *full, number(id))).collect()
}

#[cfg(test)]
mod tests {
    use super::folded;

    #[test]
    fn a_name_is_found_however_it_is_typed() {
        let kana = folded("ゴウセイ ハナコ");
        for typed in ["ごうせい", "ｺﾞｳｾｲ", "ゴウセイハナコ", "はなこ", "　ハナコ"] {
            assert!(kana.contains(&folded(typed)), "{typed}");
        }
        assert!(folded("髙橋 Anna").contains(&folded("ａｎｎａ")) && !kana.contains(&folded("こうせい")));
    }
}
