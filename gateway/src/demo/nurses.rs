//! The story's week: forty consultations of generated families, flagged with their reasons, shared as far as each was agreed to, and
//! recalled; one that can't wait.

use std::collections::BTreeMap;
use std::io::Cursor;

use http::Method;
use sekisho_adapters::people::consultations::Consultations;
use serde_json::{Value, json};

use super::story::{Transcript, check};
use super::visitor::Visitor;
use super::week::{Care, City};
use super::world::{HAYASHI, OMORI, World, WorldError, during, text};
use crate::admin::client::lines;
use crate::ledger::checkpoint::LedgerKey;
use crate::package::open;
use crate::week::row::{Head, Row, RowKind};

const CONSULTATIONS: usize = 40;
/// Of those, so many need a nurse, if there are so many.
const FLAGGED: usize = 14;
/// Generated consultations that are looked through.
const LOOKED_AT: u64 = 4_000;
const SEED: u64 = 20_261_116;
const DAY_MS: i64 = 86_400_000;
const FUCHU: &str = "132063";
const INAGI: &str = "132250";
/// Longest time that the story waits for a call, in seconds.
const PATIENCE_S: u64 = 30;

/// Collected, made up, pulled, withdrawn, recalled; and one that could not wait.
pub(super) async fn week(out: &mut Transcript, world: &World, key: &LedgerKey) -> Result<Care, WorldError> {
    out.step(
        "子育てのオンライン相談に 40 件の相談がありました。保健師の支援が要るものを、週に一度、同意の範囲で市へ渡します。",
        "Forty consultations came to an online parenting service. Once a week those that need a nurse go to the city, as far as each agreed.",
    );
    let care = Care::open(world, None).await?;
    let (records, urgent) = records((world.now)());
    for record in &records {
        care.service.add(record.text.clone());
        care.service.put_details(&record.id, record.details.clone());
    }
    let configured = std::fs::read_to_string(&world.config).map_err(during("configuration"))?;
    std::fs::write(&world.config, care.configured(&configured)).map_err(during("configuration"))?;
    world.act("/reload", &Value::Null).await.map_err(during("reload"))?;
    lines(&world.socket(), "/batch/run", &json!({"collect": true})).await.map_err(during("batch run"))?;
    cannot_wait(out, world, &care, &urgent).await?;
    let plan = planned(out, world).await?;
    let [fuchu, inagi] = &care.cities;
    let withdrawn = withdraw(out, world, &care, &records)?;
    let (first, head) = pulled(out, world, key, fuchu, &withdrawn).await?;
    let (_, _) = pulled(out, world, key, inagi, "").await?;
    check(plan > first.len(), "the plan was longer than what went")?;
    let later = first.iter().find(|row| records.iter().any(|r| r.name == row.asker.name && r.choice != "nothing"));
    let later = later.map(|row| (row.case.clone(), row.asker.name.clone()));
    let (case, name) = later.ok_or_else(|| WorldError("a row that can be withdrawn".to_owned()))?;
    let user = records.iter().find(|r| r.name == name).map(|r| r.user.clone()).unwrap_or_default();
    let mut nurse = at_the_nurses_pages(out, world, &name).await?;
    care.service.choose(&user, None, "nothing", FUCHU, &now_text(world));
    let list = nurse.open("/nurse").await?;
    check(!list.says(&name), "what is withdrawn is off the nurse's list")?;
    out.fact("→ その後、ひとりが撤回しました。保健師の画面からは、その場で消えます。 / Then one of them withdraws, and is off the nurse's page at once.");
    recalled(out, world, key, fuchu, &case, &head).await?;
    Ok(care)
}

/// One consultation of the forty.
struct Record {
    id: String,
    user: String,
    name: String,
    choice: String,
    municipality: String,
    flagged: bool,
    text: String,
    details: Value,
}

fn now_text(world: &World) -> String {
    jiff::Timestamp::from_millisecond((world.now)()).unwrap_or_default().to_string()
}

