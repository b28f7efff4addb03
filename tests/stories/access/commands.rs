//! The operators' socket: every command, asked of the running one in each role. A command without a row does not compile.

use http::Method;
use sekisho::admin::client::{SocketError, ask, download, lines};
use sekisho::admin::commands::{COMMANDS, WHICH, Which};
use sekisho::demo::week::Care;
use sekisho::ids::{TextId, party_id};
use sekisho::ledger::entry::Cause;
use sekisho::week::shelf::Shelf;
use sekisho_tests::town::Town;
use serde_json::{Value, json};

/// Who comes to the socket: a column of the table.
pub const ROLES: &[(&str, &str)] = &[
    ("", "a user of the machine who is no configured operator: the connection is closed"),
    ("operator", "an operator with the role `operator` alone"),
    ("official", "one with the role `official` alone"),
    ("auditor", "one with the role `auditor` alone"),
];

/// A command's row: `+` carried out, `r` refused with the role that it takes and nothing recorded, `x` not even heard.
#[rustfmt::skip]
pub const fn row(command: Which) -> &'static str {
    match command {
        //                          - O F A
        Which::Status =>           "x + + +",
        Which::Checkpoint =>       "x + r r",
        Which::Reload =>           "x + r r",
        Which::Backup =>           "x + r r",
        Which::Destroyed =>        "x + r r",
        Which::Explain =>          "x r r +",
        Which::Releases =>         "x r r +",
        Which::Records =>          "x r r +",
        Which::Authorities =>      "x r r +",
        Which::AskAnew =>          "x r r +",
        Which::Enrol =>            "x r + r",
        Which::Erase =>            "x r + r",
        Which::DestroyOld =>       "x r + r",
        Which::Link =>             "x r + r",
        Which::EndLink =>          "x r + r",
        Which::Authority =>        "x r + r",
        Which::EndAuthority =>     "x r + r",
        Which::Adoption =>         "x r + r",
        Which::Block =>            "x r + r",
        Which::EndBlock =>         "x r + r",
        Which::Basis =>            "x r + r",
        Which::EndBasis =>         "x r + r",
        Which::DiscloseBasis =>    "x r + r",
        Which::BatchPlan =>        "x r r +",
        Which::BatchRun =>         "x + r r",
        Which::BatchWrite =>       "x r + r",
        Which::Suspend =>          "x r + r",
        Which::Reinstate =>        "x r + r",
        Which::Import =>           "x r + r",
    }
}

/// The cells of a row.
pub fn cells(row: &str) -> Vec<char> {
    let cells: Vec<char> = row.chars().filter(|c| *c != ' ').collect();
    assert!(cells.len() == ROLES.len() && cells.iter().all(|c| "+rx".contains(*c)), "{row}");
    cells
}

/// What each command is asked about.
struct Desk {
    town: Town,
    decision: String,
    /// Somebody of whom there is a link, an authority, a block and a basis to end.
    person: String,
    link: String,
    authority: String,
    block: String,
    basis: String,
    to_erase: String,
    to_adopt: String,
    package: String,
    _care: Care,
}

fn evidence(more: Value) -> Value {
    let mut all = json!({"evidence": "対面での確認", "verified_by": "fuchu-city"});
    all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    all
}

fn basis() -> Value {
    json!({
        "recipient": "midori-clinic", "purpose": "first-visit", "categories": ["vaccination@1"],
        "from": "2020-01-01T00:00:00+09:00", "until": "2099-01-01T00:00:00+09:00",
        "article": "児童福祉法25条", "requester": "児童相談所", "decided_by": "保健師 山田", "reason": "要保護児童の通告",
    })
}

