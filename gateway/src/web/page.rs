//! What every page has in common: its language, its frame, its headers, and the words for what went wrong.

use std::sync::Arc;

use askama::Template;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use sekisho_policy::Timestamp;

use crate::ledger::merkle::sha256;
use crate::request::body::ReplyBody;
use crate::request::releases::Handle;

/// Nothing but our own style sheet, pictures and forms: no script, no frame, no other host.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);

/// The same, and the one script of ours that takes away what may be shown no longer.
const WATCHED: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'",
);

/// The language of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lang {
    /// Japanese.
    #[default]
    Ja,
    /// English.
    En,
}

impl Lang {
    /// The text in this language. Both stand side by side where they are used, so that neither can be forgotten.
    #[must_use]
    pub const fn t<'a>(self, ja: &'a str, en: &'a str) -> &'a str {
        match self {
            Self::Ja => ja,
            Self::En => en,
        }
    }

    /// As HTML names it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.t("ja", "en")
    }

    /// The language with this code.
    #[must_use]
    pub fn of(code: &str) -> Option<Self> {
        [Self::Ja, Self::En].into_iter().find(|lang| lang.code() == code)
    }

    /// A day in Japan.
    #[must_use]
    pub fn day(self, at: Timestamp) -> String {
        in_japan(at, self.t("%Y年%-m月%-d日", "%-d %B %Y"))
    }

    /// A minute in Japan.
    #[must_use]
    pub fn minute(self, at: Timestamp) -> String {
        in_japan(at, self.t("%Y年%-m月%-d日 %H:%M", "%-d %B %Y, %H:%M"))
    }

    /// A second in Japan.
    #[must_use]
    pub fn second(self, at: Timestamp) -> String {
        in_japan(at, self.t("%Y年%-m月%-d日 %H:%M:%S", "%-d %B %Y, %H:%M:%S"))
    }
}

/// Japan has had one offset and no summer time since 1951.
fn in_japan(at: Timestamp, format: &str) -> String {
    let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(9));
    let at = jiff::Timestamp::from_millisecond(at.millis()).map(|at| at.to_zoned(zone));
    at.map(|at| at.strftime(format).to_string()).unwrap_or_default()
}

/// What the frame around a page shows.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The language.
    pub lang: Lang,
    /// What forms of a session must carry; without one, nobody is signed in.
    pub csrf: Option<String>,
    /// Where the link goes that leaves at once.
    pub here: String,
}

impl Frame {
    /// The text in the page's language.
    #[must_use]
    pub const fn t<'a>(&self, ja: &'a str, en: &'a str) -> &'a str {
        self.lang.t(ja, en)
    }

    /// Whether this is a page for staff at the counter.
    #[must_use]
    pub fn at_counter(&self) -> bool {
        is_counter(&self.here)
    }

    /// Whether this is a page for a clinic's doctors and nurses.
    #[must_use]
    pub fn at_clinic(&self) -> bool {
        is_clinic(&self.here)
    }

    /// Whether this is a page for a municipality's nurses.
    #[must_use]
    pub fn at_nurses(&self) -> bool {
        is_nurses(&self.here)
    }

    /// Whether this is a page for staff at all.
    #[must_use]
    pub fn for_staff(&self) -> bool {
        is_for_staff(&self.here)
    }

    /// The first page of this side.
    #[must_use]
    pub fn home(&self) -> &'static str {
        match (self.at_clinic(), self.at_counter(), self.at_nurses()) {
            (true, ..) => CLINIC,
            (_, true, _) => COUNTER,
            (.., true) => NURSES,
            _ => "/my",
        }
    }
}

/// The first page of staff.
pub const COUNTER: &str = "/counter";

