//! What the tests share: a clock, an authority, and TLS settings of both ends.

use std::sync::Arc;

use sekisho_adapters::NowMs;
use sekisho_adapters::certs::{ALPN_H1, ALPN_H2_AND_H1, DevCa, Identity, Validity, client_config, server_config};
use sekisho_adapters::http::{HttpClient, HttpError, Limits, Response};

pub use bytes::Bytes;

#[expect(clippy::disallowed_methods, reason = "certificates are checked against the real time by the TLS library")]
pub fn now_ms() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
}

pub fn clock() -> NowMs {
    Arc::new(now_ms)
}

pub const LIMITS: Limits = Limits { connect_ms: 5_000, total_ms: 20_000, body_bytes_max: 1 << 20 };

pub struct World {
    pub ca: DevCa,
    pub server: Identity,
    pub client: Identity,
}

impl World {
    pub fn new() -> Self {
        let ca = DevCa::new(now_ms()).unwrap();
        let server = ca.server(Validity::around(now_ms())).unwrap();
        let client = ca.client("test client", Validity::around(now_ms())).unwrap();
        Self { ca, server, client }
    }

    /// Server settings: no, optional or required client certificates.
    pub fn tls(&self, required: Option<bool>) -> rustls::ServerConfig {
        let roots = required.map(|_| self.ca.roots().unwrap());
        server_config(self.server.chain(), self.server.key(), roots, required == Some(true), ALPN_H2_AND_H1).unwrap()
    }

    pub fn http(&self, identity: Option<&Identity>, limits: Limits) -> HttpClient {
        HttpClient::new(client_config(self.ca.roots().unwrap(), identity, ALPN_H1).unwrap(), limits)
    }

    pub fn client(&self) -> HttpClient {
        self.http(Some(&self.client), LIMITS)
    }
}

pub async fn get(client: &HttpClient, url: &str) -> Result<Response, HttpError> {
    client.send(::http::Request::get(url).body(Bytes::new()).unwrap()).await
}

pub async fn post_form(client: &HttpClient, url: &str, form: &[(&str, &str)]) -> Response {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = ::http::Request::post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Bytes::from(body))
        .unwrap();
    client.send(request).await.unwrap()
}

pub fn json(response: &Response) -> serde_json::Value {
    serde_json::from_slice(&response.body).unwrap()
}
