//! Hostile paths, hosts and pseudo-header fields: nothing is released, or even decided, under another route than the one
//! whose only spelling was sent.

use sekisho::ids::TextId;
use sekisho_policy::PersonId;
use sekisho_tests::town::{Town, standing_clock};

use crate::dice::{Campaign, long};
use crate::http1::{self, Http1};
use crate::http2::{self, End, Http2};
use crate::pseudo;
use crate::public;
use crate::targets::Targets;

/// Targets of the short form, over each protocol.
const SHORT: usize = 500;
/// Statuses that say "no such thing": what is decided on never gets one of these, except 404, which is counted below.
const NOTHING: [u16; 6] = [400, 404, 405, 414, 421, 431];
/// Two routes more than the demo's: one with the patient in the path, one that the app's token has no scope for.
const ROUTES: &str = r#"
[[route]]
name = "history-of"
path = "/history/{patient}"
purpose = "phr-view"
categories = ["vaccination@1"]
source = "fuchu-city"
source_path = "/Patient/{patient}"
scope = "patient/Immunization.rs"
read = true

[[route]]
name = "internal"
path = "/fhir/internal/Immunization"
subject = "patient"
purpose = "phr-view"
categories = ["vaccination@1"]
source = "fuchu-city"
source_path = "/Immunization"
scope = "system/internal"
"#;

struct Trial {
    town: Town,
    patient: String,
    token: String,
    host: String,
    http1: Option<Http1>,
    http2: Option<Http2>,
}

impl Trial {
    /// Closes the connections, which the gateway would wait for, and stops it.
    async fn close(self) {
        drop((self.http1, self.http2));
        self.town.gateway.stop().await;
    }

    async fn open() -> Self {
        let town = Town::open_with(standing_clock(), |text| format!("{text}{ROUTES}")).await;
        let (_, patient) = town.consent().await;
        let token = town.world.app_token(town.mother()).unwrap();
        let host = http1::authority(&town.world);
        let trial = Self { patient, token, host, http1: None, http2: None, town };
        let _ = trial.town.world.city.take_targets();
        trial
    }

    /// The status over HTTP/1.1 of a request with exactly these bytes; none when the connection is closed instead.
    async fn over_http1(&mut self, head: &[u8]) -> Option<u16> {
        let mut open = match self.http1.take() {
            Some(open) => open,
            None => Http1::open(&self.town.world).await,
        };
        open.send(head).await;
        let answer = open.answer().await?;
        // After a refusal by the parser the connection ends, whatever the answer says.
        self.http1 = Some(open).filter(|_| answer.status != 400 && answer.status != 414 && answer.status != 431);
        Some(answer.status)
    }

    async fn over_http2(&mut self, fields: &[http2::Field]) -> Option<u16> {
        let mut open = match self.http2.take() {
            Some(open) => open,
            None => Http2::open(&self.town.world).await,
        };
        let end = open.ask(&http2::block(fields)).await;
        if !matches!(end, End::Gone) {
            self.http2 = Some(open);
        }
        match end {
            End::Answer { status, .. } => Some(status),
            End::Reset | End::Gone => None,
        }
    }

    fn head(&self, target: &str) -> String {
        format!("GET {target} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\r\n", self.host, self.token)
    }

    fn fields(&self, target: &str) -> Vec<http2::Field> {
        let bearer = format!("Bearer {}", self.token);
        http2::get(target, &self.host, &[("authorization", &bearer)])
    }

    /// Sends a target over both protocols: neither may answer as if there were such a thing.
    async fn is_nothing(&mut self, target: &str, campaign: &mut Campaign) {
        let (head, fields) = (self.head(target), self.fields(target));
        let first = self.over_http1(head.as_bytes()).await;
        let second = self.over_http2(&fields).await;
        for status in [first, second].into_iter().flatten() {
            if !NOTHING.contains(&status) {
                campaign.finding(format!("{target}: {first:?} over HTTP/1.1, {second:?} over HTTP/2"));
            }
        }
        campaign.step();
    }

    /// Decisions recorded about the child.
    fn decisions(&self) -> usize {
        let child = PersonId::parse(self.town.child()).unwrap();
        self.town.gateway.app().store.access_log(child, u64::MAX, 1_000_000).unwrap().len()
    }

