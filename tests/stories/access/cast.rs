//! Everybody who sits in a seat, and what each of them could ask about: made over the operators' socket and the API.

use std::collections::HashMap;

use http::Method;
use sekisho::demo::world::{APP_CLIENT, APP_SCOPE, CLINIC_CLIENT, CLINIC_SCOPE};
use sekisho::ids::TextId;
use sekisho_adapters::certs::{ALPN_H1, Identity, Validity, client_config};
use sekisho_adapters::http::{HttpClient, Limits};
use sekisho_adapters::identity::stand_in::{Lie, MintRequest};
use sekisho_tests::browser::Browser;
use sekisho_tests::town::Town;
use serde_json::{Value, json};

use super::desks::{self, Desks};
use super::table::Seat;
use super::whose::{Target, Whose};

/// A party's system or staff, with its certificate.
pub struct Desk {
    pub http: HttpClient,
    pub token: String,
}

/// The town with everybody in it.
pub struct Cast {
    pub town: Town,
    pub targets: HashMap<Whose, Target>,
    pub sessions: HashMap<Seat, Browser>,
    people: HashMap<&'static str, String>,
    certificates: HashMap<&'static str, Identity>,
    /// Where staff sign in.
    desks: Option<Desks>,
}

/// Logins at our own pages, by seat.
const LOGINS: [(Seat, &str); 12] = [
    (Seat::Unlinked, "unlinked"),
    (Seat::Own, "own"),
    (Seat::Sole, "sole"),
    (Seat::Agreed, "agreed"),
    (Seat::Other, "other"),
    (Seat::Former, "former"),
    (Seat::Blocked, "blocked"),
    (Seat::OtherParent, "one-parent"),
    (Seat::OverMinor, "over-minor"),
    (Seat::Minor, "minor"),
    (Seat::OverAdult, "over-adult"),
    (Seat::Stranger, "stranger"),
];

/// Clients beside those of the demo: party, kind, client.
const PARTIES: [(&str, &str, &str); 2] =
    [("aoba-phr", "phr-app", "aoba-app"), ("chofu-city", "municipality", "chofu-desk")];
/// The app takes deliveries as well: there are no others' consents to ask for one under. Nobody answers there.
const DELIVERIES: &str = r#"
[[summary]]
name = "app-summary"
path = "/fhir/Patient/{patient}/$app-summary"
purpose = "phr-view"

[[summary.part]]
source = "fuchu-city"
categories = ["identity@1", "vaccination@1"]

[[forward]]
party = "yotsuba-phr"
summary = "app-summary"
url = "https://localhost:1/deliveries"
ca = "ca.pem"
secret_file = "deliveries.secret"
addresses = ["192.0.2.1"]
"#;

const CITY_CLIENT: &str = "fuchu-desk";

impl Cast {
    pub async fn assemble() -> Self {
        let town = Town::open_with(sekisho::clock::Clock::system(), |text| {
            text.replace(
                "label_en = \"Name and date of birth\"",
                "label_en = \"Name and date of birth\"\nown_consent_age = 15",
            )
        })
        .await;
        let mut cast = Self {
            town,
            targets: HashMap::new(),
            sessions: HashMap::new(),
            people: HashMap::new(),
            certificates: HashMap::new(),
            desks: None,
        };
        cast.register_parties().await;
        cast.desks = Some(Desks::open(&cast.town).await);
        cast.enrol_everybody().await;
        for whose in Whose::ALL {
            let target = cast.fresh(whose).await;
            cast.targets.insert(whose, target);
        }
        cast.what_came_since().await;
        for seat in LOGINS.map(|(seat, _)| seat).into_iter().chain(desks::STAFF) {
            cast.sign_in(seat).await;
        }
        cast
    }

