//! Sekisho as the enforcing proxy: TLS, certificate and token, decision, sealed durable record, narrowing. With one worker on
//! one core; and with two on both, which only its processor time is compared of.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use http::{Method, Request, StatusCode};
use sekisho::admin::client::ask;
use sekisho_adapters::certs::{self, ALPN_H1, Validity};
use sekisho_adapters::http::{HttpClient, Limits};
use sekisho_adapters::identity::stand_in::{DevIssuer, IssuerOptions, MintRequest};
use serde_json::{Value, json};

use crate::Failure;
use crate::child::{BOTH_CORES, PROXY_CORE, Process, free_port};
use crate::load::Ask;
use crate::nginx::order;
use crate::rounds::{Plan, Proxy};
use crate::world::{World, now_ms};

const OWN_CLIENT: &str = "sekisho-pages";
const APP_CLIENT: &str = "bench-app-client";
const TEXT: [&str; 7] = [
    "1",
    "予防接種の記録を提供することに同意します。",
    "I agree to share vaccination records.",
    "記録が手元で見られます。",
    "The records are at hand.",
    "断っても不利益はありません。",
    "Refusing has no disadvantage.",
];

/// What the set-up talks to.
struct Gateway<'a> {
    world: &'a World,
    issuer: &'a DevIssuer,
    url: String,
    operators: PathBuf,
    as_app: HttpClient,
    as_person: HttpClient,
}

/// How Sekisho is run.
#[derive(Clone, Copy)]
pub struct Mode {
    /// Its name in the report.
    pub name: &'static str,
    /// Its workers.
    pub workers: u8,
    /// The cores it may use.
    pub cores: &'static str,
}

/// One worker on the proxies' core.
pub const ONE: Mode = Mode { name: "sekisho", workers: 1, cores: PROXY_CORE };
/// Two workers, on both cores.
pub const TWO: Mode = Mode { name: "sekisho-2", workers: 2, cores: BOTH_CORES };

/// Starts Sekisho and its issuer, and enrols the children with one consent each.
pub async fn start(
    mode: Mode,
    world: &World,
    target: &Path,
    upstream: u16,
    plan: &Plan,
) -> Result<(Proxy, DevIssuer), Failure> {
    let program = target.join("release/sekisho");
    if !program.is_file() {
        return Err("target/release/sekisho is missing: cargo build --release -p sekisho".into());
    }
    let issuer_identity = world.ca.server(Validity::around(now_ms()))?;
    let roots = world.ca.roots()?;
    let tls =
        certs::server_config(issuer_identity.chain(), issuer_identity.key(), Some(Arc::clone(&roots)), false, ALPN_H1)?;
    let issuer = DevIssuer::start(IssuerOptions::new(tls, Arc::new(now_ms))).await?;
    let port = free_port()?;
    let folder = world.work.join(mode.name);
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("sekisho.toml");
    std::fs::write(folder.join("master.key"), BASE64.encode(&master_key()?))?;
    std::fs::write(&file, configuration(world, port, upstream, issuer.base_url(), mode.workers))?;
    let file = file.to_str().ok_or("the target directory's name is not UTF-8")?;
    let log = folder.join("log");
    let arguments = ["serve", "--config", file];
    let mut process = Process::start(mode.name, mode.cores, &log, &program, &arguments)?;
    process
        .accepts(port, Duration::from_secs(30))
        .await
        .map_err(|e| format!("{e}\n{}", std::fs::read_to_string(&log).unwrap_or_default()))?;
    let limits = Limits { connect_ms: 2_000, total_ms: 10_000, body_bytes_max: 1 << 20 };
    let client = |identity| {
        Ok::<_, Failure>(HttpClient::new(certs::client_config(Arc::clone(&roots), identity, ALPN_H1)?, limits))
    };
    let gateway = Gateway {
        world,
        issuer: &issuer,
        url: format!("https://localhost:{port}"),
        operators: folder.join("operators.sock"),
        as_app: client(Some(&world.client))?,
        as_person: client(None)?,
    };
    gateway.is_ready().await?;
    let asks = gateway.set_up_consent().await?;
    let order = order(port, asks, plan);
    Ok((Proxy { name: mode.name, process, asks: None, order }, issuer))
}

