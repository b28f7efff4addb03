//! Revocation with a thousand releases in flight, of that consent and of other people's, over HTTP/1.1 and HTTP/2, to fast,
//! slow and stalled readers: the acknowledgement is quick, not one byte of what was revoked arrives after it, and other
//! people's streams, on the same connections, come whole.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use sekisho_adapters::certs::ALPN_H1;
use sekisho_adapters::fhir_server::stand_in::Knobs;
use sekisho_tests::reader::{Got, Pace, Reader};
use sekisho_tests::town::history;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::apart::Apart;
use crate::dice::{Campaign, Dice, long};
use crate::http1;
use crate::revoker::{Acknowledged, Revoker, Syncs};

/// What the barrier may add to a sync, by the bar.
const BARRIER_MAX: Duration = Duration::from_millis(15);
/// How long it waits at most before it breaks off others' releases as well, over a connection that nobody reads (decision 0012).
const WAITED_FOR_OTHERS: Duration = Duration::from_millis(96);
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
    /// Revocations over a connection that others share and nobody reads.
    unread: usize,
}

impl Plan {
    fn new() -> Self {
        if long().is_some() {
            Self { others: 1_000, cut: 10_000, unread: 50 }
        } else {
            Self { others: 60, cut: 200, unread: 2 }
        }
    }
}

/// A release under way.
#[derive(Clone)]
pub struct Under {
    pub reader: Arc<Reader>,
    stream: u32,
}

impl Under {
    fn got(&self) -> Got {
        self.reader.got(self.stream)
    }

    async fn has_begun(&self) {
        let got = self.reader.until(self.stream, |got| got.bytes > 0 || got.is_over()).await;
        assert!(got.status == 200 && !got.broken, "it did not begin: {got:?}");
    }

    async fn is_over(&self) -> Got {
        self.reader.until(self.stream, Got::is_over).await
    }
}

struct Field {
    town: Apart,
    host: String,
    tls1: Arc<ClientConfig>,
    tls2: Arc<ClientConfig>,
    /// Another child's id at the app, and the app's token for its parent.
    other: (String, String),
    token: String,
    reading: JoinSet<()>,
    /// Clients have threads of their own, as they have elsewhere.
    clients: Runtime,
    /// Connections that everybody's releases share.
    shared: Vec<Arc<Reader>>,
}

/// One revocation: what was under way, and what came of it.
struct Trial {
    patient: String,
    under: Vec<Under>,
    /// Somebody else's on each shared connection, sent at once while the revocation comes.
    beside: Vec<Under>,
    acknowledged: Acknowledged,
}

impl Field {
    async fn open(shared: usize) -> Self {
        let town = Apart::open("").await;
        town.world.city.set_knobs(Knobs { entries: Some(ENTRIES), ..Knobs::default() });
        let other = town.other().await;
        let (tls1, tls2) = (http1::tls(&town.world, ALPN_H1), http1::tls(&town.world, &[b"h2"]));
        let token = town.world.app_token(town.mother()).unwrap();
        let mut field = Self {
            host: http1::authority(&town.world),
            town,
            tls1,
            tls2,
            other,
            token,
            reading: JoinSet::new(),
            clients: clients(),
            shared: Vec::new(),
        };
        for _ in 0..shared {
            let reader = field.reader(Some(WINDOW), None, Pace::Fast).await;
            field.shared.push(reader);
        }
        field
    }

    async fn reader(&mut self, window: Option<u32>, receive_buffer: Option<u32>, pace: Pace) -> Arc<Reader> {
        let tls = if window.is_some() { &self.tls2 } else { &self.tls1 };
        let connecting = Reader::connect(http1::address(&self.town.world), Arc::clone(tls), window, receive_buffer);
        let reader = self.clients.spawn(connecting).await.unwrap();
        self.reading.spawn_on(Arc::clone(&reader).read(pace), self.clients.handle());
        reader
    }

    async fn asks(&self, reader: &Arc<Reader>, (patient, token): (&str, &str)) -> Under {
        let stream = reader.ask(&self.host, &history(patient), token).await;
        Under { reader: Arc::clone(reader), stream }
    }

    async fn other_asks(&self, reader: &Arc<Reader>) -> Under {
        self.asks(reader, (&self.other.0, &self.other.1)).await
    }