impl Desk {
    async fn open() -> Self {
        let town = Town::open().await;
        let (_, patient) = town.consent().await;
        assert!(town.items(&patient).await > 0);
        let decision = town.newest_decision().await["decision"].as_str().unwrap().to_owned();
        let mut people = Vec::new();
        for birth in ["2020-04-01", "2020-04-02", "2020-04-03"] {
            let person = evidence(json!({"birth": birth}));
            let made = town.act("/people", json!({"people": [person]})).await;
            people.push(made["people"][0].as_str().unwrap().to_owned());
        }
        let [person, to_erase, to_adopt] = people.try_into().unwrap();
        let made = async |what: &str, name: &str, body: Value| {
            let made = town.act(&format!("/people/{person}/{what}"), body).await;
            made[name].as_str().unwrap().to_owned()
        };
        let link = made("links", "link", evidence(json!({"to": {"party": "fuchu-city", "id": "resident-1"}}))).await;
        let guardian =
            json!({"guardian": town.people.parents[0], "from": "2020-04-01T00:00:00+09:00", "kind": "親権者"});
        let authority = made("authorities", "authority", evidence(guardian)).await;
        let block = made("blocks", "block", json!({"party": "yotsuba-phr", "evidence": "支援措置"})).await;
        let basis = made("bases", "basis", basis()).await;
        let care = Care::open(&town.world, None).await.unwrap();
        town.reload_with(|text| care.configured(&text)).await.unwrap();
        lines(&town.world.socket(), "/batch/run", &json!({})).await.unwrap();
        let app = town.gateway.app();
        let packages = Shelf(&app.store).packages(party_id("fuchu-city"), 9).unwrap();
        let package = packages[0].0.text();
        Self { decision, person, link, authority, block, basis, to_erase, to_adopt, package, _care: care, town }
    }

    /// Gives whoever comes from this process these roles, or has another user be the operator.
    async fn give(&self, role: &str) {
        let path = &self.town.world.config;
        let text = std::fs::read_to_string(path).unwrap();
        let uid = rustix::process::getuid().as_raw();
        let (before, after) = text.split_once("[[operator]]").unwrap();
        let (_, after) = after.split_once("\n\n").unwrap();
        let (uid, roles) = if role.is_empty() { (uid + 1, "operator") } else { (uid, role) };
        let operator = format!("[[operator]]\nname = \"demo\"\nuid = {uid}\nroles = [\"{roles}\"]\n\n");
        std::fs::write(path, format!("{before}{operator}{after}")).unwrap();
        self.town.gateway.current.reload(Cause::Gateway).await.unwrap();
    }

    fn asked(&self, command: Which, pattern: &str) -> (String, Value) {
        let (first, second) = match command {
            Which::Explain => (&self.decision, &self.decision),
            Which::Erase => (&self.to_erase, &self.to_erase),
            Which::Adoption => (&self.to_adopt, &self.to_adopt),
            Which::EndLink => (&self.person, &self.link),
            Which::EndAuthority => (&self.person, &self.authority),
            Which::EndBlock => (&self.person, &self.block),
            Which::EndBasis | Which::DiscloseBasis => (&self.person, &self.basis),
            _ => (&self.person, &self.person),
        };
        let path = match command {
            Which::Suspend | Which::Reinstate => pattern.replace("{id}", "midori-clinic"),
            _ => pattern.replacen("{id}", first, 1).replacen("{id}", second, 1),
        };
        let (query, body) = match command {
            Which::Releases => ("?since=2020-01-01T00:00:00%2B09:00", Value::Null),
            Which::AskAnew => ("?purpose=phr-view", Value::Null),
            Which::Enrol => ("", json!({"people": [evidence(json!({"birth": "1990-01-01"}))]})),
            Which::Erase | Which::DestroyOld => ("", json!({})),
            Which::Link => ("", evidence(json!({"to": {"party": "midori-clinic", "id": "patient-1"}}))),
            Which::EndLink | Which::EndAuthority | Which::Suspend | Which::Reinstate => ("", json!({"reason": "試し"})),
            Which::Authority => {
                let of = json!({"guardian": self.town.people.parents[1], "from": "2020-04-01T00:00:00+09:00", "kind": "親権者"});
                ("", evidence(of))
            }
            Which::Adoption => ("", evidence(json!({"from": "2026-04-01T00:00:00+09:00"}))),
            Which::Block => ("", json!({"party": "midori-clinic", "evidence": "支援措置"})),
            Which::Basis => ("", basis()),
            Which::DiscloseBasis => ("", json!({"by": "課長 田中"})),
            Which::BatchPlan | Which::BatchRun => ("", json!({"municipality": "fuchu-city"})),
            Which::BatchWrite => ("", json!({"municipality": "fuchu-city", "package": self.package})),
            Which::Import => ("", json!({"party": "fuchu-city", "dry_run": false, "rows": []})),
            Which::Status
            | Which::Checkpoint
            | Which::Reload
            | Which::Backup
            | Which::Destroyed
            | Which::Explain
            | Which::Records
            | Which::Authorities
            | Which::EndBlock
            | Which::EndBasis => ("", Value::Null),
        };
        (path + query, body)
    }

