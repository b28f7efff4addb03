//! What is counted and timed, for the operator. Nothing about anybody: every label is a name from the configuration or
//! one of a fixed list, so that neither a person nor a token can ever become one.
//!
//! Children of labelled metrics are resolved once, here; what counts is atomic additions, without a lock or an
//! allocation. What can be looked at is not counted: [`Looked`] is set when somebody reads.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};

use crate::config::Config;
use crate::ledger::event::{ForwardEnd, Outcome};
use crate::request::token::TokenError;

/// How a request for data ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ended {
    /// A permit for everything that was asked.
    Permitted,
    /// A permit for some of it.
    Partly,
    /// A denial.
    Denied,
    /// The caller was not accepted.
    Unauthenticated,
    /// No route, no scope, no party: nothing to decide.
    NotAQuestion,
    /// Permitted, but the source gave nothing to pass on: failed, slow, sign-in needed, not offered.
    Source,
    /// No free place, or something could not be read or recorded.
    #[default]
    Busy,
}

/// In the order of [`Ended`].
const ENDED: [&str; 7] =
    ["permitted", "partly", "denied", "unauthenticated", "not-a-question", "failed-source", "busy"];
/// In the order of [`ForwardEnd`].
const DELIVERIES: [&str; 4] = ["delivered", "stopped", "late", "refused"];
const OUTCOMES: [&str; 4] = ["complete", "cut", "failed", "nothing-sent"];
/// In the order of [`TokenError`], which is what they are counted by; and one for proofs of possession, one for certificates.
const REFUSALS: [&str; 15] = [
    "missing",
    "too-long",
    "malformed",
    "key-in-header",
    "algorithm",
    "issuer",
    "unknown-key",
    "keys-unavailable",
    "signature",
    "expired",
    "not-yet",
    "audience",
    "binding",
    "proof",
    "certificate",
];
/// Label of what reached no route.
const NO_ROUTE: &str = "none";

/// From a tenth of a millisecond to half a minute.
const SECONDS: [f64; 15] =
    [0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0];
const ENTRIES: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

type Made<T> = Result<T, prometheus::Error>;

/// Counts one thing by a fixed list of labels.
struct ByLabel<const N: usize>([IntCounter; N]);

impl<const N: usize> ByLabel<N> {
    fn inc(&self, at: usize) {
        if let Some(counter) = self.0.get(at) {
            counter.inc();
        }
    }
}

/// Counters and timers of the ledger's writer.
#[derive(Clone)]
pub struct Writing {
    /// Entries made durable together.
    pub group: Histogram,
    /// How long making a group durable took.
    pub sync: Histogram,
    /// Entries in the ledger.
    pub entries: IntGauge,
}

/// Everything that is counted and timed.
pub struct Metrics {
    registry: Registry,
    by_configuration: ArcSwap<ByConfiguration>,
    requests: IntCounterVec,
    fetches_failed: IntCounterVec,
    no_route: ByLabel<7>,
    /// From a whole request head to the response's head.
    pub request: Histogram,
    /// The decision, until it is durable.
    pub decision: Histogram,
    /// Asking a source, all pages.
    pub source: Histogram,
    /// Releases under way.
    pub releases: IntGauge,
    outcomes: ByLabel<4>,
    deliveries: ByLabel<4>,
    /// A barrier, until nothing more can leave.
    pub barrier: Histogram,
    /// The ledger's writer.
    pub writing: Writing,
    /// Open connections at the public port.
    pub connections: IntGauge,
    /// Connections that were turned away because there were too many.
    pub turned_away: IntCounter,
    /// TLS handshakes that failed or took too long.
    pub handshakes_failed: IntCounter,
    /// Calls for a human that were not taken.
    pub alerts_not_taken: IntCounter,
    /// Clinics' staff said that whom they were shown is not their patient.
    pub not_their_patient: IntCounter,
    refusals: ByLabel<15>,
    /// What is looked at.
    pub looked: Looked,
}