    async fn register_parties(&mut self) {
        let validity = Validity::around((self.town.world.now)());
        for client in ["aoba-app", "chofu-desk", CITY_CLIENT, "the-portal"] {
            self.certificates.insert(client, self.town.world.ca.client(client, validity).unwrap());
        }
        let thumbprint = |client: &str| self.certificates[client].thumbprint();
        let mut parties = String::new();
        for (code, kind, client) in PARTIES {
            parties += &format!(
                "\n[[party]]\ncode = \"{code}\"\nkind = \"{kind}\"\nname_ja = \"{code}\"\nname_en = \"{code}\"\n\
                 certificates = [\"{}\"]\nclients = [\"{client}\"]\n",
                thumbprint(client)
            );
        }
        let city = format!(
            "name_en = \"Fuchu City\"\ncertificates = [\"{}\"]\nclients = [\"{CITY_CLIENT}\"]",
            thumbprint(CITY_CLIENT)
        );
        let portal = format!("name_en = \"My Portal (stand-in)\"\ncertificates = [\"{}\", ", thumbprint("the-portal"));
        let bend = |text: String| {
            let text = text.replace("name_en = \"Fuchu City\"", &city);
            let text = text.replace("name_en = \"My Portal (stand-in)\"\ncertificates = [", &portal);
            text.replacen("\n[[purpose]]", &format!("{parties}\n[[purpose]]"), 1) + DELIVERIES
        };
        let secret = format!("whsec_{}", data_encoding::BASE64.encode(&[9; 32]));
        std::fs::write(self.town.world.config.with_file_name("deliveries.secret"), secret).unwrap();
        self.town.reload_with(bend).await.unwrap();
    }

    async fn enrol_everybody(&mut self) {
        let adults = [
            "own",
            "sole",
            "former",
            "blocked",
            "one-parent",
            "the-other-parent",
            "over-minor",
            "over-adult",
            "stranger",
            "of-kept-out",
        ];
        for login in adults {
            self.enrol(login, "1990-01-01").await;
        }
        for (name, birth) in [
            ("sole-ward", "2024-05-05"),
            ("former-ward", "2024-05-06"),
            ("blocked-ward", "2024-05-07"),
            ("kept-out-ward", "2024-05-08"),
            ("shared-ward", "2024-05-09"),
            ("stranger-ward", "2024-05-10"),
            ("minor", "2010-06-01"),
            ("adult", "2000-01-01"),
        ] {
            self.enrol(name, birth).await;
        }
        let (mother, father) = (self.town.people.parents[0].clone(), self.town.people.parents[1].clone());
        for (name, id) in [("agreed", mother), ("other", father), ("joint-ward", self.town.child().to_owned())] {
            self.people.insert(name, id);
        }
        self.login("agreed").await;
        self.login("other").await;
        for (ward, guardian) in [
            ("sole-ward", "sole"),
            ("former-ward", "former"),
            ("blocked-ward", "blocked"),
            ("kept-out-ward", "of-kept-out"),
            ("shared-ward", "one-parent"),
            ("shared-ward", "the-other-parent"),
            ("stranger-ward", "stranger"),
            ("minor", "over-minor"),
            ("adult", "over-adult"),
        ] {
            let authority = json!({
                "guardian": self.people[guardian], "from": "2020-01-01T00:00:00+09:00", "kind": "親権者", "evidence": "戸籍全部事項証明書",
                "verified_by": "fuchu-city",
            });
            self.town.act(&format!("/people/{}/authorities", self.people[ward]), authority).await;
        }
        for (name, party, id) in [
            ("agreed", "fuchu-city", "resident-agreed"),
            ("agreed", "midori-clinic", "resident-agreed"),
            ("joint-ward", "midori-clinic", self.town.child_at_city()),
        ] {
            self.link(name, json!({"party": party, "id": id})).await;
        }
    }

    async fn enrol(&mut self, name: &'static str, birth: &str) {
        let person = json!({"birth": birth, "evidence": "マイナンバーカードの券面", "verified_by": "fuchu-city"});
        let made = self.town.act("/people", json!({"people": [person]})).await;
        self.people.insert(name, made["people"][0].as_str().unwrap().to_owned());
        self.link(name, json!({"party": "fuchu-city", "id": format!("resident-{name}")})).await;
        self.login(name).await;
    }

    async fn login(&self, name: &str) {
        self.link(name, json!({"issuer": self.town.world.issuer.base_url(), "sub": name})).await;
    }

    async fn link(&self, name: &str, to: Value) {
        let link = json!({"to": to, "evidence": "対面での確認", "verified_by": "fuchu-city"});
        self.town.act(&format!("/people/{}/links", self.people[name]), link).await;
    }

