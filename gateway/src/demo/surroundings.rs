//! What stands around the gateway in the little world: issuer, city, portal, files, configuration.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use sekisho_adapters::NowMs;
use sekisho_adapters::certs::{ALPN_H1, ALPN_H2_AND_H1, DevCa, Identity, client_config, server_config};
use sekisho_adapters::fhir_server::stand_in::{FhirOptions, FhirServer};
use sekisho_adapters::http::{HttpClient, Limits};
use sekisho_adapters::identity::stand_in::{ClientAuth, DevIssuer, IssuerOptions, Persona, Registration, SigningKey};
use sekisho_adapters::my_portal::PortalCodes;
use sekisho_adapters::my_portal::stand_in::{Account, PortalOptions, PortalRegistration, PortalStandIn};
use sekisho_adapters::people::{Family, fhir, phr};
use sekisho_adapters::phr_app::stand_in::{PhrAppOptions, PhrAppStandIn};
use sekisho_adapters::webhook::stand_in::WebhookStandIn;

use super::world::{
    APP_CLIENT, CLERK, CLINIC_CLIENT, CLINIC_SCOPE, DOCTOR, HAYASHI, MORI, NURSE, OMORI, OTHER_STAFF, OWN_CLIENT,
    RECEPTION, REGISTRAR, STAFF_CLIENT, STEP_UP_ACR, WorldError, during, portal_account,
};

type TlsResult = Result<rustls::ServerConfig, WorldError>;

fn server_tls(ca: &DevCa, server: &Identity, required: bool) -> TlsResult {
    let roots = ca.roots().map_err(during("roots"))?;
    server_config(server.chain(), server.key(), Some(roots), required, ALPN_H2_AND_H1).map_err(during("server TLS"))
}

pub(super) async fn issuer(
    ca: &DevCa,
    server: &Identity,
    now: &NowMs,
    families: &[Family],
    url: &str,
    [app, clinic]: [&Identity; 2],
    sign_in_key: &SigningKey,
) -> Result<DevIssuer, WorldError> {
    let mut options = IssuerOptions::new(server_tls(ca, server, false)?, Arc::clone(now));
    let parents = families.iter().flat_map(|f| &f.parents);
    options.personas = parents.map(|p| Persona::new(p.id.clone(), format!("{} {}", p.family, p.given))).collect();
    let registration = |client: &str, auth: ClientAuth| Registration {
        client_id: client.to_owned(),
        redirect_uris: vec![format!("{url}/signed-in")],
        auth,
        scopes: CLINIC_SCOPE.split(' ').chain(["openid", "launch/patient"]).map(str::to_owned).collect(),
        audiences: vec![url.to_owned()],
        post_logout_redirect_uris: Vec::new(),
        backchannel_logout_uri: None,
    };
    let by_certificate = |identity: &Identity| ClientAuth::Certificate { thumbprint: identity.thumbprint() };
    let mut own =
        registration(OWN_CLIENT, ClientAuth::PrivateKeyJwt { public_key_pem: sign_in_key.public_pem().to_owned() });
    own.redirect_uris = vec![format!("{url}/my/sign-in/dev/callback")];
    own.post_logout_redirect_uris = vec![format!("{url}/my")];
    own.backchannel_logout_uri = Some(format!("{url}/my/sign-in/dev/signed-out"));
    options.clients =
        vec![own, registration(APP_CLIENT, by_certificate(app)), registration(CLINIC_CLIENT, by_certificate(clinic))];
    DevIssuer::start(options).await.map_err(during("issuer"))
}

/// The issuer at which the city's staff sign in: clerks who may record, one who may issue codes too, and one who may neither.
pub(super) async fn staff_issuer(
    ca: &DevCa,
    server: &Identity,
    now: &NowMs,
    url: &str,
    sign_in_key: &SigningKey,
) -> Result<DevIssuer, WorldError> {
    let personas = vec![
        persona(CLERK, "窓口 山田（同意の記録）", &["counter"]),
        persona(REGISTRAR, "窓口 佐藤（記録と登録コード）", &["counter", "registrar"]),
        persona(OTHER_STAFF, "総務 鈴木（窓口の役割なし）", &["general-affairs"]),
        persona(HAYASHI, "保健師 林", &["public-health-nurse"]),
        persona(MORI, "保健師 森", &["public-health-nurse"]),
        persona(OMORI, "保健師長 大森（地区の割り当て）", &["nurse-manager"]),
    ];
    issuer_of_staff((ca, server), now, url, sign_in_key, ("fuchu-staff", "/counter"), personas).await
}

