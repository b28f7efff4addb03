//! Whatever happens in whichever order: consultations, choices, withdrawals here and there, weeks, pulls, receipts, crashes. Against a slow,
//! plain model; the seed is printed, `SEKISHO_WEEK_SEED` sets the first one and `SEKISHO_WEEK_SEEDS` how many there are.
//!
//! A crash ends the gateway's runtime in the middle of whatever it does, and another one starts on the same directory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::Method;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sekisho::clock::Clock;
use sekisho::consent::people::rfc3339;
use sekisho::demo::week::{Care, City};
use sekisho::demo::world::{World, WorldOptions};
use sekisho::ids::TextId as _;
use sekisho::package::open;
use sekisho::serve::Gateway;
use sekisho::week::calendar::Schedule;
use sekisho::week::shelf;
use sekisho_tests::town;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use super::week::{consultation, details, friday, sharing};

const SEEDS: u64 = 60;
const STEPS: usize = 25;
const SEED: u64 = 20_261_124;
const USERS: usize = 5;
/// Seeds that are played side by side.
const AT_ONCE: usize = 4;
const CITIES: [&str; 2] = ["132063", "132250"];
const CHOICES: [&str; 3] = ["nothing", "identity-only", "content"];
/// Weeks at the end, in which everything that may arrive does.
const WEEKS_AT_END: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

/// A gateway that runs.
struct Running {
    runtime: Runtime,
    gateway: Gateway,
}

/// A choice in the model: how much, for which city, when.
#[derive(Clone, Copy, Debug)]
struct Choice {
    much: usize,
    city: usize,
    at: i64,
}

struct Case {
    user: usize,
    choice: Choice,
    flagged: bool,
}

/// What was told, and what municipalities were told of it.
#[derive(Default)]
struct Model {
    cases: BTreeMap<String, Case>,
    /// When a user withdrew here, last, what the gateway knew of for a municipality.
    withdrawn: BTreeMap<(usize, usize), i64>,
    /// Every choice that a user made, for all of theirs, or with a consultation; and whether it is surely known, as one of a
    /// consultation is once that was collected.
    choices: Vec<(usize, Choice, bool)>,
    /// Of these nobody can tell whether they were recalled once more while an earlier recall was not confirmed.
    vague: BTreeSet<(usize, String)>,
    /// By municipality and case: whether with its words, as it was fetched last.
    held: BTreeMap<(usize, String), bool>,
    /// Recalled, and not told in a confirmed package.
    recalling: BTreeSet<(usize, String)>,
    /// Ever recalled: it need not come again.
    recalled: BTreeSet<String>,
    /// Confirmed as arrived, and not recalled since.
    arrived: BTreeSet<(usize, String)>,
    /// Case numbers at municipalities.
    numbers: BTreeMap<(usize, String), String>,
}

impl Model {
    /// How much of a case may go to a municipality now, at least and at most: 0, 1 or 2.
    fn may(&self, id: &str, city: usize) -> (usize, usize) {
        let case = &self.cases[id];
        if !case.flagged || case.choice.city != city {
            return (0, 0);
        }
        // Consent: some choice for this municipality, made after the last withdrawal here.
        let stands = |(user, choice, _): &&(usize, Choice, bool)| {
            let withdrawn = self.withdrawn.get(&(case.user, city));
            *user == case.user && choice.city == city && withdrawn.is_none_or(|at| choice.at > *at)
        };
        let (mut least, mut most) = (0, 0);
        let mut all: Vec<_> = self.choices.iter().filter(stands).collect();
        all.sort_by_key(|(_, choice, _)| choice.at);
        for (_, choice, sure) in all {
            (least, most) =
                if *sure { (choice.much, choice.much) } else { (least.min(choice.much), most.max(choice.much)) };
        }
        (case.choice.much.min(least), case.choice.much.min(most))
    }

    fn choose(&mut self, user: usize, only: Option<&str>, choice: Choice) {
        for (id, case) in &mut self.cases {
            if case.user == user && only.is_none_or(|only| only == id) {
                // Who chooses another municipality and comes back before that was recalled comes anew, under the same number.
                if case.choice.city != choice.city {
                    self.arrived.remove(&(case.choice.city, id.clone()));
                }
                case.choice = choice;
            }
        }
        if only.is_none() {
            self.choices.push((user, choice, true));
        }
    }
}