/// Forty of two cities, in order: those that need a nurse first among them; one of somebody who fled, one that can't wait.
fn records(now_ms: i64) -> (Vec<Record>, String) {
    let from = jiff::Timestamp::from_millisecond(now_ms - 14 * DAY_MS).unwrap_or_default();
    let today = from.to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(9))).date();
    let all = Consultations::new(SEED, today, from, 60_000);
    let (mut flagged, mut others, mut users) = (Vec::new(), Vec::new(), std::collections::HashSet::new());
    for index in 0..LOOKED_AT {
        let Ok(mut record) = serde_json::from_str::<Value>(&all.json(index)) else { continue };
        let mut municipality = text(&record["sharing"], "municipality");
        if ![FUCHU, INAGI].contains(&municipality.as_str()) || !users.insert(text(&record["asker"], "id")) {
            continue;
        }
        let sum: u64 = record["epds"].as_array().into_iter().flatten().filter_map(Value::as_u64).sum();
        let needs = sum >= 9 || record["judgement"].is_object();
        let urgent = record["emergency"] == true || record["epds"][9].as_u64().is_some_and(|score| score > 0);
        let full = if needs { flagged.len() >= FLAGGED } else { others.len() >= CONSULTATIONS - FLAGGED };
        if full || urgent {
            continue;
        }
        // One who withdraws, one who fled from Fuchu to Inagi, one who can't wait.
        if needs && flagged.len() <= 2 {
            municipality = FUCHU.to_owned();
            record["sharing"]["municipality"] = json!(FUCHU);
            record["sharing"]["choice"] = json!("content");
        }
        match (needs, flagged.len()) {
            (true, 2) => record["present"] = json!({"municipality": INAGI, "postal": null}),
            (true, 5) => record["epds"] = json!([2, 1, 1, 2, 1, 2, 1, 1, 1, 1]),
            _ => {}
        }
        let Some(details) = all.detail(index, true) else { continue };
        let one = Record {
            id: text(&record, "id"),
            user: text(&record["asker"], "id"),
            name: text(&details["asker"], "name"),
            choice: text(&record["sharing"], "choice"),
            municipality,
            flagged: needs,
            text: record.to_string(),
            details,
        };
        if needs { flagged.push(one) } else { others.push(one) }
    }
    let urgent = flagged.get(5).map(|record| record.id.clone()).unwrap_or_default();
    flagged.extend(others);
    (flagged, urgent)
}

/// Item 10: a human is called, and decides.
async fn cannot_wait(out: &mut Transcript, world: &World, care: &Care, urgent: &str) -> Result<(), WorldError> {
    let called = tokio::time::timeout(std::time::Duration::from_secs(PATIENCE_S), care.on_call.has_taken(1)).await;
    check(called.is_ok(), "somebody at the service is called")?;
    let call =
        care.on_call.received().first().map(|one| String::from_utf8_lossy(&one.body).into_owned()).unwrap_or_default();
    check(!call.contains(urgent) && !call.contains("syn-"), "the call says nothing about anybody")?;
    let token = care.token(world)?;
    let open = world.json(&care.http, Method::GET, "/v1/alerts", &token, None).await?;
    let alert = text(&open["items"][0], "id");
    let by = json!({"by": "助産師 青井（架空）"});
    world.json(&care.http, Method::POST, &format!("/v1/alerts/{alert}/acknowledgement"), &token, Some(&by)).await?;
    let decision = json!({"by": "助産師 青井（架空）", "decision": "not-shared", "reason": "本人と電話で話し、今夜の支援につないだ（架空）"});
    world.json(&care.http, Method::POST, &format!("/v1/alerts/{alert}/decision"), &token, Some(&decision)).await?;
    out.fact("→ 1 件は待てません（質問票の項目 10）。相談事業者の当番が、中身のない知らせで呼ばれ、引き受け、判断しました。点数だけでは何も渡りません。");
    out.fact("→ One can't wait (item 10). Whoever is on call at the service was called, by a message without content, took it on, and decided. No score releases anything.");
    Ok(())
}

