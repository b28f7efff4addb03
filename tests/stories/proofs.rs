//! Proofs that a person keeps of who looked, and what they and the rest of a page must not tell.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use http::{Method, StatusCode};
use sekisho::ids::TextId;
use sekisho::ledger::proof::{ProofError, check};
use sekisho_tests::browser::Browser;
use sekisho_tests::town::{Town, standing_clock};
use serde_json::{Value, json};

async fn signed_in(town: &Town, sub: &str) -> Browser {
    let mut browser = Browser::new(town.world.browser.clone(), &town.world.url);
    assert_eq!(browser.sign_in("/my/sign-in/dev", sub).await.status, StatusCode::OK);
    browser
}

/// The addresses of the newest line about the child, and of its proof.
async fn newest(town: &Town, browser: &mut Browser) -> (String, String) {
    let log = browser.open(&format!("/my/log?about={}", town.child())).await;
    let line = log.link("&at=");
    let (path, query) = line.split_once('?').unwrap();
    (line.clone(), format!("{path}/proof?{query}"))
}

fn size(proof: &str) -> u64 {
    serde_json::from_str::<Value>(proof).unwrap()["size"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_that_was_kept_is_checked_without_the_gateway() {
    let town = Town::open().await;
    let (_, patient) = town.consent().await;
    assert!(town.items(&patient).await > 0);
    let mut mother = signed_in(&town, town.mother()).await;
    let (line, address) = newest(&town, &mut mother).await;
    let page = mother.open(&line).await;
    assert!(page.link("/proof?").starts_with(address.split('?').next().unwrap()), "{}", page.text);
    let kept = mother.open(&address).await;
    assert_eq!(kept.status, StatusCode::OK, "{}", kept.text);
    assert!(kept.headers["content-disposition"].to_str().unwrap().contains("proof.json"));
    let key = town.gateway.app().store.ledger_key().verifier_key();
    assert!(page.says(&key.replace('+', "&#43;")) || page.says(&key), "the key stands on the page: {}", page.text);
    for text in [town.child(), &patient, town.mother(), "よつば", "vaccination"] {
        assert!(!kept.says(text), "its content stays sealed: {text}");
    }

    // What the page says to do, with the gateway gone.
    let folder = tempfile::tempdir().unwrap();
    let (proof, vkey) = (folder.path().join("proof.json"), folder.path().join("checkpoint.vkey"));
    let entry = line.split(['/', '?']).find(|part| part.starts_with("ent-")).unwrap().to_owned();
    town.gateway.stop().await;
    let command = |text: &str| {
        std::fs::write(&proof, text).unwrap();
        std::fs::write(&vkey, &key).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho_under_test"));
        command.args(["ledger", "check-proof"]).arg(&proof).arg("--key").arg(&vkey).output().unwrap()
    };
    let said = command(&kept.text);
    assert!(said.status.success() && String::from_utf8_lossy(&said.stdout).contains("the proof holds"), "{said:?}");
    assert_eq!(check(&kept.text, &key).unwrap().entry.header.id().text(), entry);
    let mut bent: Value = serde_json::from_str(&kept.text).unwrap();
    bent["index"] = json!(bent["index"].as_u64().unwrap() - 1);
    assert!(!command(&bent.to_string()).status.success());
    assert!(matches!(check(&bent.to_string(), &key), Err(ProofError::Unproven)));
}

/// An implementation that is not ours judges the very files that people keep, of a release and of a look at a counter.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs python3 and a package; `make test` runs it"]
async fn another_implementation_accepts_what_a_person_keeps() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/test-tools/bin/python");
    assert!(python.exists(), "{} is missing: scripts/install-test-tools makes it", python.display());
    let town = Town::open_with(standing_clock(), |text| text).await;
    let (_, patient) = town.consent().await;
    let mut clerk = Browser::new(town.world.browser.clone(), &town.world.url);
    let csrf = clerk.sign_in("/my/sign-in/fuchu-staff", sekisho::demo::world::CLERK).await.hidden("csrf");
    let looked = clerk.send("/counter/person", &[("csrf", &csrf), ("id", town.child_at_city()), ("by", "")]).await;
    assert_eq!(looked.status, StatusCode::OK);
    town.pass_seconds(72 * 3_600);
    assert_eq!(town.items(&patient).await, 0, "it has ended; that it was asked for is a line too");
    town.pass_seconds(3_600);
    let mut mother = signed_in(&town, town.mother()).await;
    let log = mother.open(&format!("/my/log?about={}", town.child())).await;
    let lines: Vec<&str> = log.text.split("href=\"").filter(|part| part.starts_with("/my/log/ent-")).collect();
    assert_eq!(lines.len(), 2, "{}", log.text);
    for line in lines {
        let line = line.split('"').next().unwrap().replace("&#38;", "&");
        let (path, query) = line.split_once('?').unwrap();
        let page = mother.open(&line).await;
        let key = page.text.split("<code>").nth(1).unwrap().split("</code>").next().unwrap();
        let kept = mother.open(&format!("{path}/proof?{query}")).await;
        assert_eq!(kept.status, StatusCode::OK, "{}", kept.text);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("outside/check_kept.py");
        let mut child = Command::new(&python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let given = json!({"key": key.replace("&#43;", "+"), "proof": kept.text}).to_string();
        child.stdin.take().unwrap().write_all(given.as_bytes()).unwrap();
        let done = child.wait_with_output().unwrap();
        let said = String::from_utf8(done.stdout).unwrap();
        assert!(done.status.success() && said.starts_with("accepted"), "{said}");
        println!("{said}");
    }
    town.gateway.stop().await;
}

/// Whoever asks again and again learns once an hour how much is recorded, not whenever something is.
#[tokio::test(flavor = "multi_thread")]
async fn proofs_count_nothing_out() {
    let town = Town::open_with(standing_clock(), |text| text).await;
    let (_, patient) = town.consent().await;
    assert!(town.items(&patient).await > 0);
    let mut mother = signed_in(&town, town.mother()).await;
    let (_, first) = newest(&town, &mut mother).await;
    let before = mother.open(&first).await;
    assert_eq!(before.status, StatusCode::OK);
    // An enquiry of the authorities about the child, say: something is recorded.
    let basis = json!({
        "recipient": "midori-clinic", "purpose": "first-visit", "categories": ["vaccination@1"],
        "from": "2020-01-01T00:00:00+09:00", "until": "2099-01-01T00:00:00+09:00",
        "article": "児童福祉法25条", "requester": "児童相談所", "decided_by": "保健師 山田", "reason": "要保護児童の通告",
    });
    town.act(&format!("/people/{}/bases", town.child()), basis).await;
    assert_eq!(mother.open(&first).await.text, before.text, "the same proof, byte for byte");
    // What was recorded since waits for the next one, and the page says until when.
    assert!(town.items(&patient).await > 0);
    let (line, second) = newest(&town, &mut mother).await;
    assert_ne!(first, second);
    let page = mother.open(&line).await;
    assert!(page.says("1時間ごと") && !page.says("/proof?"), "{}", page.text);
    assert_eq!(mother.open(&second).await.status, StatusCode::NOT_FOUND);
    town.pass_seconds(3_600);
    let mut mother = signed_in(&town, town.mother()).await;
    let (_, second) = newest(&town, &mut mother).await;
    let after = mother.open(&second).await;
    assert_eq!(after.status, StatusCode::OK);
    assert!(size(&after.text) > size(&before.text));
}

/// What rests on a legal basis has no line, and so no proof; nor does it move what a page says of the consents beside it.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_use_of_a_consent_tells_nothing_of_a_legal_basis() {
    let town = Town::open_with(standing_clock(), |text| text).await;
    let until = town.in_seconds(90 * 86_400);
    let (consent, patient) = town.world.consent(town.mother(), town.child(), &until).await.unwrap();
    assert!(town.items(&patient).await > 0);
    let used =
        |page: &str| page.split("最後の提供").nth(1).and_then(|rest| rest.split("</dd>").next()).map(str::to_owned);
    let mut mother = signed_in(&town, town.mother()).await;
    let first = used(&mother.open("/my").await.text).expect("it was used");
    let basis = json!({
        "recipient": "yotsuba-phr", "purpose": "phr-view", "categories": ["identity@1"],
        "from": "2020-01-01T00:00:00+09:00", "until": "2099-01-01T00:00:00+09:00",
        "article": "児童福祉法25条", "requester": "児童相談所", "decided_by": "保健師 山田", "reason": "要保護児童の通告",
    });
    town.act(&format!("/people/{}/bases", town.child()), basis).await;
    town.pass_seconds(3 * 86_400);
    assert!(town.items(&patient).await > 0);
    let mut mother = signed_in(&town, town.mother()).await;
    assert_eq!(used(&mother.open("/my").await.text), Some(first.clone()));
    assert_eq!(used(&mother.open(&format!("/my/consents/{consent}")).await.text), Some(first));
}

/// However many lines have come since.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_use_of_a_consent_is_told_however_long_ago_and_after_a_restart() {
    let town = Town::open_with(standing_clock(), |text| text).await;
    let until = town.in_seconds(90 * 86_400);
    let (_, patient) = town.world.consent(town.mother(), town.child(), &until).await.unwrap();
    assert!(town.items(&patient).await > 0);
    let mut mother = signed_in(&town, town.mother()).await;
    assert!(mother.open("/my").await.says("最後の提供"));
    let token = town.world.app_token(town.mother()).unwrap();
    for asked in 0..300 {
        if asked % 100 == 0 {
            town.pass_seconds(2);
        }
        let path = format!("/fhir/Patient/{patient}");
        let (status, _) = town.call(&town.world.app_http, Method::GET, &path, &token, None).await;
        assert_eq!(status, 404, "not agreed to");
    }
    assert!(mother.open("/my").await.says("最後の提供"));
    let stopped = town.stopped().await;
    std::fs::remove_dir_all(stopped.world.directory.join("data/index")).unwrap();
    let town = stopped.started().await;
    let mut mother = signed_in(&town, town.mother()).await;
    assert!(mother.open("/my").await.says("最後の提供"), "rebuilt from the ledger");
}
