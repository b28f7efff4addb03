//! The week of a public health nurse: collected, made up, pulled and confirmed; withdrawn, recalled; what can't wait.

use std::io::Cursor;

use http::Method;
use sekisho::clock::Clock;
use sekisho::demo::week::{Care, City};
use sekisho::package::open;
use sekisho::week::row::Row;
use sekisho_adapters::consultation::stand_in::Knobs;
use sekisho_adapters::http::Response;
use sekisho_adapters::stand_in::Faults;
use sekisho_policy::Timestamp;
use serde_json::{Value, json};

use sekisho_tests::town::Town;

/// A town with a consultation service, and a clock that stands on a Friday.
pub struct Week {
    pub town: Town,
    pub care: Care,
}

/// Friday, 20 November 2026, noon in Japan: week 47, which was due on Monday.
pub fn friday() -> Clock {
    Clock::manual(at("2026-11-20T12:00:00+09:00"))
}

pub fn at(text: &str) -> Timestamp {
    sekisho::consent::people::parse_instant(text).unwrap()
}

/// A consultation of Monday: nothing of it needs a nurse.
pub fn consultation(id: &str, user: &str) -> Value {
    json!({
        "id": id, "at": "2026-11-16T10:05:00+09:00", "asker": {"id": user, "birth": "1994-03-02"}, "child": null,
        "epds": [0, 1, null, 1, 0, 0, 0, 0, 0, 0], "judgement": null, "emergency": false, "marks": [],
        "sharing": sharing("content", "132063", "2026-11-16T10:00:00+09:00"),
        "residence": {"municipality": "132063", "postal": "183-0055"}, "present": null,
        "safe_contact": {"means": ["telephone"], "hours": "平日 10:00-15:00", "voicemail": false, "hidden_from_family": true},
    })
}

pub fn sharing(choice: &str, municipality: &str, at: &str) -> Value {
    json!({"choice": choice, "municipality": municipality, "text_version": "2026-04", "at": at, "evidence": "ev-1"})
}

/// What the service tells about one, once it may.
pub fn details(id: &str, user: &str, name: &str) -> Value {
    json!({
        "id": id,
        "asker": {"id": user, "name": name, "kana": "ゴウセイ ハナコ", "birth": "1994-03-02"},
        "child": null, "address": "東京都府中市合成町1-2-3",
        "reach": [{"means": "telephone", "at": "000-0000-0001"}],
        "content": {"judgement": null, "consultation": format!("相談の言葉 {id}"), "advice": format!("助言の言葉 {id}"),
                    "course": [{"date": "2026-10-16", "sum": 6}]},
    })
}

impl Week {
    pub async fn open() -> Self {
        Self::open_on(friday()).await
    }

    pub async fn open_on(clock: Clock) -> Self {
        let town = Town::open_with(clock, |text| text).await;
        let care = Care::open(&town.world, None).await.unwrap();
        let week = Self { town, care };
        let text = |text: String| week.care.configured(&text);
        week.town.reload_with(text).await.unwrap();
        week.has_looked().await;
        week
    }

    /// Waits until what runs by itself has looked for the first time: it collects, then makes up the week that is due. Until an hour has
    /// passed it collects nothing more.
    pub async fn has_looked(&self) {
        for city in &self.care.cities {
            while self.packages(city).await.is_empty() {
                tokio::task::yield_now().await;
            }
        }
    }

    /// A flagged consultation with this choice, and its details.
    pub fn flagged(&self, id: &str, user: &str, choice: &str) {
        let mut record = consultation(id, user);
        record["epds"] = json!([3, 3, 3, 0, 0, 0, 0, 0, 0, 0]);
        record["sharing"]["choice"] = json!(choice);
        self.put(id, user, &record);
    }

    pub fn put(&self, id: &str, user: &str, record: &Value) {
        self.care.service.add(record.to_string());
        self.care.service.put_details(id, details(id, user, &format!("合成 {user}")));
    }