    /// What happened after they had agreed: authority ended, protection was set.
    async fn what_came_since(&self) {
        let ward = &self.people["former-ward"];
        let subject = TextId::parse(ward).unwrap();
        let snapshot = self.town.gateway.app().store.snapshot(subject).await.unwrap();
        let authority = snapshot.subject.records.authorities[0].id.text();
        self.town.act(&format!("/people/{ward}/authorities/{authority}/end"), json!({"reason": "r"})).await;
        let block = json!({"person": self.people["blocked"], "evidence": "支援措置"});
        self.town.act(&format!("/people/{}/blocks", self.people["blocked-ward"]), block).await;
        let block = json!({"party": "yotsuba-phr", "evidence": "支援措置"});
        self.town.act(&format!("/people/{}/blocks", self.people["kept-out-ward"]), block).await;
    }

    /// Signs a seat in anew, strongly.
    pub async fn sign_in(&mut self, seat: Seat) {
        if is_staff(seat) {
            let signed_in = self.desks.as_ref().unwrap().sign_in(&self.town, seat).await;
            self.sessions.insert(seat, signed_in);
        }
        let Some(login) = login_of(seat) else { return };
        self.sessions.insert(seat, self.signed_in(login).await);
    }

    async fn signed_in(&self, login: &str) -> Browser {
        let world = &self.town.world;
        world.issuer.lie(Some(Lie::Sub(login.to_owned())));
        let mut browser = Browser::new(world.browser.clone(), &world.url);
        browser.sign_in("/my/sign-in/dev?again=1", self.town.mother()).await;
        world.issuer.lie(None);
        browser
    }

    fn subject(&self, whose: Whose) -> &str {
        let name = match whose {
            Whose::Own => "own",
            Whose::SoleWard => "sole-ward",
            Whose::JointWard | Whose::Attested => "joint-ward",
            Whose::FormerWard => "former-ward",
            Whose::BlockedWard => "blocked-ward",
            Whose::OtherParent => "the-other-parent",
            Whose::Minor => "minor",
            Whose::Adult => "adult",
            Whose::KeptOutWard => "kept-out-ward",
        };
        &self.people[name]
    }

    /// A target like the first one, with a consent, a proposal and a refusal of its own, on which nobody has acted yet.
    pub async fn fresh(&self, whose: Whose) -> Target {
        let (by, subject) = (whose.by(), self.subject(whose).to_owned());
        if matches!(whose, Whose::FormerWard | Whose::BlockedWard)
            && let Some(made) = self.targets.get(&whose)
        {
            // They can agree to nothing any more.
            return made.clone();
        }
        if self.targets.contains_key(&whose) {
            self.lift_all(&subject).await;
        }
        // Whoever has none asks about one that nobody has.
        let booking = sekisho::ids::EntryId::mint().text();
        let (consent, patient) = match whose {
            Whose::Attested => self.attested(&booking).await,
            _ => self.agreed(whose, by, &subject).await,
        };
        let refusal = json!({"subject": subject, "recipient": "midori-clinic", "purpose": "first-visit", "categories": ["identity"]});
        let (status, refused) = self.town.person(Method::POST, "/v1/refusals", by, Some(&refusal)).await;
        assert_eq!(status, 201, "{refused}");
        let path = format!("/v1/access-log?subject={subject}&limit=1");
        let (_, log) = self.town.person(Method::GET, &path, by, None).await;
        let page = self.signed_in(by).await.open(&format!("/my/log?about={subject}")).await;
        let proposal = match whose {
            // Their own proposals are theirs to see: somebody else's is what they must not.
            Whose::FormerWard | Whose::BlockedWard => self.proposed("sole", whose).await,
            _ => self.proposed(by, whose).await,
        };
        Target {
            consent,
            proposal,
            refusal: refused["summary"]["about"].as_str().unwrap().to_owned(),
            entry: log["items"][0]["decision"].as_str().unwrap_or_else(|| panic!("{whose:?}: {log}")).to_owned(),
            at: page.link("&at=").split("&at=").nth(1).unwrap().to_owned(),
            patient,
            booking,
            record: self.record_of(whose),
            guardian: "resident-agreed".to_owned(),
            subject,
        }
    }

