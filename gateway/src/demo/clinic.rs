//! The story's visit: from the booking at a clinic that has never seen the child to its answer that everything is erased.

use http::Method;
use serde_json::{Value, json};

use super::story::{Transcript, check};
use super::visitor::Visitor;
use super::world::{DOCTOR, World, WorldError, text};

const PURPOSE: &str = "online-consultation";
const CATEGORIES: [&str; 7] =
    ["identity@1", "condition@1", "medication@1", "allergy@1", "body-weight@1", "body-temperature@1", "vaccination@1"];
const BOOKING: &str = "Y-2041";
/// Longest time that the story waits for a delivery, in seconds.
const PATIENCE_S: u64 = 30;

/// Booked, agreed to, sent ahead, read, withdrawn, and erased.
pub(super) async fn visit(out: &mut Transcript, world: &World, mother: &str, child: &str) -> Result<(), WorldError> {
    out.step(
        "母親が、はじめてのオンライン診療をアプリで予約します。アプリは、診療所のための同意を提案します（アプリ自身は何も受け取りません）。",
        "The mother books an online consultation in her app, which proposes a consent for the clinic and receives nothing by it.",
    );
    let consent = agreed(out, world, mother, child).await?;
    sent_ahead(out, world, mother, &consent).await?;
    let path = read(out, world).await?;
    at_the_clinic(out, world).await?;
    world.revoke(mother, &consent).await?;
    let token = world.clinic_token()?;
    let after = world.call(&world.clinic_http, Method::GET, &path, &token, None).await?;
    check(after.status.as_u16() == 404, "after the withdrawal there is no summary")?;
    out.fact(
        "→ 保護者が止めると、診療所にはもう何も見えません。 / Once the guardian stops it, the clinic sees nothing.",
    );
    erased(out, world, mother, &consent).await
}

/// The app proposes; on the gateway's page the mother sees what would go, takes something out, and agrees for the child.
async fn agreed(out: &mut Transcript, world: &World, mother: &str, child: &str) -> Result<String, WorldError> {
    let token = world.app_token(mother)?;
    let path = format!("/v1/texts/{PURPOSE}");
    let hash = world.json(&world.app_http, Method::GET, &path, &token, None).await?["text_hash"].clone();
    let visit = jiff::Timestamp::from_millisecond((world.now)()).unwrap_or_default() + jiff::Span::new().hours(20);
    let booking = json!({"reference": BOOKING, "visit_at": visit.to_string()});
    let proposal = json!({
        "recipient": "midori-clinic", "purpose": PURPOSE, "categories": CATEGORIES, "text_hash": hash, "booking": booking,
    });
    let proposed = world.json(&world.app_http, Method::POST, "/v1/consents", &token, Some(&proposal)).await?;
    let consent = text(&proposed, "id");
    let at = |step: &str| format!("/my/proposals/{consent}{step}");
    let mut visitor = Visitor::new(world.browser.clone(), &world.url);
    visitor.sign_in("/my/sign-in/dev", mother).await?;
    let page = visitor.open(&at("")).await?;
    // To agree she signs in once more, by the stronger method.
    let again = page.link("again=1").ok_or_else(|| WorldError("the page asks for no stronger sign-in".to_owned()))?;
    let page = visitor.sign_in(&again, mother).await?;
    let (csrf, words, revision) = (page.hidden("csrf"), page.hidden("text"), page.hidden("revision"));
    let form = [
        ("csrf", csrf.as_str()),
        ("text", &words),
        ("revision", &revision),
        ("subject", child),
        ("without", "body-weight@1"),
    ];
    let home = world.url.as_str();
    let shown = visitor.send_from(home, &at("/preview"), &form).await?;
    check(shown.status.is_success() && shown.says("<article"), "the page shows what would go")?;
    out.fact(&format!(
        "→ 関所のページで、渡る内容（{} 件）を項目ごとに確かめ、体重は外して同意しました。",
        shown.text.matches("<article").count()
    ));
    out.fact("→ On the gateway's page she saw the very items that would go, took the weight out, and agreed, for this visit alone.");
    let done = visitor.send_from(home, &at("/agree"), &form).await?;
    check(done.says("同意しました"), "she agreed")?;
    Ok(consent)
}

