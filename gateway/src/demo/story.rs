//! The story that the demo tells: denied → proposed → approved → released, item by item → through the portal → revoked in
//! the middle of a transfer, cut → denied → ledger verified → two decisions explained.
//!
//! It speaks to the gateway as everyone else does: over TLS and over the operators' socket. Each step checks what it
//! tells; one that doesn't hold ends the story with an error.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use http::Method;
use sekisho_adapters::fhir_server::stand_in::Knobs;
use sekisho_adapters::people::People;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::week::Care;
use super::world::{World, WorldError, WorldOptions, during, text};
use crate::admin::client::ask;
use crate::clock::Clock;
use crate::config::Config;
use crate::ledger::verify;
use crate::serve::Gateway;

/// The seed of the demo's families: always the same three.
const SEED: u64 = 20_260_401;
const FAMILIES: usize = 3;
/// A made-up id of the right form, which nobody has.
const NOBODYS_ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaa";
/// Entries of the large answer that is cut half-way.
const LARGE_ENTRIES: usize = 12_000;

/// Where the transcript goes.
pub(super) struct Transcript {
    out: std::io::Stdout,
    step: u32,
}

impl Transcript {
    fn line(&mut self, text: &str) {
        // A closed pipe is the reader's choice; the story's outcome is in the exit code.
        let _ = writeln!(self.out, "{text}");
    }

    pub(super) fn step(&mut self, ja: &str, en: &str) {
        self.step += 1;
        let number = self.step;
        self.line(&format!("\n[{number}] {ja}\n    {en}"));
    }

    pub(super) fn fact(&mut self, text: &str) {
        self.line(&format!("      {text}"));
    }
}

/// Runs the demo in this directory; with `once` it ends after the story, else it stays up until Ctrl-C.
///
/// # Errors
/// When a step of the story does not hold.
pub async fn run(directory: PathBuf, once: bool) -> Result<(), WorldError> {
    let clock = Clock::system();
    let now_ms = clock.now().map_err(during("clock"))?.millis();
    let ticking = clock.clone();
    let now: sekisho_adapters::NowMs = Arc::new(move || ticking.now().map_or(now_ms, |t| t.millis()));
    let today = jiff::Timestamp::from_millisecond(now_ms).map_err(during("clock"))?;
    let today = today.to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(9))).date();
    let families = People::new(SEED, today).families().take(FAMILIES).collect();
    let mut out = Transcript { out: std::io::stdout(), step: 0 };
    out.line("Sekisho 関所 demo: everything on loopback, over TLS, with generated certificates and synthetic people.");
    let world = World::make(WorldOptions { directory, now, families, listen: None }).await?;
    let config = Config::read(&world.config).map_err(|e| WorldError(format!("{e}: {:?}", e.problems)))?;
    let listener = world.listener.try_clone().map_err(during("port"))?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(during("port"))?;
    let gateway = Gateway::start_on(listener, config, clock.clone()).await.map_err(during("gateway"))?;
    let told = tell(&mut out, &world, &gateway).await;
    if told.is_ok() && !once {
        stay(&mut out, &world).await;
    }
    gateway.stop().await;
    told.map(|_| ())
}

/// What still stands when the story is told stays while somebody plays with it.
async fn tell(out: &mut Transcript, world: &World, gateway: &Gateway) -> Result<Care, WorldError> {
    out.step(
        "市の窓口が三家族を登録します（本人確認と戸籍の確認つき）。",
        "The city enrols three families, with identity and family register checked.",
    );
    let mut enrolled = Vec::new();
    for family in &world.families {
        enrolled.push(world.enrol(family).await?);
        let children = family.children.len();
        out.fact(&format!(
            "{}家: 保護者 {}, 子 {children}, {}",
            family_name(family),
            family.parents.len(),
            family.home.name
        ));
    }
    // A child with a history to show.
    let (at, family) = world
        .families
        .iter()
        .enumerate()
        .max_by_key(|(_, f)| f.children.first().map_or(0, |c| c.doses.len()))
        .ok_or_else(|| WorldError("no family".to_owned()))?;
    let mother = family.parents.first().map(|p| p.id.clone()).unwrap_or_default();
    let people = enrolled.get(at).ok_or_else(|| WorldError("no family".to_owned()))?;
    let child = people.children.first().cloned().unwrap_or_default();

    denied_first(out, world, &mother).await?;
    let (consent, patient) = agreed(out, world, &mother, &child).await?;
    let released = released(out, world, &mother, &patient).await?;
    through_the_portal(out, world, &mother, &patient).await?;
    let at_app = family.children.first().map(|c| c.person.id.clone()).unwrap_or_default();
    world.link_app(&child, &at_app).await?;
    super::clinic::visit(out, world, &mother, &child).await?;
    cut(out, world, &mother, &patient, &consent).await?;
    let denied = denied_again(out, world, &mother, &patient, released).await?;
    let care = super::nurses::week(out, world, gateway.app().store.ledger_key()).await?;
    verified(out, world, gateway).await?;
    explained(out, world, &denied).await?;
    Ok(care)
}

