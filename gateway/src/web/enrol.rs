//! A login that is linked to nobody yet: the person enters the one-time code that the counter gave them after checking who they
//! are. Never by name, date of birth or an address of e-mail. It takes the stronger sign-in, as granting does.

use askama::Template;
use http::StatusCode;

use super::grant;
use super::page::{Answer, Frame, Trouble};
use super::visit::Visit;
use crate::consent::codes::{self, Code, CodeError};
use crate::sabotage::{self, Check};

#[derive(Template)]
#[template(path = "enrol.html")]
struct Ask {
    f: Frame,
    /// Where to sign in again first.
    again: Option<String>,
    notice: Option<&'static str>,
}

/// Asks for the code, and says where to get one.
pub async fn ask(visit: &Visit) -> Result<Answer, Trouble> {
    visit.login()?;
    if visit.person().await.is_ok() {
        return Ok(Answer::see("/my"));
    }
    Ok(asked(visit, StatusCode::OK, None))
}

fn asked(visit: &Visit, status: StatusCode, notice: Option<&'static str>) -> Answer {
    let again = (!grant::strong(visit)).then(|| grant::again(visit, "/my/enrol")).flatten();
    Answer::page(status, &Ask { f: visit.frame(), again, notice })
}

/// Takes the code: the login is linked to the person for whom it was issued.
pub async fn enrol(visit: &Visit) -> Result<Answer, Trouble> {
    visit.is_own_form()?;
    let login = visit.login()?;
    if visit.person().await.is_ok() {
        return Ok(Answer::see("/my"));
    }
    let code = match typed(visit) {
        Ok(code) => code,
        Err((status, why)) => return Ok(asked(visit, status, Some(why))),
    };
    match codes::enrol(&visit.app, &login.issuer, &login.sub, &code).await {
        Ok(()) => Ok(Answer::see("/my")),
        Err(CodeError::Store(error)) => Err(error.into()),
        Err(CodeError::Wrong) => Ok(asked(visit, StatusCode::UNPROCESSABLE_ENTITY, Some(wrong(visit)))),
    }
}

/// The code of a form, if this person may try one now; what to say otherwise.
pub fn typed(visit: &Visit) -> Result<Code, (StatusCode, &'static str)> {
    if !grant::strong(visit) && !sabotage::off(Check::CodeStepUp) {
        let why = visit.t(
            "コードを使うには、あらためて本人確認のサインインをしてください。まだ何も変わっていません。",
            "To use the code, sign in again first. Nothing has changed.",
        );
        return Err((StatusCode::FORBIDDEN, why));
    }
    let code = Code::typed(visit.field("code").unwrap_or_default()).ok_or((
        StatusCode::UNPROCESSABLE_ENTITY,
        visit.t(
            "コードの形が違います。打ち間違いがないか確かめてください。まだ何も変わっていません。",
            "This is not a code: look for a slip of the pen. Nothing has changed.",
        ),
    ))?;
    let of = visit.session().map(|session| [session.signed_in.issuer.as_str(), session.signed_in.sub.as_str()]);
    let most = visit.app.config.pages.code_tries;
    if !of.is_some_and(|of| visit.app.web.sessions.tries.may(of, most, visit.now)) {
        let why = visit.t(
            "コードを何度も試したため、しばらく受け付けられません。一時間ほどたってから、もう一度お試しください。",
            "There were too many tries. Try again in an hour.",
        );
        return Err((StatusCode::TOO_MANY_REQUESTS, why));
    }
    Ok(code)
}

/// What is said of a code that is wrong, used, expired, or somebody else's: one and the same.
pub fn wrong(visit: &Visit) -> &'static str {
    visit.lang.t(
        "このコードは使えません。期限が過ぎたか、使われたか、別のものです。まだ何も変わっていません。コードを出した窓口やアプリで、新しいコードを受け取ってください。",
        "This code can't be used: it is over, used, or for something else. Nothing has changed. Ask the counter or app that gave it for a new one.",
    )
}