/// The issuer at which the clinic's staff sign in: a doctor, a nurse, and somebody at the reception who opens nothing.
pub(super) async fn clinic_issuer(
    ca: &DevCa,
    server: &Identity,
    now: &NowMs,
    url: &str,
    sign_in_key: &SigningKey,
) -> Result<DevIssuer, WorldError> {
    let personas = vec![
        persona(DOCTOR, "医師 緑川", &["doctor"]),
        persona(NURSE, "看護師 若葉", &["nurse"]),
        persona(RECEPTION, "受付 森（患者情報の役割なし）", &["reception"]),
    ];
    issuer_of_staff((ca, server), now, url, sign_in_key, ("midori-staff", "/clinic"), personas).await
}

fn persona(sub: &str, label: &str, roles: &[&str]) -> Persona {
    let mut persona = Persona::new(sub, label);
    persona.roles = roles.iter().map(|role| (*role).to_owned()).collect();
    persona
}

async fn issuer_of_staff(
    (ca, server): (&DevCa, &Identity),
    now: &NowMs,
    url: &str,
    sign_in_key: &SigningKey,
    (code, home): (&str, &str),
    personas: Vec<Persona>,
) -> Result<DevIssuer, WorldError> {
    let mut options = IssuerOptions::new(server_tls(ca, server, false)?, Arc::clone(now));
    options.personas = personas;
    options.clients = vec![Registration {
        client_id: STAFF_CLIENT.to_owned(),
        redirect_uris: vec![format!("{url}/my/sign-in/{code}/callback")],
        auth: ClientAuth::PrivateKeyJwt { public_key_pem: sign_in_key.public_pem().to_owned() },
        scopes: vec!["openid".to_owned()],
        audiences: vec![url.to_owned()],
        post_logout_redirect_uris: vec![format!("{url}{home}")],
        backchannel_logout_uri: Some(format!("{url}/my/sign-in/{code}/signed-out")),
    }];
    DevIssuer::start(options).await.map_err(during("staff's issuer"))
}

pub(super) async fn city(
    ca: &DevCa,
    server: &Identity,
    now: &NowMs,
    families: &[Family],
) -> Result<FhirServer, WorldError> {
    let tls = server_tls(ca, server, true)?;
    let bind = SocketAddr::from(([127, 0, 0, 1], 0));
    let city = FhirServer::start(FhirOptions { bind, tls, now: Arc::clone(now) }).await.map_err(during("city"))?;
    for child in families.iter().flat_map(|f| &f.children) {
        city.put(&child.person.id, fhir::resources(child));
    }
    Ok(city)
}

pub(super) async fn portal(
    ca: &DevCa,
    server: &Identity,
    now: &NowMs,
    families: &[Family],
    url: &str,
    gateway: &Identity,
    own: &Identity,
) -> Result<PortalStandIn, WorldError> {
    let accounts = families.iter().flat_map(|f| &f.children).map(|child| Account {
        id: portal_account(&child.person.id),
        label: format!("{} {}", child.person.family, child.person.given),
        child: child.clone(),
    });
    let roots = ca.roots().map_err(during("roots"))?;
    let notices = client_config(roots, Some(own), ALPN_H1).map_err(during("portal TLS"))?;
    let options = PortalOptions {
        bind: SocketAddr::from(([127, 0, 0, 1], 0)),
        tls: server_tls(ca, server, false)?,
        now: Arc::clone(now),
        codes: PortalCodes::synthetic(),
        clients: vec![PortalRegistration {
            client_id: "SP00000000_SEKISHO".to_owned(),
            redirect_uris: vec![format!("{url}/relay/my-portal/callback")],
            thumbprint: gateway.thumbprint(),
            notify_url: None,
        }],
        accounts: accounts.collect(),
        notices: Some(HttpClient::new(notices, Limits::default())),
    };
    PortalStandIn::start(options).await.map_err(during("portal"))
}