    /// What a whole answer is.
    async fn whole(&mut self) -> Got {
        let alone = self.reader(Some(1 << 24), None, Pace::Fast).await;
        let whole = self.other_asks(&alone).await.is_over().await;
        assert!(whole.digest.is_some() && whole.bytes > 4 * WINDOW as usize, "{whole:?}");
        whole
    }

    /// Other people's releases: on shared HTTP/2 connections, held back by the window; and by HTTP/1.1, slow or stalled.
    async fn others(&mut self, planned: usize) -> Vec<Under> {
        let mut all = Vec::new();
        for at in 0..planned {
            let reader = match self.shared.get(at / OTHERS_ON_SHARED) {
                Some(reader) => Arc::clone(reader),
                None => {
                    let pace = if at % 2 == 0 { Pace::Stalled } else { Pace::Slow(256, Duration::from_millis(150)) };
                    self.reader(None, Some(4 << 10), pace).await
                }
            };
            all.push(self.other_asks(&reader).await);
            // A few at a time: how many narrowings there may be at once is not what is tried here.
            if all.len().is_multiple_of(OTHERS_ON_SHARED) {
                all.last().unwrap().has_begun().await;
            }
        }
        for under in &all {
            under.has_begun().await;
        }
        all
    }

    /// Releases of one consent: three in five by HTTP/2, among other people's streams, each third of them held back by its
    /// window; one by HTTP/1.1 and one by HTTP/2, whose sockets are read fast, slowly, or not at all.
    async fn of_that(&mut self, patient: &str, dice: &mut Dice) -> Vec<Under> {
        let token = self.token.clone();
        let mut all = Vec::new();
        for at in 0..OF_THAT {
            let pace = [Pace::Stalled, Pace::Slow(1 << 10, Duration::from_millis(5)), Pace::Fast][at % 3];
            let reader = match at % 5 {
                3 => self.reader(None, Some(8 << 10), pace).await,
                4 => self.reader(Some(1 << 24), Some(8 << 10), pace).await,
                _ => Arc::clone(&self.shared[dice.below(self.shared.len())]),
            };
            all.push(self.asks(&reader, (patient, &token)).await);
        }
        for under in &all {
            under.has_begun().await;
        }
        all
    }

    /// A consent, fifty releases of it and some of another's, and its revocation in the middle of them.
    async fn revocation(&mut self, dice: &mut Dice, syncs: &mut Syncs) -> Trial {
        let (consent, patient) = self.town.consent().await;
        let under = self.of_that(&patient, dice).await;
        let mut beside = Vec::new();
        for reader in &self.shared {
            beside.push(self.other_asks(reader).await);
        }
        for under in &beside {
            under.has_begun().await;
        }
        syncs.measure();
        let revoker = Revoker::ready(&self.town, &consent, &under).await;
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
        Trial { patient, acknowledged: revoker.revoke().await, under, beside }
    }

    /// One release of a consent and one of somebody else's over a connection of which nothing is read any more, and the revocation:
    /// the other can't go on anyway, and is not waited for long.
    async fn unread(&mut self) -> Trial {
        let (consent, patient) = self.town.consent().await;
        let reader = self.reader(Some(1 << 24), Some(8 << 10), Pace::Stalled).await;
        let other = self.other_asks(&reader).await;
        other.has_begun().await;
        let before = self.town.number("sekisho_releases_under_way").await;
        let under = vec![self.asks(&reader, (&patient, &self.token)).await];
        while self.town.number("sekisho_releases_under_way").await <= before {}
        let revoker = Revoker::ready(&self.town, &consent, &under).await;
        Trial { patient, acknowledged: revoker.revoke().await, under, beside: Vec::new() }
    }

    /// Holds what came of it against what may: nothing behind the acknowledgement, and what is others' whole.
    async fn judged(&mut self, trial: &Trial, whole: &Got, campaign: &mut Campaign) {
        // What a request gets that came too late: no release.
        let asking = self.reader(Some(1 << 24), None, Pace::Fast).await;
        let denied = self.asks(&asking, (&trial.patient, &self.token)).await.is_over().await;
        assert!(denied.digest.is_some() && denied.bytes < 1_000, "{denied:?}");
        // Whatever was kept back anywhere would come now.
        let (mut broken, mut before) = (0, 0);
        for (under, arrived) in trial.under.iter().zip(&trial.acknowledged.arrived) {
            under.reader.hurry();
            under.reader.grant(under.stream, 1 << 24).await;
            let got = under.is_over().await;
            under.reader.caught_up().await;
            let after = under.got();
            if after.last > *arrived && after.digest != denied.digest {
                campaign.finding(format!("{} bytes in all, the last after the acknowledgement: {got:?}", after.bytes));
            }
            broken += usize::from(after.broken);
            before += usize::from(!after.broken && after.last <= *arrived);
        }
        // One whose last byte was on its way counts as cut, and may have come whole before.
        let cut = trial.acknowledged.cut;
        if cut > broken + before {
            campaign.finding(format!("{cut} were cut, but only {broken} were broken off"));
        }
        for under in &trial.beside {
            let got = under.is_over().await;
            if got.digest != whole.digest {
                campaign.finding(format!("somebody else's release on a shared connection was harmed: {got:?}"));
            }
        }
        (0..cut).for_each(|_| campaign.step());
    }

