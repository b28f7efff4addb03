//! `[pages]`, and `[issuer.sign_in]`: how people sign in at our pages, and for how long; citizens, or a party's staff.

use std::path::{Path, PathBuf};

use sekisho_adapters::mail::{MailServer, is_address};
use sekisho_policy::{Code, PurposeCode};

use super::read::{At, Section};
use super::{Issuer, file, optional_file};
use crate::store::registry::{COUNTER_KINDS, RegistryText};

/// Where people go who must leave at once, when nothing else is configured: the weather.
const EXIT: &str = "https://www.jma.go.jp/";

/// The citizens' pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pages {
    /// How long a session lasts without anything being done, in milliseconds.
    pub idle_ms: i64,
    /// How long it lasts in all, in milliseconds.
    pub most_ms: i64,
    /// Where people go who must leave at once: a harmless page.
    pub exit: String,
    /// For which purpose people look at their own data here; without one nothing is previewed.
    pub purpose: Option<PurposeCode>,
    /// Through which server neutral notices go; without one, none do.
    pub mail: Option<Mail>,
    /// Apps that take notices for their users.
    pub apps: Vec<NoticeApp>,
    /// How long a one-time code is good for, in milliseconds.
    pub code_ms: i64,
    /// How often one login may try a code in an hour.
    pub code_tries: u32,
}

/// An app that takes notices for its users, by webhook.
#[derive(Clone, PartialEq, Eq)]
pub struct NoticeApp {
    /// The party's code.
    pub party: String,
    /// Where it takes them.
    pub url: String,
    /// Authority of its certificate, PEM.
    pub ca: PathBuf,
    /// What they are signed under (`whsec_…`).
    pub secret: String,
}

impl std::fmt::Debug for NoticeApp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NoticeApp").field("party", &self.party).field("url", &self.url).finish_non_exhaustive()
    }
}

/// The mail server.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail(pub MailServer);

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail").field("host", &self.0.host).field("port", &self.0.port).finish_non_exhaustive()
    }
}

const DAY_MS: i64 = 86_400_000;

impl Default for Pages {
    fn default() -> Self {
        Self {
            idle_ms: 600_000,
            most_ms: 3_600_000,
            exit: EXIT.to_owned(),
            purpose: None,
            mail: None,
            apps: Vec::new(),
            code_ms: 14 * DAY_MS,
            code_tries: 5,
        }
    }
}

/// How people sign in at an issuer.
#[derive(Clone, PartialEq, Eq)]
pub struct SignIn {
    /// Its name in our addresses.
    pub code: String,
    /// Its name in Japanese.
    pub name_ja: String,
    /// Its name in English.
    pub name_en: String,
    /// Our key there (`private_key_jwt`, ES256), PKCS#8 PEM.
    pub key: Vec<u8>,
    /// The id under which the issuer knows the key, if it wants one.
    pub key_id: Option<String>,
    /// What is asked for beside `openid`.
    pub scopes: Vec<String>,
    /// `acr` values that let in; the first is preferred.
    pub acr: Vec<String>,
    /// Whether the issuer identifies the person anew each time, so that a token without `auth_time` was signed in when it was
    /// issued. To be had from the issuer in writing; else such a token never grants.
    pub fresh_each_time: bool,
    /// Whose staff it signs in; without it, citizens. Never both.
    pub staff: Option<Staff>,
}

/// A party's staff, by an issuer of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staff {
    /// The party's code.
    pub party: String,
    /// The claim of the ID token that says which roles somebody has.
    pub role_claim: String,
    /// Roles that may record at the counter. Any other may nothing.
    pub counter_roles: Vec<String>,
    /// Of those, roles that may also issue enrolment codes.
    pub enrol_roles: Vec<String>,
    /// Roles that may open summaries of those who booked; of a clinic alone.
    pub viewer_roles: Vec<String>,
    /// Roles of public health nurses; of a municipality alone.
    pub nurse_roles: Vec<String>,
    /// Roles of those who assign districts to nurses, and see counts; of a municipality alone.
    pub manager_roles: Vec<String>,
    /// How long their sessions last without anything being done, in milliseconds.
    pub idle_ms: i64,
}

impl std::fmt::Debug for SignIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignIn").field("code", &self.code).finish_non_exhaustive()
    }
}

