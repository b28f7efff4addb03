//! Revocation with a thousand releases in flight, of that consent and of other people's, over HTTP/1.1 and HTTP/2, to fast,
//! slow and stalled readers: the acknowledgement is quick, not one byte of what was revoked arrives after it, and other
//! people's streams, on the same connections, come whole.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use rustls::ClientConfig;
use sekisho_adapters::certs::ALPN_H1;
use sekisho_adapters::fhir_server::stand_in::Knobs;
use sekisho_tests::reader::{Got, Pace, Reader};
use sekisho_tests::town::{Town, history};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::dice::{Campaign, Dice, long};
use crate::http1;

/// What the barrier may add to a sync, by the bar.
const BARRIER_MAX: Duration = Duration::from_millis(15);
/// Entries of an answer.
const ENTRIES: usize = 600;
/// The first window of an HTTP/2 stream: less than an answer.
const WINDOW: u32 = 16 << 10;
/// Releases of one consent under way at its revocation.
const OF_THAT: usize = 50;
/// HTTP/2 connections that everybody's releases share.
const SHARED: usize = 20;
/// Releases of other people on each of those, waiting for the client's window.
const OTHERS_ON_SHARED: usize = 25;

/// How much of it.
struct Plan {
    /// Releases of other people that are under way all the time.
    others: usize,
    /// Trials: releases cut by a revocation.
    cut: usize,
}

impl Plan {
    fn new() -> Self {
        if long().is_some() { Self { others: 1_000, cut: 10_000 } } else { Self { others: 60, cut: 200 } }
    }
}

/// A release under way.
#[derive(Clone)]
struct Under {
    reader: Arc<Reader>,
    stream: u32,
}

impl Under {
    fn got(&self) -> Got {
        self.reader.got(self.stream)
    }

    async fn has_begun(&self) {
        let _ = self.reader.until(self.stream, |got| got.bytes > 0 || got.is_over()).await;
    }

    async fn is_over(&self) -> Got {
        self.reader.until(self.stream, Got::is_over).await
    }
}

struct Field {
    town: Town,
    host: String,
    tls1: Arc<ClientConfig>,
    tls2: Arc<ClientConfig>,
    /// Another child's id at the app, and the app's token for its parent.
    other: (String, String),
    token: String,
    reading: JoinSet<()>,
    /// Clients have threads of their own, as they have elsewhere.
    clients: Runtime,
}

impl Field {
    async fn open() -> Self {
        let town = Town::open().await;
        town.world.city.set_knobs(Knobs { entries: Some(ENTRIES), ..Knobs::default() });
        let other = town.world.families[1].clone();
        let enrolled = town.world.enrol(&other).await.unwrap();
        let parent = &other.parents[0].id;
        let until = town.in_seconds(86_400);
        let (_, patient) = town.world.consent(parent, &enrolled.children[0], &until).await.unwrap();
        let other = (patient, town.world.app_token(parent).unwrap());
        let (tls1, tls2) = (http1::tls(&town, ALPN_H1), http1::tls(&town, &[b"h2"]));
        let token = town.world.app_token(town.mother()).unwrap();
        Self {
            host: http1::authority(&town),
            town,
            tls1,
            tls2,
            other,
            token,
            reading: JoinSet::new(),
            clients: Runtime::new().unwrap(),
        }
    }

    async fn reader(&mut self, window: Option<u32>, receive_buffer: Option<u32>, pace: Pace) -> Arc<Reader> {
        let tls = if window.is_some() { &self.tls2 } else { &self.tls1 };
        let connecting = Reader::connect(self.town.gateway.address, Arc::clone(tls), window, receive_buffer);
        let reader = self.clients.spawn(connecting).await.unwrap();
        self.reading.spawn_on(Arc::clone(&reader).read(pace), self.clients.handle());
        reader
    }

    async fn asks(&self, reader: &Arc<Reader>, (patient, token): (&str, &str)) -> Under {
        let stream = reader.ask(&self.host, &history(patient), token).await;
        Under { reader: Arc::clone(reader), stream }
    }