/// A copy that was fetched.
struct Copy {
    city: usize,
    package: String,
    digest: String,
    rows: Vec<String>,
    withdrawn: Vec<String>,
}

struct Drawn {
    rng: StdRng,
    what: String,
    log: Vec<String>,
    world: Arc<World>,
    care: Care,
    clock: Clock,
    management: Arc<std::net::TcpListener>,
    running: Option<Running>,
    model: Model,
    copies: Vec<Copy>,
    linked: BTreeSet<usize>,
    count: usize,
    crashes: usize,
    directory: tempfile::TempDir,
}

impl Drop for Drawn {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}:\n{}", self.what, self.log.join("\n"));
            // A gateway whose files go away ends the process, and nothing more would be told.
            self.directory.disable_cleanup(true);
        }
    }
}

impl Drawn {
    /// What was done, told when it fails.
    fn did(&mut self, what: String) {
        self.log.push(format!("{}: {what}", self.what));
    }

    async fn open(seed: u64) -> Self {
        let (directory, clock) = (tempfile::tempdir().unwrap(), friday());
        let ticking = clock.clone();
        let now: sekisho_adapters::NowMs = Arc::new(move || ticking.now().unwrap().millis());
        let options = WorldOptions { directory: directory.path().to_owned(), now, families: Vec::new(), listen: None };
        let world = World::make(options).await.unwrap();
        let care = Care::open(&world, None).await.unwrap();
        let text = care.configured(&std::fs::read_to_string(&world.config).unwrap());
        std::fs::write(&world.config, text).unwrap();
        let management = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        management.set_nonblocking(true).unwrap();
        let mut drawn = Self {
            rng: StdRng::seed_from_u64(seed),
            what: format!("seed {seed}"),
            log: Vec::new(),
            world: Arc::new(world),
            care,
            clock,
            management: Arc::new(management),
            running: None,
            model: Model::default(),
            copies: Vec::new(),
            linked: BTreeSet::new(),
            count: 0,
            crashes: 0,
            directory,
        };
        drawn.start().await;
        drawn
    }

    async fn start(&mut self) {
        let patience = Instant::now();
        loop {
            let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            let (world, management, clock) =
                (Arc::clone(&self.world), Arc::clone(&self.management), self.clock.clone());
            let starting = runtime.spawn(async move { town::start(&world, &management, clock).await });
            match starting.await.unwrap() {
                Ok(gateway) => return self.running = Some(Running { runtime, gateway }),
                // The one before has not let go of its directory yet.
                Err(error) => {
                    runtime.shutdown_background();
                    assert!(patience.elapsed() < PATIENCE, "{}: {error}", self.what);
                }
            }
            tokio::task::yield_now().await;
        }
    }

    fn crash(&mut self) {
        let Running { runtime, gateway } = self.running.take().unwrap();
        runtime.shutdown_background();
        drop(gateway);
        self.crashes += 1;
        self.did("crash".to_owned());
    }

    fn below(&mut self, n: usize) -> usize {
        self.rng.random_range(0..n)
    }

    /// How much is chosen: mostly all.
    fn much(&mut self) -> usize {
        [0, 1, 2, 2, 2][self.below(5)]
    }

    /// A moment later than all before.
    fn tick(&mut self) -> (i64, String) {
        let now = self.clock.now().unwrap().plus_millis(1_000);
        self.clock.set(now);
        (now.millis(), rfc3339(now))
    }

    fn city(&self, city: usize) -> &City {
        &self.care.cities[city]
    }