/// What would go to whom, and why: nothing is sent.
async fn planned(out: &mut Transcript, world: &World) -> Result<usize, WorldError> {
    let plan = world.act("/batch/plan", &json!({})).await.map_err(during("plan"))?;
    let (mut cases, mut reasons) = (0, BTreeMap::<String, usize>::new());
    for one in plan["municipalities"].as_array().into_iter().flatten() {
        let all = one["cases"].as_array().cloned().unwrap_or_default();
        let count = |goes: &str| all.iter().filter(|case| case["goes"] == goes).count();
        out.fact(&format!(
            "計画 {} {}: 内容まで {} 件、氏名等のみ {} 件 / plan: full {}, identity only {}",
            text(one, "municipality"),
            text(one, "week"),
            count("full"),
            count("identity-only"),
            count("full"),
            count("identity-only")
        ));
        for case in &all {
            case["reasons"].as_array().into_iter().flatten().filter_map(Value::as_str).for_each(|reason| {
                *reasons.entry(reason.to_owned()).or_default() += 1;
            });
        }
        if text(one, "municipality") == "fuchu-city" {
            cases = all.len();
        }
    }
    let listed: Vec<String> = reasons.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    out.fact(&format!("理由の内訳 / reasons: {}", listed.join(", ")));
    Ok(cases)
}

/// Somebody withdraws in the service, after the plan and before the pull; whose name must not go any more.
fn withdraw(out: &mut Transcript, world: &World, care: &Care, records: &[Record]) -> Result<String, WorldError> {
    let may = |r: &&Record| r.flagged && r.municipality == FUCHU && r.choice == "content";
    let one = records.iter().find(may).ok_or_else(|| WorldError("somebody who can withdraw".to_owned()))?;
    care.service.choose(&one.user, None, "nothing", FUCHU, &now_text(world));
    out.fact(
        "→ 計画のあと、受け取りの前に、ひとりが撤回しました。 / Somebody withdraws after the plan, before the pull.",
    );
    Ok(one.name.clone())
}

/// The city pulls its package, opens it, and says that it has it.
async fn pulled(
    out: &mut Transcript,
    world: &World,
    key: &LedgerKey,
    city: &City,
    not_in_it: &str,
) -> Result<(Vec<Row>, Head), WorldError> {
    let (package, bytes) = pull(world, city, None).await?;
    let (head, rows) = opened(world, key, city, &bytes)?;
    check(not_in_it.is_empty() || rows.iter().all(|row| row.asker.name != not_in_it), "who withdrew is not in it")?;
    let full = rows.iter().filter(|row| row.kind == RowKind::Full).count();
    let away = rows.iter().filter(|row| row.present.is_some()).count();
    out.fact(&format!(
        "{}: {} 件を受け取り、市の鍵で開きました（内容まで {full} 件、氏名等のみ {} 件、ほかの土地にいる方 {away} 人）",
        head.municipality_ja,
        rows.len(),
        rows.len() - full
    ));
    out.fact(&format!(
        "{}: {} rows pulled and opened with the city's key: {full} in full, {} without content, {away} of somebody who is elsewhere now",
        head.municipality_en,
        rows.len(),
        rows.len() - full
    ));
    if let Some(row) = rows.iter().find(|row| row.kind == RowKind::IdentityOnly) {
        check(row.content.is_none(), "without consent to the content there is none")?;
        out.fact(&format!("氏名等のみの行: {}「{}」", row.case, crate::package::BANNER));
    }
    confirm(world, city, &package, &bytes).await?;
    Ok((rows, head))
}

async fn pull(world: &World, city: &City, week: Option<&str>) -> Result<(String, Vec<u8>), WorldError> {
    let token = city.token(world)?;
    let list = world.json(&city.http, Method::GET, "/v1/packages", &token, None).await?;
    let all = list["items"].as_array().cloned().unwrap_or_default();
    let open = |package: &&Value| match week {
        Some(week) => package["week"] == week,
        None => package["received_at"].is_null() && package["week"] != "urgent",
    };
    let package = all.iter().rfind(open).map(|package| text(package, "id"));
    let package = package.ok_or_else(|| WorldError("a package".to_owned()))?;
    let path = format!("/v1/packages/{package}/copies");
    let copy = world.call(&city.http, Method::POST, &path, &token, Some(&json!({}))).await?;
    check(copy.status.is_success(), "the city pulls its package")?;
    Ok((package, copy.body.to_vec()))
}