    /// Other people's releases: on shared HTTP/2 connections, held back by the window; and by HTTP/1.1, slow or stalled.
    async fn others(&mut self, shared: &[Arc<Reader>], planned: usize) -> Vec<Under> {
        let (patient, token) = self.other.clone();
        let mut all = Vec::new();
        for at in 0..planned {
            let on = at / OTHERS_ON_SHARED;
            let under = match shared.get(on) {
                Some(reader) => self.asks(reader, (&patient, &token)).await,
                None => {
                    let pace = if at % 2 == 0 { Pace::Stalled } else { Pace::Slow(256, Duration::from_millis(150)) };
                    let reader = self.reader(None, Some(4 << 10), pace).await;
                    self.asks(&reader, (&patient, &token)).await
                }
            };
            all.push(under);
        }
        for under in &all {
            under.has_begun().await;
        }
        all
    }

    /// Releases of one consent: three in five by HTTP/2, among other people's streams; each third fast, slow, stalled.
    async fn of_that(&mut self, shared: &[Arc<Reader>], patient: &str, dice: &mut Dice) -> Vec<Under> {
        let token = self.token.clone();
        let mut all = Vec::new();
        for at in 0..OF_THAT {
            let under = if at % 5 < 3 {
                self.asks(&shared[dice.below(shared.len())], (patient, &token)).await
            } else {
                let pace = [Pace::Stalled, Pace::Slow(1 << 10, Duration::from_millis(5)), Pace::Fast][at % 3];
                let reader = self.reader(None, Some(8 << 10), pace).await;
                self.asks(&reader, (patient, &token)).await
            };
            all.push(under);
        }
        for under in &all {
            under.has_begun().await;
        }
        all
    }
}

/// Times of `fdatasync` of a group of entries, on the disk of the ledger.
fn syncs(file: &mut std::fs::File, times: &mut Vec<Duration>) {
    for _ in 0..5 {
        file.write_all(&[7; 2048]).unwrap();
        let began = Instant::now();
        file.sync_data().unwrap();
        times.push(began.elapsed());
    }
}