    /// Does it until it is done; now and then the gateway crashes while it does, or right after.
    async fn done<T>(&mut self, op: impl AsyncFn(&Self) -> Option<T>) -> T {
        if self.below(8) == 0 {
            let until = Instant::now() + Duration::from_micros(self.rng.random_range(0..12_000));
            let passed = async {
                while Instant::now() < until {
                    tokio::task::yield_now().await;
                }
            };
            let early = tokio::select! {
                biased;
                done = op(self) => done,
                () = passed => None,
            };
            self.crash();
            self.start().await;
            if let Some(done) = early {
                return done;
            }
        }
        let patience = Instant::now();
        loop {
            if let Some(done) = op(self).await {
                return done;
            }
            assert!(patience.elapsed() < PATIENCE, "{}: it is never done", self.what);
            tokio::task::yield_now().await;
        }
    }

    async fn step(&mut self) {
        match self.below(24) {
            0..6 => self.consult().await,
            6..8 => self.choose(),
            8 => self.choose_one(),
            9 => self.withdraw().await,
            10 => self.plan().await,
            11..13 => self.make_up().await,
            13..18 => self.pull().await,
            18..20 => self.confirm().await,
            20..23 => self.week_passes().await,
            _ => {
                self.crash();
                self.start().await;
            }
        }
    }

    async fn consult(&mut self) {
        self.count += 1;
        let (user, much, city) = (self.below(USERS), self.much(), self.below(4) / 3);
        let (flagged, pushed) = (self.below(5) > 0, self.below(3) == 0);
        let (at, instant) = self.tick();
        let (id, name) = (format!("k-{}", self.count), format!("u-{user}"));
        let mut record = consultation(&id, &name);
        record["at"] = json!(instant);
        record["sharing"] = sharing(CHOICES[much], CITIES[city], &instant);
        if flagged {
            record["judgement"] = json!({"reason": "判断"});
        }
        self.care.service.put_details(&id, details(&id, &name, &format!("合成 {id}")));
        let choice = Choice { much, city, at };
        self.did(format!("{id} of u-{user} {choice:?}, flagged {flagged}, pushed {pushed}"));
        if flagged {
            self.model.choices.push((user, choice, pushed));
        }
        self.model.cases.insert(id, Case { user, choice, flagged });
        if !pushed {
            return self.care.service.add(record.to_string());
        }
        self.done(async |drawn: &Self| {
            let token = drawn.care.token(&drawn.world).unwrap();
            let said =
                drawn.world.call(&drawn.care.http, Method::POST, "/v1/consultations", &token, Some(&record)).await;
            said.ok().filter(|said| said.status == 200).map(|_| ())
        })
        .await;
    }

    fn choose(&mut self) {
        let (user, much, city) = (self.below(USERS), self.much(), self.below(4) / 3);
        let (at, instant) = self.tick();
        self.care.service.choose(&format!("u-{user}"), None, CHOICES[much], CITIES[city], &instant);
        self.did(format!("u-{user} chooses {much} for {city} at {at}"));
        self.model.choose(user, None, Choice { much, city, at });
    }

    fn choose_one(&mut self) {
        let ids: Vec<String> = self.model.cases.keys().cloned().collect();
        if ids.is_empty() {
            return;
        }
        let id = ids[self.below(ids.len())].clone();
        let (user, city) = (self.model.cases[&id].user, self.model.cases[&id].choice.city);
        let (much, (at, instant)) = (self.much(), self.tick());
        self.care.service.choose(&format!("u-{user}"), Some(&id), CHOICES[much], CITIES[city], &instant);
        self.did(format!("u-{user} chooses {much} for {city} at {at}, {id} only"));
        self.model.choose(user, Some(&id), Choice { much, city, at });
    }