fn family_name(family: &sekisho_adapters::people::Family) -> &str {
    family.parents.first().map_or("", |p| p.family)
}

fn history(patient: &str) -> String {
    format!("/fhir/Immunization?patient={patient}")
}

async fn denied_first(out: &mut Transcript, world: &World, mother: &str) -> Result<(), WorldError> {
    out.step(
        "アプリが、同意のないまま予防接種の記録を求めます。",
        "The app asks for a vaccination history without any consent.",
    );
    let before = world.city.requests();
    let token = world.app_token(mother)?;
    let answer = world.json(&world.app_http, Method::GET, &history(NOBODYS_ID), &token, None).await?;
    check(answer["total"] == 0, "nothing is released without a consent")?;
    check(world.city.requests() == before, "no source is asked without a permit")?;
    out.fact("→ 0 件。知らない人も、同意のない人も、同じ答え。提供元には尋ねていません。");
    out.fact("→ nothing; unknown and not consented look the same, and no source was asked.");
    Ok(())
}

async fn agreed(
    out: &mut Transcript,
    world: &World,
    mother: &str,
    child: &str,
) -> Result<(String, String), WorldError> {
    out.step(
        "アプリが同意を提案します。アプリ自身は承認できません。",
        "The app proposes a consent. It can't approve it itself.",
    );
    let until = jiff::Timestamp::from_millisecond(gateway_now(world)).map_err(during("clock"))?;
    let until = until + jiff::Span::new().hours(24 * 365);
    let proposal = world.propose(mother, &until.to_string()).await?;
    let consent = text(&proposal, "id");
    out.fact(&format!(
        "{consent}: {} / {} / {}",
        text(&proposal, "recipient"),
        text(&proposal, "purpose"),
        proposal["categories"]
    ));
    let shown =
        world.json(&world.browser, Method::GET, "/v1/texts/phr-view", &world.person_token(mother)?, None).await?;
    let approval = json!({"subject": child, "text_hash": shown["text_hash"]});
    let path = format!("/v1/consents/{consent}/approve");
    let by_app = world.call(&world.app_http, Method::POST, &path, &world.app_token(mother)?, Some(&approval)).await?;
    check(by_app.status.as_u16() == 403, "an app can't grant itself")?;
    out.step("保護者が、強い本人確認のサインインで承認します。", "The guardian approves, signed in with step-up.");
    world.approve(mother, &consent, child).await?;
    let seen = world
        .json(&world.app_http, Method::GET, &format!("/v1/consents/{consent}"), &world.app_token(mother)?, None)
        .await?;
    let patient = text(&seen, "patient");
    check(text(&seen, "status") == "active" && !patient.is_empty(), "the consent is active")?;
    out.fact(&format!(
        "status {}; アプリにだけ通じる子の ID / the child's id at this app only: {patient}",
        text(&seen, "status")
    ));
    Ok((consent, patient))
}

fn gateway_now(world: &World) -> i64 {
    (world.now)()
}