    /// Stopped, and started at this instant.
    pub async fn restarted_at(self, instant: &str) -> Self {
        let Self { town, care } = self;
        let stopped = town.stopped().await;
        stopped.clock().set(at(instant));
        Self { town: stopped.started().await, care }
    }

    /// Fuchu's weeks, once there are so many packages.
    pub async fn weeks_until(&self, packages: usize) -> Vec<String> {
        loop {
            let all = self.packages(self.fuchu()).await;
            if all.len() >= packages {
                return all.iter().map(|p| p["week"].as_str().unwrap().to_owned()).collect();
            }
            tokio::task::yield_now().await;
        }
    }

    /// Collects, and makes the week up that is due at the next Monday.
    pub async fn made_up(&self) -> Vec<Value> {
        // Before its time comes: what runs by itself then finds nothing new.
        let lines = self.run(json!({"collect": true})).await;
        self.town.clock.set(at("2026-11-23T06:00:00+09:00"));
        self.run(json!({"week": "2026-W48"})).await;
        lines
    }

    pub async fn run(&self, of: Value) -> Vec<Value> {
        let lines = sekisho::admin::client::lines(&self.town.world.socket(), "/batch/run", &of).await.unwrap();
        let whole = ["rejected", "new_cases", "done", "error"];
        lines.into_iter().filter(|line| whole.iter().any(|name| line.get(name).is_some())).collect()
    }

    pub async fn plan(&self) -> Value {
        self.town.act("/batch/plan", json!({"week": "2026-W48", "municipality": "fuchu-city"})).await
    }

    pub const fn fuchu(&self) -> &City {
        let [fuchu, _] = &self.care.cities;
        fuchu
    }

    pub const fn inagi(&self) -> &City {
        let [_, inagi] = &self.care.cities;
        inagi
    }

    pub async fn packages(&self, city: &City) -> Vec<Value> {
        let token = city.token(&self.town.world).unwrap();
        let (status, list) = self.town.call(&city.http, Method::GET, "/v1/packages", &token, None).await;
        assert_eq!(status, 200, "{list}");
        list["items"].as_array().unwrap().clone()
    }

    /// The package of the week, or the last urgent one.
    pub async fn package(&self, city: &City, week: &str) -> String {
        let packages = self.packages(city).await;
        let found = packages.iter().rfind(|package| package["week"] == week);
        found.unwrap_or_else(|| panic!("no {week} in {packages:?}"))["id"].as_str().unwrap().to_owned()
    }

    pub async fn pull(&self, city: &City, package: &str) -> Response {
        let token = city.token(&self.town.world).unwrap();
        let path = format!("/v1/packages/{package}/copies");
        self.town.world.call(&city.http, Method::POST, &path, &token, Some(&json!({}))).await.unwrap()
    }

    /// Pulls and opens: head and rows.
    pub async fn opened(&self, city: &City, package: &str) -> (Value, Vec<Value>) {
        let answer = self.pull(city, package).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        self.open_file(city, &answer.body)
    }

    pub fn open_file(&self, city: &City, bytes: &[u8]) -> (Value, Vec<Value>) {
        let (now, mut file) = (self.town.clock.now().unwrap(), Cursor::new(bytes));
        let signer = self.town.gateway.app().store.ledger_key().verifier_key();
        let now = jiff::Timestamp::from_millisecond(now.millis()).unwrap();
        let checked = open::check(&mut file, &city.key, &signer, now).unwrap();
        let mut rows = Vec::new();
        let each = |row: Row| {
            rows.push(serde_json::to_value(row)?);
            Ok(())
        };
        open::rows(&mut file, &city.key, &checked, each).unwrap();
        (serde_json::to_value(&checked.head).unwrap(), rows)
    }