    /// Everything that a user gave is withdrawn here, by themselves.
    async fn withdraw(&mut self) {
        let user = self.below(USERS);
        let app = self.running.as_ref().unwrap().gateway.app();
        let person = app.store.person_of_source("nijiiro-soudan", &format!("u-{user}")).await.unwrap();
        drop(app);
        let Some(person) = person else { return };
        let login = format!("syn-u-{user}");
        if self.linked.insert(user) {
            let link = json!({"to": {"issuer": self.world.issuer.base_url(), "sub": login}, "evidence": "e", "verified_by": "v"});
            self.world.act(&format!("/people/{}/links", person.text()), &link).await.unwrap();
        }
        let (at, _) = self.tick();
        let ended = Mutex::new(BTreeSet::new());
        self.done(async |drawn: &Self| {
            let token = drawn.world.person_token(&login).unwrap();
            let list = drawn
                .world
                .json(&drawn.world.browser, Method::GET, "/v1/consents?limit=100", &token, None)
                .await
                .ok()?;
            for consent in list["items"].as_array()?.iter().filter(|consent| consent["status"] == "active") {
                let to = usize::from(consent["recipient"].to_string().contains("inagi"));
                ended.lock().unwrap().insert(to);
                drawn.world.revoke(&login, consent["id"].as_str()?).await.ok()?;
            }
            Some(())
        })
        .await;
        let ended = ended.into_inner().unwrap();
        self.did(format!("u-{user} withdraws at {at} what {ended:?} may have"));
        self.model.withdrawn.extend(ended.into_iter().map(|to| ((user, to), at)));
    }

    async fn plan(&mut self) {
        let plan = self.done(async |drawn: &Self| drawn.world.act("/batch/plan", &json!({})).await.ok()).await;
        assert!(!plan.to_string().contains("合成"), "{}: {plan}", self.what);
    }

    async fn make_up(&mut self) {
        let (collect, ahead) = (self.below(3) > 0, self.below(2) == 0);
        let due = Schedule::parse("mon 06:00").unwrap().last_due(self.clock.now().unwrap());
        let week = if ahead { due.next() } else { due };
        self.run(json!({"collect": collect, "week": week.to_string()})).await;
    }

    async fn run(&mut self, of: Value) {
        self.did(format!("run {of}"));
        self.done(async |drawn: &Self| {
            let lines = sekisho::admin::client::lines(&drawn.world.socket(), "/batch/run", &of).await.ok()?;
            lines.iter().any(|line| line["done"] == true).then_some(())
        })
        .await;
        if of["collect"] == true {
            self.model.choices.iter_mut().for_each(|(_, _, sure)| *sure = true);
        }
    }

    async fn week_passes(&mut self) {
        self.did("a week passes".to_owned());
        self.clock.set(self.clock.now().unwrap().plus_millis(7 * 86_400_000));
        // A page that was asked for before it passed must not be read after: what is asked from now on lay in its future.
        self.run(json!({"collect": true})).await;
    }

    async fn packages(&mut self, city: usize) -> Vec<Value> {
        self.done(async |drawn: &Self| {
            let of = drawn.city(city);
            let token = of.token(&drawn.world).unwrap();
            let list = drawn.world.json(&of.http, Method::GET, "/v1/packages", &token, None).await.ok()?;
            list["items"].as_array().cloned()
        })
        .await
    }

    async fn pull(&mut self) {
        let city = self.below(2);
        let packages = self.packages(city).await;
        if packages.is_empty() {
            return;
        }
        let package = packages[self.below(packages.len())]["id"].as_str().unwrap().to_owned();
        self.fetch(city, &package).await;
        if self.below(2) == 0 {
            self.confirm().await;
        }
    }

