//! A little world on loopback: an issuer, a city's FHIR server, a My Portal-style portal, parties with certificates, and
//! a configuration file for the gateway between them. The demo, the tests and the benchmark use the same one.
//!
//! Synthetic people only. Certificates are made anew each time and live in the world's directory.

use std::net::SocketAddr;
use std::path::PathBuf;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use sekisho_adapters::NowMs;
use sekisho_adapters::certs::{ALPN_H1, DevCa, Identity, Validity, client_config};
use sekisho_adapters::fhir_server::stand_in::FhirServer;
use sekisho_adapters::http::{HttpClient, Limits, Response};
use sekisho_adapters::identity::stand_in::{DevIssuer, MintRequest, SigningAlgorithm, SigningKey};
use sekisho_adapters::my_portal::stand_in::PortalStandIn;
use sekisho_adapters::people::Family;
use sekisho_adapters::phr_app::stand_in::PhrAppStandIn;
use sekisho_adapters::webhook::stand_in::WebhookStandIn;
use serde_json::{Value, json};

use super::surroundings::{Files, city, clinic_issuer, configuration, inbox, issuer, phr, portal, staff_issuer};
use crate::admin::client::{SocketError, ask};

/// Something in the little world could not be made or reached.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WorldError(pub String);

/// Wraps any error with what was being done.
pub fn during<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> WorldError {
    move |error| WorldError(format!("{what}: {error}"))
}

/// Our own client at the issuer: people's tokens are issued to it.
pub const OWN_CLIENT: &str = "sekisho-pages";
/// The PHR app's OAuth client.
pub const APP_CLIENT: &str = "yotsuba-app";
/// The clinic's OAuth client.
pub const CLINIC_CLIENT: &str = "midori-emr";
/// Our own client at the issuer of the city's staff.
pub const STAFF_CLIENT: &str = "sekisho-counter";
/// A doctor of the clinic, who may open summaries of those who booked.
pub const DOCTOR: &str = "doctor-midorikawa";
/// A nurse of the clinic, likewise.
pub const NURSE: &str = "nurse-wakaba";
/// Somebody at the clinic's reception, who may not.
pub const RECEPTION: &str = "reception-mori";
/// A member of the city's staff who may record at the counter.
pub const CLERK: &str = "clerk-yamada";
/// A public health nurse of the city.
pub const HAYASHI: &str = "nurse-hayashi";
/// Another.
pub const MORI: &str = "nurse-mori";
/// The nurses' manager.
pub const OMORI: &str = "manager-omori";
/// One who may issue enrolment codes as well.
pub const REGISTRAR: &str = "registrar-sato";
/// One who may do neither.
pub const OTHER_STAFF: &str = "other-suzuki";
/// Authentication context that may grant.
pub const STEP_UP_ACR: &str = "aal3";
/// What an app's token must carry to read and to propose.
pub const APP_SCOPE: &str = "patient/Immunization.rs patient/Patient.r consent/propose summary/forward";
/// What a clinic's token carries: what an app's does, and every type of a summary.
pub const CLINIC_SCOPE: &str = "patient/Immunization.rs patient/Patient.r consent/propose system/*.rs";

/// What to make the world of.
pub struct WorldOptions {
    /// Directory for certificates, configuration and data.
    pub directory: PathBuf,
    /// The clock of everything outside the gateway.
    pub now: NowMs,
    /// Families whose members can sign in and whose children's records the sources hold.
    pub families: Vec<Family>,
    /// Operators' socket, where it should not lie in the directory (socket paths are short).
    pub listen: Option<SocketAddr>,
}

/// The world around the gateway.
pub struct World {
    /// Where its files are.
    pub directory: PathBuf,
    /// The gateway's configuration file.
    pub config: PathBuf,
    /// The gateway's base URL.
    pub url: String,
    /// The clock.
    pub now: NowMs,
    /// The port kept for the gateway.
    pub listener: std::net::TcpListener,
    /// The authority of all certificates.
    pub ca: DevCa,
    /// The PHR app's certificate.
    pub app: Identity,
    /// The clinic's certificate.
    pub clinic: Identity,
    /// The OpenID provider.
    pub issuer: DevIssuer,
    /// The one of the city's staff.
    pub staff: DevIssuer,
    /// The one of the clinic's staff.
    pub clinic_staff: DevIssuer,
    /// The city's FHIR server.
    pub city: FhirServer,
    /// The portal.
    pub portal: PortalStandIn,
    /// The PHR app as a source: what people measure and report themselves.
    pub phr: PhrAppStandIn,
    /// Where the clinic takes what is sent to it.
    pub inbox: WebhookStandIn,
    /// Families.
    pub families: Vec<Family>,
    /// A client with the app's certificate.
    pub app_http: HttpClient,
    /// A client with the clinic's certificate.
    pub clinic_http: HttpClient,
    /// A client without certificate: a browser.
    pub browser: HttpClient,
}