    async fn send(&self, command: Which, method: &str, pattern: &str) -> Result<Value, SocketError> {
        let (path, body) = self.asked(command, pattern);
        let socket = self.town.world.socket();
        if command == Which::Backup || command == Which::BatchWrite {
            let to = tempfile::tempdir().unwrap();
            let written = download(&socket, &path, &body, &to.path().join("file")).await;
            return written.map(|bytes| json!({"bytes": bytes}));
        }
        if command == Which::BatchRun {
            return lines(&socket, &path, &body).await.map(Value::from);
        }
        ask(&socket, method.parse::<Method>().unwrap(), &path, &body).await
    }

    /// How many entries there are.
    async fn entries(&self) -> String {
        let signed = self.town.gateway.app().store.checkpoint().await.unwrap();
        String::from_utf8(signed).unwrap().lines().nth(1).unwrap().to_owned()
    }

    /// One row, in one role.
    async fn cell(&self, at: usize, expected: char, role: &str) -> Result<(), String> {
        let (command, (method, pattern, takes)) = (WHICH[at], COMMANDS[at]);
        let before = self.entries().await;
        let answer = self.send(command, method, pattern).await;
        let found = match &answer {
            Ok(_) => '+',
            Err(SocketError::Broken) => 'x',
            Err(SocketError::Refused(why)) if why.contains("this takes the role") => 'r',
            Err(_) => '?',
        };
        let named = || answer.as_ref().unwrap_err().to_string().contains(&format!("`{}`", takes.unwrap().name()));
        let said = found == expected && (found != 'r' || named());
        // A look or an act that was refused leaves nothing behind; what one may look at about people leaves that one looked.
        let (after, looks) = (self.entries().await, takes.is_some_and(|role| role.name() == "auditor"));
        let recorded = if expected == '+' { !looks || after != before } else { after == before };
        if said && recorded {
            Ok(())
        } else {
            Err(format!("{method} {pattern} as `{role}`: {answer:?}, {before} → {after}"))
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_takes_its_role() {
    let desk = Desk::open().await;
    let (mut wrong, mut walked) = (Vec::new(), 0);
    // What may not be done first: all of it is still there to be done.
    for allowed in [false, true] {
        for (number, (role, _)) in ROLES.iter().enumerate() {
            desk.give(role).await;
            for (at, command) in WHICH.iter().enumerate() {
                let expected = cells(row(*command))[number];
                if (expected == '+') == allowed {
                    walked += 1;
                    wrong.extend(desk.cell(at, expected, role).await.err());
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {walked}:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(walked, WHICH.len() * ROLES.len());
    println!("{walked} cells are as the table says");
    desk.town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_command_is_not_there() {
    let town = Town::open().await;
    for (method, path) in [
        (Method::GET, "/"),
        (Method::GET, "/checkpoint"),
        (Method::DELETE, "/people"),
        (Method::GET, "/people//records"),
        (Method::POST, "/people/psn-a/links/lnk-a/end/"),
        (Method::POST, "/parties/yotsuba-phr/close"),
        (Method::GET, "/status?x=1/"),
    ] {
        let answer = ask(&town.world.socket(), method.clone(), path, &json!({})).await;
        let there = path.starts_with("/status");
        assert!(
            there || matches!(&answer, Err(SocketError::Refused(why)) if why.contains("no such")),
            "{method} {path}: {answer:?}"
        );
    }
    town.gateway.stop().await;
}
