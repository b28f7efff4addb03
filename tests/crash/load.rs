//! People who consent and revoke, and an app that asks about them, over TLS, for as long as the gateway answers. Every answer
//! is held against what must be so at that moment, and every acknowledgement is written down in the books.

use std::sync::Arc;

use http::{Method, StatusCode};
use sekisho::demo::world::text;
use sekisho::ids::{EntryId, TextId};
use sekisho_tests::town::history;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::books::{Books, Standing, Subject};
use crate::gateway::Place;

/// What one request came to.
pub enum Answered {
    /// It succeeded.
    Done(Value),
    /// The gateway says that it can't.
    Denied(String),
    /// There was no whole answer: nobody knows what became of it.
    Nothing,
}

/// Denials after which a person gives up.
const DENIALS_MAX: usize = 20;

/// Runs until the gateway answers nobody any more, or denies them all.
async fn run(place: &Arc<Place>, books: &Arc<Books>) {
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..books.subjects.len() {
        let one = || Person::new(Arc::clone(place), Arc::clone(books), number);
        tasks.spawn(one().change());
        tasks.spawn(one().watch());
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

/// The load in the background.
pub fn begun(place: &Arc<Place>, books: &Arc<Books>) -> JoinHandle<()> {
    let (place, books) = (Arc::clone(place), Arc::clone(books));
    tokio::spawn(async move { run(&place, &books).await })
}

/// The same, once so much more was acknowledged.
pub async fn until_acknowledged(place: &Arc<Place>, books: &Arc<Books>, more: u64) -> JoinHandle<()> {
    let mut load = begun(place, books);
    tokio::select! {
        () = books.more(more) => load,
        ended = &mut load => panic!("the load ended before anything was done to the gateway: {ended:?}"),
    }
}

struct Person {
    place: Arc<Place>,
    books: Arc<Books>,
    number: usize,
    at_app: String,
    at_home: String,
    denials: usize,
}

impl Person {
    fn new(place: Arc<Place>, books: Arc<Books>, number: usize) -> Self {
        let login = &books.subjects[number].login;
        let (at_app, at_home) = (place.world.app_token(login).unwrap(), place.world.person_token(login).unwrap());
        Self { place, books, number, at_app, at_home, denials: 0 }
    }

    fn subject(&self) -> &Subject {
        &self.books.subjects[self.number]
    }

    async fn app(&self, method: Method, path: &str, json: Option<&Value>) -> Answered {
        let world = &self.place.world;
        answered(world.call(&world.app_http, method, path, &self.at_app, json).await)
    }

    async fn home(&self, method: Method, path: &str, json: Option<&Value>) -> Answered {
        let world = &self.place.world;
        answered(world.call(&world.browser, method, path, &self.at_home, json).await)
    }

    /// Whether to go on after this answer; notes denials.
    fn goes_on(&mut self, answer: &Answered) -> bool {
        match answer {
            Answered::Done(_) => true,
            Answered::Denied(why) => {
                self.books.denied(why);
                self.denials += 1;
                self.denials < DENIALS_MAX
            }
            Answered::Nothing => false,
        }
    }

    /// Consents, looks, revokes, looks, again and again.
    async fn change(mut self) {
        loop {
            let next = match self.books.standing(self.number) {
                Standing::Active(consent) => self.revoke(&consent).await,
                Standing::Nothing => self.consent().await,
                Standing::Unclear(_) => return,
            };
            if !self.goes_on(&next) {
                return;
            }
            let seen = self.ask(true).await;
            if !self.goes_on(&seen) {
                return;
            }
        }
    }

    /// The app's own looks, without knowing what people do meanwhile.
    async fn watch(mut self) {
        loop {
            let seen = self.ask(false).await;
            if !self.goes_on(&seen) {
                return;
            }
        }
    }

    async fn consent(&self) -> Answered {
        let proposal = json!({
            "purpose": "phr-view", "categories": ["vaccination@1"], "until": self.books.until,
            "text_hash": self.books.text_hash,
        });
        let proposed = self.app(Method::POST, "/v1/consents", Some(&proposal)).await;
        let Answered::Done(proposed) = proposed else { return proposed };
        let consent = text(&proposed, "id");
        let approval = json!({"subject": self.subject().id, "text_hash": self.books.text_hash});
        self.books.begins(self.number, &consent);
        let approved = self.home(Method::POST, &format!("/v1/consents/{consent}/approve"), Some(&approval)).await;
        if let Answered::Done(_) = &approved {
            self.books.approved(self.number, &consent);
        }
        approved
    }

    async fn revoke(&self, consent: &str) -> Answered {
        self.books.begins(self.number, consent);
        let revoked = self.home(Method::POST, &format!("/v1/consents/{consent}/revoke"), None).await;
        if let Answered::Done(answer) = &revoked {
            let entry = EntryId::parse(answer["summary"]["entry"].as_str().unwrap()).unwrap();
            let leaf = data_encoding::BASE64.decode(answer["summary"]["leaf"].as_str().unwrap().as_bytes()).unwrap();
            self.books.revoked(self.number, consent, entry, leaf.try_into().unwrap());
        }
        revoked
    }

    /// The app asks. Where nobody else changes anything meanwhile, the answer must be what stands.
    async fn ask(&self, alone: bool) -> Answered {
        self.books.asks(self.number);
        let answer = self.app(Method::GET, &history(&self.subject().patient), None).await;
        if let Answered::Done(bundle) = &answer {
            let items = bundle["total"].as_u64().unwrap();
            self.books.answered(self.number, items);
            if alone {
                let stands = matches!(self.books.standing(self.number), Standing::Active(_));
                assert_eq!(items > 0, stands, "{items} items, though consent stands: {stands}");
            }
        }
        answer
    }
}

fn answered<E>(response: Result<sekisho_adapters::http::Response, E>) -> Answered {
    let Ok(response) = response else { return Answered::Nothing };
    match response.status {
        StatusCode::OK | StatusCode::CREATED => Answered::Done(serde_json::from_slice(&response.body).unwrap()),
        status => Answered::Denied(format!("{status}: {}", String::from_utf8_lossy(&response.body))),
    }
}

/// After a start: what was acknowledged before the harm holds, and what was under way stands one way or the other.
pub async fn settle(place: &Arc<Place>, books: &Arc<Books>) {
    for number in 0..books.subjects.len() {
        let person = Person::new(Arc::clone(place), Arc::clone(books), number);
        for (consent, status) in books.expected(number) {
            let found = person.status(&consent).await;
            match status {
                Some(status) => assert_eq!(found, status, "{consent}, acknowledged before the harm"),
                None => books.stands(number, &consent, &found),
            }
        }
        let answer = person.ask(true).await;
        assert!(matches!(answer, Answered::Done(_)), "the app is not answered after the start");
    }
}

impl Person {
    async fn status(&self, consent: &str) -> String {
        match self.home(Method::GET, &format!("/v1/consents/{consent}"), None).await {
            Answered::Done(view) => text(&view, "status"),
            // A proposal for the child is the parent's own until it is approved.
            Answered::Denied(_) => "proposed".to_owned(),
            Answered::Nothing => panic!("the gateway does not answer after the start"),
        }
    }
}