    /// Fetches a copy, and holds it against the model.
    async fn fetch(&mut self, city: usize, package: &str) {
        self.tick();
        let bytes = self
            .done(async |drawn: &Self| {
                let of = drawn.city(city);
                let token = of.token(&drawn.world).unwrap();
                let path = format!("/v1/packages/{package}/copies");
                let answer = drawn.world.call(&of.http, Method::POST, &path, &token, Some(&json!({}))).await.ok()?;
                (answer.status == 200).then_some(answer.body)
            })
            .await;
        let (head, rows) = self.opened(city, &bytes);
        let what = format!("{}, city {city}, {package}", self.what);
        let came: Vec<(&Value, &Value)> = rows.iter().map(|row| (&row["asker"]["name"], &row["kind"])).collect();
        self.did(format!("city {city} fetches {package}: {came:?}, recalled {}", head["withdrawn"]));
        let model = &mut self.model;
        // What it says is recalled: all that was fetched once and may not be used any more, and nothing else.
        let said: BTreeSet<String> =
            head["withdrawn"].as_array().unwrap().iter().map(|one| one["case"].as_str().unwrap().to_owned()).collect();
        let held: Vec<_> =
            model.held.iter().filter(|((of, _), _)| *of == city).map(|(key, full)| (key.clone(), *full)).collect();
        for (key, full) in held {
            let ((least, most), needs) = (model.may(&key.1, city), 1 + usize::from(full));
            let told = said.contains(&model.numbers[&key]);
            assert!(told || most >= needs, "{what}: {key:?} is not recalled");
            if told && least < needs {
                if most >= needs && model.recalling.contains(&key) {
                    model.vague.insert(key.clone());
                }
                model.held.remove(&key);
                model.arrived.remove(&key);
                model.recalled.insert(key.1.clone());
                model.recalling.insert(key);
            }
        }
        let known: BTreeMap<&String, &(usize, String)> =
            model.numbers.iter().map(|(key, number)| (number, key)).collect();
        for number in &said {
            let key = known[number];
            assert!(
                model.recalling.contains(key) || model.vague.contains(key),
                "{what}: {key:?} is recalled for nothing"
            );
        }
        for key in model.recalling.iter().filter(|(of, _)| *of == city) {
            assert!(said.contains(&model.numbers[key]) || model.vague.contains(key), "{what}: {key:?} was not told of");
        }
        let mut ids = Vec::new();
        for row in &rows {
            let id = row["asker"]["name"].as_str().unwrap().trim_start_matches("合成 ").to_owned();
            let ((_, may), full) = (model.may(&id, city), row["kind"] == "full");
            assert!(may > 0, "{what}: {id} without consent");
            assert!(may > 1 || !full, "{what}: {id} with words");
            assert_eq!(full, row.to_string().contains("の言葉"), "{what}: {id}: words in a row without");
            assert_eq!(full, !row["content"].is_null(), "{what}: {id}");
            let key = (city, id.clone());
            model.numbers.insert(key.clone(), row["case"].as_str().unwrap().to_owned());
            model.held.insert(key, full);
            assert!(!ids.contains(&id), "{what}: {id} twice in a package");
            ids.push(id);
        }
        let digest = data_encoding::HEXLOWER.encode(&sekisho::ledger::merkle::sha256(&bytes));
        let withdrawn = said.into_iter().collect();
        self.copies.push(Copy { city, package: package.to_owned(), digest, rows: ids, withdrawn });
    }

    fn opened(&self, city: usize, bytes: &[u8]) -> (Value, Vec<Value>) {
        let now = jiff::Timestamp::from_millisecond(self.clock.now().unwrap().millis()).unwrap();
        let signer = self.running.as_ref().unwrap().gateway.app().store.ledger_key().verifier_key();
        let (key, mut file, mut rows) = (&self.city(city).key, std::io::Cursor::new(bytes), Vec::new());
        let checked = open::check(&mut file, key, &signer, now).unwrap();
        let each = |row| {
            rows.push(serde_json::to_value(row)?);
            Ok(())
        };
        open::rows(&mut file, key, &checked, each).unwrap();
        (serde_json::to_value(&checked.head).unwrap(), rows)
    }

    /// Confirms the last copy that was fetched, or an earlier one.
    async fn confirm(&mut self) {
        if self.copies.is_empty() {
            return;
        }
        let back = self.below(2).min(self.copies.len() - 1);
        let copy = self.copies.remove(self.copies.len() - 1 - back);
        let before = self.packages(copy.city).await;
        let was = before.iter().find(|one| one["id"] == copy.package.as_str()).unwrap()["received_at"].is_string();
        let status = self
            .done(async |drawn: &Self| {
                let of = drawn.city(copy.city);
                let (token, path) =
                    (of.token(&drawn.world).unwrap(), format!("/v1/packages/{}/receipts", copy.package));
                let said = json!({"digest": copy.digest});
                let answer = drawn.world.call(&of.http, Method::POST, &path, &token, Some(&said)).await.ok()?;
                // Only the newest copies are known.
                [200, 422].contains(&answer.status.as_u16()).then_some(answer.status.as_u16())
            })
            .await;
        self.did(format!("city {} confirms {} with {:?}: {status}, before {was}", copy.city, copy.package, copy.rows));
        if was || status != 200 {
            return;
        }
        for number in &copy.withdrawn {
            let told: Vec<_> =
                self.model.numbers.iter().filter(|(_, of)| *of == number).map(|(key, _)| key.clone()).collect();
            told.iter().filter(|key| key.0 == copy.city).for_each(|key| {
                self.model.recalling.remove(key);
            });
        }
        for id in copy.rows {
            let key = (copy.city, id);
            // An older copy may hold what was recalled since: then it is not there any more.
            if self.model.held.contains_key(&key) {
                assert!(self.model.arrived.insert(key.clone()), "{}: {key:?} arrived twice", self.what);
            }
        }
    }

