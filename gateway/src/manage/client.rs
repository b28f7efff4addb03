//! The `sekisho healthcheck` command's end of the management port.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// Longest time for a check.
const TAKES_MAX: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Why a check did not come out well.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The URL isn't one of a management port.
    #[error("`{0}` is not an URL such as http://127.0.0.1:9090/health/ready")]
    Url(String),
    /// Nobody answers.
    #[error("no answer from {0}: {1}; is the gateway running, and is that its `management` address?")]
    Unreachable(String, String),
    /// What answers is not a gateway's health.
    #[error("{0} answered {1}, which is no answer about health; check the path")]
    NotHealth(String, StatusCode),
    /// It says no.
    #[error("{0} says no:{1}")]
    No(String, String),
}

/// Asks once; gives what it said when it said yes.
///
/// # Errors
/// When it says no, or nothing.
pub async fn check(url: &str) -> Result<String, CheckError> {
    let not_one = || CheckError::Url(url.to_owned());
    let parsed = url::Url::parse(url).ok().filter(|parsed| parsed.scheme() == "http").ok_or_else(not_one)?;
    let host = parsed.host_str().ok_or_else(not_one)?.trim_matches(['[', ']']);
    let at = (host, parsed.port_or_known_default().unwrap_or(80));
    let asked = tokio::time::timeout(TAKES_MAX, ask(at, parsed.path())).await;
    let unreachable = |why: String| CheckError::Unreachable(url.to_owned(), why);
    let (status, body) = asked.map_err(|_| unreachable("it took too long".to_owned()))?.map_err(unreachable)?;
    let told: Option<Value> = serde_json::from_slice(&body).ok();
    let conditions = told.as_ref().and_then(|told| told.get("conditions")).and_then(Value::as_array);
    let conditions = conditions.ok_or_else(|| CheckError::NotHealth(url.to_owned(), status))?;
    let said = |ok: bool| {
        let these = conditions.iter().filter(move |c| c.get("ok").and_then(Value::as_bool).unwrap_or(false) == ok);
        these.map(|c| format!("\n  {}: {}", text(c, "name"), text(c, "say"))).collect::<String>()
    };
    let all_ok = told.as_ref().and_then(|told| told.get("ok")).and_then(Value::as_bool) == Some(true);
    if status == StatusCode::OK && all_ok {
        return Ok(format!("{url} says yes:{}", said(true)));
    }
    Err(CheckError::No(url.to_owned(), said(false)))
}

fn text<'a>(condition: &'a Value, name: &str) -> &'a str {
    condition.get(name).and_then(Value::as_str).unwrap_or_default()
}

async fn ask(at: (&str, u16), path: &str) -> Result<(StatusCode, Bytes), String> {
    let tcp = TcpStream::connect(at).await.map_err(|e| e.to_string())?;
    let broken = |e: hyper::Error| e.to_string();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await.map_err(broken)?;
    let driving = tokio::spawn(connection);
    let request = Request::get(path).header(http::header::HOST, "management").body(Empty::<Bytes>::new());
    let response = sender.send_request(request.map_err(|e| e.to_string())?).await.map_err(broken)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|e| e.to_string())?;
    driving.abort();
    Ok((status, body.to_bytes()))
}
