//! A clinic's pages: a doctor opens what a booking leads to, name and date of birth first; each view is recorded before it is
//! shown, and whatever ends the consent ends it.

use http::StatusCode;
use sekisho::demo::world::{CLERK, DOCTOR, NURSE, RECEPTION};
use sekisho_adapters::stand_in::Faults;
use sekisho_tests::browser::{Browser, Page};
use sekisho_tests::town::{Town, standing_clock};
use serde_json::{Value, json};

use super::bookings::{booked, find};
use super::summary::{opened, opened_on};

fn browser(town: &Town) -> Browser {
    Browser::new(town.world.browser.clone(), &town.world.url)
}

pub async fn staff(town: &Town, sub: &str) -> Browser {
    let mut browser = browser(town);
    let page = browser.sign_in("/my/sign-in/midori-staff?then=/clinic", sub).await;
    assert!(page.url.ends_with("/clinic"), "{}", page.url);
    browser
}

/// Types a reference.
pub async fn check(doctor: &mut Browser, reference: &str) -> Page {
    let csrf = doctor.open("/clinic").await.hidden("csrf");
    doctor.send("/clinic/check", &[("csrf", &csrf), ("reference", reference)]).await
}

/// Says that it is the right person.
pub async fn confirm(doctor: &mut Browser, checked: &Page, reference: &str) -> Page {
    let (csrf, patient) = (checked.hidden("csrf"), checked.hidden("patient"));
    doctor.send("/clinic/summary", &[("csrf", &csrf), ("reference", reference), ("patient", &patient)]).await
}