/// What nobody counts: set just before it is read.
pub struct Looked {
    /// Index records that wait to be written.
    pub backlog: IntGauge,
    /// Deliveries that wait.
    pub deliveries_waiting: IntGauge,
    /// Seconds since the newest checkpoint.
    pub checkpoint_age: Gauge,
    /// Free space of the data directory's disk, in bytes.
    pub disk_free: IntGauge,
    /// Seconds until each of our own certificates ends.
    pub certificates: GaugeVec,
}

struct Maker(Registry);

impl Maker {
    fn add<T: Collector + Clone + 'static>(&self, made: Made<T>) -> Made<T> {
        let made = made?;
        self.0.register(Box::new(made.clone()))?;
        Ok(made)
    }

    fn count(&self, name: &str, help: &str) -> Made<IntCounter> {
        self.add(IntCounter::new(name, help))
    }

    fn gauge(&self, name: &str, help: &str) -> Made<IntGauge> {
        self.add(IntGauge::new(name, help))
    }

    fn time(&self, name: &str, help: &str) -> Made<Histogram> {
        self.histogram(name, help, &SECONDS)
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Made<Histogram> {
        self.add(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.to_vec())))
    }

    fn by(&self, name: &str, help: &str, labels: &[&str]) -> Made<IntCounterVec> {
        self.add(IntCounterVec::new(Opts::new(name, help), labels))
    }
}

fn fixed<const N: usize>(vec: &IntCounterVec, labels: [&str; N]) -> ByLabel<N> {
    ByLabel(labels.map(|label| vec.with_label_values(&[label])))
}

/// Counters whose labels are names from the configuration.
struct ByConfiguration {
    routes: HashMap<String, ByLabel<7>>,
    issuers: HashMap<String, IntCounter>,
}

impl ByConfiguration {
    fn new(config: &Config, requests: &IntCounterVec, fetches_failed: &IntCounterVec) -> Self {
        let of_issuer = |url: &String| (url.clone(), fetches_failed.with_label_values(&[url]));
        Self {
            routes: config.routes.iter().map(|r| (r.name.clone(), by_ending(requests, &r.name))).collect(),
            issuers: config.issuers.iter().map(|issuer| of_issuer(&issuer.url)).collect(),
        }
    }
}

fn by_ending(requests: &IntCounterVec, route: &str) -> ByLabel<7> {
    ByLabel(ENDED.map(|ended| requests.with_label_values(&[route, ended])))
}

