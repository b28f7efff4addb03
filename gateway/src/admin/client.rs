//! The `sekisho` command's end of the operators' socket.

use std::path::Path;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Why the running server did not answer.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Nobody listens there, or not for this user.
    #[error(
        "cannot reach the server at its operators' socket ({0}); is it running, and are you a configured operator?"
    )]
    Unreachable(std::io::Error),
    /// The connection broke.
    #[error("the server closed the connection; are you a configured operator?")]
    Broken,
    /// It said no.
    #[error("{0}")]
    Refused(String),
}

/// Sends one request to the running server.
///
/// # Errors
/// When it can't be reached, or says no.
pub async fn ask(socket: &Path, method: Method, path: &str, body: &Value) -> Result<Value, SocketError> {
    let stream = UnixStream::connect(socket).await.map_err(SocketError::Unreachable)?;
    let broken = |_: hyper::Error| SocketError::Broken;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let driving = tokio::spawn(connection);
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let request = Request::builder().method(method).uri(path).header(http::header::HOST, "operators");
    let request = request.body(Full::new(body)).map_err(|_| SocketError::Broken)?;
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|_| SocketError::Broken)?.to_bytes();
    driving.abort();
    let value: Value = serde_json::from_slice(&body).map_err(|_| SocketError::Broken)?;
    if status == StatusCode::OK {
        return Ok(value);
    }
    let why = value.get("error").and_then(Value::as_str).unwrap_or("the server refused").to_owned();
    Err(SocketError::Refused(why))
}
