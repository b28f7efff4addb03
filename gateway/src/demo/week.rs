//! The week's part of the little world: a consultation service, those on call there, and two municipalities that take its cases.

use std::net::SocketAddr;

use sekisho_adapters::certs::{ALPN_H1, ALPN_H2_AND_H1, Identity, Validity, client_config, server_config};
use sekisho_adapters::consultation::stand_in::{ConsultationOptions, ConsultationStandIn};
use sekisho_adapters::http::{HttpClient, Limits};
use sekisho_adapters::identity::stand_in::MintRequest;
use sekisho_adapters::people::consultations::Consultations;
use sekisho_adapters::webhook::stand_in::WebhookStandIn;

use super::world::{World, WorldError, during};

/// The OAuth client of the consultation service.
pub const CARE_CLIENT: &str = "nijiiro-machine";
/// What its token carries.
pub const CARE_SCOPE: &str = "consultations/push alerts/decide";
/// What a municipality's token carries.
pub const CITY_SCOPE: &str = "packages/pull";

/// Fuchu's districts in charge: postal codes of the generated families, an invented division.
fn districts() -> String {
    let parts = [("chuo", "中央"), ("kita", "北"), ("nishi", "西")];
    let codes = (0..40).chain([55]).zip(parts.iter().cycle());
    let line = |(last, (code, name)): (u32, &(&str, &str))| format!("183-00{last:02},{code},{name},{name}班\n");
    codes.map(line).fold("postal,district,name,nurses\n".to_owned(), |table, line| table + &line)
}

/// A municipality's own system.
pub struct City {
    /// The party's code.
    pub code: &'static str,
    /// Its OAuth client.
    pub client: &'static str,
    /// Its certificate.
    pub identity: Identity,
    /// A client with that certificate.
    pub http: HttpClient,
    /// What packages are sealed to, and what opens them.
    pub key: crate::package::KeyPair,
}

/// What stands around the gateway for the week.
pub struct Care {
    /// The consultation service.
    pub service: ConsultationStandIn,
    /// Where those on call are reached.
    pub on_call: WebhookStandIn,
    /// The service's certificate.
    pub identity: Identity,
    /// A client with that certificate.
    pub http: HttpClient,
    /// Fuchu, and Inagi.
    pub cities: [City; 2],
    /// How often the service is collected, in seconds.
    pub collect_every_s: u32,
}

impl Care {
    /// Starts it around a world.
    ///
    /// # Errors
    /// When a file or port can't be had.
    pub async fn open(world: &World, generated: Option<(Consultations, u64)>) -> Result<Self, WorldError> {
        let validity = Validity::around((world.now)());
        let server = world.ca.server(validity).map_err(during("server certificate"))?;
        let client = |name: &str| world.ca.client(name, validity).map_err(during("client certificate"));
        let roots = || world.ca.roots().map_err(during("roots"));
        let tls = |required| {
            server_config(server.chain(), server.key(), Some(roots()?), required, ALPN_H2_AND_H1)
                .map_err(during("server TLS"))
        };
        let http = |identity: &Identity| -> Result<HttpClient, WorldError> {
            let tls = client_config(roots()?, Some(identity), ALPN_H1).map_err(during("client TLS"))?;
            Ok(HttpClient::new(tls, Limits { connect_ms: 5_000, total_ms: 120_000, body_bytes_max: 64 << 20 }))
        };
        let bind = SocketAddr::from(([127, 0, 0, 1], 0));
        let options = ConsultationOptions { bind, tls: tls(true)?, generated };
        let service = ConsultationStandIn::start(options).await.map_err(during("consultation service"))?;
        let on_call = WebhookStandIn::start(tls(false)?).await.map_err(during("on-call"))?;
        let secret = data_encoding::BASE64.encode(&crate::ids::random::<32>());
        let path = world.directory.join("on-call.secret");
        std::fs::write(path, format!("whsec_{secret}")).map_err(during("on-call's secret"))?;
        std::fs::write(world.directory.join("districts.csv"), districts()).map_err(during("districts"))?;
        let city = |code, name: &'static str| -> Result<City, WorldError> {
            let identity = client(name)?;
            let http = http(&identity)?;
            Ok(City { code, client: name, identity, http, key: crate::package::KeyPair::generate() })
        };
        let identity = client(CARE_CLIENT)?;
        let http = http(&identity)?;
        let cities = [city("fuchu-city", "fuchu-machine")?, city("inagi-city", "inagi-machine")?];
        Ok(Self { service, on_call, identity, http, cities, collect_every_s: 3_600 })
    }

    /// A configuration of the little world with the week in it.
    #[must_use]
    pub fn configured(&self, text: &str) -> String {
        let [fuchu, inagi] = &self.cities;
        let name = "name_en = \"Fuchu City\"\n";
        let proven =
            format!("{name}certificates = [\"{}\"]\nclients = [\"{}\"]\n", fuchu.identity.thumbprint(), fuchu.client);
        let week = include_str!("week.toml")
            .replace("{care_thumbprint}", &self.identity.thumbprint())
            .replace("{care_client}", CARE_CLIENT)
            .replace("{inagi_thumbprint}", &inagi.identity.thumbprint())
            .replace("{inagi_client}", inagi.client)
            .replace("{care}", &self.service.url())
            .replace("{on_call}", &self.on_call.url())
            .replace("{collect_every_s}", &self.collect_every_s.to_string())
            .replace("{fuchu_key}", fuchu.key.public())
            .replace("{inagi_key}", inagi.key.public());
        format!("{}\n{week}", text.replacen(name, &proven, 1))
    }

    /// The service's own token.
    ///
    /// # Errors
    /// When it can't be signed.
    pub fn token(&self, world: &World) -> Result<String, WorldError> {
        minted(world, CARE_CLIENT, &self.identity, CARE_SCOPE)
    }
}

impl City {
    /// Its system's own token.
    ///
    /// # Errors
    /// When it can't be signed.
    pub fn token(&self, world: &World) -> Result<String, WorldError> {
        minted(world, self.client, &self.identity, CITY_SCOPE)
    }
}

fn minted(world: &World, client: &str, identity: &Identity, scope: &str) -> Result<String, WorldError> {
    let mut request = MintRequest::new(client, client, &world.url);
    request.cert_thumbprint = Some(identity.thumbprint());
    request.scope = scope.to_owned();
    request.ttl_s = 3_600;
    world.token(request)
}