pub(super) fn pages(s: &mut Section<'_, '_, '_>, base: &Path, registry: &RegistryText) -> Pages {
    let millis = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000);
    let exit = "a harmless https address, without `;`, `,` or spaces";
    let https = |text: &str| {
        let good = url::Url::parse(text).is_ok_and(|url| url.scheme() == "https") && !text.contains([';', ',', ' ']);
        good.then(|| text.to_owned())
    };
    let idle = s.number("idle_s", 600, 60..=3_600);
    let most = s.number("session_s", 3_600, 300..=86_400);
    let named = s.optional_text("exit", exit);
    let exit = match named {
        None => EXIT.to_owned(),
        Some(text) => https(&text.value).unwrap_or_else(|| {
            s.wrong(text.offset, "exit", &format!("is `{}`, but must be {exit}", text.value));
            String::new()
        }),
    };
    let (days, tries) = (s.number("code_days", 14, 1..=60), s.number("code_tries_per_hour", 5, 1..=100));
    let code_ms = i64::try_from(days).unwrap_or(1).saturating_mul(DAY_MS);
    let code_tries = u32::try_from(tries).unwrap_or(1);
    let purpose = purpose(s, registry);
    let mail = s.optional("mail", |s| mail(s, base));
    let mut apps = Vec::new();
    s.each("app", |s| apps.push(app(s, base, registry)));
    Pages { idle_ms: millis(idle), most_ms: millis(most), exit, purpose, mail, apps, code_ms, code_tries }
}

fn app(s: &mut Section<'_, '_, '_>, base: &Path, registry: &RegistryText) -> NoticeApp {
    let party = s.parsed("party", "the code of a registered phr-app", |text| {
        registry.party(text).filter(|party| party.kind == "phr-app").map(|party| party.code.clone())
    });
    let url = s.parsed("url", "an https address", |text| {
        url::Url::parse(text).is_ok_and(|url| url.scheme() == "https").then(|| text.to_owned())
    });
    let ca = file(s, "ca", base, "PEM file with the authority of the app's certificate");
    let secret = file(s, "secret_file", base, "file with the secret that notices are signed under (whsec_…)");
    NoticeApp {
        party: party.map(|party| party.value).unwrap_or_default(),
        url: url.map(|url| url.value).unwrap_or_default(),
        ca,
        secret: std::fs::read_to_string(secret).unwrap_or_default(),
    }
}

fn mail(s: &mut Section<'_, '_, '_>, base: &Path) -> Mail {
    let what = "a plain address that says nothing of what this is";
    let host = s.text("host", "host name of the mail server, as in its certificate").value;
    let port = s.number("port", 465, 1..=65_535) as u16;
    let ca = file(s, "ca", base, "PEM file with the authority of the mail server's certificate");
    let from = s.parsed("from", what, |text| is_address(text).then(|| text.to_owned()));
    let user = s.optional_text("user", "user name at the mail server").map(|text| text.value);
    let password = optional_file(s, "password_file", base, "file with the password there");
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap_or_default().trim_end().to_owned();
    Mail(MailServer {
        host,
        port,
        ca_pem: std::fs::read(ca).unwrap_or_default(),
        login: user.zip(password.map(read)),
        from: from.map(|from| from.value).unwrap_or_default(),
    })
}

/// A person looks for themself: a purpose that a party could have as well would say something else in the log.
fn purpose(s: &mut Section<'_, '_, '_>, registry: &RegistryText) -> Option<PurposeCode> {
    let what = "a registered purpose whose only receiver is `person`";
    let named = s.optional_text("purpose", what)?;
    let known = registry.purpose(&named.value).filter(|p| p.receivers.as_slice() == ["person"]);
    if known.is_none() {
        s.wrong(named.offset, "purpose", &format!("is `{}`, but must be {what}", named.value));
    }
    known.and_then(|p| Code::parse(&p.code).ok()).map(PurposeCode)
}

pub(super) fn sign_in(s: &mut Section<'_, '_, '_>, base: &Path) -> SignIn {
    let letters = |text: &str| {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        (text.len() <= 32 && text.chars().all(good)).then(|| text.to_owned())
    };
    let code = s.parsed("code", "up to 32 small letters, digits and hyphens", letters);
    let name_ja = s.text("name_ja", "its name in Japanese").value;
    let name_en = s.text("name_en", "its name in English").value;
    let path = file(s, "key", base, "PEM file with our key there (PKCS#8, P-256)");
    let key = std::fs::read(&path).unwrap_or_default();
    if !key.is_empty() && jsonwebtoken::EncodingKey::from_ec_pem(&key).is_err() {
        let offset = s.offset();
        s.wrong(
            offset,
            "key",
            "is not a P-256 key in PKCS#8 PEM (openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256)",
        );
    }
    let key_id = s.optional_text("key_id", "the id under which the issuer knows the key").map(|id| id.value);
    let scopes = values(s.texts("scopes", "what is asked for beside `openid`"));
    let acr = values(s.texts("acr", "acr values that let in"));
    if acr.is_empty() {
        let offset = s.offset();
        s.wrong(offset, "acr", "is missing or empty (acr values that let in)");
    }
    let fresh_each_time = s.flag("fresh_each_time", false);
    let code = code.map(|code| code.value).unwrap_or_default();
    let staff = s.optional("staff", staff);
    SignIn { code, name_ja, name_en, key, key_id, scopes, acr, fresh_each_time, staff }
}

