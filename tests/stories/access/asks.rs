//! How each route is asked about a target.

use http::Method;
use sekisho::api::Which as Api;
use sekisho::web::Which as Page;
use sekisho_tests::town::Town;
use serde_json::{Value, json};

use super::whose::Target;

/// One request, but for who sends it.
pub struct Ask {
    pub method: Method,
    pub path: String,
    /// Fields of a form, or JSON.
    pub body: Body,
    /// What an answer to whoever may see it holds; empty where it says nothing of the kind.
    pub mark: String,
}

pub enum Body {
    None,
    Form(Vec<(&'static str, String)>),
    Json(Value),
}

/// The hash of the text in force for a purpose.
pub struct Texts {
    pub phr_view: String,
    /// A day on which a consent may end.
    pub last_day: String,
}

pub fn history(patient: &str) -> String {
    format!("/fhir/Immunization?patient={patient}")
}

/// A page about a target.
pub fn page(page: Page, (method, pattern): (&str, &str), of: &Target, texts: &Texts) -> Ask {
    let id = match page {
        Page::SignIn | Page::CameBack | Page::EndedThere => "dev",
        Page::Proposal | Page::Agree | Page::Preview | Page::Decline => &of.proposal,
        Page::Lift => &of.refusal,
        Page::Line | Page::LineProof => &of.entry,
        _ => &of.consent,
    };
    let mut path = pattern.replace("{id}", id);
    match page {
        Page::Log | Page::LogCsv | Page::LogJson => path += &format!("?about={}", of.subject),
        Page::CounterAskAnew => path += "?purpose=first-visit&recipient=yotsuba-phr",
        Page::Line | Page::LineProof => path += &format!("?about={}&at={}", of.subject, of.at),
        _ => {}
    }
    let mark = match page {
        Page::Home | Page::Consents => of.consent.clone(),
        Page::Log | Page::LogCsv | Page::LogJson | Page::Line => of.entry.clone(),
        Page::LineProof => "sekisho-inclusion-proof/1".to_owned(),
        // These name whom it goes to.
        Page::Consent | Page::AskToStop | Page::AskToStopAll | Page::Proposal => "よつば".to_owned(),
        Page::StopAll => "よつば".to_owned(),
        Page::Refusals => "みどり".to_owned(),
        // Nobody has a channel or a code here: what is answered is about the asker alone.
        Page::Channel | Page::ProposeChannel | Page::ConfirmChannel | Page::ForgetChannel => of.consent.clone(),
        Page::AskToEnrol | Page::Enrol => of.consent.clone(),
        // Whose link it is to be is chosen there.
        Page::Links | Page::AddLink => of.subject.clone(),
        Page::Preview => "渡る情報".to_owned(),
        Page::CounterAskCode | Page::CounterCode => "登録コード".to_owned(),
        Page::ClinicCheck => "この患者です".to_owned(),
        Page::ClinicSummary => "記載がないことは".to_owned(),
        Page::ClinicNotTheirs => "閉じました".to_owned(),
        _ if is_counter(page) => of.record.clone(),
        _ => String::new(),
    };
    let body = match page {
        Page::Agree | Page::Preview => Body::Form(vec![
            ("text", texts.phr_view.clone()),
            ("revision", String::new()),
            ("subject", of.subject.clone()),
        ]),
        Page::ClinicCheck | Page::ClinicSummary | Page::ClinicNotTheirs => {
            Body::Form(vec![("reference", of.booking.clone()), ("patient", of.patient.clone())])
        }
        _ if is_counter(page) => Body::Form(at_counter(page, of, texts)),
        _ if method == "POST" => Body::Form(Vec::new()),
        _ => Body::None,
    };
    Ask { method: method.parse().unwrap(), path, body, mark }
}

/// Pages of the counter that name somebody.
const fn is_counter(page: Page) -> bool {
    matches!(
        page,
        Page::CounterPerson
            | Page::CounterAskConsent
            | Page::CounterConsent
            | Page::CounterAskWithdrawal
            | Page::CounterWithdrawal
            | Page::CounterAskRefusal
            | Page::CounterRefusal
            | Page::CounterAskCode
            | Page::CounterCode
            | Page::CounterAskAnew
    )
}

/// A form of the counter, filled in: the guardian's word about the child; for a code the guardian themself.
fn at_counter(page: Page, of: &Target, texts: &Texts) -> Vec<(&'static str, String)> {
    let code = matches!(page, Page::CounterAskCode | Page::CounterCode);
    let whose = if code {
        [("id", of.guardian.clone()), ("by", String::new())]
    } else {
        [("id", of.record.clone()), ("by", of.guardian.clone())]
    };
    let about = match page {
        Page::CounterAskConsent => vec![("use", "phr-view yotsuba-phr".to_owned())],
        Page::CounterConsent => vec![
            ("purpose", "phr-view".to_owned()),
            ("recipient", "yotsuba-phr".to_owned()),
            ("text", texts.phr_view.clone()),
            ("category", "vaccination@1".to_owned()),
            ("until", texts.last_day.clone()),
        ],
        Page::CounterWithdrawal | Page::CounterRefusal => vec![("recipient", "midori-clinic".to_owned())],
        _ => Vec::new(),
    };
    let word = ["way", "evidence", "checked_by"].into_iter().zip(["paper", "同意書 R8-0123", "窓口 山田"]);
    whose.into_iter().chain(about).chain(word.map(|(name, value)| (name, value.to_owned()))).collect()
}

/// A route of the API about a target.
pub fn api(route: Api, (method, pattern): (&str, &str), of: &Target, texts: &Texts, town: &Town) -> Ask {
    let id = match route {
        Api::Approve | Api::Decline | Api::Preview => &of.proposal,
        Api::Lift => &of.refusal,
        Api::Text => "phr-view",
        Api::Booking | Api::BookingCancelled | Api::BookingMoved => &of.booking,
        Api::SmartOfBase | Api::Metadata => "fhir",
        _ => &of.consent,
    };
    let mut path = pattern.replace("{id}", id);
    if route == Api::AccessLog {
        path += &format!("?subject={}", of.subject);
    }
    if route == Api::Preview {
        path += &format!("?patient={}", of.patient);
    }
    let mark = match route {
        Api::Preview => "occurrenceDateTime".to_owned(),
        Api::Consents | Api::Consent | Api::Erasures | Api::Deliveries => of.consent.clone(),
        Api::AccessLog => of.entry.clone(),
        Api::Refusals => of.refusal.clone(),
        Api::Me => of.subject.clone(),
        _ => String::new(),
    };
    let body = match route {
        Api::Propose => Body::Json(json!({
            "purpose": "phr-view", "categories": ["vaccination@1"], "until": town.in_seconds(86_400), "text_hash": texts.phr_view,
        })),
        Api::Approve => Body::Json(json!({"subject": of.subject, "text_hash": texts.phr_view})),
        Api::Refuse => Body::Json(json!({
            "subject": of.subject, "recipient": "midori-clinic", "purpose": "phr-view", "categories": ["identity"],
        })),
        Api::AttestConsent => Body::Json(attested_consent(
            town,
            "phr-view",
            &json!(texts.phr_view),
            "yotsuba-phr",
            &of.record,
            "resident-agreed",
        )),
        Api::AttestRefusal => Body::Json(json!({
            "subject": {"id": of.record}, "grantor": {"id": "resident-agreed"}, "recipient": "midori-clinic", "purpose": "phr-view",
            "attestation": attestation(),
        })),
        Api::AttestWithdrawal => Body::Json(json!({
            "subject": {"id": of.record}, "grantor": {"id": "resident-agreed"}, "recipient": "midori-clinic",
            "attestation": attestation(),
        })),
        Api::LinkCode => Body::Json(json!({"id": of.record})),
        Api::AnswerErasure => Body::Json(json!({"answer": "erased"})),
        Api::BookingCancelled => Body::Json(json!({"recipient": "midori-clinic"})),
        Api::BookingMoved => Body::Json(json!({"recipient": "midori-clinic", "visit_at": town.in_seconds(1_800)})),
        Api::PortalNotice => Body::Json(json!({"process_id": "none"})),
        _ => Body::None,
    };
    Ask { method: method.parse().unwrap(), path, body, mark }
}

/// A route for data, by its configuration: the target's id at the party that the route is for.
pub fn data(name: &str, of: &Target, attested: &Target) -> Ask {
    let patient = &of.patient;
    let path = match name {
        "vaccination-history" => history(patient),
        "portal-history" => format!("/portal/Immunization?patient={patient}"),
        "clinic-history" => format!("/first-visit/Immunization?patient={}", attested.patient),
        "patient" => format!("/fhir/Patient/{patient}"),
        "app-summary" => format!("/fhir/Patient/{patient}/$app-summary"),
        "summary" => format!("/fhir/Patient/{}/$summary", attested.patient),
        other => panic!("{other}: say how it is asked"),
    };
    Ask { method: Method::GET, path, body: Body::None, mark: String::new() }
}

fn attestation() -> Value {
    json!({"way": "paper", "evidence": "同意書 R8-0123", "checked_by": "窓口 山田"})
}

pub fn attested_consent(
    town: &Town,
    purpose: &str,
    text_hash: &Value,
    recipient: &str,
    subject: &str,
    grantor: &str,
) -> Value {
    json!({
        "subject": {"id": subject}, "grantor": {"id": grantor}, "recipient": recipient,
        "terms": {
            "purpose": purpose, "categories": ["vaccination@1"], "until": town.in_seconds(86_400), "text_hash": text_hash,
        },
        "attestation": attestation(),
    })
}