fn opened(world: &World, key: &LedgerKey, city: &City, bytes: &[u8]) -> Result<(Head, Vec<Row>), WorldError> {
    let mut file = Cursor::new(bytes);
    let now = jiff::Timestamp::from_millisecond((world.now)()).map_err(during("the time"))?;
    let checked = open::check(&mut file, &city.key, &key.verifier_key(), now).map_err(during("package"))?;
    let mut rows = Vec::new();
    let each = |row| {
        rows.push(row);
        Ok(())
    };
    open::rows(&mut file, &city.key, &checked, each).map_err(during("package"))?;
    Ok((checked.head, rows))
}

async fn confirm(world: &World, city: &City, package: &str, bytes: &[u8]) -> Result<(), WorldError> {
    let token = city.token(world)?;
    let digest = data_encoding::HEXLOWER.encode(&crate::ledger::merkle::sha256(bytes));
    let path = format!("/v1/packages/{package}/receipts");
    let said = world.json(&city.http, Method::POST, &path, &token, Some(&json!({"digest": digest}))).await?;
    check(!text(&said, "receipt").is_empty(), "there is a signed receipt")
}

/// The manager gives the nurse all districts; the nurse opens her list, and takes a case.
async fn at_the_nurses_pages(out: &mut Transcript, world: &World, name: &str) -> Result<Visitor, WorldError> {
    let mut nurse = Visitor::new(world.browser.clone(), &world.url);
    nurse.sign_in("/my/sign-in/fuchu-staff?then=/nurse", HAYASHI).await?;
    let mut manager = Visitor::new(world.browser.clone(), &world.url);
    manager.sign_in("/my/sign-in/fuchu-staff?then=/nurse", OMORI).await?;
    let csrf = manager.open("/nurse/manage").await?.hidden("csrf");
    let fields = [("csrf", csrf.as_str()), ("nurse", HAYASHI), ("all", "1")];
    manager.send_from(&world.url, "/nurse/assign", &fields).await?;
    let list = nurse.open("/nurse").await?;
    check(list.says(name), "the nurse sees who is shared with her city")?;
    let cases = list.text.matches("<li class=\"card case\"").count();
    out.fact(&format!("→ 保健師は、担当地区の {cases} 件を要ケア一覧で開きます。安全な連絡方法が先に立ち、開くたびに同意を確かめ、記録します。"));
    out.fact(&format!(
        "→ The nurse opens her list of {cases} cases, safe contact first. Each look is decided and recorded."
    ));
    Ok(nurse)
}

/// The next package says what may not be used any more.
async fn recalled(
    out: &mut Transcript,
    world: &World,
    key: &LedgerKey,
    city: &City,
    case: &str,
    before: &Head,
) -> Result<(), WorldError> {
    let this = crate::week::calendar::Week::parse(&before.week).ok_or_else(|| WorldError("a week".to_owned()))?;
    let next = this.next().to_string();
    let run = json!({"week": next, "municipality": city.code});
    lines(&world.socket(), "/batch/run", &run).await.map_err(during("batch run"))?;
    let (package, bytes) = pull(world, city, Some(&next)).await?;
    let (head, rows) = opened(world, key, city, &bytes)?;
    check(head.withdrawn.iter().any(|one| one.case == case), "the next package recalls it")?;
    check(rows.iter().all(|row| row.case != case), "and it is not in it")?;
    out.fact(&format!("→ 届いたあとの撤回は、次の便が回収します（事例 {case}）。それ以上は約束しません。"));
    out.fact(&format!(
        "→ What is withdrawn after it arrived is recalled by the next package (case {case}). More is not promised."
    ));
    confirm(world, city, &package, &bytes).await
}
