//! Where staff sign in for the counter's pages: the demo's issuer for the city, and one each for a clinic and another city.

use std::fmt::Write as _;
use std::sync::Arc;

use http::StatusCode;
use sekisho::demo::world::{CLERK, DOCTOR, OTHER_STAFF, REGISTRAR, STAFF_CLIENT};
use sekisho_adapters::certs::{ALPN_H2_AND_H1, Validity, server_config};
use sekisho_adapters::identity::stand_in::{
    ClientAuth, DevIssuer, IssuerOptions, MintRequest, Persona, Registration, SigningAlgorithm, SigningKey,
};
use sekisho_tests::browser::Browser;
use sekisho_tests::town::Town;

use super::table::Seat;

/// Seats of staff with a session.
pub const STAFF: [Seat; 6] = [
    Seat::CityClerk,
    Seat::CityRegistrar,
    Seat::CityNoRole,
    Seat::ClinicClerk,
    Seat::OtherCityClerk,
    Seat::ClinicDoctor,
];

/// Parties whose staff sign in beside the demo's: its code, and that of the sign-in.
const MORE: [(&str, &str, &[&str]); 2] =
    [("midori-clinic", "midori-desk", &["counter"]), ("chofu-city", "chofu-staff", &["counter", "registrar"])];
const SOMEBODY: &str = "clerk-tanaka";

/// The issuers that the demo does not have.
pub struct Desks {
    issuers: Vec<DevIssuer>,
}

impl Desks {
    /// Starts them, and has the running gateway know them.
    pub async fn open(town: &Town) -> Self {
        let world = &town.world;
        let key = SigningKey::generate(SigningAlgorithm::Es256).unwrap();
        std::fs::write(world.directory.join("desks.key"), key.pem()).unwrap();
        let (mut issuers, mut sections) = (Vec::new(), String::new());
        for (party, code, roles) in MORE {
            let server = world.ca.server(Validity::around((world.now)())).unwrap();
            let tls = server_config(server.chain(), server.key(), None, false, ALPN_H2_AND_H1).unwrap();
            let mut options = IssuerOptions::new(tls, Arc::clone(&world.now));
            let mut persona = Persona::new(SOMEBODY, "窓口 田中");
            persona.roles = roles.iter().map(|role| (*role).to_owned()).collect();
            options.personas = vec![persona];
            options.clients = vec![Registration {
                client_id: STAFF_CLIENT.to_owned(),
                redirect_uris: vec![format!("{}/my/sign-in/{code}/callback", world.url)],
                auth: ClientAuth::PrivateKeyJwt { public_key_pem: key.public_pem().to_owned() },
                scopes: vec!["openid".to_owned()],
                audiences: vec![world.url.clone()],
                post_logout_redirect_uris: vec![format!("{}/counter", world.url)],
                backchannel_logout_uri: None,
            }];
            let issuer = DevIssuer::start(options).await.unwrap();
            write!(
                sections,
                "\n[[issuer]]\nurl = \"{}\"\nca = \"ca.pem\"\nown_client = \"{STAFF_CLIENT}\"\n\n[issuer.sign_in]\ncode = \"{code}\"\n\
                 name_ja = \"{code}\"\nname_en = \"{code}\"\nkey = \"desks.key\"\nacr = [\"aal2\"]\n\n[issuer.sign_in.staff]\n\
                 party = \"{party}\"\nrole_claim = \"roles\"\ncounter_roles = [\"counter\", \"registrar\"]\nenrol_roles = [\"registrar\"]\n",
                issuer.base_url()
            )
            .unwrap();
            issuers.push(issuer);
        }
        town.reload_with(|text| text.replacen("\n[[party]]", &format!("{sections}\n[[party]]"), 1)).await.unwrap();
        Self { issuers }
    }

    /// The issuer at which a seat signs in, the code of that sign-in, and as whom.
    fn at<'a>(&'a self, town: &'a Town, seat: Seat) -> (&'a DevIssuer, &'static str, &'static str) {
        match seat {
            Seat::ClinicClerk => (&self.issuers[0], "midori-desk", SOMEBODY),
            Seat::OtherCityClerk => (&self.issuers[1], "chofu-staff", SOMEBODY),
            Seat::ClinicDoctor => (&town.world.clinic_staff, "midori-staff", DOCTOR),
            Seat::CityRegistrar => (&town.world.staff, "fuchu-staff", REGISTRAR),
            Seat::CityNoRole => (&town.world.staff, "fuchu-staff", OTHER_STAFF),
            _ => (&town.world.staff, "fuchu-staff", CLERK),
        }
    }

    /// Signs a member of staff in.
    pub async fn sign_in(&self, town: &Town, seat: Seat) -> Browser {
        let (_, code, sub) = self.at(town, seat);
        let mut browser = Browser::new(town.world.browser.clone(), &town.world.url);
        let page = browser.sign_in(&format!("/my/sign-in/{code}"), sub).await;
        let expected = if seat == Seat::CityNoRole { StatusCode::FORBIDDEN } else { StatusCode::OK };
        assert_eq!(page.status, expected, "{seat:?}: {}", page.text);
        browser
    }

    /// A token that their issuer gives them.
    pub fn token(&self, town: &Town, seat: Seat) -> String {
        let (issuer, _, sub) = self.at(town, seat);
        let mut request = MintRequest::new(sub, STAFF_CLIENT, &town.world.url);
        request.acr = Some("aal3".to_owned());
        issuer.mint(&request).unwrap().secret().to_owned()
    }
}
