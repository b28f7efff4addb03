//! What a My Portal-style source calls: the person's browser coming back from sign-in, and the portal's notice that a
//! result is ready.

use bytes::Bytes;
use http::StatusCode;
use serde::Deserialize;

use super::problem::Problem;
use super::{Answer, Call};
use crate::request::portal::CameBack;

/// The browser comes back. The page is for the person: what happened, what it means, what to do.
pub(super) async fn callback(call: &Call<'_>) -> Answer {
    let (state, code) = (call.parameter("state").unwrap_or_default(), call.parameter("code").unwrap_or_default());
    let app = call.app;
    let (status, ja, en) = match app.sign_ins.came_back(&app.store, &app.sources, state, code).await {
        CameBack::Done => (
            StatusCode::OK,
            "確認できました。この画面を閉じて、アプリに戻ってください。",
            "Done. Close this page and go back to the app.",
        ),
        CameBack::UnknownState => (
            StatusCode::BAD_REQUEST,
            "この手続きは期限が切れたか、すでに使われています。アプリからもう一度始めてください。何も提供されていません。",
            "This sign-in has expired or was used already. Start again from the app. Nothing was released.",
        ),
        CameBack::Refused => (
            StatusCode::BAD_REQUEST,
            "ポータルでの確認ができませんでした。アプリからもう一度始めてください。何も提供されていません。",
            "The portal did not confirm the sign-in. Start again from the app. Nothing was released.",
        ),
        CameBack::OtherAccount => (
            StatusCode::FORBIDDEN,
            "サインインした方が、予防接種記録のご本人と一致しません。ご本人のカードでやり直してください。何も提供されていません。",
            "The account that signed in is not the record's subject. Use the subject's own card. Nothing was released.",
        ),
        CameBack::Failed => (
            StatusCode::SERVICE_UNAVAILABLE,
            "ただいま処理できません。しばらくして、アプリからもう一度始めてください。",
            "Not possible right now. Start again from the app later.",
        ),
    };
    let body = format!(
        "<!doctype html><html lang=\"ja\"><meta charset=\"utf-8\"><title>関所</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><p>{ja}</p><p lang=\"en\">{en}</p></html>"
    );
    let mut answer = Answer::ok(&serde_json::Value::Null);
    answer.status = status;
    answer.content_type = "text/html; charset=utf-8";
    answer.body = Bytes::from(body);
    answer
        .with(http::header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'")
        .with(http::header::REFERRER_POLICY, "no-referrer")
}

#[derive(Deserialize)]
struct Notice {
    process_id: String,
}

/// The portal says that a result is ready. It proves itself with its registered certificate; the notice only makes us
/// look sooner, it carries nothing that is believed.
pub(super) fn notify(call: &Call<'_>) -> Result<Answer, Problem> {
    let certificate = call.connection.certificate.ok_or_else(Problem::unauthenticated)?;
    let party = call.app.parties.by_certificate(&certificate).ok_or_else(Problem::unauthenticated)?;
    let notice: Notice = call.json()?;
    call.app.sources.ready(party.id, &notice.process_id);
    let mut answer = Answer::ok(&serde_json::Value::Null);
    (answer.status, answer.body) = (StatusCode::NO_CONTENT, Bytes::new());
    Ok(answer)
}
