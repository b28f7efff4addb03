//! What the gateway acknowledged, written down outside of it, and held against its ledger afterwards.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use http::Method;
use sekisho::admin::client::ask;
use sekisho::app::master_key;
use sekisho::clock::Clock;
use sekisho::demo::world::text;
use sekisho::ids::{EntryId, KeyId, TextId};
use sekisho::ledger::entry::{Entry, EntryType, KeyClass};
use sekisho::ledger::merkle::{Hash, leaf_hash};
use sekisho::ledger::seal::SealKey;
use sekisho::ledger::verify::verify;
use sekisho::ledger::walk::walk;
use sekisho::store::embedded::log::high_water;
use sekisho::store::embedded::vault::Vault;
use sekisho_policy::PersonId;
use sekisho_tests::town::history;
use serde_json::Value;
use tokio::sync::Notify;

use crate::gateway::Place;

/// Consents of each subject whose status is looked at after a start, the newest.
const LOOKED_AT: usize = 12;

/// Somebody about whom the app asks.
pub struct Subject {
    /// The parent's login.
    pub login: String,
    /// The child at the gateway.
    pub id: String,
    /// The child at the app.
    pub patient: String,
    /// What seals the child's statutory records, and tells in the ledger which are the child's.
    key: KeyId,
}

/// What stands for a subject, as far as was acknowledged.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Standing {
    #[default]
    Nothing,
    Active(String),
    /// A consent or its end is under way, or was when the harm came.
    Unclear(String),
}

#[derive(Default)]
struct Page {
    standing: Standing,
    /// Consents that were acknowledged, oldest first, and whether their end was.
    consents: Vec<(String, bool)>,
    receipts: Vec<(EntryId, Hash)>,
    /// Since the last look into the ledger: questions asked, and answered.
    asked: u64,
    answered: u64,
    /// What the ledger held at the last look.
    then: Counts,
    approved: u64,
    begun: u64,
}

/// Entries about one subject.
#[derive(Clone, Copy, Default)]
struct Counts {
    decided: u64,
    approved: u64,
}

/// Enrols everybody: login, child, and the child's id at the app; and the hash of the text that is agreed to.
async fn people(place: &Place, until: &str) -> (Vec<(String, String, String)>, String) {
    let world = &place.world;
    let (mut people, mut text_hash) = (Vec::new(), String::new());
    for family in &place.families {
        let enrolled = world.enrol(family).await.unwrap();
        let login = family.parents[0].id.clone();
        let token = world.app_token(&login).unwrap();
        let shown = world.json(&world.app_http, Method::GET, "/v1/texts/phr-view", &token, None).await.unwrap();
        text_hash = text(&shown, "text_hash");
        for id in enrolled.children {
            // The first consent tells the app by what id it asks; it is revoked before anything is counted.
            let (consent, patient) = world.consent(&login, &id, until).await.unwrap();
            let bundle = world.json(&world.app_http, Method::GET, &history(&patient), &token, None).await.unwrap();
            world.revoke(&login, &consent).await.unwrap();
            // The youngest have had no vaccination yet: an answer about them would show nothing.
            if bundle["total"].as_u64() > Some(0) {
                people.push((login.clone(), id, patient));
            }
        }
    }
    (people, text_hash)
}

/// The books.
pub struct Books {
    pub subjects: Vec<Subject>,
    pub until: String,
    pub text_hash: String,
    pages: Vec<Mutex<Page>>,
    checkpoints: Mutex<Vec<Vec<u8>>>,
    verifier_key: String,
    acknowledged: AtomicU64,
    released: AtomicU64,
    grew: Notify,
    denials: Mutex<Vec<String>>,
}

