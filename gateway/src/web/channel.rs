//! Where neutral notices go, once the person has said that it is safe: a mail address, or an app, confirmed by a code.

use askama::Template;
use http::StatusCode;

use super::grant;
use super::page::{Answer, Frame, Trouble};
use super::view;
use super::visit::Visit;
use crate::notify::channel::{self, Channel, ChannelError, To};

#[derive(Template)]
#[template(path = "channel.html")]
struct Page {
    f: Frame,
    /// The confirmed address.
    address: Option<String>,
    /// Where a code was sent that waits to be entered.
    waits: Option<String>,
    /// Where to sign in again first.
    again: Option<String>,
    /// Whether mail goes out at all.
    mail: bool,
    /// Apps that take notices and know the person: code and name.
    apps: Vec<(String, String)>,
    notice: Option<&'static str>,
}

/// Shows it.
pub async fn show(visit: &Visit) -> Result<Answer, Trouble> {
    shown(visit, StatusCode::OK, None).await
}

async fn shown(visit: &Visit, status: StatusCode, notice: Option<&'static str>) -> Result<Answer, Trouble> {
    let person = visit.person().await?;
    let channel = Channel::of(&visit.app.store, person)?;
    let strong = grant::strong(visit);
    let (global, snapshot) = (visit.app.store.registry().await?, visit.app.store.snapshot(person).await?);
    let named = |to: &To| match to {
        To::Mail(address) => address.clone(),
        To::App(code) => view::party(&global, visit.lang, code),
    };
    let notifier = &visit.app.web.notifier;
    let known = notifier.apps.iter().filter(|(code, _)| snapshot.subject.pairwise_at(code).is_some());
    let page = Page {
        f: visit.frame(),
        address: channel.as_ref().filter(|c| c.is_confirmed()).map(|c| named(&c.to)),
        waits: channel.as_ref().and_then(|c| c.waits(visit.now)).map(named),
        again: (!strong).then(|| grant::again(visit, "/my/channel")).flatten(),
        mail: notifier.mailer.is_some(),
        apps: known.map(|(code, _)| (code.clone(), view::party(&global, visit.lang, code))).collect(),
        notice,
    };
    Ok(Answer::page(status, &page))
}

/// Sends a code to an address.
pub async fn propose(visit: &Visit) -> Result<Answer, Trouble> {
    let person = visit.sent_by().await?;
    if !grant::strong(visit) {
        return shown(visit, StatusCode::FORBIDDEN, Some(weak(visit))).await;
    }
    let to = match visit.field("app") {
        Some(code) => To::App(code.to_owned()),
        None => To::Mail(visit.field("address").unwrap_or_default().trim().to_owned()),
    };
    if visit.field("safe") != Some("1") {
        let (ja, en) = (
            "ご自身だけが見られるかどうかを確かめて、印を付けてください。まだ何も送っていません。",
            "Make sure that nobody else reads it, and tick the box. Nothing has been sent.",
        );
        return shown(visit, StatusCode::BAD_REQUEST, Some(visit.t(ja, en))).await;
    }
    after(visit, channel::propose(&visit.app, person, to).await).await
}

/// Confirms it.
pub async fn confirm(visit: &Visit) -> Result<Answer, Trouble> {
    let person = visit.sent_by().await?;
    if !grant::strong(visit) {
        return shown(visit, StatusCode::FORBIDDEN, Some(weak(visit))).await;
    }
    after(visit, channel::confirm(&visit.app, person, visit.field("code").unwrap_or_default()).await).await
}

/// Sends nothing any more. That needs no strong sign-in: it makes nobody less safe.
pub async fn forget(visit: &Visit) -> Result<Answer, Trouble> {
    let person = visit.sent_by().await?;
    after(visit, channel::forget(&visit.app, person).await).await
}

fn weak(visit: &Visit) -> &'static str {
    visit.t(
        "あらためて本人確認のサインインをしてください。まだ何も変わっていません。",
        "Sign in again first. Nothing has changed.",
    )
}

async fn after(visit: &Visit, done: Result<(), ChannelError>) -> Result<Answer, Trouble> {
    let (status, ja, en) = match done {
        Ok(()) => return Ok(Answer::see("/my/channel")),
        Err(ChannelError::Store(error)) => return Err(error.into()),
        Err(ChannelError::Address | ChannelError::NotSent) => (
            StatusCode::BAD_REQUEST,
            "送れませんでした。つづりを確かめて、時間をおいてやり直してください。",
            "It could not be sent there. Check the spelling, and try again in a while.",
        ),
        Err(ChannelError::TooMany) => (
            StatusCode::TOO_MANY_REQUESTS,
            "番号を送りすぎています。1時間ほどおいてからやり直してください。",
            "Too many codes were sent. Try again in an hour.",
        ),
        Err(ChannelError::Code) => (
            StatusCode::BAD_REQUEST,
            "番号が違うか、期限が切れています。届いた番号を確かめるか、もう一度送ってください。",
            "The code is wrong or too old. Look at it again, or have another sent.",
        ),
    };
    shown(visit, status, Some(visit.t(ja, en))).await
}