/// The app has the summary sent, and sees that the clinic has it.
async fn sent_ahead(out: &mut Transcript, world: &World, mother: &str, consent: &str) -> Result<(), WorldError> {
    let token = world.app_token(mother)?;
    let path = format!("/v1/consents/{consent}/deliveries");
    let asked = world.call(&world.app_http, Method::POST, &path, &token, Some(&json!({}))).await?;
    check(asked.status.as_u16() == 202, "the delivery waits, durably")?;
    let began = tokio::time::Instant::now();
    let seen = loop {
        let seen = world.json(&world.app_http, Method::GET, &path, &token, None).await?;
        if seen.pointer("/items/0/state").and_then(Value::as_str) == Some("delivered") {
            break seen;
        }
        check(began.elapsed().as_secs() < PATIENCE_S, "the summary is delivered")?;
        tokio::task::yield_now().await;
    };
    let delivered = world.inbox.received();
    let taken = delivered.last().and_then(|one| serde_json::from_slice::<Value>(&one.body).ok()).unwrap_or_default();
    check(taken.pointer("/data/booking").and_then(Value::as_str) == Some(BOOKING), "it says for which visit it is")?;
    let receipt = seen.pointer("/items/0/receipt").and_then(Value::as_str).unwrap_or_default();
    check(!receipt.is_empty(), "there is a receipt")?;
    out.fact("→ アプリの依頼で、要約が診療の前に診療所へ届きました（署名つき。関所に控えは残りません）。");
    out.fact("→ At the app's request the summary was sent to the clinic ahead of the visit, signed; no copy is left at the gateway.");
    Ok(())
}

/// The clinic finds its patient by its own reference, and reads the summary as it stands now: its path.
async fn read(out: &mut Transcript, world: &World) -> Result<String, WorldError> {
    let token = world.clinic_token()?;
    let found = world.json(&world.clinic_http, Method::GET, &format!("/v1/bookings/{BOOKING}"), &token, None).await?;
    out.fact("→ 診療所は、自院の予約番号から患者の ID を知り、今の要約を読みます。 / By its own booking reference the clinic learns the patient's id, and reads the summary as it is now.");
    let path = format!("/fhir/Patient/{}/$summary", text(&found, "patient"));
    let document = world.json(&world.clinic_http, Method::GET, &path, &token, None).await?;
    let sections = document.pointer("/entry/0/resource/section").and_then(Value::as_array);
    for section in sections.into_iter().flatten() {
        let items = section["entry"].as_array().map_or(0, Vec::len);
        out.fact(&format!("{}: {items}", text(section, "title")));
    }
    let written = document.to_string();
    check(written.contains("fuchu-city") && written.contains("yotsuba-phr"), "both sources are in it")?;
    check(!written.contains("29463-7"), "weight was taken out, and is nowhere in it")?;
    out.fact("→ 提供元は 2 つ、文書は 1 つ（国際患者サマリー）。記載がないことは「なし」を意味しません。");
    out.fact("→ two sources, one document (International Patient Summary). What is not listed is not thereby absent.");
    Ok(path)
}

/// The doctor opens it on the clinic's page, having made sure who it is.
async fn at_the_clinic(out: &mut Transcript, world: &World) -> Result<(), WorldError> {
    let mut doctor = Visitor::new(world.browser.clone(), &world.url);
    let page = doctor.sign_in("/my/sign-in/midori-staff?then=/clinic", DOCTOR).await?;
    let csrf = page.hidden("csrf");
    let checked = doctor.send_from(&world.url, "/clinic/check", &[("csrf", &csrf), ("reference", BOOKING)]).await?;
    check(checked.says("この患者です"), "the doctor is asked whether this is the patient")?;
    let (csrf, patient) = (checked.hidden("csrf"), checked.hidden("patient"));
    let fields = [("csrf", csrf.as_str()), ("reference", BOOKING), ("patient", &patient)];
    let shown = doctor.send_from(&world.url, "/clinic/summary", &fields).await?;
    check(shown.says("記載がないことは「なし」を意味しません") && shown.says("<svg"), "the page shows the summary")?;
    out.fact("→ 医師は氏名と生年月日を確かめてから、1 ページの要約（体温のグラフつき）を開きます。開くたびに記録が残ります。");
    out.fact("→ The doctor makes sure who it is, then opens the one-page summary with the temperatures' chart. Each view is recorded.");
    Ok(())
}

/// The clinic finds the request to erase, answers it, and the mother sees the answer.
async fn erased(out: &mut Transcript, world: &World, mother: &str, consent: &str) -> Result<(), WorldError> {
    let token = world.clinic_token()?;
    let asked = world.json(&world.clinic_http, Method::GET, "/v1/erasure-requests", &token, None).await?;
    check(asked.to_string().contains(consent), "the clinic is asked to erase what it received")?;
    let path = format!("/v1/erasure-requests/{consent}/answer");
    let answer = json!({"answer": "kept", "law": "医師法24条（診療録、5年）"});
    world.json(&world.clinic_http, Method::POST, &path, &token, Some(&answer)).await?;
    let mut visitor = Visitor::new(world.browser.clone(), &world.url);
    visitor.sign_in("/my/sign-in/dev", mother).await?;
    let page = visitor.open(&format!("/my/consents/{consent}")).await?;
    check(page.says("医師法24条"), "the mother sees what the clinic answered")?;
    out.fact("→ 消去のお願いに診療所が答え（診療録は法律により保存）、母親のページに示されます。");
    out.fact(
        "→ The clinic answers the request to erase (its own record is kept by law), and the mother sees the answer.",
    );
    Ok(())
}
