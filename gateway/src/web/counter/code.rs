//! A one-time code for a person whose identity was just checked: shown once, to be printed and handed over.

use askama::Template;
use http::StatusCode;

use super::super::page::{Answer, Frame, Trouble};
use super::super::visit::Visit;
use super::Member;
use super::home::nobody;
use super::word::{Named, Typed, Why, word, wrong};
use crate::consent::codes;
use crate::consent::give::GiveError;
use crate::ids::TextId;

#[derive(Template)]
#[template(path = "counter/code.html")]
struct Ask {
    f: Frame,
    v: Typed,
    notice: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "counter/issued.html")]
struct Issued {
    f: Frame,
    code: String,
    until: String,
    address: String,
    entry: String,
}

fn registrar(member: Member) -> Result<Member, Trouble> {
    if member.may_enrol { Ok(member) } else { Err(Trouble::no_counter_role()) }
}

/// Asks how the identity was checked.
pub async fn ask(visit: &Visit) -> Result<Answer, Trouble> {
    let member = registrar(Member::sent(visit).await?)?;
    // Whoever is to sign in with it stands here themself: nobody receives a code for somebody else.
    let v = Typed { by: String::new(), own: true, ..Typed::of(visit) };
    if Named::of(visit, &member, &v).await?.is_none() {
        return Ok(nobody(visit, &member, v));
    }
    Ok(asked(visit, v, StatusCode::OK, None))
}

fn asked(visit: &Visit, v: Typed, status: StatusCode, notice: Option<Why>) -> Answer {
    let notice = notice.map(|(ja, en)| visit.lang.t(ja, en));
    Answer::page(status, &Ask { f: visit.frame(), v, notice })
}

/// Issues it. Sending the form again issues another one: what the first was, nobody can tell any more.
pub async fn issue(visit: &Visit) -> Result<Answer, Trouble> {
    let member = registrar(Member::sent(visit).await?)?;
    let v = Typed { by: String::new(), own: true, way: "in-person".to_owned(), ..Typed::of(visit) };
    let Some(named) = Named::of(visit, &member, &v).await? else { return Ok(nobody(visit, &member, v)) };
    let word = match word(visit, &member, &named, &v) {
        Ok(word) => word,
        Err(why) => return Ok(asked(visit, v, StatusCode::UNPROCESSABLE_ENTITY, Some(why))),
    };
    let issued = match codes::issue_enrolment(&visit.app, named.subject, word.attestation).await {
        Ok(issued) => issued,
        Err(GiveError::NoAuthority) => {
            let why = (
                "15歳未満の方には発行できません。保護者の方が、ご自分のサインインで決められます。",
                "There is no code for somebody under 15: guardians decide, signed in as themselves.",
            );
            return Ok(asked(visit, v, StatusCode::UNPROCESSABLE_ENTITY, Some(why)));
        }
        Err(error) => {
            let (status, why) = wrong(error)?;
            return Ok(asked(visit, v, status, Some(why)));
        }
    };
    let page = Issued {
        f: visit.frame(),
        code: issued.code.shown(),
        until: visit.lang.minute(issued.until),
        address: format!("{}/my", visit.app.config.server.url),
        entry: issued.entry.text(),
    };
    Ok(Answer::page(StatusCode::CREATED, &page))
}
