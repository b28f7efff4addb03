//! Requests whose end is in dispute, over kept connections: what is hidden in them is never answered nor asked for, and
//! the next request on the connection gets its own answer or none.

use std::collections::HashSet;
use std::net::SocketAddr;

use sekisho::ids::TextId;
use sekisho_adapters::certs::ALPN_H1;
use sekisho_policy::PersonId;
use sekisho_tests::town::Town;

use crate::dice::Campaign;
use crate::framing::{Case, Words, cases};
use crate::http1::{Answer, Http1, authority, connect, tls};
use crate::http2::{self, End, Http2};
use crate::misframing;

/// Requests that can be told apart by their answer, and by what the source is asked: each names another day.
struct Days(i64);

impl Days {
    fn next(&mut self) -> String {
        self.0 += 1;
        let day = jiff::civil::date(1900, 1, 1).checked_add(jiff::Span::new().days(self.0)).unwrap();
        format!("ge{day}")
    }
}

struct Trial {
    town: Town,
    patient: String,
    token: String,
    host: String,
    days: Days,
    /// Days that stand in requests which are really made.
    made: HashSet<String>,
}

/// What came back for one case.
struct Outcome {
    answers: Vec<Answer>,
    open: String,
    hidden: String,
    next: String,
}

impl Outcome {
    /// What is wrong with it, if anything.
    fn fault(&self, case: &Case) -> Option<&'static str> {
        let to = |day: &str| self.answers.iter().position(|a| a.body.contains(day));
        if to(&self.hidden).is_some() {
            return Some("the hidden request was answered");
        }
        if self.answers.len() > 2 {
            return Some("more answers than requests");
        }
        if to(&self.next).is_some_and(|at| at == 0) {
            return Some("the next request got the first one's answer");
        }
        if case.answers.is_some_and(|n| n != self.answers.len())
            || (case.answers == Some(2) && to(&self.next) != Some(1))
        {
            return Some("nothing was in dispute, but not everything was answered");
        }
        None
    }
}

impl Trial {
    async fn open() -> Self {
        let town = Town::open().await;
        let (_, patient) = town.consent().await;
        let token = town.world.app_token(town.mother()).unwrap();
        let host = authority(&town.world);
        let _ = town.world.city.take_targets();
        Self { patient, token, host, days: Days(0), made: HashSet::new(), town }
    }

    fn target(&self, day: &str) -> String {
        format!("/fhir/Immunization?patient={}&date={day}", self.patient)
    }

    /// Sends one case and the next request in one go, and reads until the connection ends.
    async fn send(&mut self, to: SocketAddr, pick: impl Fn(&Words<'_>) -> Case) -> (Case, Outcome) {
        let [open, hidden, next] = [self.days.next(), self.days.next(), self.days.next()];
        self.made.extend([open.clone(), next.clone()]);
        let (target, hidden_target) = (self.target(&open), self.target(&hidden));
        let words = Words {
            host: &self.host,
            token: &self.token,
            open: &target,
            hidden: &hidden_target,
            swallows: false,
            method: "GET",
        };
        let case = pick(&words);
        let after = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
            self.target(&next),
            self.host,
            self.token
        );
        let mut connection = Http1::over(connect(to, tls(&self.town.world, ALPN_H1)).await);
        connection.send(&[&case.bytes, after.as_bytes()].concat()).await;
        let mut answers = Vec::new();
        while let Some(answer) = connection.answer().await {
            answers.push(answer);
        }
        (case, Outcome { answers, open, hidden, next })
    }

    /// How many cases there are.
    fn count(&self) -> usize {
        let words = Words { host: "h", token: "t", open: "/", hidden: "/", swallows: false, method: "GET" };
        cases(&words).len()
    }

    /// One case by its number: as it is or swallowing, on data or on the API.
    async fn nth(&mut self, to: SocketAddr, at: usize, swallows: bool, method: &str) -> (Case, Outcome) {
        self.send(to, |words| {
            let open = if method == "GET" { words.open } else { "/v1/consents" };
            cases(&Words { swallows, method, open, ..*words }).swap_remove(at)
        })
        .await
    }

    fn decisions(&self) -> usize {
        let child = PersonId::parse(self.town.child()).unwrap();
        self.town.gateway.app().store.access_log(child, u64::MAX, 1_000_000).unwrap().len()
    }

