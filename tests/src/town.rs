//! A town: the demo's little world with the gateway of this build running in it, one family enrolled.

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use sekisho::admin::client::SocketError;
use sekisho::clock::Clock;
use sekisho::config::Config;
use sekisho::demo::world::{Enrolled, World, WorldOptions};
use sekisho::serve::{Gateway, Ports, StartError};
use sekisho_adapters::http::{HttpClient, Response};
use sekisho_adapters::people::{Family, People};
use sekisho_policy::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The tests' families: always the same.
pub const SEED: u64 = 7;

/// A town with a running gateway.
pub struct Town {
    /// Everything around the gateway.
    pub world: World,
    /// The gateway.
    pub gateway: Gateway,
    /// The clock of all of it.
    pub clock: Clock,
    /// The enrolled family.
    pub family: Family,
    /// Its members' ids.
    pub people: Enrolled,
    /// The port kept for the gateway's management.
    pub management: std::net::TcpListener,
    /// Removes the directory at the end.
    pub directory: tempfile::TempDir,
}

/// A town whose gateway is stopped.
pub struct StoppedTown {
    /// Everything around the gateway.
    pub world: World,
    clock: Clock,
    family: Family,
    people: Enrolled,
    management: std::net::TcpListener,
    /// Removes the directory at the end.
    pub directory: tempfile::TempDir,
}

impl StoppedTown {
    /// The clock.
    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// Starts the gateway on whatever its directory holds now.
    pub async fn started(self) -> Town {
        let Self { world, clock, family, people, management, directory } = self;
        let gateway = start(&world, &management, clock.clone()).await.unwrap();
        Town { world, gateway, clock, family, people, management, directory }
    }
}

/// The date of the families' histories.
pub fn today() -> jiff::civil::Date {
    jiff::civil::date(2026, 11, 22)
}

/// A clock that stands at the present, which certificates need, until a test moves it.
pub fn standing_clock() -> Clock {
    Clock::manual(Clock::system().now().unwrap())
}

impl Town {
    /// A town on the system's clock.
    pub async fn open() -> Self {
        Self::open_with(Clock::system(), |text| text).await
    }

    /// A town on this clock, its configuration bent by `bend`.
    pub async fn open_with(clock: Clock, bend: impl FnOnce(String) -> String) -> Self {
        Self::open_in(tempfile::tempdir().unwrap(), clock, bend).await
    }

    /// A town on the system's clock, its files below this directory, its configuration bent by `bend`.
    pub async fn open_below(directory: Option<&std::path::Path>, bend: impl FnOnce(String) -> String) -> Self {
        let directory = directory.map_or_else(tempfile::tempdir, tempfile::tempdir_in).unwrap();
        Self::open_in(directory, Clock::system(), bend).await
    }

    async fn open_in(directory: tempfile::TempDir, clock: Clock, bend: impl FnOnce(String) -> String) -> Self {
        let ticking = clock.clone();
        let now: sekisho_adapters::NowMs = Arc::new(move || ticking.now().unwrap().millis());
        let families: Vec<Family> = People::new(SEED, today()).families().take(2).collect();
        let family = families[0].clone();
        let options = WorldOptions { directory: directory.path().to_owned(), now, families, listen: None };
        let world = World::make(options).await.unwrap();
        let text = bend(std::fs::read_to_string(&world.config).unwrap());
        std::fs::write(&world.config, text).unwrap();
        let management = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        management.set_nonblocking(true).unwrap();
        let gateway = start(&world, &management, clock.clone()).await.unwrap();
        let people = world.enrol(&family).await.unwrap();
        Self { world, gateway, clock, family, people, management, directory }
    }

    /// Bends the configuration file and has the running gateway read it.
    pub async fn reload_with(&self, bend: impl FnOnce(String) -> String) -> Result<Value, SocketError> {
        let text = bend(std::fs::read_to_string(&self.world.config).unwrap());
        std::fs::write(&self.world.config, text).unwrap();
        self.world.act("/reload", &Value::Null).await
    }

    /// Stops the gateway cleanly and starts it again on the same directory.
    pub async fn restart(self) -> Self {
        self.stopped().await.started().await
    }

    /// Stops the gateway cleanly.
    pub async fn stopped(self) -> StoppedTown {
        let Self { world, gateway, clock, family, people, management, directory } = self;
        gateway.stop().await;
        StoppedTown { world, clock, family, people, management, directory }
    }

    /// A GET at the management port: status, and the body's text.
    pub async fn manage(&self, path: &str) -> (u16, String) {
        manage(&self.management, "GET", path).await
    }

    /// The mother's login.
    pub fn mother(&self) -> &str {
        &self.family.parents[0].id
    }

    /// The father's login.
    pub fn father(&self) -> &str {
        &self.family.parents[1].id
    }

    /// The first child's id at the gateway.
    pub fn child(&self) -> &str {
        &self.people.children[0]
    }

    /// The first child's id at the city.
    pub fn child_at_city(&self) -> &str {
        &self.family.children[0].person.id
    }

