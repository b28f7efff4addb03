//! The stand-in's machine endpoints.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use aws_lc_rs::{constant_time, digest};
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use serde_json::{Value, json};

use super::{Account, Knobs, PortalRegistration, State, pages};
use crate::identity::stand_in::random_id;
use crate::people::Dose;
use crate::stand_in::{Asked, StandInBody, json as json_answer};

const SESSION_S: i64 = 1800;
const HELD_MAX: usize = 10_000;

pub(super) struct Session {
    client_id: String,
    account: String,
    expires_ms: i64,
}

pub(super) struct Process {
    account: String,
    pending_polls: u32,
    /// Waits for the notice to be posted.
    unannounced: bool,
}

pub(super) async fn respond(state: Arc<State>, asked: Asked) -> Response<StandInBody> {
    state.requests.fetch_add(1, Ordering::Relaxed);
    if asked.method == Method::GET && asked.path == "/oauth/authorize" {
        return pages::authorize(&state, &asked);
    }
    let knobs = state.held().knobs.clone();
    let response = machine(&state, &asked, &knobs);
    knobs.faults.wait().await;
    knobs.faults.apply(response)
}

fn machine(state: &Arc<State>, asked: &Asked, knobs: &Knobs) -> Response<StandInBody> {
    let client = state.clients.iter().find(|c| asked.thumbprint.as_deref() == Some(&c.thumbprint));
    let Some(client) = client else {
        return json_answer(StatusCode::UNAUTHORIZED, &json!({"error": "invalid_client"}));
    };
    if asked.method != Method::POST {
        return json_answer(StatusCode::METHOD_NOT_ALLOWED, &json!({}));
    }
    match asked.path.as_str() {
        "/oauth/token" => token(state, asked, client),
        "/request" | "/result" => {
            let Some(account) = signed_in(state, asked, client) else {
                return error("ED1107");
            };
            if let Some(seconds) = knobs.rate_limited_s {
                return limited(seconds);
            }
            if let Some(code) = &knobs.error_code {
                return error(code);
            }
            if asked.path == "/request" {
                request(state, asked, client, account, knobs)
            } else {
                result(state, asked, account, knobs)
            }
        }
        _ => json_answer(StatusCode::NOT_FOUND, &json!({})),
    }
}

fn token(state: &State, asked: &Asked, client: &PortalRegistration) -> Response<StandInBody> {
    let refuse = |error: &str| json_answer(StatusCode::BAD_REQUEST, &json!({"error": error}));
    if asked.form("grant_type").as_deref() != Some("authorization_code") {
        return refuse("unsupported_grant_type");
    }
    let now = state.now_ms();
    let mut held = state.held();
    let grant = asked.form("code").and_then(|code| held.grants.remove(&code));
    let (Some(grant), Some(verifier)) = (grant, asked.form("code_verifier")) else {
        return refuse("invalid_grant");
    };
    let computed = BASE64URL_NOPAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()).as_ref());
    let sound = constant_time::verify_slices_are_equal(computed.as_bytes(), grant.challenge.as_bytes()).is_ok()
        && grant.client_id == client.client_id
        && asked.form("client_id").as_deref() == Some(&client.client_id)
        && asked.form("redirect_uri").as_deref() == Some(&grant.redirect_uri)
        && grant.expires_ms > now;
    held.sessions.retain(|_, session| session.expires_ms > now);
    let (Ok(token), true) = (random_id(), sound && held.sessions.len() < HELD_MAX) else {
        return refuse("invalid_grant");
    };
    let body = json!({"access_token": token, "token_type": "Bearer", "expires_in": SESSION_S, "sub": grant.account});
    let session = Session { client_id: grant.client_id, account: grant.account, expires_ms: now + SESSION_S * 1000 };
    held.sessions.insert(token, session);
    json_answer(StatusCode::OK, &body)
}

fn signed_in<'a>(state: &'a State, asked: &Asked, client: &PortalRegistration) -> Option<&'a Account> {
    let token = asked.headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
    let held = state.held();
    let session = held.sessions.get(token)?;
    if session.client_id != client.client_id || session.expires_ms <= state.now_ms() {
        return None;
    }
    state.accounts.iter().find(|account| account.id == session.account)
}

fn error(code: &str) -> Response<StandInBody> {
    json_answer(StatusCode::OK, &json!({"resultCode": "9000", "errors": [{"errorCode": code}]}))
}