    /// Lifts what stands against a consent, each by who refused.
    async fn lift_all(&self, subject: &str) {
        let snapshot = self.town.gateway.app().store.snapshot(TextId::parse(subject).unwrap()).await.unwrap();
        for refusal in snapshot.subject.records.refusals.iter().filter(|refusal| refusal.lift.is_none()) {
            let (name, _) = self.people.iter().find(|(_, id)| **id == refusal.grantor.text()).unwrap();
            let path = format!("/v1/refusals/{}/lift", refusal.id.text());
            let (status, lifted) = self.town.person(Method::POST, &path, name, None).await;
            assert_eq!(status, 200, "{lifted}");
        }
    }

    fn record_of(&self, whose: Whose) -> String {
        match whose {
            Whose::JointWard | Whose::Attested => self.town.child_at_city().to_owned(),
            _ => {
                let name = self.people.iter().find(|(_, id)| *id == self.subject(whose)).unwrap().0;
                format!("resident-{name}")
            }
        }
    }

    /// The app proposes, they agree, and the app reads: the consent, and the app's id for the subject.
    async fn agreed(&self, whose: Whose, by: &str, subject: &str) -> (String, String) {
        let world = &self.town.world;
        let consent = self.proposed(by, whose).await;
        world.approve(by, &consent, subject).await.unwrap();
        let token = world.app_token(by).unwrap();
        // From the records: behind a protective measure the app is not told any more.
        let store = &self.town.gateway.app().store;
        let snapshot = store.snapshot(TextId::parse(subject).unwrap()).await.unwrap();
        let patient = snapshot.subject.pairwise_at("yotsuba-phr").unwrap().id.text();
        let asked =
            if whose == Whose::Minor { format!("/fhir/Patient/{patient}") } else { super::asks::history(&patient) };
        world.call(&world.app_http, Method::GET, &asked, &token, None).await.unwrap();
        (consent, patient)
    }

    async fn proposed(&self, by: &str, whose: Whose) -> String {
        let world = &self.town.world;
        let token = world.app_token(by).unwrap();
        let text = world.json(&world.app_http, Method::GET, "/v1/texts/phr-view", &token, None).await.unwrap();
        let proposal = json!({
            "purpose": "phr-view", "categories": whose.categories(), "until": self.town.in_seconds(86_400),
            "text_hash": text["text_hash"],
        });
        let made = world.json(&world.app_http, Method::POST, "/v1/consents", &token, Some(&proposal)).await;
        made.unwrap()["id"].as_str().unwrap().to_owned()
    }

    /// The city attests for the clinic: the consent, and the clinic's id for the child.
    async fn attested(&self, booking: &str) -> (String, String) {
        let world = &self.town.world;
        let desk = self.desk(Seat::CityStaff).unwrap();
        let text = world.json(&desk.http, Method::GET, "/v1/texts/first-visit", &desk.token, None).await.unwrap();
        let body = super::asks::attested_consent(
            &self.town,
            "first-visit",
            &text["text_hash"],
            "midori-clinic",
            self.town.child_at_city(),
            "resident-agreed",
        );
        let summary = world.json(&desk.http, Method::GET, "/v1/texts/online-consultation", &desk.token, None).await;
        let mut for_summary = body.clone();
        for_summary["terms"]["purpose"] = json!("online-consultation");
        for_summary["terms"]["categories"] = json!(["identity@1", "vaccination@1"]);
        for_summary["terms"]["text_hash"] = summary.unwrap()["text_hash"].clone();
        for_summary["terms"]["booking"] = json!({"reference": booking, "visit_at": self.town.in_seconds(3_600)});
        let mut made = Value::Null;
        for body in [for_summary, body] {
            made =
                world.json(&desk.http, Method::POST, "/v1/attested/consents", &desk.token, Some(&body)).await.unwrap();
        }
        let consent = made["id"].as_str().unwrap().to_owned();
        let clinic = self.desk(Seat::ClinicMachine).unwrap();
        let path = format!("/v1/consents/{consent}");
        let seen = world.json(&clinic.http, Method::GET, &path, &clinic.token, None).await.unwrap();
        (consent, seen["patient"].as_str().unwrap().to_owned())
    }