    /// Weeks pass in peace: whatever may arrive has arrived in the end, and nothing else is there.
    async fn end(&mut self) {
        self.copies.clear();
        for week in 0..WEEKS_AT_END {
            if week == 1 {
                // Much has arrived by now: some of it is taken back.
                self.choose();
                self.choose_one();
                self.withdraw().await;
            }
            self.run(json!({"collect": true})).await;
            self.week_passes().await;
            for city in 0..CITIES.len() {
                for package in self.packages(city).await {
                    if package["received_at"].is_null() {
                        self.fetch(city, package["id"].as_str().unwrap()).await;
                        self.copies.drain(..self.copies.len() - 1);
                        self.confirm().await;
                    }
                }
            }
        }
        let app = self.running.as_ref().unwrap().gateway.app();
        let stood = |id: &str| {
            let case = shelf::case_of(sekisho::ids::party_id("nijiiro-soudan"), id);
            shelf::Shelf(&app.store).case(case).unwrap().map(|case| (case.stage, case.recipient, case.choice))
        };
        for (id, case) in &self.model.cases {
            for city in 0..CITIES.len() {
                let ((_, may), key) = (self.model.may(id, city), (city, id.clone()));
                if self.model.vague.contains(&key) {
                    continue;
                }
                let arrived = self.model.arrived.contains(&key);
                let taken_back =
                    self.model.recalled.contains(id) || self.model.withdrawn.contains_key(&(case.user, city));
                assert!(may == 0 || arrived || taken_back, "{}: {id} never came to {city}: {:?}", self.what, stood(id));
                assert!(may > 0 || !self.model.held.contains_key(&key), "{}: {id} is held at {city}", self.what);
            }
        }
        let left: Vec<_> = self.model.recalling.difference(&self.model.vague).collect();
        assert!(left.is_empty(), "{}: {left:?}", self.what);
    }
}

#[test]
fn whatever_happens_each_row_is_covered_comes_once_and_is_recalled() {
    let number = |name: &str, usual: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (first, seeds) = (number("SEKISHO_WEEK_SEED", SEED), number("SEKISHO_WEEK_SEEDS", SEEDS));
    println!("{seeds} seeds from {first}");
    let (next, counts) = (AtomicU64::new(first), Mutex::new([0; 3]));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let runtime = Builder::new_current_thread().enable_all().build().unwrap();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        return runtime.shutdown_background();
                    }
                    let counted = runtime.block_on(played(seed));
                    counts.lock().unwrap().iter_mut().zip(counted).for_each(|(all, one)| *all += one);
                }
            });
        }
    });
    let [rows, recalled, crashes] = *counts.lock().unwrap();
    println!("{rows} rows went, {recalled} were recalled, {crashes} crashes");
    assert!(rows as u64 > seeds && recalled > 0 && crashes as u64 > seeds, "{rows} rows, {recalled}, {crashes}");
}

async fn played(seed: u64) -> [usize; 3] {
    let mut drawn = Drawn::open(seed).await;
    for step in 0..STEPS {
        drawn.what = format!("seed {seed}, step {step}");
        drawn.step().await;
    }
    drawn.what = format!("seed {seed}, at the end");
    drawn.end().await;
    let counted = [drawn.model.numbers.len(), drawn.model.recalled.len(), drawn.crashes];
    let Running { runtime, gateway } = drawn.running.take().unwrap();
    gateway.stop().await;
    runtime.shutdown_background();
    counted
}