fn limited(seconds: u64) -> Response<StandInBody> {
    let mut response = json_answer(StatusCode::OK, &json!({"resultCode": "1000"}));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

fn request(
    state: &Arc<State>,
    asked: &Asked,
    client: &PortalRegistration,
    account: &Account,
    knobs: &Knobs,
) -> Response<StandInBody> {
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    let is = |pointer: &str, expected: &str| body.pointer(pointer).and_then(Value::as_str) == Some(expected);
    let sound = is("/reqBody/fieldCd", &state.codes.field)
        && is("/reqBody/fieldDetailCd", &state.codes.field_detail)
        && is("/reqBody/personInfoNameCd", &state.codes.record);
    if !sound {
        return error("SY0400");
    }
    if let Some(code) = knobs.not_supported {
        let errors = json!([{"errorCode": state.codes.not_supported_error, "municipalityCd": code.as_str()}]);
        return json_answer(StatusCode::OK, &json!({"resultCode": "9000", "errors": errors}));
    }
    let Ok(id) = random_id() else {
        return error("SY0500");
    };
    let notice = state.notices.clone().zip(client.notify_url.clone());
    let mut held = state.held();
    if held.processes.len() >= HELD_MAX {
        return error("SY0503");
    }
    let process =
        Process { account: account.id.clone(), pending_polls: knobs.pending_polls, unannounced: notice.is_some() };
    held.processes.insert(id.clone(), process);
    drop(held);
    if let Some((http, url)) = notice {
        let (state, id) = (Arc::clone(state), id.clone());
        tokio::spawn(async move {
            let body = json!({"process_id": id}).to_string();
            if let Some(process) = state.held().processes.get_mut(&id) {
                process.unannounced = false;
            }
            let request = Request::post(url).header(header::CONTENT_TYPE, "application/json").body(Bytes::from(body));
            if let Ok(request) = request {
                // A notice that doesn't arrive is made up for by polling.
                let _ = http.send(request).await;
            }
        });
    }
    json_answer(StatusCode::OK, &json!({"resultCode": "0000", "process_id": id}))
}

fn result(state: &State, asked: &Asked, account: &Account, knobs: &Knobs) -> Response<StandInBody> {
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    let id = body.get("process_id").and_then(Value::as_str).unwrap_or_default();
    let mut held = state.held();
    let Some(process) = held.processes.get_mut(id).filter(|process| process.account == account.id) else {
        return error("SY0404");
    };
    let pending = process.unannounced || process.pending_polls > 0;
    process.pending_polls = process.pending_polls.saturating_sub(1);
    let empty = knobs.without_data || account.child.doses.is_empty();
    let (status, list) = match (pending, knobs.capacity_exceeded, empty) {
        (true, ..) => ("01", json!([])),
        (_, true, _) => ("06", json!([])),
        (.., true) => ("04", json!([])),
        _ => ("03", json!([records(state, account, knobs)])),
    };
    if !pending {
        held.processes.remove(id);
    }
    drop(held);
    let status = knobs.status.as_deref().unwrap_or(status);
    let today = jiff::Timestamp::from_millisecond(state.now_ms()).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string();
    let today: String = today.chars().take(10).filter(char::is_ascii_digit).collect();
    json_answer(
        StatusCode::OK,
        &json!({"resultCode": "0000", "resBody": {
            "dateToday": today, "selfiTranStatusCd": status, "resultList": list
        }}),
    )
}

fn records(state: &State, account: &Account, knobs: &Knobs) -> Value {
    let doses = &account.child.doses;
    let details: Vec<Value> = doses
        .iter()
        .cycle()
        .take(knobs.doses.unwrap_or(doses.len()))
        .enumerate()
        .flat_map(|(i, dose)| items(state, dose, i.saturating_add(1)))
        .collect();
    let notifier = doses.last().map(|dose| dose.home.name).unwrap_or_default();
    json!({
        "personInfoNameCd": state.codes.record, "personInfoName": "予防接種（合成データ）",
        "notifiernmWithOutsourcernm": notifier, "personInfoNameDetailList": details
    })
}

fn items(state: &State, dose: &Dose, number: usize) -> Vec<Value> {
    let codes = &state.codes.items;
    let date = dose.date.to_string().replace('-', "");
    let disease = dose.vaccine.diseases().join("・");
    [
        (&codes.vaccine, "ワクチン", dose.vaccine.name()),
        (&codes.date, "接種日", date.as_str()),
        (&codes.dose_number, "接種回数", dose.number.to_string().as_str()),
        (&codes.disease, "対象疾病", disease.as_str()),
        (&codes.lot, "製造番号", dose.lot.as_str()),
        (&codes.maker, "製造販売業者", dose.maker),
        (&codes.municipality, "接種自治体コード", dose.home.code.as_str()),
        (&codes.clinic, "接種場所", dose.clinic.as_str()),
    ]
    .iter()
    .enumerate()
    .map(|(i, (code, name, content))| {
        json!({
            "hierarchy": format!("{number:03}-{:02}", i.saturating_add(1)),
            "personInitemCd": code, "personInitemName": name, "personInitemContent": content
        })
    })
    .collect()
}