    /// The source was asked for what was really asked, once each, and no oftener than decisions stand in the ledger.
    fn source_saw_only_what_was_decided_on(&self, decided: usize) -> usize {
        let seen = self.town.world.city.take_targets();
        let at_city = self.town.child_at_city();
        let mut once = HashSet::new();
        for target in &seen {
            let day = target.strip_prefix(&format!("/fhir/Immunization?patient={at_city}&date="));
            let day = day.unwrap_or_else(|| panic!("the source was asked for {target}"));
            assert!(self.made.contains(day), "the source was asked for what was hidden: {target}");
            assert!(once.insert(day), "the source was asked twice: {target}");
        }
        assert_eq!(self.decisions() - decided, seen.len(), "as many decisions as questions to the source");
        seen.len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_in_a_request_is_never_answered() {
    let mut trial = Trial::open().await;
    let (to, count) = (trial.town.gateway.address, trial.count());
    let mut campaign = Campaign::new("desync", count * 4);
    let decided = trial.decisions();
    let (mut kept, mut both) = (0, 0);
    for (method, swallows) in [("GET", false), ("GET", true), ("POST", false), ("POST", true)] {
        for at in 0..count {
            let (case, outcome) = trial.nth(to, at, swallows, method).await;
            if let Some(fault) = outcome.fault(&case) {
                campaign.finding(format!("{}: {fault}", case.what));
            }
            kept += usize::from(outcome.answers.len() == 2);
            both += usize::from(outcome.answers.iter().any(|a| a.body.contains(&outcome.open)));
            campaign.step();
        }
    }
    let asked = trial.source_saw_only_what_was_decided_on(decided);
    trial.town.gateway.stop().await;
    campaign.end(&format!(
        "0 desyncs; {both} answered, {kept} with the next request on the same connection; {asked} questions to the source"
    ));
}

/// The campaign against a server that is misled: it must see it.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_misled_is_noticed() {
    let mut trial = Trial::open().await;
    let (to, count) = (misframing::start(&trial.town).await, trial.count());
    let (mut noticed, mut plain) = (0, 0);
    for at in 0..count {
        let (case, outcome) = trial.nth(to, at, false, "GET").await;
        let fault = outcome.fault(&case);
        noticed += usize::from(fault == Some("the hidden request was answered"));
        plain += usize::from(case.answers == Some(2) && fault.is_none());
    }
    println!("desync: {noticed} of {count} cases mislead the server that is made for it");
    assert!(noticed > count / 2, "only {noticed} of {count}");
    assert_eq!(plain, 2, "where nothing follows the head, or no line of it, even that server is right");
    trial.town.gateway.stop().await;
}

/// What must not be carried from HTTP/2 into HTTP/1.1, or would say there where a message ends.
const FORBIDDEN: &[(&str, &str)] = &[
    ("connection", "keep-alive"),
    ("connection", "x-hidden"),
    ("keep-alive", "timeout=5"),
    ("proxy-connection", "keep-alive"),
    ("transfer-encoding", "chunked"),
    ("upgrade", "h2c"),
    ("te", "gzip"),
    ("te", "trailers, chunked"),
    ("content-length", "5"),
    ("content-length", "x"),
    ("content-length", "0, 5"),
    ("Transfer-Encoding", "chunked"),
    ("X-Upper", "y"),
    ("transfer-encoding\r\nx", "chunked"),
    ("x y", "z"),
    ("x:", "y"),
    ("", "y"),
    ("x", "y\r\ntransfer-encoding: chunked"),
    ("x", "y\r\n\r\nGET /fhir/Immunization?patient=HIDDEN HTTP/1.1\r\nhost: x\r\n\r\n"),
    ("x", "y\nz: w"),
    ("x", "y\rz: w"),
    ("x", "y\0z"),
    ("x", " y"),
    ("cookie", "a=b\r\nc: d"),
    ("host", "localhost\r\nx: y"),
];

#[tokio::test(flavor = "multi_thread")]
async fn forbidden_fields_of_http2_reach_no_source() {
    let mut trial = Trial::open().await;
    let mut campaign = Campaign::new("h2 to h1", FORBIDDEN.len() * 4);
    let decided = trial.decisions();
    let bearer = format!("Bearer {}", trial.token);
    let mut open = Http2::open(&trial.town.world).await;
    for (name, value) in FORBIDDEN {
        for (at, body) in
            [(4, None), (9, None), (9, Some(&b""[..])), (9, Some(&b"0\r\n\r\nGET /x HTTP/1.1\r\n\r\n"[..]))]
        {
            let day = trial.days.next();
            trial.made.insert(day.clone());
            let mut fields = http2::get(&trial.target(&day), &trial.host, &[("authorization", &bearer)]);
            fields.insert(at.min(fields.len()), (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
            let end = open.ask_with(&http2::block(&fields), body).await;
            if let End::Answer { status: 200, body } = &end {
                assert!(body.contains(&day), "{name:?} = {value:?}: another's answer: {body}");
                let seen = trial.town.world.city.last_headers().unwrap();
                let mut names: Vec<&str> = seen.keys().map(http::HeaderName::as_str).collect();
                names.sort_unstable();
                assert_eq!(names, ["accept", "host"], "{name:?} = {value:?} went on to the source");
            }
            if matches!(end, End::Gone) {
                open = Http2::open(&trial.town.world).await;
            }
            // The next request on the connection, if it is still open, gets its own answer.
            let day = trial.days.next();
            trial.made.insert(day.clone());
            let fields = http2::get(&trial.target(&day), &trial.host, &[("authorization", &bearer)]);
            match open.ask(&http2::block(&fields)).await {
                End::Answer { status: 200, body } => assert!(body.contains(&day), "{name:?} = {value:?}: {body}"),
                End::Gone => open = Http2::open(&trial.town.world).await,
                other => panic!("{name:?} = {value:?}: the next request: {other:?}"),
            }
            campaign.step();
        }
    }
    let asked = trial.source_saw_only_what_was_decided_on(decided);
    drop(open);
    trial.town.gateway.stop().await;
    campaign.end(&format!("0 desyncs; {asked} questions to the source"));
}