    /// The one spelling of each route passes over both protocols, and the source is asked by each as the route says.
    async fn good_passes(&mut self) {
        let at_city = self.town.child_at_city().to_owned();
        let history = format!("/fhir/Immunization?patient={}", self.patient);
        let of = format!("/history/{}", self.patient);
        let internal = format!("/fhir/internal/Immunization?patient={}", self.patient);
        let _ = self.town.world.city.take_targets();
        let before = self.decisions();
        // A vaccination consent lets no Patient resource pass, so that the second route releases nothing but asks.
        for (target, status) in [(&history, 200), (&of, 404), (&internal, 403)] {
            let (head, fields) = (self.head(target), self.fields(target));
            assert_eq!(self.over_http1(head.as_bytes()).await, Some(status), "{target}");
            assert_eq!(self.over_http2(&fields).await, Some(status), "{target}");
        }
        let (search, read) = (format!("/fhir/Immunization?patient={at_city}"), format!("/fhir/Patient/{at_city}"));
        assert_eq!(self.town.world.city.take_targets(), [search.as_str(), &search, &read, &read]);
        assert_eq!(self.decisions() - before, 4);
    }

    /// Nothing came of any of it.
    async fn nothing_came_of_it(&self, decided: usize) {
        assert_eq!(self.town.world.city.take_targets(), Vec::<String>::new(), "a source was asked");
        assert_eq!(self.decisions(), decided, "something was decided on");
    }