/// What is kept of the child that a clinic's staff did: kind, and what the entry says.
async fn kept(town: &Town, kind: &str) -> Vec<Value> {
    let path = format!("/people/{}/records", town.child());
    let kept = sekisho::admin::client::ask(&town.world.socket(), http::Method::GET, &path, &Value::Null).await.unwrap();
    let all = kept["records"].as_array().unwrap().iter().filter(|record| record["kind"] == kind);
    all.map(|record| record["record"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doctor_makes_sure_who_it_is_and_reads_one_page() {
    let town = opened(|text| text).await;
    booked(&town, "Y-17", town.child()).await;
    let mut doctor = staff(&town, DOCTOR).await;
    let asked = (town.world.phr.take_asked(), town.world.city.requests());
    let checked = check(&mut doctor, " Y-17 ").await;
    let child = &town.family.children[0].person;
    assert!(checked.status == StatusCode::OK && checked.says(child.family), "{}", checked.text);
    assert!(checked.says(&child.birth.strftime("%Y年%-m月%-d日").to_string()));
    assert!(checked.says("この患者です") && checked.says("Not my patient") && !checked.says("アレルギー"));
    assert_eq!(town.world.phr.take_asked(), [["profile"]], "who it is, and nothing else");
    assert!(town.world.city.requests() > asked.1);
    let shown = confirm(&mut doctor, &checked, "Y-17").await;
    let main = shown.text.split("<main").nth(1).unwrap();
    let at = |text: &str| main.find(text).unwrap_or_else(|| panic!("{text} is not shown: {main}"));
    assert!(at(child.family) < at("記載がないことは「なし」を意味しません。"));
    assert!(at("記載がないことは") < at("アレルギー") && at("アレルギー") < at("服用中の薬"));
    assert!(at("服用中の薬") < at("体重") && at("<svg") < at("持病・症状") && at("持病・症状") < at("予防接種"));
    assert!(main.contains("本人申告") && main.contains("self-reported") && main.contains("府中市"), "{main}");
    assert!(main.contains("BMI") && main.contains("計算値") && main.contains("<table>"), "{main}");
    assert!(!shown.url.contains("Y-17") && !main.contains("<script") && !main.contains("style="));
    assert!(shown.headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    // Two looks by staff, a line for each source of each; and who it was, for the auditor.
    assert_eq!(town.newest_outcome().await, "complete");
    let path = format!("/v1/access-log?subject={}", town.child());
    let (_, log) = town.person(http::Method::GET, &path, town.mother(), None).await;
    let lines = log["items"].as_array().unwrap();
    assert_eq!(lines.len(), 4, "{log}");
    assert!(lines.iter().all(|l| l["recipient"] == "midori-clinic" && l["capacity"] == "staff"), "{log}");
    assert!(!log.to_string().contains(DOCTOR));
    let views = kept(&town, "SummaryOpened").await;
    assert_eq!(views.iter().map(|v| v["identity_only"].as_bool().unwrap()).collect::<Vec<_>>(), [true, false]);
    assert!(views.iter().all(|v| v["by"] == DOCTOR && v["party"] == "midori-clinic"));
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn not_my_patient_closes_is_recorded_and_told() {
    let town = opened(|text| text).await;
    booked(&town, "Y-17", town.child()).await;
    let mut nurse = staff(&town, NURSE).await;
    let checked = check(&mut nurse, "Y-17").await;
    let (csrf, patient) = (checked.hidden("csrf"), checked.hidden("patient"));
    let closed = nurse.send("/clinic/not-my-patient", &[("csrf", &csrf), ("patient", &patient)]).await;
    let child = &town.family.children[0].person;
    assert!(closed.says("閉じました") && !closed.says(child.family) && !closed.says(&patient), "{}", closed.text);
    let said = kept(&town, "NotTheirPatient").await;
    assert_eq!((said.len(), &said[0]["by"]), (1, &json!(NURSE)));
    let (_, metrics) = town.manage("/metrics").await;
    assert!(metrics.contains("sekisho_not_their_patient_total 1\n"), "{metrics}");
    // Somebody whom this clinic was never shown.
    let never = nurse.send("/clinic/not-my-patient", &[("csrf", &csrf), ("patient", &"a".repeat(26))]).await;
    assert_eq!(never.status, StatusCode::NOT_FOUND);
    assert_eq!(kept(&town, "NotTheirPatient").await.len(), 1);
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_that_ends_while_the_page_is_open_leaves_nothing_there() {
    let town = opened_on(standing_clock(), |text| text).await;
    let consent = booked(&town, "Y-17", town.child()).await;
    let mut doctor = staff(&town, DOCTOR).await;
    let nothing = check(&mut doctor, "never").await;
    assert!(nothing.status == StatusCode::NOT_FOUND && nothing.says("お見せできる情報はありません"));
    let checked = check(&mut doctor, "Y-17").await;
    assert_eq!(checked.status, StatusCode::OK);
    town.world.revoke(town.mother(), &consent).await.unwrap();
    let after = confirm(&mut doctor, &checked, "Y-17").await;
    assert_eq!((after.status, after.text), (nothing.status, nothing.text.clone()), "as if it had never been");
    assert_eq!(check(&mut doctor, "Y-17").await.text, nothing.text);
    booked(&town, "Y-18", town.child()).await;
    assert_eq!(check(&mut doctor, "Y-18").await.status, StatusCode::OK);
    town.pass_seconds(4 * 60);
    let block = json!({"party": "midori-clinic", "evidence": "支援措置"});
    town.act(&format!("/people/{}/blocks", town.child()), block).await;
    assert_eq!(check(&mut doctor, "Y-18").await.text, nothing.text, "blocked");
    for wrong in ["", "予約", "a b", "Y-18/", "123456789018"] {
        let page = check(&mut doctor, wrong).await;
        assert!(page.status.is_client_error() && !page.says("この患者です"), "{wrong}");
    }
    town.gateway.stop().await;
}

/// Who was confirmed is who is shown: the reference leads to somebody else by now.
#[tokio::test(flavor = "multi_thread")]
async fn a_reference_that_leads_to_somebody_else_by_now_is_asked_about_again() {
    let town = opened(|text| text).await;
    let consent = booked(&town, "Y-17", town.child()).await;
    let mother = &town.people.parents[0];
    for id in ["yotsuba-phr", "fuchu-city"] {
        let link = json!({"to": {"party": id, "id": town.mother()}, "evidence": "e", "verified_by": "fuchu-city"});
        town.act(&format!("/people/{mother}/links"), link).await;
    }
    let mut doctor = staff(&town, DOCTOR).await;
    let checked = check(&mut doctor, "Y-17").await;
    booked(&town, "Y-17", mother).await;
    let both = confirm(&mut doctor, &checked, "Y-17").await;
    assert!(both.status == StatusCode::CONFLICT && both.says("別々の方の同意"), "{}", both.text);
    town.world.revoke(town.mother(), &consent).await.unwrap();
    let other = confirm(&mut doctor, &checked, "Y-17").await;
    assert!(
        !other.says("<svg") && !other.says("アレルギー"),
        "nothing of somebody who was not confirmed: {}",
        other.text
    );
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_doctors_and_nurses_of_the_clinic_itself_open_anything() {
    let town = opened(|text| text).await;
    booked(&town, "Y-17", town.child()).await;
    let mut reception = staff(&town, RECEPTION).await;
    let page = reception.open("/clinic").await;
    assert!(page.status == StatusCode::FORBIDDEN && page.says("役割がありません"), "{}", page.text);
    let mut clerk = browser(&town);
    clerk.sign_in("/my/sign-in/fuchu-staff", CLERK).await;
    assert!(clerk.open("/clinic").await.says("診療所の医師・看護師のためのページです"));
    let mut doctor = staff(&town, DOCTOR).await;
    let csrf = doctor.open("/clinic").await.hidden("csrf");
    for path in ["/clinic/check", "/clinic/summary", "/clinic/not-my-patient"] {
        let page = doctor.send(path, &[("csrf", "wrong"), ("reference", "Y-17")]).await;
        assert!(page.status == StatusCode::FORBIDDEN && page.says("古くなっています"), "{path}");
        let page = doctor.send_from("https://evil.example", path, &[("csrf", &csrf), ("reference", "Y-17")]).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{path}");
        assert_eq!(doctor.open(path).await.status, StatusCode::NOT_FOUND, "nothing is asked by an address");
    }
    assert!(doctor.open("/counter").await.says("役割がありません"));
    assert_eq!(check(&mut doctor, "Y-17").await.status, StatusCode::OK);
    // The role goes with the next reload.
    town.reload_with(|text| text.replace("viewer_roles = [\"doctor\", \"nurse\"]", "viewer_roles = [\"nurse\"]"))
        .await
        .unwrap();
    let page = doctor.send("/clinic/check", &[("csrf", &csrf), ("reference", "Y-17")]).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    // Another clinic's staff type the same reference.
    let bend = |text: String| {
        let party = "\n[[party]]\ncode = \"other-clinic\"\nkind = \"clinic\"\nname_ja = \"別の診療所\"\nname_en = \"Another clinic\"\n";
        let text = text.replacen("\n[[purpose]]", &format!("{party}\n[[purpose]]"), 1);
        text.replace("party = \"midori-clinic\"\nrole_claim", "party = \"other-clinic\"\nrole_claim")
    };
    town.reload_with(bend).await.unwrap();
    let mut nurse = staff(&town, NURSE).await;
    let page = check(&mut nurse, "Y-17").await;
    assert!(page.says("別の診療所") && page.says("お見せできる情報はありません"), "{}", page.text);
    assert_eq!(find(&town, "Y-17").await.0, 200, "while it is there");
    town.gateway.stop().await;
}

/// A reload that asks for a stronger sign-in counts for whoever is signed in, and for a page that is being put together.
#[tokio::test(flavor = "multi_thread")]
async fn a_stronger_sign_in_is_asked_for_from_the_reload_on() {
    let town = opened(|text| text).await;
    booked(&town, "Y-17", town.child()).await;
    let mut doctor = staff(&town, DOCTOR).await;
    let checked = check(&mut doctor, "Y-17").await;
    assert_eq!(checked.status, StatusCode::OK);
    let faults = Faults { latency_ms: 1_500, ..Faults::default() };
    town.world.phr.set_knobs(sekisho_adapters::phr_app::stand_in::Knobs { faults, ..Default::default() });
    let before = town.world.phr.requests();
    let stronger = async {
        while town.world.phr.requests() == before {
            tokio::task::yield_now().await;
        }
        let bend = |text: String| {
            let (others, theirs) = text.split_once("code = \"midori-staff\"").unwrap();
            format!("{others}code = \"midori-staff\"{}", theirs.replacen("acr = [\"aal2\"]", "acr = [\"aal3\"]", 1))
        };
        town.reload_with(bend).await.unwrap();
    };
    let (page, ()) = tokio::join!(confirm(&mut doctor, &checked, "Y-17"), stronger);
    assert!(!page.status.is_success() && !page.says("アレルギー") && !page.says("<svg"), "{}", page.text);
    assert_eq!(town.newest_outcome().await, "nothing-sent");
    town.world.phr.set_knobs(sekisho_adapters::phr_app::stand_in::Knobs::default());
    let csrf = checked.hidden("csrf");
    let again = doctor.send("/clinic/check", &[("csrf", &csrf), ("reference", "Y-17")]).await;
    assert!(!again.status.is_success() && !again.says("この患者です"), "{}", again.text);
    town.gateway.stop().await;
}

/// What texts of sources hold stays text, and what is lacking is said.
#[tokio::test(flavor = "multi_thread")]
async fn markup_stays_text_and_what_is_lacking_is_said() {
    let town = opened(|text| text).await;
    booked(&town, "Y-17", town.child()).await;
    let id = &town.family.children[0].person.id;
    let mut records = town.world.phr.held(id).unwrap();
    let hostile = "<script>alert(1)</script><b onclick=x>鶏卵</b>";
    records.insert(
        "allergies".to_owned(),
        json!([{"id": "a1", "name": hostile, "recorded": "2026-01-10", "entered": "self"}]),
    );
    records.insert("conditions".to_owned(), json!([]));
    town.world.phr.put(id, records);
    let mut doctor = staff(&town, DOCTOR).await;
    let checked = check(&mut doctor, "Y-17").await;
    let page = confirm(&mut doctor, &checked, "Y-17").await;
    assert!(page.says("&#60;script&#62;") || page.says("&lt;script&gt;"), "{}", page.text);
    assert!(!page.says("<script") && !page.says("<b onclick"));
    assert!(page.says("記載がありません（「なし」という意味ではありません）"), "conditions");
    let faults = Faults { status: Some(500), ..Faults::default() };
    town.world.phr.set_knobs(sekisho_adapters::phr_app::stand_in::Knobs { faults, ..Default::default() });
    let page = confirm(&mut doctor, &checked, "Y-17").await;
    assert!(page.says("よつば母子手帳アプリから受け取れなかった情報があります。"), "{}", page.text);
    let faults = Faults { status: Some(500), ..Faults::default() };
    town.world.city.set_knobs(sekisho_adapters::fhir_server::stand_in::Knobs { faults, ..Default::default() });
    let page = confirm(&mut doctor, &checked, "Y-17").await;
    assert!(page.status == StatusCode::SERVICE_UNAVAILABLE && page.says("確かめられません"), "{}", page.text);
    town.gateway.stop().await;
}