    /// The client and token with which a seat asks the API; none without a token.
    pub fn desk(&self, seat: Seat) -> Option<Desk> {
        let world = &self.town.world;
        let with = |identity: &Identity| {
            let tls = client_config(world.ca.roots().unwrap(), Some(identity), ALPN_H1).unwrap();
            HttpClient::new(tls, Limits { connect_ms: 5_000, total_ms: 60_000, body_bytes_max: 1 << 20 })
        };
        let minted = |identity: &Identity, client: &str, sub: &str, scope: &str| {
            let mut request = MintRequest::new(sub, client, &world.url);
            (request.cert_thumbprint, request.scope, request.ttl_s) =
                (Some(identity.thumbprint()), scope.to_owned(), 3_600);
            world.token(request).unwrap()
        };
        let staff = format!("{CLINIC_SCOPE} consent/attest");
        let of = |client: &'static str, sub: &str, scope: &str| {
            let identity = &self.certificates[client];
            Some(Desk { http: with(identity), token: minted(identity, client, sub, scope) })
        };
        let app = |sub: &str| minted(&world.app, APP_CLIENT, sub, APP_SCOPE);
        match seat {
            Seat::Nobody | Seat::Portal => None,
            Seat::App => Some(Desk { http: world.app_http.clone(), token: app("agreed") }),
            Seat::AppBare => Some(Desk { http: world.browser.clone(), token: app("agreed") }),
            Seat::AppMachine => Some(Desk { http: world.app_http.clone(), token: app(APP_CLIENT) }),
            Seat::AppKeptOut => Some(Desk { http: world.app_http.clone(), token: app("of-kept-out") }),
            Seat::OtherApp => of("aoba-app", "agreed", APP_SCOPE),
            Seat::ClinicStaff => {
                let token = minted(&world.clinic, CLINIC_CLIENT, "doctor-sato", &staff);
                Some(Desk { http: world.clinic_http.clone(), token })
            }
            Seat::ClinicMachine => Some(Desk { http: world.clinic_http.clone(), token: world.clinic_token().unwrap() }),
            Seat::CityStaff => of(CITY_CLIENT, "clerk-yamada", &staff),
            Seat::OtherCity => of("chofu-desk", "clerk-suzuki", &staff),
            _ if is_staff(seat) => {
                let token = self.desks.as_ref().unwrap().token(&self.town, seat);
                Some(Desk { http: world.browser.clone(), token })
            }
            _ => {
                let token = world.person_token(login_of(seat).unwrap()).unwrap();
                Some(Desk { http: world.browser.clone(), token })
            }
        }
    }

    /// A client with the portal's certificate.
    pub fn portal(&self) -> HttpClient {
        let roots = self.town.world.ca.roots().unwrap();
        let tls = client_config(roots, Some(&self.certificates["the-portal"]), ALPN_H1).unwrap();
        HttpClient::new(tls, Limits::default())
    }

    /// What was done by somebody who may not.
    pub async fn touched(&self) -> Vec<String> {
        let store = &self.town.gateway.app().store;
        let mut wrong = Vec::new();
        for (whose, target) in &self.targets {
            let dossier = store.dossier(TextId::parse(&target.subject).unwrap()).await.unwrap();
            let records = &dossier.subject.records;
            let mut must = |holds: bool, what: &str| (!holds).then(|| wrong.push(format!("{whose:?}: {what}")));
            let consent = records.consents.iter().find(|c| c.id.text() == target.consent).unwrap();
            must(consent.ended_at.is_none(), "its consent was ended");
            let refusal = records.refusals.iter().find(|r| r.id.text() == target.refusal).unwrap();
            must(refusal.lift.is_none(), "its refusal was lifted");
            let made = if [Whose::JointWard, Whose::Attested].contains(whose) { 2 } else { 1 };
            must(records.refusals.len() == made, "something about it was refused");
            let own = [Whose::FormerWard, Whose::BlockedWard].contains(whose);
            let proposer = if own { "sole" } else { whose.by() };
            let dossier = store.dossier(TextId::parse(&self.people[proposer]).unwrap()).await.unwrap();
            let proposal = dossier.papers.proposals.iter().find(|p| p.consent.text() == target.proposal).unwrap();
            must(!proposal.declined, "its proposal was answered");
        }
        wrong
    }
}

fn login_of(seat: Seat) -> Option<&'static str> {
    LOGINS.iter().find(|(of, _)| *of == seat).map(|(_, login)| *login)
}

/// Whether a seat is one of staff at the counter's pages.
pub fn is_staff(seat: Seat) -> bool {
    desks::STAFF.contains(&seat)
}
