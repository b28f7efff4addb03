//! The story's visit: a clinic that has never seen the child reads a summary before an online consultation.

use http::Method;
use serde_json::{Value, json};

use super::story::{Transcript, check};
use super::world::{World, WorldError, text};

const PURPOSE: &str = "online-consultation";
const CATEGORIES: [&str; 6] =
    ["identity@1", "condition@1", "medication@1", "allergy@1", "body-temperature@1", "vaccination@1"];

/// Agreed to, read, withdrawn, and not there any more.
pub(super) async fn visit(out: &mut Transcript, world: &World, mother: &str, child: &str) -> Result<(), WorldError> {
    out.step(
        "オンライン診療の前に、はじめての診療所が要約を求めます。氏名と生年月日は必ず含みます（取り違えを防ぐため）。",
        "Before an online consultation a clinic that has never seen the child asks for a summary. Name and birth date are part of it.",
    );
    let consent = granted(world, mother, child).await?;
    let token = world.clinic_token()?;
    let found = world.json(&world.clinic_http, Method::GET, "/v1/bookings/Y-2041", &token, None).await?;
    let patient = text(&found, "patient");
    out.fact("→ 診療所は、自院の予約番号から患者の ID を知ります。 / By its own booking reference the clinic learns the patient's id.");
    let path = format!("/fhir/Patient/{patient}/$summary");
    let document = world.json(&world.clinic_http, Method::GET, &path, &token, None).await?;
    let sections = document.pointer("/entry/0/resource/section").and_then(Value::as_array);
    for section in sections.into_iter().flatten() {
        let items = section["entry"].as_array().map_or(0, Vec::len);
        out.fact(&format!("{}: {items}", text(section, "title")));
    }
    let written = document.to_string();
    check(written.contains("fuchu-city") && written.contains("yotsuba-phr"), "both sources are in it")?;
    check(!written.contains("29463-7"), "weight was not agreed to, and is nowhere in it")?;
    out.fact("→ 提供元は 2 つ、文書は 1 つ（国際患者サマリー）。記載がないことは「なし」を意味しません。");
    out.fact("→ two sources, one document (International Patient Summary). What is not listed is not thereby absent.");
    world.revoke(mother, &consent).await?;
    let after = world.call(&world.clinic_http, Method::GET, &path, &token, None).await?;
    check(after.status.as_u16() == 404, "after the withdrawal there is no summary")?;
    out.fact(
        "→ 保護者が止めると、診療所にはもう何も見えません。 / Once the guardian stops it, the clinic sees nothing.",
    );
    Ok(())
}

/// The clinic proposes to the mother, who agrees for the child.
async fn granted(world: &World, mother: &str, child: &str) -> Result<String, WorldError> {
    let token = world.clinic_token_of(mother)?;
    let path = format!("/v1/texts/{PURPOSE}");
    let hash = world.json(&world.clinic_http, Method::GET, &path, &token, None).await?["text_hash"].clone();
    let visit = jiff::Timestamp::from_millisecond((world.now)()).unwrap_or_default() + jiff::Span::new().hours(20);
    let booking = json!({"reference": "Y-2041", "visit_at": visit.to_string()});
    let proposal = json!({"purpose": PURPOSE, "categories": CATEGORIES, "text_hash": hash, "booking": booking});
    let proposed = world.json(&world.clinic_http, Method::POST, "/v1/consents", &token, Some(&proposal)).await?;
    let consent = text(&proposed, "id");
    let approval = json!({"subject": child, "text_hash": hash});
    let path = format!("/v1/consents/{consent}/approve");
    world.json(&world.browser, Method::POST, &path, &world.person_token(mother)?, Some(&approval)).await?;
    Ok(consent)
}
