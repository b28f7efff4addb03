//! The ways in which a stand-in can be made to misbehave, changeable while it runs.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, header};

use super::body::{End, StandInBody};

/// What is done to an answer's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Damage {
    /// Nothing.
    #[default]
    None,
    /// No length is announced: the other side learns it at the end only.
    NoLength,
    /// The length announced is larger than what is sent.
    WrongLength,
    /// Bytes that are no JSON stand where JSON should.
    Garbage,
    /// The connection or stream is torn down after half the bytes.
    DieHalfWay,
    /// Half the bytes, then nothing, and no end.
    StallHalfWay,
}

/// How a stand-in misbehaves. The default is not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// Waits so long before it answers.
    pub latency_ms: u64,
    /// Never answers.
    pub hang: bool,
    /// What is done to the answer.
    pub damage: Damage,
    /// Sends the body at this pace.
    pub bytes_per_ms: Option<u64>,
    /// Answers with this status and an empty object instead.
    pub status: Option<u16>,
}

impl Faults {
    /// Waits as told; comes back at once by default.
    pub(crate) async fn wait(&self) {
        if self.hang {
            std::future::pending::<()>().await;
        }
        if self.latency_ms > 0 {
            tokio::time::sleep(Duration::from_millis(self.latency_ms)).await;
        }
    }

    /// Damages an answer as told.
    pub(crate) fn apply(&self, response: Response<StandInBody>) -> Response<StandInBody> {
        let (mut parts, mut body) = response.into_parts();
        if let Some(status) = self.status.and_then(|code| http::StatusCode::from_u16(code).ok()) {
            parts.status = status;
            body = StandInBody::whole(Bytes::from_static(b"{}"));
        }
        let len = body.len();
        let body = match self.damage {
            Damage::None => body,
            Damage::NoLength => body.ending(End::Clean, false),
            Damage::WrongLength => {
                announce(&mut parts.headers, len.saturating_add(100));
                body.ending(End::Clean, false)
            }
            Damage::Garbage => StandInBody::whole(Bytes::from_static(b"<html>\xff\xfe{\"resourceType\":")),
            Damage::DieHalfWay => {
                announce(&mut parts.headers, len);
                body.cut(len / 2).ending(End::Abort, false)
            }
            Damage::StallHalfWay => {
                announce(&mut parts.headers, len);
                body.cut(len / 2).ending(End::Never, false)
            }
        };
        Response::from_parts(parts, body.paced(self.bytes_per_ms))
    }
}

fn announce(headers: &mut http::HeaderMap, len: usize) {
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(len));
}