/// Whether a path is one of the counter's pages.
#[must_use]
pub fn is_counter(path: &str) -> bool {
    path.strip_prefix(COUNTER).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The first page of a clinic's doctors and nurses.
pub const CLINIC: &str = "/clinic";

/// Whether a path is one of the clinic's pages.
#[must_use]
pub fn is_clinic(path: &str) -> bool {
    path.strip_prefix(CLINIC).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The first page of a municipality's nurses.
pub const NURSES: &str = "/nurse";

/// Whether a path is one of the nurses' pages.
#[must_use]
pub fn is_nurses(path: &str) -> bool {
    path.strip_prefix(NURSES).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether a path is one of staff's pages.
#[must_use]
pub fn is_for_staff(path: &str) -> bool {
    is_counter(path) || is_clinic(path) || is_nurses(path)
}

/// An answer.
pub struct Answer {
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// What of it is released under a permit, to be cut if that ends.
    release: Option<Arc<Handle>>,
    /// Whether it looks by itself whether it may still be shown.
    watched: bool,
}

impl Answer {
    /// A page.
    pub fn page(status: StatusCode, page: &impl Template) -> Self {
        let body = page.render().unwrap_or_else(|error| {
            // Only writing can fail, and it is written into memory.
            tracing::error!(%error, "a page could not be written");
            String::new()
        });
        Self::of(status, "text/html; charset=utf-8", Bytes::from(body))
    }

    /// A file.
    pub const fn of(status: StatusCode, content_type: &'static str, body: Bytes) -> Self {
        Self { status, content_type, body, headers: Vec::new(), release: None, watched: false }
    }

    /// Somewhere else, by GET.
    pub fn see(location: &str) -> Self {
        let mut answer = Self::of(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", Bytes::new());
        answer.add(LOCATION, location);
        answer
    }

    /// A file to keep, under this name.
    pub fn to_keep(mut self, name: &str) -> Self {
        self.add(http::header::CONTENT_DISPOSITION, &format!("attachment; filename=\"{name}\""));
        self
    }

    /// Sets a cookie for this host alone, not to be read by scripts.
    pub fn cookie(mut self, name: &str, value: &str, seconds: i64) -> Self {
        let cookie = format!("{name}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax");
        self.add(SET_COOKIE, &cookie);
        self
    }

    /// SHA-256 of the body, for the record of its release.
    pub fn digest(&self) -> [u8; 32] {
        sha256(&self.body)
    }

    /// As a release: cut if what permits it ends.
    pub fn released(mut self, handle: Arc<Handle>) -> Self {
        self.release = Some(handle);
        self
    }

    /// A page that looks by itself whether it may still be shown.
    pub const fn watched(mut self) -> Self {
        self.watched = true;
        self
    }

    /// With another header field.
    pub fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.add(name, value);
        self
    }

    fn add(&mut self, name: HeaderName, value: &str) {
        // A value that can't stand in a header is left out: what is made of it is a page without it.
        self.headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
    }

    /// As a response.
    pub fn into_response(self, unchanging: bool) -> Response<ReplyBody> {
        let body = match self.release {
            Some(handle) => ReplyBody::release(self.body, handle),
            None => ReplyBody::plain(self.body),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let keep = if unchanging { "public, max-age=3600" } else { "no-store" };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(keep));
        headers.insert(CONTENT_SECURITY_POLICY, if self.watched { WATCHED } else { POLICY });
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
        headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
        for (name, value) in self.headers {
            headers.append(name, value);
        }
        response
    }
}

/// Something went wrong, in words for people: what happened, what it means, what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Status.
    pub status: StatusCode,
    /// What happened.
    pub happened: (&'static str, &'static str),
    /// What it means and what to do.
    pub then: (&'static str, &'static str),
    /// Where to go on.
    pub link: (&'static str, &'static str, &'static str),
}

const HOME: (&str, &str, &str) = ("/my", "最初の画面へ", "To the first page");
const AT_CLINIC: (&str, &str, &str) = (CLINIC, "最初の画面へ", "To the first page");
const AT_NURSES: (&str, &str, &str) = (NURSES, "要ケア一覧へ", "To the list");
const AT_COUNTER: (&str, &str, &str) = (COUNTER, "窓口の画面へ", "To the counter's pages");

macro_rules! troubles {
    ($($(#[$doc:meta])* $name:ident $status:ident $ja:literal $en:literal $then_ja:literal $then_en:literal $link:expr;)*) => {
        impl Trouble {$(
            $(#[$doc])*
            #[must_use]
            pub const fn $name() -> Self {
                Self { status: StatusCode::$status, happened: ($ja, $en), then: ($then_ja, $then_en), link: $link }
            }
        )*}
    };
}

troubles! {
    /// There is no such page, or not for this person.
    not_found NOT_FOUND "ページが見つかりません。" "There is no such page."
        "アドレスが古いか、この方にはお見せできないものです。何も変わっていません。" "The address is old, or this is not for you to see. Nothing has changed." HOME;
    /// Nobody is signed in.
    signed_out FORBIDDEN "サインインしていません。" "You are not signed in."
        "しばらく操作がなかったか、サインアウトしたためです。続けるには、もう一度サインインしてください。"
        "Nothing was done for a while, or you signed out. To go on, sign in again." HOME;
    /// The form isn't one of this session.
    stale_form FORBIDDEN "この画面は古くなっています。" "This page is out of date."
        "サインインし直したか、別の画面で操作したためです。何も変わっていません。もう一度開いて操作してください。"
        "You have signed in again since, or used another window. Nothing has changed. Open the page anew and try again." HOME;
    /// The form is not understood.
    bad_form BAD_REQUEST "入力を読み取れませんでした。" "The form could not be read."
        "何も変わっていません。もう一度開いて操作してください。" "Nothing has changed. Open the page anew and try again." HOME;
    /// What could be a My Number.
    my_number BAD_REQUEST "個人番号（マイナンバー）のような番号が含まれています。" "There is a number in it that could be a My Number."
        "個人番号は受け取りません。どこにも保存していません。番号を消してやり直してください。"
        "My Numbers are never taken. It was not stored anywhere. Take the number out and try again." HOME;
    /// Not now.
    not_now SERVICE_UNAVAILABLE "ただいま処理できません。" "This is not possible right now."
        "何も変わっていません。しばらくしてから、もう一度お試しください。" "Nothing has changed. Try again in a while." HOME;
    /// Recorded, but not yet made sure of.
    not_acknowledged SERVICE_UNAVAILABLE "停止を記録しましたが、まだ完了を確認できていません。" "The stop is recorded, but not confirmed yet."
        "新しい提供はもう行われません。途中の提供を止めています。もう一度「止める」を押して確かめてください。"
        "Nothing new is released any more. What was under way is being cut. Press the button again to make sure." HOME;
    /// The sign-in was not an answer to an attempt of this browser.
    sign_in_foreign BAD_REQUEST "サインインの手続きが途中で切れました。" "The sign-in was interrupted."
        "時間がかかりすぎたか、同じ画面を二度開いたためです。サインインはされていません。最初からやり直してください。"
        "It took too long, or the same page was opened twice. You are not signed in. Start again." HOME;
    /// The provider or the person there said no.
    sign_in_refused FORBIDDEN "サインインが取りやめられました。" "The sign-in was called off."
        "サインインはされていません。続けるには、もう一度サインインしてください。" "You are not signed in. To go on, sign in again." HOME;
    /// The sign-in was too weak.
    sign_in_weak FORBIDDEN "この操作には、より確かな本人確認が必要です。" "This needs a stronger sign-in."
        "カードなどによる確認で、もう一度サインインしてください。何も変わっていません。"
        "Sign in again with your card or the like. Nothing has changed." HOME;
    /// The provider can't be reached.
    sign_in_unavailable SERVICE_UNAVAILABLE "サインインのサービスにつながりません。" "The sign-in service can't be reached."
        "サインインはされていません。しばらくしてからお試しください。急いで提供を止めたいときは、窓口でも止められます。"
        "You are not signed in. Try again in a while. If a release must be stopped at once, the counter can do it too." HOME;
    /// Signed in, but not linked.
    not_linked FORBIDDEN "サインインはできましたが、登録がまだ結び付いていません。" "You are signed in, but not linked to a person yet."
        "窓口で本人確認を受けると、登録コードをお渡しします。コードを入力すると、ここで確認や操作ができるようになります。"
        "Once your identity has been checked at the counter, you are given a code. Enter it, and you can look and decide here."
        ("/my/enrol", "登録コードを入力する", "Enter the code");
    /// Staff at a citizens' page.
    staff_elsewhere FORBIDDEN "職員のサインインでは開けないページです。" "This page is not for staff."
        "住民の方のためのページです。職員の方は窓口の画面をお使いください。自分の情報を見るときは、サインアウトして、ご自分のサインインで開いてください。"
        "It is for citizens. As staff, use the counter's pages. To see your own information, sign out and sign in as yourself."
        AT_COUNTER;
    /// A citizen at the counter's pages.
    not_staff FORBIDDEN "窓口の職員のためのページです。" "This page is for staff at the counter."
        "住民の方のサインインでは開けません。" "A citizen's sign-in does not open it." HOME;
    /// Nobody is signed in at the counter.
    counter_signed_out FORBIDDEN "サインインしていません。" "You are not signed in."
        "しばらく操作がなかったか、サインアウトしたためです。記録の途中だったときは、記録されていません。もう一度サインインしてください。"
        "Nothing was done for a while, or you signed out. What you were recording is not recorded. Sign in again." AT_COUNTER;
    /// Staff without a role that may record.
    no_counter_role FORBIDDEN "窓口の記録を行う役割がありません。" "You have no role for the counter."
        "サインインはできましたが、この操作は許可された職員だけが行えます。管理者にお尋ねください。"
        "You are signed in, but only staff with that role can do this. Ask whoever manages your roles." AT_COUNTER;
    /// Nobody is signed in at the clinic's pages.
    clinic_signed_out FORBIDDEN "サインインしていません。" "You are not signed in."
        "しばらく操作がなかったか、サインアウトしたためです。もう一度サインインしてください。"
        "Nothing was done for a while, or you signed out. Sign in again." AT_CLINIC;
    /// A citizen, or another party's staff, at the clinic's pages.
    not_clinic FORBIDDEN "診療所の医師・看護師のためのページです。" "This page is for a clinic's doctors and nurses."
        "このサインインでは開けません。" "This sign-in does not open it." HOME;
    /// Staff without a role that may open summaries.
    no_viewer_role FORBIDDEN "患者の情報を開く役割がありません。" "You have no role to open summaries."
        "サインインはできましたが、許可された医師・看護師だけが開けます。管理者にお尋ねください。"
        "You are signed in, but only doctors and nurses with that role can open them. Ask whoever manages your roles." AT_CLINIC;
    /// Nobody is signed in at the nurses' pages.
    nurse_signed_out FORBIDDEN "サインインしていません。" "You are not signed in."
        "しばらく操作がなかったか、サインアウトしたためです。送信前の記録は保存されていません。ブラウザの「戻る」で書いた内容を控えてから、もう一度サインインしてください。"
        "Nothing was done for a while, or you signed out. What you had not sent is not saved: go back in the browser, copy it, and sign in again." AT_NURSES;
    /// A citizen, or another party's staff, at the nurses' pages.
    not_nurse FORBIDDEN "市区町村の保健師のためのページです。" "This page is for a municipality's public health nurses."
        "このサインインでは開けません。" "This sign-in does not open it." HOME;
    /// Staff without a role for the nurses' pages.
    no_nurse_role FORBIDDEN "保健師の役割がありません。" "You have no role as a public health nurse."
        "サインインはできましたが、許可された職員だけが開けます。管理者にお尋ねください。"
        "You are signed in, but only staff with that role can open it. Ask whoever manages your roles." AT_NURSES;
    /// A nurse at the manager's pages.
    no_manager_role FORBIDDEN "統括者の役割がありません。" "You have no manager's role."
        "地区の担当と件数は、統括者だけが開けます。" "Districts and counts are for the manager." AT_NURSES;
    /// No such case, or none that this nurse may see.
    no_case NOT_FOUND "この事例番号でお見せできるものはありません。" "There is nothing to show under this case number."
        "担当地区でないか、共有が止まったか、番号が違います。何も変わっていません。"
        "It is not of your districts, sharing has stopped, or the number is another. Nothing has changed." AT_NURSES;
    /// Too many looks in an hour.
    too_many_looks TOO_MANY_REQUESTS "この1時間に開いた数が上限に達しました。" "Too many were opened in this hour."
        "しばらく待ってから開いてください。急ぐときは統括者に知らせてください。" "Wait a while; if it can't wait, tell your manager." AT_NURSES;
    /// Too much.
    too_large PAYLOAD_TOO_LARGE "送られた内容が大きすぎます。" "What was sent is too large."
        "何も変わっていません。" "Nothing has changed." HOME;
}

#[derive(Template)]
#[template(path = "trouble.html")]
struct TroublePage<'a> {
    f: Frame,
    happened: &'a str,
    then: &'a str,
    href: &'a str,
    link: &'a str,
}

impl Trouble {
    /// As a page.
    pub fn answer(&self, frame: Frame) -> Answer {
        let lang = frame.lang;
        let t = |(ja, en): (&'static str, &'static str)| lang.t(ja, en);
        let (href, ja, en) = self.link;
        let page = TroublePage { f: frame, happened: t(self.happened), then: t(self.then), href, link: lang.t(ja, en) };
        Answer::page(self.status, &page)
    }
}