async fn released(out: &mut Transcript, world: &World, mother: &str, patient: &str) -> Result<usize, WorldError> {
    out.step("もう一度求めると、同意の範囲だけが渡ります。", "Asked again, exactly what is covered is released.");
    let token = world.app_token(mother)?;
    let answer = world.json(&world.app_http, Method::GET, &history(patient), &token, None).await?;
    let entries = answer["entry"].as_array().cloned().unwrap_or_default();
    check(!entries.is_empty(), "something is released under the consent")?;
    for entry in &entries {
        let item = &entry["resource"];
        let dose = item.pointer("/protocolApplied/0/doseNumberPositiveInt").and_then(Value::as_u64).unwrap_or(0);
        let place = item.pointer("/extension/0/valueCoding/display").and_then(Value::as_str).unwrap_or("");
        let vaccine = item.pointer("/vaccineCode/text").and_then(Value::as_str).unwrap_or("");
        out.fact(&format!(
            "{} {vaccine} {dose} 回目 lot {} {place}",
            text(item, "occurrenceDateTime"),
            text(item, "lotNumber")
        ));
        check(
            item.pointer("/patient/reference").and_then(Value::as_str) == Some(&format!("Patient/{patient}")),
            "every reference is pairwise",
        )?;
    }
    let whole = answer.to_string();
    let hidden = world.families.iter().flat_map(|f| &f.children).all(|c| !whole.contains(&c.person.id));
    check(hidden, "no id of the source leaves")?;
    out.fact(&format!(
        "→ {} 件。提供元の ID はどこにもありません。 / {} items, no id of the source among them.",
        entries.len(),
        entries.len()
    ));
    Ok(entries.len())
}

async fn through_the_portal(
    out: &mut Transcript,
    world: &World,
    mother: &str,
    patient: &str,
) -> Result<(), WorldError> {
    out.step(
        "同じ記録を、マイナポータル（模擬）から。まず本人のサインインが要ります。",
        "The same history from the My Portal stand-in. The subject must sign in there first.",
    );
    let path = format!("/portal/Immunization?patient={patient}");
    let token = world.app_token(mother)?;
    let answer = world.call(&world.app_http, Method::GET, &path, &token, None).await?;
    check(answer.status.as_u16() == 409, "a sign-in at the portal is asked for")?;
    let outcome: Value = serde_json::from_slice(&answer.body).map_err(during("answer"))?;
    let url = outcome.pointer("/issue/0/diagnostics").and_then(Value::as_str).unwrap_or_default();
    let account = world.portal_account_of(mother)?;
    let page = world.sign_in_at_portal(url, &account).await?;
    check(page == 200, "the portal's sign-in comes back to the gateway")?;
    let answer = world.json(&world.app_http, Method::GET, &path, &token, None).await?;
    let items = answer["total"].as_u64().unwrap_or(0);
    check(items > 0, "the portal's history is released")?;
    out.fact(&format!("→ サインイン後、{items} 件を FHIR Immunization として中継しました。 / After the sign-in, {items} items relayed as FHIR Immunization."));
    Ok(())
}

async fn cut(
    out: &mut Transcript,
    world: &World,
    mother: &str,
    patient: &str,
    consent: &str,
) -> Result<(), WorldError> {
    out.step(
        "大きな転送の途中で、保護者が同意を撤回します。",
        "In the middle of a large transfer the guardian withdraws.",
    );
    world.city.set_knobs(Knobs { entries: Some(LARGE_ENTRIES), ..Knobs::default() });
    let mut transfer = world.raw(&history(patient), &world.app_token(mother)?).await?;
    let mut first = vec![0; 16 << 10];
    let begun = transfer.read(&mut first).await.map_err(during("transfer"))?;
    check(begun > 0, "the transfer has begun")?;
    let revoked = world.revoke(mother, consent).await?;
    let summary = &revoked["summary"];
    let mut received = begun;
    let ended = loop {
        match transfer.read(&mut first).await {
            Ok(0) => break "closed",
            Ok(more) => received += more,
            Err(_) => break "reset",
        }
    };
    world.city.set_knobs(Knobs::default());
    check(summary["transfers_cut"] == 1, "the transfer under way was cut")?;
    check(!revoked["receipt"].is_null(), "the receipt is signed")?;
    out.fact(&format!(
        "→ {} に停止。転送 {} 件を切断（受信 {received} バイトで {ended}）。",
        text(summary, "at"),
        summary["transfers_cut"]
    ));
    out.fact(&format!(
        "→ stopped at {}; {} transfer cut after {received} bytes; the receipt is signed (entry {}).",
        text(summary, "at"),
        summary["transfers_cut"],
        text(summary, "entry")
    ));
    Ok(())
}