impl Metrics {
    /// For this configuration's routes and issuers.
    ///
    /// # Errors
    /// When a name is used twice, which is a mistake in here.
    pub fn new(config: &Config) -> Made<Self> {
        let maker = Maker(Registry::new());
        let requests = maker.by(
            "sekisho_requests_total",
            "Requests for data, by route and how they ended.",
            &["route", "ended"],
        )?;
        let outcomes = maker.by("sekisho_releases_total", "Releases that are over, by outcome.", &["outcome"])?;
        let deliveries = maker.by("sekisho_deliveries_total", "Deliveries that are over, by how.", &["end"])?;
        let refusals = maker.by("sekisho_callers_refused_total", "Callers that were not accepted.", &["reason"])?;
        let fetches = maker.by("sekisho_issuer_key_fetches_failed_total", "Failed fetches of keys.", &["issuer"])?;
        let build = maker.by("sekisho_build_info", "The version that runs.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).inc();
        Ok(Self {
            by_configuration: ArcSwap::from_pointee(ByConfiguration::new(config, &requests, &fetches)),
            no_route: by_ending(&requests, NO_ROUTE),
            request: maker.time("sekisho_request_seconds", "Requests for data, up to the answer's head.")?,
            decision: maker.time("sekisho_decision_seconds", "Decisions, until they are durable.")?,
            source: maker.time("sekisho_source_seconds", "Asking a source, all pages.")?,
            releases: maker.gauge("sekisho_releases_under_way", "Releases under way.")?,
            outcomes: fixed(&outcomes, OUTCOMES),
            deliveries: fixed(&deliveries, DELIVERIES),
            barrier: maker.time("sekisho_barrier_seconds", "Barriers, until nothing more can leave.")?,
            writing: Writing {
                group: maker.histogram("sekisho_ledger_group_entries", "Entries made durable together.", &ENTRIES)?,
                sync: maker.time("sekisho_ledger_sync_seconds", "Making a group of entries durable.")?,
                entries: maker.gauge("sekisho_ledger_entries", "Entries in the ledger.")?,
            },
            connections: maker.gauge("sekisho_connections", "Open connections at the public port.")?,
            turned_away: maker.count("sekisho_connections_turned_away_total", "Connections beyond the most.")?,
            handshakes_failed: maker.count("sekisho_tls_handshakes_failed_total", "Handshakes failed or too slow.")?,
            alerts_not_taken: maker.count(
                "sekisho_alerts_not_taken_total",
                "Calls for a human at a consultation service that were not taken. They are made again.",
            )?,
            not_their_patient: maker.count(
                "sekisho_not_their_patient_total",
                "Staff said that whom they were shown is not their patient.",
            )?,
            refusals: fixed(&refusals, REFUSALS),
            looked: Looked {
                backlog: maker.gauge("sekisho_index_backlog_records", "Index records that wait to be written.")?,
                deliveries_waiting: maker.gauge("sekisho_deliveries_waiting", "Deliveries that wait.")?,
                checkpoint_age: maker
                    .add(Gauge::new("sekisho_checkpoint_age_seconds", "Since the newest checkpoint."))?,
                disk_free: maker.gauge("sekisho_disk_free_bytes", "Free on the disk of the data directory.")?,
                certificates: maker.add(GaugeVec::new(
                    Opts::new("sekisho_certificate_ends_in_seconds", "Until each of our own certificates ends."),
                    &["certificate"],
                ))?,
            },
            registry: maker.0,
            requests,
            fetches_failed: fetches,
        })
    }

    /// Counts the routes and issuers of this configuration from now on, those that it has in common with the one before
    /// further.
    pub fn cover(&self, config: &Config) {
        let next = ByConfiguration::new(config, &self.requests, &self.fetches_failed);
        self.by_configuration.store(Arc::new(next));
    }

    /// Everything, in Prometheus's text format.
    ///
    /// # Errors
    /// When it can't be written, which is a mistake in here.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }

    /// A request for data came to its answer; `route` where it reached one.
    pub fn ended(&self, route: Option<&str>, ended: Ended, took: Duration) {
        let configured = self.by_configuration.load();
        let counters = route.and_then(|route| configured.routes.get(route)).unwrap_or(&self.no_route);
        counters.inc(ended as usize);
        self.request.observe(took.as_secs_f64());
    }

    /// A release is over.
    pub fn released(&self, outcome: Outcome) {
        self.releases.dec();
        self.outcomes.inc(match outcome {
            Outcome::Complete => 0,
            Outcome::Cut => 1,
            Outcome::Failed | Outcome::Unknown => 2,
            Outcome::NothingSent => 3,
        });
    }

    /// A delivery is over.
    pub fn forwarded(&self, end: ForwardEnd) {
        self.deliveries.inc(end as usize);
    }

    /// A caller's token was not accepted.
    pub fn token_refused(&self, error: TokenError) {
        self.refusals.inc(error as usize);
    }

    /// A caller's proof of possession was not accepted.
    pub fn proof_refused(&self) {
        self.refusals.inc(REFUSALS.len() - 2);
    }

    /// A caller's certificate was not accepted.
    pub fn certificate_refused(&self) {
        self.refusals.inc(REFUSALS.len() - 1);
    }

    /// An issuer's keys could not be fetched.
    pub fn key_fetch_failed(&self, issuer: &str) {
        if let Some(counter) = self.by_configuration.load().issuers.get(issuer) {
            counter.inc();
        }
    }
}