impl Books {
    /// Enrols the families of this place, and opens a page for each child. The gateway runs once for it, and is stopped.
    pub async fn open(place: &Place) -> Arc<Self> {
        let running = place.serving().await;
        let until = sekisho::consent::people::rfc3339(Clock::system().now().unwrap().plus_millis(30 * 86_400_000));
        let (people, text_hash) = people(place, &until).await;
        running.stop().await;
        assert!(people.len() >= 4, "too few children with records for a load");
        let master = SealKey::new(master_key(&place.directory.path().join("master.key")).unwrap());
        let vault = Vault::open(&place.data.join("vault.redb"), master).unwrap();
        let key = |id: &str| vault.key_of(PersonId::parse(id).unwrap(), KeyClass::Record).unwrap().id;
        let subjects: Vec<Subject> =
            people.into_iter().map(|(login, id, patient)| Subject { key: key(&id), login, id, patient }).collect();
        let books = Self {
            pages: subjects.iter().map(|_| Mutex::default()).collect(),
            subjects,
            until,
            text_hash,
            checkpoints: Mutex::default(),
            verifier_key: std::fs::read_to_string(place.data.join("checkpoint.vkey")).unwrap(),
            acknowledged: AtomicU64::new(0),
            released: AtomicU64::new(0),
            grew: Notify::new(),
            denials: Mutex::default(),
        };
        books.compare(&place.data, u64::MAX);
        Arc::new(books)
    }