fn p99(times: &mut [Duration]) -> Duration {
    times.sort();
    times[(times.len() * 99).div_ceil(100) - 1]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_revoked_stops_and_what_is_not_goes_on() {
    let plan = Plan::new();
    let mut field = Field::open().await;
    let mut campaign = Campaign::new("revocation", plan.cut);
    let mut dice = campaign.dice();
    // What a whole answer is.
    let alone = field.reader(Some(1 << 24), None, Pace::Fast).await;
    let (other, other_token) = field.other.clone();
    let whole = field.asks(&alone, (&other, &other_token)).await.is_over().await;
    assert!(whole.digest.is_some() && whole.bytes > 4 * WINDOW as usize, "{whole:?}");
    let mut shared = Vec::new();
    for _ in 0..(plan.others / 2 / OTHERS_ON_SHARED).clamp(1, SHARED) {
        shared.push(field.reader(Some(WINDOW), None, Pace::Fast).await);
    }
    let others = field.others(&shared, plan.others).await;
    let mut sync_file = std::fs::File::create(field.town.directory.path().join("syncs")).unwrap();
    let (mut sync_times, mut acknowledged, mut fast_others) = (Vec::new(), Vec::new(), 0);
    let (mut done, mut revocations) = (0, 0);
    while done < plan.cut {
        let (consent, patient) = field.town.consent().await;
        let under = field.of_that(&shared, &patient, &mut dice).await;
        // Somebody else's on each shared connection, to be sent at once while the revocation comes.
        let mut beside = Vec::new();
        for reader in &shared {
            beside.push(field.asks(reader, (&other, &other_token)).await);
        }
        for under in &beside {
            under.has_begun().await;
        }
        syncs(&mut sync_file, &mut sync_times);
        let token = field.town.world.person_token(field.town.mother()).unwrap();
        let path = format!("/v1/consents/{consent}/revoke");
        // Quick readers get their windows at the last moment, so that they are in the middle.
        for (at, under) in under.iter().enumerate() {
            match at % 3 {
                0 => under.reader.grant(under.stream, 1 << 10).await,
                1 => under.reader.grant(under.stream, 1 << 24).await,
                _ => {}
            }
        }
        for under in &beside {
            under.reader.grant(under.stream, 1 << 24).await;
        }
        let began = Instant::now();
        let answer = field.town.world.call(&field.town.world.browser, Method::POST, &path, &token, None).await.unwrap();
        acknowledged.push(began.elapsed());
        let arrived: Vec<u64> = under.iter().map(|u| u.reader.arrived()).collect();
        assert_eq!(answer.status, 200);
        let receipt: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let cut = receipt["summary"]["transfers_cut"].as_u64().unwrap() as usize;
        revocations += 1;
        // What a request gets that came too late: no release.
        let asking = field.reader(Some(1 << 24), None, Pace::Fast).await;
        let denied = field.asks(&asking, (&patient, &field.token)).await.is_over().await;
        assert!(denied.digest.is_some() && denied.bytes < 1_000, "{denied:?}");
        // Whatever was kept back anywhere would come now.
        let (mut broken, mut before) = (0, 0);
        for (under, arrived) in under.iter().zip(arrived) {
            under.reader.hurry();
            under.reader.grant(under.stream, 1 << 24).await;
            let got = under.is_over().await;
            under.reader.caught_up().await;
            let after = under.got();
            if after.last > arrived && after.digest != denied.digest {
                campaign.finding(format!("{} bytes in all, the last after the acknowledgement: {got:?}", after.bytes));
            }
            broken += usize::from(after.broken);
            before += usize::from(!after.broken && after.last <= arrived);
        }
        // One whose last byte was on its way counts as cut, and may have come whole before.
        if cut > broken + before {
            campaign.finding(format!("{cut} were cut, but only {broken} were broken off"));
        }
        for under in beside {
            let got = under.is_over().await;
            if got.digest != whole.digest {
                campaign.finding(format!("somebody else's release on a shared connection was harmed: {got:?}"));
            }
            fast_others += 1;
        }
        (done..done + cut).for_each(|_| campaign.step());
        done += cut;
    }
    let waiting = others.iter().filter(|under| !under.got().is_over()).count();
    // Those who had waited all the time get theirs.
    let mut harmed = others.iter().filter(|under| under.got().broken).count();
    for under in &others {
        under.reader.hurry();
        under.reader.grant(under.stream, 1 << 24).await;
        harmed += usize::from(under.is_over().await.digest != whole.digest);
    }
    if harmed > 0 {
        campaign.finding(format!("{harmed} of {} of other people's releases did not come whole", others.len()));
    }
    println!("revocation: syncs and acknowledgements were timed {} and {} times", sync_times.len(), acknowledged.len());
    let (sync, answer) = (p99(&mut sync_times), p99(&mut acknowledged));
    let of_hundred = |part: usize| acknowledged[(acknowledged.len() - 1) * part / 100];
    let median = of_hundred(50);
    println!(
        "revocation: acknowledged in {median:?} (median), {:?} (p90), {:?} (p95), {answer:?} (p99)",
        of_hundred(90),
        of_hundred(95)
    );
    if long().is_some() && answer > sync + BARRIER_MAX {
        campaign.finding(format!("acknowledged after {answer:?} (p99), a sync takes {sync:?}"));
    }
    drop((shared, alone));
    field.reading.shutdown().await;
    field.clients.shutdown_background();
    field.town.gateway.stop().await;
    campaign.end(&format!(
        "{revocations} revocations with {} of other people's releases under way, {waiting} of them to the end: 0 bytes after the acknowledgement; \
         acknowledged in {median:?} (median), {answer:?} (p99); fdatasync {sync:?} (p99); \
         {fast_others} quick and {} slow or stalled releases of others came whole, of {} bytes each",
        others.len(),
        others.len(),
        whole.bytes,
    ));
}