    fn is_normal(&self, target: &str) -> bool {
        let p = &self.patient;
        // HTTP libraries leave out a fragment, which belongs to nobody's request target.
        let target = target.split('#').next().unwrap_or_default();
        let with_query = [
            "/fhir/Immunization",
            "/portal/Immunization",
            "/fhir/internal/Immunization",
            "/first-visit/Immunization",
            "/v1/me",
        ];
        with_query
            .iter()
            .any(|path| target == format!("{path}?patient={p}") || target == format!("{path}?patient=Patient/{p}"))
            || target == format!("/history/{p}")
            || target == format!("/fhir/Patient/{p}")
            || target == "/v1/me"
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_paths_reach_no_route() {
    let mut trial = Trial::open().await;
    trial.good_passes().await;
    let p = trial.patient.clone();
    let paths = ["/fhir/Immunization", "/fhir/internal/Immunization", "/v1/me", &format!("/history/{p}")];
    let mut dice = crate::dice::Dice::new(crate::dice::seed());
    let mut targets = Targets::new(&paths, &p, &mut dice);
    let planned = long().map_or(SHORT, |n| targets.systematic().max(n / 10));
    let mut campaign = Campaign::new("paths", planned);
    let decided = trial.decisions();
    for _ in 0..planned {
        let mut target = targets.next(&mut dice);
        while trial.is_normal(&target) {
            target = targets.next(&mut dice);
        }
        trial.is_nothing(&target, &mut campaign).await;
    }
    trial.nothing_came_of_it(decided).await;
    trial.good_passes().await;
    trial.close().await;
    campaign.end("over each of two protocols; 0 decided on, 0 sources asked");
}

/// Every line of a public list, in each encoding, at each place, over both protocols.
#[tokio::test(flavor = "multi_thread")]
async fn a_public_list_of_traversals_reaches_no_route() {
    let Some(lines) = public::lines() else {
        println!("public paths: NOT RUN, Debian's package wfuzz is not installed (scripts/install-test-tools)");
        return;
    };
    let mut trial = Trial::open().await;
    trial.good_passes().await;
    let p = trial.patient.clone();
    let paths = ["/fhir/Immunization", &format!("/history/{p}")];
    let mut targets = Vec::new();
    for spelling in lines.iter().flat_map(|line| public::encodings(line)) {
        targets.extend(paths.iter().flat_map(|path| public::placed(&spelling, path)));
    }
    let with_query = |t: String| if t.contains('?') { t } else { format!("{t}?patient={p}") };
    let every = if long().is_some() { 1 } else { targets.len() / SHORT };
    let targets: Vec<String> = targets.into_iter().step_by(every.max(1)).map(with_query).collect();
    let mut campaign = Campaign::new("public paths", targets.len());
    let decided = trial.decisions();
    for target in targets.iter().filter(|target| !trial.is_normal(target)).cloned().collect::<Vec<_>>() {
        trial.is_nothing(&target, &mut campaign).await;
    }
    trial.nothing_came_of_it(decided).await;
    trial.good_passes().await;
    trial.close().await;
    campaign.end(&format!("{} lines; over each of two protocols; 0 decided on, 0 sources asked", lines.len()));
}

/// Ids that are none, in a query that is in its normal form: they are nobody's, and nobody's records are asked for.
#[tokio::test(flavor = "multi_thread")]
async fn ids_that_climb_name_nobody() {
    let mut trial = Trial::open().await;
    trial.good_passes().await;
    let decided = trial.decisions();
    for named in
        ["{p}/../{p}", "../{p}", "/{p}", "Patient//{p}", "Patient/Patient/{p}", "urn:uuid:{p}", "{p}/.", "..", "/"]
    {
        let target = format!("/fhir/Immunization?patient={}", named.replace("{p}", &trial.patient));
        let (head, fields) = (trial.head(&target), trial.fields(&target));
        assert_eq!(trial.over_http1(head.as_bytes()).await, Some(200), "{target}: an empty searchset");
        assert_eq!(trial.over_http2(&fields).await, Some(200), "{target}: an empty searchset");
    }
    trial.nothing_came_of_it(decided).await;
    // What a route lets pass to the source stays a parameter there.
    let target = format!("/fhir/Immunization?patient={}&date=../../Patient", trial.patient);
    let head = trial.head(&target);
    assert_eq!(trial.over_http1(head.as_bytes()).await, Some(200));
    let asked = format!("/fhir/Immunization?patient={}&date=..%2F..%2FPatient", trial.town.child_at_city());
    assert_eq!(trial.town.world.city.take_targets(), [asked]);
    trial.close().await;
}

/// HTTP libraries drop a fragment before anybody sees it. What comes of it is what would have come without.
#[tokio::test(flavor = "multi_thread")]
async fn a_fragment_changes_nothing() {
    let mut trial = Trial::open().await;
    let target = format!("/fhir/Immunization?patient={}#/../../history/x?patient=y", trial.patient);
    let (head, fields) = (trial.head(&target), trial.fields(&target));
    let decided = trial.decisions();
    assert_eq!(trial.over_http1(head.as_bytes()).await, Some(200));
    assert_eq!(trial.over_http2(&fields).await, Some(200));
    let asked = format!("/fhir/Immunization?patient={}", trial.town.child_at_city());
    assert_eq!(trial.town.world.city.take_targets(), [asked.as_str(), &asked]);
    assert_eq!(trial.decisions() - decided, 2);
    trial.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_and_pseudo_headers_that_are_not_ours_reach_no_route() {
    let mut trial = Trial::open().await;
    trial.good_passes().await;
    let heads = pseudo::heads(&trial.host, &trial.token, &trial.patient);
    let lists = pseudo::field_lists(&trial.host, &trial.token, &trial.patient);
    let mut campaign = Campaign::new("hosts", heads.len() + lists.len());
    let decided = trial.decisions();
    for head in heads {
        let status = trial.over_http1(&head).await;
        let text = String::from_utf8_lossy(&head).replace(&trial.token, "…");
        if status.is_some_and(|s| !NOTHING.contains(&s)) {
            campaign.finding(format!("{status:?}: {text}"));
        }
        campaign.step();
    }
    for fields in lists {
        let status = trial.over_http2(&fields).await;
        if status.is_some_and(|s| !NOTHING.contains(&s)) {
            let text = |(n, v): &http2::Field| String::from_utf8_lossy(&[n, &b" = "[..], v].concat()).into_owned();
            let text = fields.iter().map(text).collect::<Vec<_>>().join(", ").replace(&trial.token, "…");
            campaign.finding(format!("{status:?}: {text}"));
        }
        campaign.step();
    }
    trial.nothing_came_of_it(decided).await;
    trial.good_passes().await;
    trial.close().await;
    campaign.end("0 decided on, 0 sources asked");
}