    fn page(&self, number: usize) -> MutexGuard<'_, Page> {
        self.pages[number].lock().unwrap()
    }

    pub fn standing(&self, number: usize) -> Standing {
        self.page(number).standing.clone()
    }

    /// A consent, or its end, is about to be asked for.
    pub fn begins(&self, number: usize, consent: &str) {
        let mut page = self.page(number);
        page.begun += u64::from(page.standing == Standing::Nothing);
        page.standing = Standing::Unclear(consent.to_owned());
    }

    pub fn approved(&self, number: usize, consent: &str) {
        let mut page = self.page(number);
        page.approved += 1;
        page.consents.push((consent.to_owned(), false));
        page.standing = Standing::Active(consent.to_owned());
        self.one_more();
    }

    pub fn revoked(&self, number: usize, consent: &str, entry: EntryId, leaf: Hash) {
        let mut page = self.page(number);
        page.receipts.push((entry, leaf));
        page.consents.iter_mut().filter(|(id, _)| id == consent).for_each(|(_, ended)| *ended = true);
        page.standing = Standing::Nothing;
        self.one_more();
    }

    pub fn asks(&self, number: usize) {
        self.page(number).asked += 1;
    }

    pub fn answered(&self, number: usize, items: u64) {
        self.page(number).answered += 1;
        self.released.fetch_add(u64::from(items > 0), Ordering::Relaxed);
        self.one_more();
    }

    pub fn denied(&self, why: &str) {
        self.denials.lock().unwrap().push(why.to_owned());
    }

    /// What the gateway said where it denied, since this was last asked.
    pub fn denials(&self) -> Vec<String> {
        std::mem::take(&mut self.denials.lock().unwrap())
    }

    fn one_more(&self) {
        self.acknowledged.fetch_add(1, Ordering::Release);
        self.grew.notify_waiters();
    }

    /// Acknowledgements so far, and how many of them are bodies with somebody's records in them.
    pub fn figures(&self) -> (u64, u64) {
        (self.acknowledged.load(Ordering::Acquire), self.released.load(Ordering::Relaxed))
    }

    /// Waits for so many more acknowledgements.
    pub async fn more(&self, more: u64) {
        let enough = self.acknowledged.load(Ordering::Acquire) + more;
        loop {
            let grew = self.grew.notified();
            if self.acknowledged.load(Ordering::Acquire) >= enough {
                return;
            }
            grew.await;
        }
    }

    /// Keeps a checkpoint outside of the gateway's directory.
    pub async fn keep_checkpoint(&self, place: &Place) {
        let told = ask(&place.world.socket(), Method::POST, "/checkpoint", &Value::Null).await.unwrap();
        self.checkpoints.lock().unwrap().push(text(&told, "checkpoint").into_bytes());
    }

    /// The newest consents of a subject, with the status that was acknowledged; without one for what was under way.
    pub fn expected(&self, number: usize) -> Vec<(String, Option<&'static str>)> {
        let page = self.page(number);
        let unclear = match &page.standing {
            Standing::Unclear(consent) => Some(consent.clone()),
            _ => None,
        };
        let acknowledged = page.consents.iter().rev().filter(|(id, _)| unclear.as_ref() != Some(id)).take(LOOKED_AT);
        let status = |(id, ended): &(String, bool)| (id.clone(), Some(if *ended { "revoked" } else { "active" }));
        acknowledged.map(status).chain(unclear.clone().map(|id| (id, None))).collect()
    }

    /// What became of what was under way.
    pub fn stands(&self, number: usize, consent: &str, status: &str) {
        let mut page = self.page(number);
        let known = page.consents.iter().position(|(id, _)| id == consent);
        match (status, known) {
            // An end that was under way may have come; a consent that was acknowledged is at least that.
            ("revoked", Some(at)) => {
                page.consents[at].1 = true;
                page.standing = Standing::Nothing;
            }
            ("active", Some(_)) => page.standing = Standing::Active(consent.to_owned()),
            ("active", None) => {
                page.consents.push((consent.to_owned(), false));
                page.standing = Standing::Active(consent.to_owned());
            }
            ("proposed", None) => page.standing = Standing::Nothing,
            (other, _) => panic!("{consent} was under way, and is {other} now"),
        }
    }

    /// The gateway is down: whatever it acknowledged is among the first `durable` entries of its ledger, each receipt's
    /// entry to the byte, and the ledger verifies against every checkpoint that was kept.
    pub fn compare(&self, data: &Path, durable: u64) {
        let (mut leaves, mut counts) = (HashMap::new(), HashMap::<KeyId, [Counts; 2]>::new());
        let ledger: PathBuf = data.join("ledger");
        walk(&ledger, &mut |_| {}, |place, stored| {
            let bytes = stored.whole().unwrap();
            let header = Entry::decode(bytes).unwrap().header;
            let counts = header.key().map(|key| counts.entry(key).or_default());
            let within = place.position < durable;
            for count in counts.into_iter().flat_map(|[all, safe]| [Some(all), within.then_some(safe)]).flatten() {
                match header.entry_type().unwrap() {
                    EntryType::Decided => count.decided += 1,
                    EntryType::ConsentApproved => count.approved += 1,
                    _ => {}
                }
            }
            if within {
                leaves.insert(header.id(), leaf_hash(bytes));
            }
            Ok(())
        })
        .unwrap();
        for (subject, page) in self.subjects.iter().zip(&self.pages) {
            let mut page = page.lock().unwrap();
            for (entry, leaf) in &page.receipts {
                let found = leaves.get(entry);
                assert_eq!(
                    found,
                    Some(leaf),
                    "a revocation was acknowledged, and {} is not in the ledger",
                    entry.text()
                );
            }
            let [all, safe] = counts.get(&subject.key).copied().unwrap_or_default();
            let (decided, approved) = (safe.decided - page.then.decided.min(safe.decided), safe.approved);
            let approved = approved - page.then.approved.min(approved);
            // What was under way when the harm came may stand in the ledger without an answer, and no more than that.
            assert!(page.answered <= decided, "{} answers rest on {decided} recorded decisions", page.answered);
            assert!(page.approved <= approved, "{} consents were acknowledged, {approved} recorded", page.approved);
            if durable == u64::MAX && page.asked > 0 {
                assert!(decided <= page.asked, "{decided} decisions on {} questions", page.asked);
                assert!(approved <= page.begun, "{approved} consents of {}", page.begun);
            }
            (page.asked, page.answered, page.approved, page.begun, page.then) = (0, 0, 0, 0, all);
        }
        let kept = self.checkpoints.lock().unwrap();
        let kept: Vec<&[u8]> = kept.iter().map(Vec::as_slice).collect();
        verify(&ledger, &self.verifier_key, &kept, &mut |_| {}).unwrap();
    }

    /// How many entries the ledger's own writer knew to be durable.
    pub fn durable(data: &Path) -> u64 {
        high_water(&data.join("ledger")).unwrap()
    }
}
