//! The `sekisho` command's end of the operators' socket.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::task::JoinSet;

const ANSWER_BYTES_MAX: usize = 64 << 20;
const LINE_BYTES_MAX: usize = 1 << 20;

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
    /// Nothing is overwritten.
    #[error("{0} is there already, and nothing is overwritten: choose another name")]
    There(String),
    /// What came could not be kept.
    #[error("{0}: {1}")]
    File(String, std::io::Error),
    /// It said no.
    #[error("{0}")]
    Refused(String),
}

/// Has the running server write something long, and keeps it in a new file that only this user can read: whole, or not at
/// all. Gives its bytes' number.
///
/// # Errors
/// When the server can't be reached or says no, the answer breaks off, or the file can't be written.
pub async fn download(socket: &Path, path: &str, asked: &Value, to: &Path) -> Result<u64, SocketError> {
    let file = |error| SocketError::File(to.display().to_string(), error);
    if to.exists() {
        return Err(SocketError::There(to.display().to_string()));
    }
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = to.with_file_name(name);
    let done = async {
        let mut out = std::fs::OpenOptions::new();
        let mut out = out.write(true).create(true).truncate(true).mode(0o600).open(&part).map_err(file)?;
        let bytes = receive(socket, path, asked, &mut out).await?;
        out.sync_all().and_then(|()| std::fs::rename(&part, to)).map_err(file)?;
        Ok(bytes)
    };
    let done = done.await;
    if done.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    done
}

async fn receive(socket: &Path, path: &str, asked: &Value, out: &mut std::fs::File) -> Result<u64, SocketError> {
    let (response, _driving) = send(socket, Method::POST, path, asked).await?;
    let (parts, mut body) = response.into_parts();
    if parts.status != StatusCode::OK {
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|_| SocketError::Broken)?.to_bytes();
        return Err(refused(&serde_json::from_slice(&body).unwrap_or_default()));
    }
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let data = frame.map_err(|_| SocketError::Broken)?.into_data().unwrap_or_default();
        out.write_all(&data).map_err(|error| SocketError::File("the new file".to_owned(), error))?;
        bytes += data.len() as u64;
    }
    Ok(bytes)
}

/// Has the running server do something long, and hands each line of its answer on as it comes.
///
/// # Errors
/// When the server can't be reached or says no, or the answer breaks off.
pub async fn each_line(
    socket: &Path,
    path: &str,
    body: &Value,
    line: &mut dyn FnMut(Value),
) -> Result<(), SocketError> {
    let (response, _driving) = send(socket, Method::POST, path, body).await?;
    let (parts, mut body) = response.into_parts();
    if parts.status != StatusCode::OK {
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|_| SocketError::Broken)?.to_bytes();
        return Err(refused(&serde_json::from_slice(&body).unwrap_or_default()));
    }
    let mut begun = Vec::new();
    while let Some(frame) = body.frame().await {
        begun.extend_from_slice(&frame.map_err(|_| SocketError::Broken)?.into_data().unwrap_or_default());
        while let Some(end) = begun.iter().position(|byte| *byte == b'\n') {
            let whole: Vec<u8> = begun.drain(..=end).collect();
            line(serde_json::from_slice(&whole).map_err(|_| SocketError::Broken)?);
        }
        if begun.len() > LINE_BYTES_MAX {
            return Err(SocketError::Broken);
        }
    }
    Ok(())
}

/// The same, all lines at once.
///
/// # Errors
/// As [`each_line`].
pub async fn lines(socket: &Path, path: &str, body: &Value) -> Result<Vec<Value>, SocketError> {
    let mut lines = Vec::new();
    each_line(socket, path, body, &mut |line| lines.push(line)).await?;
    Ok(lines)
}

/// Sends one request to the running server.
///
/// # Errors
/// When it can't be reached, or says no.
pub async fn ask(socket: &Path, method: Method, path: &str, body: &Value) -> Result<Value, SocketError> {
    let (response, _driving) = send(socket, method, path, body).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|_| SocketError::Broken)?.to_bytes();
    let value: Value = serde_json::from_slice(&body).map_err(|_| SocketError::Broken)?;
    if status == StatusCode::OK {
        return Ok(value);
    }
    Err(refused(&value))
}

fn refused(value: &Value) -> SocketError {
    SocketError::Refused(value.get("error").and_then(Value::as_str).unwrap_or("the server refused").to_owned())
}

/// The answer's head, and the task that goes on reading; it ends when dropped.
async fn send(
    socket: &Path,
    method: Method,
    path: &str,
    body: &Value,
) -> Result<(Response<Incoming>, JoinSet<()>), SocketError> {
    let stream = UnixStream::connect(socket).await.map_err(SocketError::Unreachable)?;
    let broken = |_: hyper::Error| SocketError::Broken;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let mut driving = JoinSet::new();
    driving.spawn(async { drop(connection.await) });
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let request = Request::builder().method(method).uri(path).header(http::header::HOST, "operators");
    let request = request.body(Full::new(body)).map_err(|_| SocketError::Broken)?;
    Ok((sender.send_request(request).await.map_err(broken)?, driving))
}