    /// Says that a copy arrived.
    pub async fn confirm(&self, city: &City, package: &str, answer: &Response) -> Value {
        let token = city.token(&self.town.world).unwrap();
        let digest = data_encoding::HEXLOWER.encode(&sekisho::ledger::merkle::sha256(&answer.body));
        let path = format!("/v1/packages/{package}/receipts");
        let (status, said) =
            self.town.call(&city.http, Method::POST, &path, &token, Some(&json!({"digest": digest}))).await;
        assert_eq!(status, 200, "{said}");
        said
    }

    /// The service pushes a record: what it is told.
    pub async fn push(&self, record: &Value) -> Value {
        let (status, said) = self.service(Method::POST, "/v1/consultations", Some(record)).await;
        assert_eq!(status, 200, "{said}");
        said
    }

    pub async fn service(&self, method: Method, path: &str, json: Option<&Value>) -> (u16, Value) {
        let token = self.care.token(&self.town.world).unwrap();
        self.town.call(&self.care.http, method, path, &token, json).await
    }
}

/// Names in rows, in order.
pub fn names(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["asker"]["name"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_choices_make_a_full_row_a_bare_one_and_none() {
    let week = Week::open().await;
    week.flagged("k-1", "u-1", "content");
    week.flagged("k-2", "u-2", "identity-only");
    week.flagged("k-3", "u-3", "nothing");
    week.put("k-4", "u-4", &consultation("k-4", "u-4"));
    let lines = week.made_up().await;
    assert_eq!(lines[0]["collected"], 4, "{lines:?}");
    assert_eq!(lines[0]["flagged"], 3);
    let plan = week.plan().await;
    let cases = plan["municipalities"][0]["cases"].as_array().unwrap();
    let mut goes: Vec<&str> = cases.iter().map(|case| case["goes"].as_str().unwrap()).collect();
    goes.sort_unstable();
    assert_eq!(goes, ["full", "identity-only"], "{plan}");
    assert!(week.care.service.take_asked().is_empty(), "nobody is asked about before a permit");
    let package = week.package(week.fuchu(), "2026-W48").await;
    let answer = week.pull(week.fuchu(), &package).await;
    let (head, rows) = week.open_file(week.fuchu(), &answer.body);
    assert_eq!((head["week"].as_str(), head["rows"].as_u64()), (Some("2026-W48"), Some(2)));
    let mut shown = names(&rows);
    shown.sort_unstable();
    assert_eq!(shown, ["合成 u-1", "合成 u-2"]);
    let row = |name: &str| rows.iter().find(|row| row["asker"]["name"] == name).unwrap();
    assert_eq!(row("合成 u-1")["content"]["consultation"], "相談の言葉 k-1");
    assert_eq!(row("合成 u-1")["content"]["epds"], json!([3, 3, 3, 0, 0, 0, 0, 0, 0, 0]));
    let bare = row("合成 u-2");
    assert_eq!((bare["kind"].as_str(), &bare["content"]), (Some("identity-only"), &Value::Null));
    assert!(!bare.to_string().contains("の言葉"), "{bare}");
    assert!(bare["reasons"][0]["ja"].as_str().is_some_and(|ja| !ja.contains('9')), "the class alone: {bare}");
    assert_eq!(bare["contact"]["hidden_from_family"], true);
    let asked = week.care.service.take_asked();
    let with_words: Vec<&(Vec<String>, bool)> = asked.iter().filter(|(_, words)| *words).collect();
    assert_eq!(with_words, [&(vec!["k-1".to_owned()], true)], "words were asked of one only: {asked:?}");
    assert!(asked.iter().all(|(ids, _)| !ids.contains(&"k-3".to_owned())), "{asked:?}");
    let said = week.confirm(week.fuchu(), &package, &answer).await;
    assert!(said["receipt"].as_str().is_some_and(|receipt| receipt.split('.').count() == 3), "{said}");
    assert_eq!(week.packages(week.inagi()).await[0]["cases"], 0);
    let token = week.inagi().token(&week.town.world).unwrap();
    let path = format!("/v1/packages/{package}/copies");
    let (status, _) = week.town.call(&week.inagi().http, Method::POST, &path, &token, Some(&json!({}))).await;
    assert_eq!(status, 404, "another municipality's");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_case_goes_once_and_what_is_withdrawn_is_recalled() {
    let week = Week::open().await;
    week.flagged("k-1", "u-1", "content");
    week.flagged("k-2", "u-2", "content");
    week.made_up().await;
    let lines = week.run(json!({"week": "2026-W48", "collect": true})).await;
    assert!(lines.iter().all(|line| line["new_cases"].as_u64().unwrap_or(0) == 0), "again: {lines:?}");
    let package = week.package(week.fuchu(), "2026-W48").await;
    // Withdrawn between the plan and the pull: in the service, which tells by its feed.
    week.care.service.choose("u-2", None, "nothing", "132063", "2026-11-23T05:00:00+09:00");
    let answer = week.pull(week.fuchu(), &package).await;
    let (_, rows) = week.open_file(week.fuchu(), &answer.body);
    assert_eq!(names(&rows), ["合成 u-1"]);
    let number = rows[0]["case"].as_str().unwrap().to_owned();
    week.confirm(week.fuchu(), &package, &answer).await;
    // Withdrawn after it arrived: the next package says so.
    week.care.service.choose("u-1", None, "nothing", "132063", "2026-11-24T05:00:00+09:00");
    week.town.clock.set(at("2026-11-30T06:00:00+09:00"));
    week.run(json!({"week": "2026-W49", "collect": true})).await;
    let next = week.package(week.fuchu(), "2026-W49").await;
    let answer = week.pull(week.fuchu(), &next).await;
    let (head, rows) = week.open_file(week.fuchu(), &answer.body);
    assert_eq!((rows.len(), head["withdrawn"][0]["case"].as_str()), (0, Some(number.as_str())), "{head}");
    let again = week.pull(week.fuchu(), &next).await;
    let (head, _) = week.open_file(week.fuchu(), &again.body);
    assert_eq!((head["copy"].as_u64(), head["withdrawn"].as_array().map(Vec::len)), (Some(2), Some(1)));
    week.confirm(week.fuchu(), &next, &again).await;
    let (head, _) = week.opened(week.fuchu(), &next).await;
    assert_eq!(head["withdrawn"], json!([]), "told once, and confirmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_withdrawals_cannot_be_read_nothing_is_sent() {
    let week = Week::open().await;
    week.flagged("k-1", "u-1", "content");
    week.made_up().await;
    let package = week.package(week.fuchu(), "2026-W48").await;
    let broken = Knobs { choices: Faults { status: Some(500), ..Faults::default() }, ..Knobs::default() };
    week.care.service.set_knobs(broken);
    assert_eq!(week.pull(week.fuchu(), &package).await.status, 503);
    assert!(week.care.service.take_asked().is_empty());
    week.care.service.set_knobs(Knobs::default());
    // Somebody's change that can't be read counts as a withdrawal; of whose nobody can tell, stops all.
    week.care.service.change_choice(json!({"user": "u-1", "sharing": 5}).to_string());
    let (_, rows) = week.opened(week.fuchu(), &package).await;
    assert_eq!(rows.len(), 0);
    week.care.service.change_choice("5");
    for _ in 0..2 {
        assert_eq!(week.pull(week.fuchu(), &package).await.status, 503, "until the service has mended it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_wait_calls_a_human_who_decides() {
    let week = Week::open().await;
    let mut urgent = consultation("k-9", "u-9");
    urgent["epds"] = json!([0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    week.put("k-9", "u-9", &urgent);
    let (status, said) = week.service(Method::POST, "/v1/consultations", Some(&urgent)).await;
    assert_eq!((status, said["urgent"].as_u64()), (200, Some(1)), "{said}");
    week.care.on_call.has_taken(1).await;
    let call = String::from_utf8(week.care.on_call.received()[0].body.to_vec()).unwrap();
    assert!(!call.contains("k-9") && !call.contains("u-9") && !call.contains("epds"), "{call}");
    let (_, open) = week.service(Method::GET, "/v1/alerts", None).await;
    let alert = open["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(open["items"][0]["consultation"], "k-9");
    let decision = json!({"by": "助産師 青井", "decision": "consent", "reason": "本人に電話で確かめた"});
    let decide = format!("/v1/alerts/{alert}/decision");
    let (status, early) = week.service(Method::POST, &decide, Some(&decision)).await;
    assert_eq!((status, early["code"].as_str()), (409, Some("alert-not-acknowledged")));
    // Nobody takes it on: called again, and after five minutes further up.
    week.town.pass_seconds(60);
    week.care.on_call.has_taken(2).await;
    week.town.pass_seconds(240);
    week.care.on_call.has_taken(4).await;
    let acknowledge = format!("/v1/alerts/{alert}/acknowledgement");
    let (status, _) = week.service(Method::POST, &acknowledge, Some(&json!({"by": "助産師 青井"}))).await;
    assert_eq!(status, 200);
    assert!(week.packages(week.fuchu()).await.iter().all(|p| p["week"] != "urgent"), "no score releases anything");
    let (status, said) = week.service(Method::POST, &decide, Some(&decision)).await;
    assert_eq!(
        (status, said["to"].as_str(), said["packed"].as_bool()),
        (201, Some("fuchu-city"), Some(true)),
        "{said}"
    );
    let package = week.package(week.fuchu(), "urgent").await;
    let answer = week.pull(week.fuchu(), &package).await;
    let (_, rows) = week.open_file(week.fuchu(), &answer.body);
    assert_eq!((names(&rows), rows[0]["urgency"].as_str()), (vec!["合成 u-9"], Some("urgent")));
    week.confirm(week.fuchu(), &package, &answer).await;
    week.made_up().await;
    let weekly = week.package(week.fuchu(), "2026-W48").await;
    assert_eq!(week.opened(week.fuchu(), &weekly).await.1.len(), 0, "once, not with the week again");
    assert_eq!(week.service(Method::POST, &decide, Some(&decision)).await.1["code"], "alert-decided");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_legal_basis_it_goes_where_the_person_is_and_a_second_person_looks() {
    let week = Week::open().await;
    let mut urgent = consultation("k-9", "u-9");
    urgent["emergency"] = json!(true);
    urgent["sharing"]["choice"] = json!("nothing");
    urgent["present"] = json!({"municipality": "132250", "postal": null});
    week.put("k-9", "u-9", &urgent);
    let (_, said) = week.service(Method::POST, "/v1/consultations", Some(&urgent)).await;
    assert_eq!(said["urgent"], 1, "{said}");
    let (_, open) = week.service(Method::GET, "/v1/alerts", None).await;
    let alert = open["items"][0]["id"].as_str().unwrap().to_owned();
    week.service(Method::POST, &format!("/v1/alerts/{alert}/acknowledgement"), Some(&json!({"by": "A"}))).await;
    let decide = format!("/v1/alerts/{alert}/decision");
    let basis = |article: &str, requester: &str| {
        json!({"by": "医師 A", "decision": "basis", "reason": "切迫している", "basis": {
            "article": article, "requester": requester, "until": "2026-12-20T00:00:00+09:00", "content": true}})
    };
    let (status, wrong) = week.service(Method::POST, &decide, Some(&basis("児童虐待防止法13条の4", ""))).await;
    assert_eq!((status, wrong["field"].as_str()), (422, Some("requester")), "{wrong}");
    let (status, wrong) = week.service(Method::POST, &decide, Some(&basis("民法1条", ""))).await;
    assert_eq!((status, wrong["field"].as_str()), (422, Some("article")));
    let (status, said) = week.service(Method::POST, &decide, Some(&basis("児童福祉法25条", ""))).await;
    assert_eq!((status, said["to"].as_str()), (201, Some("inagi-city")), "{said}");
    let basis_id = said["basis"].as_str().unwrap().to_owned();
    let package = week.package(week.inagi(), "urgent").await;
    let answer = week.pull(week.inagi(), &package).await;
    let (_, rows) = week.open_file(week.inagi(), &answer.body);
    assert_eq!(rows[0]["ground"], json!({"by": "basis", "article": "児童福祉法25条"}));
    week.confirm(week.inagi(), &package, &answer).await;
    assert_eq!(week.service(Method::GET, "/v1/bases", None).await.1["items"][0]["id"], basis_id.as_str());
    let confirm = format!("/v1/bases/{basis_id}/confirmation");
    let word = |by: &str| json!({"by": by, "upheld": false, "reason": "別人だった"});
    assert_eq!(week.service(Method::POST, &confirm, Some(&word("医師 A"))).await.0, 422, "the same person");
    assert_eq!(week.service(Method::POST, &confirm, Some(&word("医師 B"))).await.0, 200);
    assert_eq!(week.opened(week.inagi(), &package).await.1.len(), 0, "not upheld: nothing more goes");
    week.made_up().await;
    let weekly = week.package(week.inagi(), "2026-W48").await;
    let (head, _) = week.opened(week.inagi(), &weekly).await;
    assert_eq!(head["withdrawn"].as_array().map(Vec::len), Some(1), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_record_goes_back_and_holds_no_other_and_no_urgent_one_back() {
    let week = Week::open().await;
    let mut bad = consultation("k-1", "u-1");
    bad["epds"] = json!([9, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    bad["residence"]["municipality"] = json!("132064");
    week.put("k-1", "u-1", &bad);
    let mut unreasoned = consultation("k-2", "u-2");
    unreasoned["judgement"] = json!({"reason": "　"});
    week.put("k-2", "u-2", &unreasoned);
    week.flagged("k-3", "u-3", "content");
    let lines = week.made_up().await;
    assert_eq!((lines[0]["rejected"].as_u64(), lines[0]["returned"].as_u64()), (Some(1), Some(1)), "{lines:?}");
    let package = week.package(week.fuchu(), "2026-W48").await;
    assert_eq!(names(&week.opened(week.fuchu(), &package).await.1), ["合成 u-3"]);
    week.care.on_call.has_taken(1).await;
    let (_, open) = week.service(Method::GET, "/v1/alerts", None).await;
    assert_eq!(
        (open["items"][0]["consultation"].as_str(), open["items"][0]["record_taken"].as_bool()),
        (Some("k-1"), Some(false))
    );
    // The service is told at the next look.
    week.town.pass_seconds(3_601);
    let told = loop {
        let told = week.care.service.told();
        if told.returned.len() >= 3 {
            break told.returned;
        }
        tokio::task::yield_now().await;
    };
    let has = |id: &str, why: &str| told.iter().any(|(about, _, code)| about == id && code == why);
    assert!(has("k-1", "out-of-range") && has("k-1", "check-digit"), "{told:?}");
    assert!(has("k-2", "judgement-without-reason"), "{told:?}");
    // Mended, it is a case, and the alert knows it.
    let mut mended = consultation("k-1", "u-1");
    mended["epds"] = json!([2, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    week.put("k-1", "u-1", &mended);
    week.service(Method::POST, "/v1/consultations", Some(&mended)).await;
    let (_, open) = week.service(Method::GET, "/v1/alerts", None).await;
    assert_eq!(open["items"][0]["record_taken"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn weeks_that_were_missed_are_caught_up_over_the_years_end() {
    let week = Week::open().await;
    week.flagged("k-1", "u-1", "content");
    week.made_up().await;
    let week = week.restarted_at("2027-01-06T12:00:00+09:00").await;
    let weeks = week.weeks_until(8).await;
    let expected = ["2026-W47", "2026-W48", "2026-W49", "2026-W50", "2026-W51", "2026-W52", "2026-W53", "2027-W01"];
    assert_eq!(weeks, expected);
}