/// Who a family's members are to the gateway.
#[derive(Clone, Debug)]
pub struct Enrolled {
    /// Parents' ids, in the family's order.
    pub parents: Vec<String>,
    /// Children's ids, in the family's order.
    pub children: Vec<String>,
}

impl World {
    /// Makes the world and writes the gateway's configuration.
    ///
    /// # Errors
    /// When a file or port can't be had.
    pub async fn make(options: WorldOptions) -> Result<Self, WorldError> {
        let WorldOptions { directory, now, families, listen } = options;
        std::fs::create_dir_all(&directory).map_err(during("directory"))?;
        let now_ms = now();
        let ca = DevCa::new(now_ms).map_err(during("certificate authority"))?;
        let validity = Validity::around(now_ms);
        let server = ca.server(validity).map_err(during("server certificate"))?;
        let client = |name: &str| ca.client(name, validity).map_err(during("client certificate"));
        let (app, clinic, gateway) = (client(APP_CLIENT)?, client(CLINIC_CLIENT)?, client("sekisho")?);
        let portal_identity = client("my-portal")?;
        let listen = listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
        let listener = std::net::TcpListener::bind(listen).map_err(during("port"))?;
        listener.set_nonblocking(true).map_err(during("port"))?;
        let address = listener.local_addr().map_err(during("port"))?;
        let url = format!("https://localhost:{}", address.port());
        let sign_in_key = SigningKey::generate(SigningAlgorithm::Es256).map_err(during("key for signing in"))?;
        let issuer = issuer(&ca, &server, &now, &families, &url, [&app, &clinic], &sign_in_key).await?;
        let staff = staff_issuer(&ca, &server, &now, &url, &sign_in_key).await?;
        let clinic_staff = clinic_issuer(&ca, &server, &now, &url, &sign_in_key).await?;
        let city = city(&ca, &server, &now, &families).await?;
        let portal = portal(&ca, &server, &now, &families, &url, &gateway, &portal_identity).await?;
        let phr = phr(&ca, &server, &now, &families).await?;
        let inbox = inbox(&ca, &server).await?;
        let http = |identity: Option<&Identity>| -> Result<HttpClient, WorldError> {
            let roots = ca.roots().map_err(during("roots"))?;
            let tls = client_config(roots, identity, ALPN_H1).map_err(during("client TLS"))?;
            Ok(HttpClient::new(tls, Limits { connect_ms: 5_000, total_ms: 60_000, body_bytes_max: 64 << 20 }))
        };
        let (app_http, clinic_http, browser) = (http(Some(&app))?, http(Some(&clinic))?, http(None)?);
        let files = Files {
            directory: &directory,
            ca: &ca,
            server: &server,
            gateway: &gateway,
            app: &app,
            clinic: &clinic,
            sign_in_key: sign_in_key.pem(),
        };
        files.write()?;
        let config = directory.join("sekisho.toml");
        let portal_thumbprint = portal_identity.thumbprint();
        let text = configuration(
            address,
            &url,
            [&issuer, &staff, &clinic_staff],
            &city,
            &portal,
            (&phr, &inbox),
            [&app.thumbprint(), &clinic.thumbprint(), &portal_thumbprint],
        );
        std::fs::write(&config, text).map_err(during("configuration"))?;
        Ok(Self {
            directory,
            config,
            url,
            now,
            listener,
            ca,
            app,
            clinic,
            issuer,
            staff,
            clinic_staff,
            city,
            portal,
            phr,
            inbox,
            families,
            app_http,
            clinic_http,
            browser,
        })
    }