    async fn close(mut self) {
        self.shared.clear();
        self.reading.shutdown().await;
        self.clients.shutdown_background();
        self.town.stop().await;
    }
}

/// Threads for the clients, who have machines of their own elsewhere: the lower priority keeps what they do with what they get
/// from taking the gateway's turn on these cores. They ask and take as much.
fn clients() -> Runtime {
    let lower = || assert!(rustix::process::nice(10).is_ok());
    Builder::new_multi_thread().enable_all().on_thread_start(lower).build().unwrap()
}

/// What so many of a hundred lie below.
fn of_hundred(times: &mut [Duration], part: usize) -> Duration {
    times.sort();
    times[(times.len() * part).div_ceil(100) - 1]
}

/// Those who had waited all the time get theirs: how many had not been done when they were let, and how many came to harm.
async fn released(others: &[Under], whole: &Got) -> (usize, usize) {
    let waiting = others.iter().filter(|under| !under.got().is_over()).count();
    let mut harmed = others.iter().filter(|under| under.got().broken).count();
    for under in others {
        under.reader.hurry();
        under.reader.grant(under.stream, 1 << 24).await;
        harmed += usize::from(under.is_over().await.digest != whole.digest);
    }
    (waiting, harmed)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_revoked_stops_and_what_is_not_goes_on() {
    let plan = Plan::new();
    let mut field = Field::open((plan.others / 2 / OTHERS_ON_SHARED).clamp(1, SHARED)).await;
    let mut campaign = Campaign::new("revocation", plan.cut);
    let mut dice = campaign.dice();
    let whole = field.whole().await;
    let others = field.others(plan.others).await;
    let mut syncs = Syncs::beside(&field.town);
    let (mut took, mut done, mut quick) = (Vec::new(), 0, 0);
    while done < plan.cut {
        let trial = field.revocation(&mut dice, &mut syncs).await;
        field.judged(&trial, &whole, &mut campaign).await;
        took.push(trial.acknowledged.took);
        (done, quick) = (done + trial.acknowledged.cut, quick + trial.beside.len());
    }
    let mut unread = Vec::new();
    for _ in 0..plan.unread {
        let trial = field.unread().await;
        field.judged(&trial, &whole, &mut campaign).await;
        unread.push(trial.acknowledged.took);
    }
    let (waiting, harmed) = released(&others, &whole).await;
    if harmed > 0 {
        campaign.finding(format!("{harmed} of {} of other people's releases did not come whole", others.len()));
    }
    let revocations = took.len();
    let [median, p90, p95, p99] = [50, 90, 95, 99].map(|part| of_hundred(&mut took, part));
    let sync = of_hundred(&mut syncs.times, 99);
    println!("revocation: acknowledged in {median:?} (median), {p90:?} (p90), {p95:?} (p95), {p99:?} (p99)");
    if long().is_some() && p99 > sync + BARRIER_MAX {
        campaign.finding(format!("acknowledged after {p99:?} (p99), a sync takes {sync:?}"));
    }
    let longest = of_hundred(&mut unread, 100);
    if long().is_some() && longest > sync + BARRIER_MAX + WAITED_FOR_OTHERS {
        campaign.finding(format!("acknowledged after {longest:?} where others share what nobody reads"));
    }
    field.close().await;
    campaign.end(&format!(
        "{revocations} revocations with {} of other people's releases under way, {waiting} of them to the end: 0 bytes after the \
         acknowledgement; acknowledged in {median:?} (median), {p99:?} (p99), at most {longest:?} where others share a connection that \
         nobody reads; fdatasync {sync:?} (p99); {quick} quick and {} slow \
         or stalled releases of others came whole, of {} bytes each",
        others.len(),
        others.len(),
        whole.bytes,
    ));
}