async fn denied_again(
    out: &mut Transcript,
    world: &World,
    mother: &str,
    patient: &str,
    released: usize,
) -> Result<Vec<String>, WorldError> {
    out.step("撤回のあとは、もう渡りません。", "After the withdrawal nothing passes any more.");
    let token = world.app_token(mother)?;
    let answer = world.json(&world.app_http, Method::GET, &history(patient), &token, None).await?;
    check(answer["total"] == 0, "nothing passes after a withdrawal")?;
    out.fact(&format!("→ {released} 件から 0 件へ。 / From {released} items to none."));
    let person = world.person_token(mother)?;
    let me = world.json(&world.browser, Method::GET, "/v1/me", &person, None).await?;
    let children = me["subjects"].as_array().cloned().unwrap_or_default();
    let child = children.iter().map(|c| text(c, "id")).find(|id| !id.is_empty() && *id != text(&me, "id"));
    let path = format!("/v1/access-log?subject={}", child.unwrap_or_default());
    let log = world.json(&world.browser, Method::GET, &path, &person, None).await?;
    let lines = log["items"].as_array().cloned().unwrap_or_default();
    out.fact("保護者に見える記録（閲覧・提供の記録） / what the guardian sees:");
    for line in &lines {
        out.fact(&format!(
            "  {} {} {} → {}",
            text(line, "at"),
            text(line, "recipient_name_ja"),
            text(line, "purpose"),
            text(line, "outcome")
        ));
    }
    Ok(lines.iter().map(|line| text(line, "decision")).collect())
}

async fn verified(out: &mut Transcript, world: &World, gateway: &Gateway) -> Result<(), WorldError> {
    out.step(
        "台帳を、書いた側とは別の実装で検証します。",
        "The ledger is verified by code that shares nothing with its writer but the format.",
    );
    gateway.app().store.checkpoint().await.map_err(during("checkpoint"))?;
    let data = world.directory.join("data");
    let key = std::fs::read_to_string(data.join("checkpoint.vkey")).map_err(during("verifier key"))?;
    let signed = std::fs::read(data.join("checkpoint")).map_err(during("checkpoint"))?;
    let report =
        verify::verify(&data.join("ledger"), key.trim(), &[&signed], &mut |_| {}).map_err(during("verification"))?;
    out.fact(&format!(
        "→ {} entries, root {}, checkpoint signature good",
        report.entries,
        data_encoding::BASE64.encode(&report.root)
    ));
    Ok(())
}

async fn explained(out: &mut Transcript, world: &World, decisions: &[String]) -> Result<(), WorldError> {
    out.step(
        "二つの判定を、台帳だけから説明します（運用者の閲覧も記録されます）。",
        "Two decisions explained from the ledger alone; the operator's look is recorded too.",
    );
    let newest = decisions.first().ok_or_else(|| WorldError("no decision to explain".to_owned()))?;
    let oldest = decisions.last().ok_or_else(|| WorldError("no decision to explain".to_owned()))?;
    for decision in [oldest, newest] {
        let told = ask(&world.socket(), Method::GET, &format!("/decisions/{decision}"), &Value::Null).await;
        let told = told.map_err(during("explanation"))?;
        check(told["agrees_with_record"] == true, "the decision made again agrees with the record")?;
        out.fact(&format!("{decision} {} / {}", text(&told, "verdict_ja"), text(&told, "verdict_en")));
        for line in told["categories"].as_array().into_iter().flatten() {
            out.fact(&format!("  {}: {} / {}", text(line, "category"), text(line, "why_ja"), text(line, "why_en")));
        }
    }
    Ok(())
}

pub(super) fn check(holds: bool, what: &str) -> Result<(), WorldError> {
    if holds { Ok(()) } else { Err(WorldError(format!("the story does not hold: {what}"))) }
}

/// Stays up with lines to paste, until Ctrl-C.
async fn stay(out: &mut Transcript, world: &World) {
    let lines = ready_lines(world).await;
    out.line("\n----");
    match lines {
        Ok(lines) => lines.iter().for_each(|line| out.line(line)),
        Err(error) => out.line(&format!("(no lines to paste: {error})")),
    }
    out.line("\nCtrl-C で終わります。 / Ctrl-C ends.");
    let _ = tokio::signal::ctrl_c().await;
}