    /// An instant so many seconds from now, RFC 3339.
    pub fn in_seconds(&self, seconds: i64) -> String {
        let at = self.clock.now().unwrap().plus_millis(seconds * 1_000);
        sekisho::consent::people::rfc3339(at)
    }

    /// Moves a manual clock on.
    pub fn pass_seconds(&self, seconds: i64) {
        let at = self.clock.now().unwrap().plus_millis(seconds * 1_000);
        self.clock.set(Timestamp::from_millis(at.millis()));
    }

    /// The mother's consent for the child to the app, for a day: its id, and the child's id at the app.
    pub async fn consent(&self) -> (String, String) {
        self.world.consent(self.mother(), self.child(), &self.in_seconds(86_400)).await.unwrap()
    }

    /// The app asks for the child's history on the mother's behalf.
    pub async fn ask(&self, patient: &str) -> Response {
        let token = self.world.app_token(self.mother()).unwrap();
        self.get(&history(patient), &token).await
    }

    /// How many items the app gets for the child.
    pub async fn items(&self, patient: &str) -> u64 {
        let answer = self.ask(patient).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.body));
        body(&answer)["total"].as_u64().unwrap()
    }

    /// A GET by the app with this token.
    pub async fn get(&self, path: &str, token: &str) -> Response {
        self.world.call(&self.world.app_http, Method::GET, path, token, None).await.unwrap()
    }

    /// A request by a browser with a person's token: status and JSON body.
    pub async fn person(&self, method: Method, path: &str, sub: &str, json: Option<&Value>) -> (u16, Value) {
        let token = self.world.person_token(sub).unwrap();
        self.call(&self.world.browser, method, path, &token, json).await
    }

    /// A request: status and JSON body.
    pub async fn call(
        &self,
        http: &HttpClient,
        method: Method,
        path: &str,
        token: &str,
        json: Option<&Value>,
    ) -> (u16, Value) {
        let answer = self.world.call(http, method, path, token, json).await.unwrap();
        (answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
    }

    /// A request with headers of its own.
    pub async fn send(&self, http: &HttpClient, request: http::request::Builder, body: &str) -> Response {
        http.send(request.body(Bytes::from(body.to_owned())).unwrap()).await.unwrap()
    }

    /// The beginning of a request to the gateway.
    pub fn request(&self, method: Method, path: &str, token: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.world.url))
            .header("authorization", format!("Bearer {token}"))
    }

    /// The newest decision about the child, as the mother sees it.
    pub async fn newest_decision(&self) -> Value {
        let path = format!("/v1/access-log?limit=1&subject={}", self.child());
        let (status, log) = self.person(Method::GET, &path, self.mother(), None).await;
        assert_eq!(status, 200, "{log}");
        log["items"][0].clone()
    }

    /// What became of the newest decision about the child: waits until its outcome is in the record.
    pub async fn newest_outcome(&self) -> String {
        let patience = std::time::Instant::now();
        loop {
            let outcome = self.newest_decision().await["outcome"].as_str().unwrap_or_default().to_owned();
            if outcome != "under-way" {
                return outcome;
            }
            assert!(patience.elapsed().as_secs() < 20, "no outcome is recorded");
        }
    }

    /// A decision explained over the operators' socket.
    pub async fn explain(&self, decision: &str) -> Value {
        let path = format!("/decisions/{decision}");
        sekisho::admin::client::ask(&self.world.socket(), Method::GET, &path, &Value::Null).await.unwrap()
    }

    /// An official's act that must succeed.
    pub async fn act(&self, path: &str, json: Value) -> Value {
        self.world.act(path, &json).await.unwrap()
    }

    /// The father's refusal of everything, or of a scope.
    pub async fn refuse(&self, sub: &str, scope: Value) -> (u16, Value) {
        let mut scope = scope;
        scope["subject"] = json!(self.child());
        self.person(Method::POST, "/v1/refusals", sub, Some(&scope)).await
    }
}

/// The path of a history search.
pub fn history(patient: &str) -> String {
    format!("/fhir/Immunization?patient={patient}")
}

/// A JSON body.
pub fn body(answer: &Response) -> Value {
    serde_json::from_slice(&answer.body).unwrap()
}

/// Starts the gateway of a world.
pub async fn start(world: &World, management: &std::net::TcpListener, clock: Clock) -> Result<Gateway, StartError> {
    let config = Config::read(&world.config).unwrap_or_else(|e| panic!("{e}: {:?}", e.problems));
    let open =
        |listener: &std::net::TcpListener| tokio::net::TcpListener::from_std(listener.try_clone().unwrap()).unwrap();
    let ports = Ports { public: open(&world.listener), management: Some(open(management)) };
    Gateway::start_with(ports, config, clock).await
}

/// A request to a management port: status, and the body's text.
pub async fn manage(port: &std::net::TcpListener, method: &str, path: &str) -> (u16, String) {
    manage_at(port.local_addr().unwrap(), method, path).await
}

/// The same, at its address.
pub async fn manage_at(port: std::net::SocketAddr, method: &str, path: &str) -> (u16, String) {
    let mut tcp = tokio::net::TcpStream::connect(port).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nHost: management\r\n\r\n");
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}
