//! つながり: by which sign-ins and records organisations know a person, since when, and who verified it. The person enters a code
//! that an app gave its user, and ends what is wrong; the ledger keeps both.

use askama::Template;
use http::StatusCode;
use sekisho_policy::PersonId;

use super::enrol;
use super::grant;
use super::page::{Answer, Frame, Trouble};
use super::view;
use super::visit::Visit;
use crate::consent::codes::{self, CodeError};
use crate::consent::links;
use crate::consent::people::ActError;
use crate::ids::{LinkId, TextId};
use crate::ledger::entry::Cause;
use crate::ledger::event::LinkTarget;
use crate::sabotage::{self, Check};
use crate::store::state::{Global, Link, LinkPaper};

/// What the ledger says of a link that a person ended here.
const ENDED_HERE: &str = "ended by the person at our pages";

#[derive(Template)]
#[template(path = "links.html")]
struct List {
    f: Frame,
    links: Vec<LinkView>,
    people: Vec<(String, String)>,
    again: Option<String>,
    notice: Option<&'static str>,
    /// How many transfers were cut, when a link was just ended.
    ended: Option<u32>,
}

struct LinkView {
    id: String,
    about: String,
    who: String,
    name: String,
    login: bool,
    /// Whether it is the sign-in by which this page was opened.
    current: bool,
    since: String,
    verified_by: String,
}

/// All of one's own, and those of the children about whom one decides.
pub async fn list(visit: &Visit) -> Result<Answer, Trouble> {
    let person = visit.person().await?;
    listed(visit, person, StatusCode::OK, None, None).await
}

async fn listed(
    visit: &Visit,
    person: PersonId,
    status: StatusCode,
    notice: Option<&'static str>,
    ended: Option<u32>,
) -> Result<Answer, Trouble> {
    let global = visit.app.store.registry().await?;
    let (mut links, mut people) = (Vec::new(), Vec::new());
    for subject in visit.decided_by(person).await? {
        let dossier = visit.app.store.dossier(subject).await?;
        let who = view::who(visit, person, &dossier.subject);
        let shown = dossier.subject.links.iter().filter(|link| is_shown(&global, subject == person, link));
        links.extend(shown.map(|link| {
            let paper = dossier.papers.links.iter().find(|paper| paper.id == link.id);
            one(visit, &global, subject, &who, link, paper)
        }));
        people.push((subject.text(), who));
    }
    let again = (!grant::strong(visit)).then(|| grant::again(visit, "/my/links")).flatten();
    Ok(Answer::page(status, &List { f: visit.frame(), links, people, again, notice, ended }))
}

/// Whether a link is this person's to see: one's own are. Of a child, not the child's own sign-ins, and not at whom the child
/// sought advice.
fn is_shown(global: &Global, own: bool, link: &Link) -> bool {
    let a_guardians = || match &link.to {
        LinkTarget::Login { .. } => false,
        LinkTarget::Source { party, .. } => {
            global.text.party(party).is_some_and(|party| party.kind != "consultation-service")
        }
    };
    own || a_guardians() || sabotage::off(Check::LinksShown)
}

fn one(visit: &Visit, global: &Global, about: PersonId, who: &str, link: &Link, paper: Option<&LinkPaper>) -> LinkView {
    let here = visit.session().map(|session| &session.signed_in);
    let (name, login) = match &link.to {
        LinkTarget::Login { issuer, .. } => {
            let provider = visit.app.web.provider_of(issuer).map(|p| &p.settings);
            let named = provider.map(|settings| visit.t(&settings.name_ja, &settings.name_en).to_owned());
            (named.unwrap_or_else(|| visit.t("サインイン", "a sign-in").to_owned()), true)
        }
        LinkTarget::Source { party, .. } => (view::party(global, visit.lang, party), false),
    };
    LinkView {
        id: link.id.text(),
        about: about.text(),
        who: who.to_owned(),
        name,
        login,
        current: matches!(&link.to, LinkTarget::Login { issuer, sub } if here.is_some_and(|of| of.issuer == *issuer && of.sub == *sub)),
        since: paper.map(|paper| visit.lang.minute(paper.at)).unwrap_or_default(),
        verified_by: paper.map(|paper| view::party(global, visit.lang, &paper.verified_by)).unwrap_or_default(),
    }
}

/// Takes a code that an app or another organisation gave its user: its id is linked to this person, or to a child about whom they
/// decide.
pub async fn add(visit: &Visit) -> Result<Answer, Trouble> {
    let person = visit.sent_by().await?;
    let about = visit.field("about").and_then(|text| PersonId::parse(text).ok());
    let Some(about) = about else {
        let why = visit.t(
            "だれの情報かを選んでください。まだ何も変わっていません。",
            "Choose whose information it is. Nothing has changed.",
        );
        return listed(visit, person, StatusCode::BAD_REQUEST, Some(why), None).await;
    };
    if !visit.decided_by(person).await?.contains(&about) {
        return Err(Trouble::not_found());
    }
    let code = match enrol::typed(visit) {
        Ok(code) => code,
        Err((status, why)) => return listed(visit, person, status, Some(why), None).await,
    };
    match codes::link_source(&visit.app, about, &code).await {
        Ok(()) => Ok(Answer::see("/my/links")),
        Err(CodeError::Store(error)) => Err(error.into()),
        Err(CodeError::Wrong) => {
            listed(visit, person, StatusCode::UNPROCESSABLE_ENTITY, Some(enrol::wrong(visit)), None).await
        }
    }
}

/// Ends a link that is wrong: what is being released on the strength of it is cut, and nothing more is.
pub async fn end(visit: &Visit, id: &str) -> Result<Answer, Trouble> {
    let person = visit.sent_by().await?;
    let link = LinkId::parse(id).map_err(|_| Trouble::not_found())?;
    let about = visit.field("about").and_then(|text| PersonId::parse(text).ok()).ok_or(Trouble::not_found())?;
    if !visit.decided_by(person).await?.contains(&about) {
        return Err(Trouble::not_found());
    }
    let global = visit.app.store.registry().await?;
    let snapshot = visit.app.store.snapshot(about).await?;
    let theirs = |l: &&Link| l.id == link && is_shown(&global, about == person, l);
    if !snapshot.subject.links.iter().any(|l| theirs(&l)) {
        return Err(Trouble::not_found());
    }
    let cut = links::end_link(&visit.app, about, link, ENDED_HERE, Cause::Person).await;
    let cut = cut.map_err(|error| match error {
        ActError::Store(error) => error.into(),
        ActError::Barrier(error) => crate::consent::give::GiveError::from(error).into(),
        _ => Trouble::not_found(),
    })?;
    // It may have been the one by which they are signed in: then there is nobody to show a list to.
    let still = visit.person().await.is_ok();
    if still { listed(visit, person, StatusCode::OK, None, Some(cut)).await } else { Ok(Answer::see("/my/enrol")) }
}