/// The PHR app, which has its users' own records.
pub(super) async fn phr(
    ca: &DevCa,
    server: &Identity,
    now: &NowMs,
    families: &[Family],
) -> Result<PhrAppStandIn, WorldError> {
    let bind = SocketAddr::from(([127, 0, 0, 1], 0));
    let options = PhrAppOptions { bind, tls: server_tls(ca, server, true)? };
    let app = PhrAppStandIn::start(options).await.map_err(during("PHR app"))?;
    let today = jiff::Timestamp::from_millisecond(now()).map_err(during("the time"))?;
    let today = today.to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(9))).date();
    for child in families.iter().flat_map(|f| &f.children) {
        app.put(&child.person.id, phr::records(child, today));
    }
    Ok(app)
}

/// Where the clinic takes what is sent to it.
pub(super) async fn inbox(ca: &DevCa, server: &Identity) -> Result<WebhookStandIn, WorldError> {
    WebhookStandIn::start(server_tls(ca, server, false)?).await.map_err(during("clinic's inbox"))
}

pub(super) struct Files<'a> {
    pub directory: &'a Path,
    pub ca: &'a DevCa,
    pub server: &'a Identity,
    pub gateway: &'a Identity,
    pub app: &'a Identity,
    pub clinic: &'a Identity,
    /// Our key at the issuer, PEM.
    pub sign_in_key: &'a str,
}

impl Files<'_> {
    /// Certificates and keys, readable by this user only.
    pub fn write(&self) -> Result<(), WorldError> {
        use std::os::unix::fs::OpenOptionsExt;
        let put = |name: &str, text: &str| {
            let path = self.directory.join(name);
            let mut open = std::fs::OpenOptions::new();
            let file = open.create(true).write(true).truncate(true).mode(0o600).open(path);
            file.and_then(|mut f| std::io::Write::write_all(&mut f, text.as_bytes())).map_err(during("file"))
        };
        put("ca.pem", &self.ca.pem())?;
        put("sign-in.key", self.sign_in_key)?;
        for (name, identity) in
            [("server", self.server), ("gateway", self.gateway), ("app", self.app), ("clinic", self.clinic)]
        {
            put(&format!("{name}.pem"), identity.cert_pem())?;
            put(&format!("{name}.key"), identity.key_pem())?;
        }
        if !self.directory.join("master.key").exists() {
            put("master.key", &data_encoding::BASE64.encode(&crate::ids::random::<32>()))?;
        }
        let secret = data_encoding::BASE64.encode(&crate::ids::random::<32>());
        put("clinic.secret", &format!("whsec_{secret}"))
    }
}

/// The gateway's configuration, as an operator would write it.
pub(super) fn configuration(
    address: SocketAddr,
    url: &str,
    [issuer, staff, clinic_staff]: [&DevIssuer; 3],
    city: &FhirServer,
    portal: &PortalStandIn,
    (phr, inbox): (&PhrAppStandIn, &WebhookStandIn),
    [app, clinic, portal_certificate]: [&str; 3],
) -> String {
    let uid = rustix::process::getuid().as_raw();
    include_str!("sekisho.toml")
        .replace("{listen}", &address.to_string())
        .replace("{url}", url)
        .replace("{issuer}", issuer.base_url())
        .replace("{own_client}", OWN_CLIENT)
        .replace("{staff_issuer}", staff.base_url())
        .replace("{staff_client}", STAFF_CLIENT)
        .replace("{clinic_staff_issuer}", clinic_staff.base_url())
        .replace("{step_up}", STEP_UP_ACR)
        .replace("{app_thumbprint}", app)
        .replace("{app_client}", APP_CLIENT)
        .replace("{clinic_thumbprint}", clinic)
        .replace("{clinic_client}", CLINIC_CLIENT)
        .replace("{portal_thumbprint}", portal_certificate)
        .replace("{city}", city.url())
        .replace("{portal}", &portal.url())
        .replace("{phr}", &phr.url())
        .replace("{inbox}", &inbox.url())
        .replace("{uid}", &uid.to_string())
}