/// Random enough for a store that lives for one run.
fn master_key() -> Result<[u8; 32], Failure> {
    use std::io::Read as _;
    let mut key = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut key)?;
    Ok(key)
}

impl Gateway<'_> {
    /// Waits until operators are answered too.
    async fn is_ready(&self) -> Result<(), Failure> {
        for _ in 0..200 {
            if ask(&self.operators, Method::GET, "/status", &Value::Null).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err("Sekisho answers no operator".into())
    }

    /// Every child gets its own mother, who consents once, through the API as an app's user would.
    async fn set_up_consent(&self) -> Result<Vec<Ask>, Failure> {
        let mut asks = Vec::new();
        for child in &self.world.children {
            let login = format!("mother-of-{}", child.person.id);
            let people = json!({"people": [enrolled("1990-01-01"), enrolled(&child.person.birth.to_string())]});
            let answer = self.operator("/people", &people).await?;
            let (mother, subject) = (text(&answer, "/people/0")?, text(&answer, "/people/1")?);
            let to = json!({"issuer": self.issuer.base_url(), "sub": login});
            self.operator(&format!("/people/{mother}/links"), &link(&to)).await?;
            let to = json!({"party": "city", "id": child.person.id});
            self.operator(&format!("/people/{subject}/links"), &link(&to)).await?;
            let authority = json!({
                "guardian": mother, "from": "2020-01-01T00:00:00+09:00", "kind": "親権者",
                "evidence": "戸籍", "verified_by": "bench",
            });
            self.operator(&format!("/people/{subject}/authorities"), &authority).await?;
            let token = self.token(&login, APP_CLIENT, true)?;
            let pairwise = self.consent(&login, &token, &subject).await?;
            asks.push(Ask {
                target: format!("/fhir/Immunization?patient={pairwise}"),
                child: child.person.id.clone(),
                pairwise: Some(pairwise),
                token,
            });
        }
        Ok(asks)
    }

    async fn consent(&self, login: &str, app_token: &str, subject: &str) -> Result<String, Failure> {
        let text_hash = text_hash()?;
        let until = jiff::Timestamp::from_millisecond(now_ms())? + jiff::SignedDuration::from_hours(24 * 30);
        let proposal = json!({
            "purpose": "phr-view", "categories": ["vaccination@1"], "until": until.to_string(), "text_hash": text_hash,
        });
        let proposed = self.api(&self.as_app, Method::POST, "/v1/consents", app_token, &proposal).await?;
        let id = text(&proposed, "/id")?;
        let own_token = self.token(login, OWN_CLIENT, false)?;
        let approval = json!({"subject": subject, "text_hash": text_hash});
        let path = format!("/v1/consents/{id}/approve");
        self.api(&self.as_person, Method::POST, &path, &own_token, &approval).await?;
        let path = format!("/v1/consents/{id}");
        let agreed = self.api(&self.as_app, Method::GET, &path, app_token, &Value::Null).await?;
        text(&agreed, "/patient")
    }

    fn token(&self, login: &str, client: &str, bound: bool) -> Result<String, Failure> {
        let mut request = MintRequest::new(login, client, &self.url);
        request.scope = "consent/propose fhir/read".to_owned();
        request.ttl_s = 6 * 3_600;
        request.cert_thumbprint = bound.then(|| self.world.client.thumbprint());
        Ok(self.issuer.mint(&request)?.secret().to_owned())
    }

    async fn operator(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        ask(&self.operators, Method::POST, path, body).await.map_err(|e| format!("{path}: {e}").into())
    }

    async fn api(
        &self,
        http: &HttpClient,
        method: Method,
        path: &str,
        token: &str,
        body: &Value,
    ) -> Result<Value, Failure> {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header(http::header::AUTHORIZATION, format!("Bearer {token}"))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(body)?;
        let answer = http.send(request).await?;
        if !matches!(answer.status, StatusCode::OK | StatusCode::CREATED) {
            return Err(format!("{path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body)).into());
        }
        Ok(serde_json::from_slice(&answer.body)?)
    }
}

fn enrolled(birth: &str) -> Value {
    json!({"birth": birth, "evidence": "住民票", "verified_by": "bench"})
}

fn link(to: &Value) -> Value {
    json!({"to": to, "evidence": "確認書類", "verified_by": "bench"})
}

fn text(value: &Value, pointer: &str) -> Result<String, Failure> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.map(str::to_owned).ok_or_else(|| format!("no {pointer} in {value}").into())
}

/// SHA-256 over what is shown, each part preceded by its length (`docs/formats.md` §8).
fn text_hash() -> Result<String, Failure> {
    let mut all = Vec::new();
    for part in TEXT {
        all.extend_from_slice(&(part.len() as u64).to_le_bytes());
        all.extend_from_slice(part.as_bytes());
    }
    Ok(HEXLOWER.encode(&BASE64URL_NOPAD.decode(certs::thumbprint(&all).as_bytes())?))
}

fn configuration(world: &World, port: u16, upstream: u16, issuer: &str, workers: u8) -> String {
    let thumbprint = world.client.thumbprint();
    let uid = rustix::process::getuid().as_raw();
    let [version, ja, en, benefit_ja, benefit_en, refusing_ja, refusing_en] = TEXT;
    format!(
        r#"[server]
listen = "127.0.0.1:{port}"
url = "https://localhost:{port}"
certificate = "../server.pem"
key = "../server.key"
client_ca = "../ca.pem"
data = "data"
master_key = "master.key"
ledger = "bench.example/sekisho"
operators_socket = "operators.sock"
workers = {workers}

[[issuer]]
url = "{issuer}"
ca = "../ca.pem"
own_client = "{OWN_CLIENT}"
step_up_acr = ["aal2"]
keys_max_age_s = 86400

[[party]]
code = "app"
kind = "phr-app"
name_ja = "計測用アプリ"
name_en = "Bench app"
certificates = ["{thumbprint}"]
clients = ["{APP_CLIENT}"]

[[party]]
code = "city"
kind = "municipality"
name_ja = "計測用の市"
name_en = "Bench city"

[[purpose]]
code = "phr-view"
label_ja = "記録の表示"
label_en = "Viewing records"
receivers = ["phr-app"]
longest_days = 365
one_guardian_alone = true
purpose_of_use = "PATRQT"
text_version = "{version}"
text_ja = "{ja}"
text_en = "{en}"
benefit_ja = "{benefit_ja}"
benefit_en = "{benefit_en}"
refusing_ja = "{refusing_ja}"
refusing_en = "{refusing_en}"

[[category]]
version = "vaccination@1"
label_ja = "予防接種"
label_en = "Vaccinations"

[[category.covers]]
resource = "Immunization"
elements = ["status", "vaccineCode", "patient", "occurrenceDateTime", "location", "manufacturer", "lotNumber", "performer", "protocolApplied", "note"]
date_elements = ["occurrenceDateTime"]

[rules]
guardian_refusal_stands = true

[[source]]
party = "city"
kind = "fhir"
url = "https://localhost:{upstream}/fhir"
ca = "../ca.pem"

[[route]]
name = "vaccination-history"
path = "/fhir/Immunization"
subject = "patient"
purpose = "phr-view"
categories = ["vaccination@1"]
source = "city"
source_path = "/Immunization"
scope = "fhir/read"

[[operator]]
name = "bench"
uid = {uid}
roles = ["official"]
"#
    )
}