/// `curl` lines that work as they are: a live consent of the second family, its data, its log, its withdrawal.
async fn ready_lines(world: &World) -> Result<Vec<String>, WorldError> {
    let family = world.families.get(1).ok_or_else(|| WorldError("no family".to_owned()))?;
    let mother = family.parents.first().map(|p| p.id.clone()).unwrap_or_default();
    let person = world.person_token(&mother)?;
    let me = world.json(&world.browser, Method::GET, "/v1/me", &person, None).await?;
    let subjects = me["subjects"].as_array().cloned().unwrap_or_default();
    let child = subjects.iter().map(|s| text(s, "id")).find(|id| *id != text(&me, "id")).unwrap_or_default();
    let until = jiff::Timestamp::from_millisecond(gateway_now(world)).map_err(during("clock"))?;
    let until = until + jiff::Span::new().hours(24 * 30);
    let (consent, patient) = world.consent(&mother, &child, &until.to_string()).await?;
    let dir = world.directory.display();
    let app = world.app_token(&mother)?;
    Ok(vec![
        "# 一時間有効です。 / Good for an hour. Paste these first:".to_owned(),
        format!("export DIR='{dir}' URL='{}' APP='{app}' ME='{person}'", world.url),
        String::new(),
        "# アプリとして予防接種の記録を求める / as the app, ask for the history".to_owned(),
        format!(
            "curl --cacert $DIR/ca.pem --cert $DIR/app.pem --key $DIR/app.key -H \"Authorization: Bearer $APP\" \"$URL/fhir/Immunization?patient={patient}\""
        ),
        "# 保護者として、誰が見たか / as the guardian, who looked".to_owned(),
        format!("curl --cacert $DIR/ca.pem -H \"Authorization: Bearer $ME\" \"$URL/v1/access-log?subject={child}\""),
        "# 保護者として、提供を止める / as the guardian, stop it".to_owned(),
        format!(
            "curl --cacert $DIR/ca.pem -X POST -H \"Authorization: Bearer $ME\" \"$URL/v1/consents/{consent}/revoke\""
        ),
        "# ブラウザで、保護者として（証明書はデモ用） / in a browser, as the guardian (the certificate is the demo's own)".to_owned(),
        format!("{}/my", world.url),
        "# 同じく、市の保健師として（要ケア一覧） / the same, as the city's nurse (the list of cases)".to_owned(),
        format!("{}/nurse", world.url),
        "# 運用者として / as the operator".to_owned(),
        "curl --unix-socket $DIR/operators.sock http://operators/status".to_owned(),
    ])
}

impl World {
    /// A transfer over a raw TLS connection, its head sent.
    async fn raw(
        &self,
        path: &str,
        token: &str,
    ) -> Result<tokio_rustls::client::TlsStream<tokio::net::TcpStream>, WorldError> {
        let roots = self.ca.roots().map_err(during("roots"))?;
        let tls = sekisho_adapters::certs::client_config(roots, Some(&self.app), sekisho_adapters::certs::ALPN_H1);
        let tls = tls.map_err(during("client TLS"))?;
        let authority = self.url.trim_start_matches("https://").to_owned();
        let port = authority.rsplit(':').next().and_then(|p| p.parse::<u16>().ok()).unwrap_or(0);
        let tcp = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.map_err(during("connect"))?;
        let name = rustls::pki_types::ServerName::try_from("localhost").map_err(during("name"))?;
        let connector = tokio_rustls::TlsConnector::from(Arc::new(tls));
        let mut stream = connector.connect(name, tcp).await.map_err(during("TLS"))?;
        let head = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer {token}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.map_err(during("send"))?;
        stream.flush().await.map_err(during("send"))?;
        Ok(stream)
    }

    /// The portal account of a mother's first child.
    fn portal_account_of(&self, mother: &str) -> Result<String, WorldError> {
        let family = self.families.iter().find(|f| f.parents.iter().any(|p| p.id == mother));
        let child = family.and_then(|f| f.children.first());
        child.map(|c| super::world::portal_account(&c.person.id)).ok_or_else(|| WorldError("no such child".to_owned()))
    }

    /// Signs in at the portal as a browser would and follows the way back to the gateway: gives the last status.
    ///
    /// # Errors
    /// When the portal or the gateway can't be reached.
    pub async fn sign_in_at_portal(&self, url: &str, account: &str) -> Result<u16, WorldError> {
        let get = |url: String| {
            let request = http::Request::get(url).body(bytes::Bytes::new()).map_err(during("request"));
            async { self.browser.send(request?).await.map_err(during("browser")) }
        };
        let page = get(format!("{url}&login_hint={account}")).await?;
        let location = page.headers.get(http::header::LOCATION).and_then(|l| l.to_str().ok());
        let back = location.ok_or_else(|| WorldError("the portal did not send the browser back".to_owned()))?;
        Ok(get(back.to_owned()).await?.status.as_u16())
    }
}