fn values(all: Vec<At<String>>) -> Vec<String> {
    all.into_iter().map(|text| text.value).collect()
}

fn staff(s: &mut Section<'_, '_, '_>) -> Staff {
    let party = s.text("party", "the registered party whose staff sign in here").value;
    let role_claim = s.text("role_claim", "the claim of the ID token that says which roles somebody has").value;
    let counter_roles = values(s.texts("counter_roles", "roles that may record at the counter"));
    let viewer_roles = values(s.texts("viewer_roles", "roles that may open summaries of those who booked"));
    let nurse_roles = values(s.texts("nurse_roles", "roles of public health nurses, who work on shared cases"));
    let manager_roles = values(s.texts("manager_roles", "roles of those who assign districts to nurses"));
    if [&counter_roles, &viewer_roles, &nurse_roles, &manager_roles].iter().all(|roles| roles.is_empty()) {
        let offset = s.offset();
        let what = "is missing or empty (roles that may record at the counter), and there are no `viewer_roles` or `nurse_roles` either";
        s.wrong(offset, "counter_roles", what);
    }
    let named = s.texts("enrol_roles", "roles of `counter_roles` that may also issue enrolment codes");
    if let Some(other) = named.iter().find(|role| !counter_roles.contains(&role.value)) {
        s.wrong(other.offset, "enrol_roles", &format!("names `{}`, which is not among `counter_roles`", other.value));
    }
    let enrol_roles = values(named);
    let idle_s = s.number("idle_s", 300, 60..=3_600);
    let idle_ms = i64::try_from(idle_s).unwrap_or(60).saturating_mul(1_000);
    Staff { party, role_claim, counter_roles, enrol_roles, viewer_roles, nurse_roles, manager_roles, idle_ms }
}

/// Two issuers of one address would make staff of citizens; staff belong to a registered party that has a counter.
pub(super) fn compare(top: &mut Section<'_, '_, '_>, issuers: &[Issuer], registry: &RegistryText) {
    for (at, issuer) in issuers.iter().enumerate() {
        let before = issuers.get(..at).unwrap_or_default();
        if before.iter().any(|other| other.url == issuer.url) {
            top.problems.at(0, format!("[[issuer]]: `url` {} stands twice: one issuer is described once", issuer.url));
        }
        let Some(sign_in) = &issuer.sign_in else { continue };
        if before.iter().filter_map(|other| other.sign_in.as_ref()).any(|other| other.code == sign_in.code) {
            top.problems.at(0, format!("[issuer.sign_in]: `code` {} stands twice", sign_in.code));
        }
        let Some(staff) = &sign_in.staff else { continue };
        let has_counter = |code: &str| registry.party(code).is_some_and(|p| COUNTER_KINDS.contains(&p.kind.as_str()));
        if !has_counter(&staff.party) {
            let message = format!(
                "[issuer.sign_in.staff]: `party` is `{}`, but must be a registered municipality or clinic",
                staff.party
            );
            top.problems.at(0, message);
        }
        let is_clinic = registry.party(&staff.party).is_some_and(|p| p.kind == "clinic");
        if !staff.viewer_roles.is_empty() && !is_clinic {
            let message = "[issuer.sign_in.staff]: `viewer_roles` are for a party of the kind clinic alone";
            top.problems.at(0, message);
        }
        let is_municipality = registry.party(&staff.party).is_some_and(|p| p.kind == "municipality");
        let has_nurses = [&staff.nurse_roles, &staff.manager_roles].iter().any(|roles| !roles.is_empty());
        if has_nurses && !is_municipality {
            let message = "[issuer.sign_in.staff]: `nurse_roles` and `manager_roles` are for a party of the kind municipality alone";
            top.problems.at(0, message);
        }
    }
}