    /// The operators' socket of the gateway.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.directory.join("operators.sock")
    }

    /// An act over the operators' socket.
    ///
    /// # Errors
    /// When the gateway says no.
    pub async fn act(&self, path: &str, body: &Value) -> Result<Value, SocketError> {
        ask(&self.socket(), Method::POST, path, body).await
    }

    /// Enrols a family as an official would: people, logins, ids at the sources, guardianship.
    ///
    /// # Errors
    /// When the gateway says no.
    pub async fn enrol(&self, family: &Family) -> Result<Enrolled, WorldError> {
        let failed = during::<SocketError>;
        let person = |p: &sekisho_adapters::people::Person| json!({"birth": p.birth.to_string(), "evidence": "マイナンバーカードの券面", "verified_by": "fuchu-city"});
        let members = family.parents.iter().chain(family.children.iter().map(|c| &c.person));
        let people: Vec<Value> = members.map(person).collect();
        let made = self.act("/people", &json!({"people": people})).await.map_err(failed("enrolment"))?;
        let ids: Vec<String> = serde_json::from_value(made["people"].clone()).map_err(during("enrolment"))?;
        let (parents, children) = ids.split_at(family.parents.len().min(ids.len()));
        for (id, parent) in parents.iter().zip(&family.parents) {
            self.link(id, json!({"issuer": self.issuer.base_url(), "sub": parent.id})).await?;
        }
        for (id, child) in children.iter().zip(&family.children) {
            self.link(id, json!({"party": "fuchu-city", "id": child.person.id})).await?;
            self.link(id, json!({"party": "my-portal", "id": portal_account(&child.person.id)})).await?;
            for parent in parents {
                let authority = json!({
                    "guardian": parent,
                    "from": format!("{}T00:00:00+09:00", child.person.birth),
                    "kind": "親権者",
                    "evidence": "戸籍全部事項証明書",
                    "verified_by": "fuchu-city",
                });
                let path = format!("/people/{id}/authorities");
                self.act(&path, &authority).await.map_err(failed("guardianship"))?;
            }
        }
        Ok(Enrolled { parents: parents.to_vec(), children: children.to_vec() })
    }

    /// Links a child to its records in the PHR app, which knows it by this id.
    ///
    /// # Errors
    /// When the gateway says no.
    pub async fn link_app(&self, person: &str, id: &str) -> Result<(), WorldError> {
        self.link(person, json!({"party": "yotsuba-phr", "id": id})).await.map(|_| ())
    }

    async fn link(&self, person: &str, to: Value) -> Result<Value, WorldError> {
        let link = json!({"to": to, "evidence": "対面での確認", "verified_by": "fuchu-city"});
        self.act(&format!("/people/{person}/links"), &link).await.map_err(during("link"))
    }

    /// An app's token for a signed-in person, bound to the app's certificate.
    ///
    /// # Errors
    /// When it can't be signed.
    pub fn app_token(&self, sub: &str) -> Result<String, WorldError> {
        self.token(self.app_request(sub))
    }

    /// What [`World::app_token`] asks for, to be bent by tests.
    #[must_use]
    pub fn app_request(&self, sub: &str) -> MintRequest {
        let mut request = MintRequest::new(sub, APP_CLIENT, &self.url);
        request.cert_thumbprint = Some(self.app.thumbprint());
        request.scope = APP_SCOPE.to_owned();
        request.ttl_s = 3_600;
        request
    }

    /// A clinic system's own token, for nobody in particular.
    ///
    /// # Errors
    /// When it can't be signed.
    pub fn clinic_token(&self) -> Result<String, WorldError> {
        self.clinic_token_of(CLINIC_CLIENT)
    }

    /// A token at the clinic's client, of somebody who signed in there.
    ///
    /// # Errors
    /// When it can't be signed.
    pub fn clinic_token_of(&self, sub: &str) -> Result<String, WorldError> {
        let mut request = MintRequest::new(sub, CLINIC_CLIENT, &self.url);
        request.cert_thumbprint = Some(self.clinic.thumbprint());
        request.scope = CLINIC_SCOPE.to_owned();
        request.ttl_s = 3_600;
        self.token(request)
    }

    /// A person's token at our own client, freshly signed in with step-up.
    ///
    /// # Errors
    /// When it can't be signed.
    pub fn person_token(&self, sub: &str) -> Result<String, WorldError> {
        let mut request = MintRequest::new(sub, OWN_CLIENT, &self.url);
        request.acr = Some(STEP_UP_ACR.to_owned());
        request.ttl_s = 3_600;
        self.token(request)
    }

    /// Signs a token.
    ///
    /// # Errors
    /// When it can't be signed.
    pub fn token(&self, request: MintRequest) -> Result<String, WorldError> {
        self.issuer.mint(&request).map(|t| t.secret().to_owned()).map_err(during("token"))
    }

    /// One request to the gateway.
    ///
    /// # Errors
    /// When there is no whole answer.
    pub async fn call(
        &self,
        http: &HttpClient,
        method: Method,
        path: &str,
        token: &str,
        body: Option<&Value>,
    ) -> Result<Response, WorldError> {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("authorization", format!("Bearer {token}"))
            .body(body.map_or_else(Bytes::new, |b| Bytes::from(b.to_string())))
            .map_err(during("request"))?;
        http.send(request).await.map_err(during("request"))
    }

    /// One request to the gateway that must succeed, its JSON answer.
    ///
    /// # Errors
    /// When it does not succeed.
    pub async fn json(
        &self,
        http: &HttpClient,
        method: Method,
        path: &str,
        token: &str,
        body: Option<&Value>,
    ) -> Result<Value, WorldError> {
        let answer = self.call(http, method, path, token, body).await?;
        let value: Value = serde_json::from_slice(&answer.body).map_err(during("answer"))?;
        if answer.status == StatusCode::OK || answer.status == StatusCode::CREATED {
            return Ok(value);
        }
        Err(WorldError(format!("{path} answered {}: {value}", answer.status.as_u16())))
    }

    /// Proposes and approves a consent for a child: gives the consent's id and the child's pairwise id at the app.
    ///
    /// # Errors
    /// When the gateway says no.
    pub async fn consent(&self, parent_sub: &str, child: &str, until: &str) -> Result<(String, String), WorldError> {
        let proposal = self.propose(parent_sub, until).await?;
        let id = text(&proposal, "id");
        self.approve(parent_sub, &id, child).await?;
        let seen = self
            .json(&self.app_http, Method::GET, &format!("/v1/consents/{id}"), &self.app_token(parent_sub)?, None)
            .await?;
        Ok((id, text(&seen, "patient")))
    }

    /// The app proposes to a signed-in parent.
    ///
    /// # Errors
    /// When the gateway says no.
    pub async fn propose(&self, parent_sub: &str, until: &str) -> Result<Value, WorldError> {
        let token = self.app_token(parent_sub)?;
        let shown = self.json(&self.app_http, Method::GET, "/v1/texts/phr-view", &token, None).await?;
        let proposal = json!({
            "purpose": "phr-view",
            "categories": ["vaccination@1"],
            "until": until,
            "text_hash": shown["text_hash"],
        });
        self.json(&self.app_http, Method::POST, "/v1/consents", &token, Some(&proposal)).await
    }

    /// The parent approves, signed in with step-up at our own client.
    ///
    /// # Errors
    /// When the gateway says no.
    pub async fn approve(&self, parent_sub: &str, consent: &str, child: &str) -> Result<Value, WorldError> {
        let token = self.person_token(parent_sub)?;
        let shown = self.json(&self.browser, Method::GET, "/v1/texts/phr-view", &token, None).await?;
        let approval = json!({"subject": child, "text_hash": shown["text_hash"]});
        let path = format!("/v1/consents/{consent}/approve");
        self.json(&self.browser, Method::POST, &path, &token, Some(&approval)).await
    }

    /// The parent revokes.
    ///
    /// # Errors
    /// When the gateway says no.
    pub async fn revoke(&self, parent_sub: &str, consent: &str) -> Result<Value, WorldError> {
        let token = self.person_token(parent_sub)?;
        self.json(&self.browser, Method::POST, &format!("/v1/consents/{consent}/revoke"), &token, None).await
    }
}

/// A text field of a JSON answer; empty when it is not there.
#[must_use]
pub fn text(value: &Value, name: &str) -> String {
    value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The portal's account of a child.
#[must_use]
pub fn portal_account(child: &str) -> String {
    format!("portal-{child}")
}
