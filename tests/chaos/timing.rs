//! How long denials take: the time must not tell why. Unknown, nothing recorded that permits, refused, blocked: asked in turn, in
//! another order each time, and compared pair by pair by the area under the ROC curve (0.5: no telling, 1: always).
//!
//! The ledger lies in memory where the machine has a file system for that: a disk's noise would hide what is looked for.

use std::time::{Duration, Instant};

use http::StatusCode;
use sekisho_tests::town::{Town, history};
use serde_json::json;

use crate::dice::{Campaign, long};
use crate::http1::{self, Http1};

/// The bar, for at least 5,000 pairs: how far the area may lie from one half.
pub(super) const AUC_MAX: f64 = 0.55;
/// A difference that must be noticed.
pub(super) const INJECTED: Duration = Duration::from_micros(200);
/// Pairs of each two, in the short form as in the long one: what the bar needs.
const ROUNDS: usize = 6_000;
/// Requests before anything is measured.
pub(super) const WARM_UP: usize = 200;
/// In memory, on Linux.
pub(super) const MEMORY: &str = "/dev/shm";
const REASONS: [&str; 5] = ["unknown", "malformed", "no consent", "refused", "blocked"];

/// The probability that one of `b` took longer than one of `a`.
pub(super) fn auc(a: &[f64], b: &[f64]) -> f64 {
    let mut all: Vec<(f64, bool)> = a.iter().map(|t| (*t, false)).chain(b.iter().map(|t| (*t, true))).collect();
    all.sort_by(|x, y| x.0.total_cmp(&y.0));
    // Ranks of `b`, ties in the middle.
    let (mut ranks, mut at) = (0.0, 0);
    while at < all.len() {
        let ties = all[at..].iter().take_while(|x| x.0 == all[at].0).count();
        let middle = at as f64 + (ties as f64 + 1.0) / 2.0;
        ranks += middle * all[at..at + ties].iter().filter(|x| x.1).count() as f64;
        at += ties;
    }
    let (n, m) = (a.len() as f64, b.len() as f64);
    (ranks - m * (m + 1.0) / 2.0) / (n * m)
}

/// A further child of the mother, with her consent: its id, the consent, and its id at the app.
async fn child(town: &Town, at: usize) -> (String, String, String) {
    let people = json!({"people": [{"birth": "2020-04-02", "evidence": "住民票", "verified_by": "fuchu-city"}]});
    let id = town.act("/people", people).await["people"][0].as_str().unwrap().to_owned();
    let link = json!({"to": {"party": "fuchu-city", "id": format!("timing-{at}")}, "evidence": "住民票", "verified_by": "fuchu-city"});
    town.act(&format!("/people/{id}/links"), link).await;
    for guardian in &town.people.parents {
        let authority = json!({
            "guardian": guardian, "from": "2020-04-02T00:00:00+09:00", "kind": "親権者", "evidence": "戸籍",
            "verified_by": "fuchu-city",
        });
        town.act(&format!("/people/{id}/authorities"), authority).await;
    }
    let (consent, patient) = town.world.consent(town.mother(), &id, &town.in_seconds(86_400)).await.unwrap();
    (id, consent, patient)
}

/// An id at the app for each of [`REASONS`].
async fn patients(town: &Town) -> [String; 5] {
    let (_, consent, revoked) = child(town, 0).await;
    town.world.revoke(town.mother(), &consent).await.unwrap();
    let (id, _, refused) = child(town, 1).await;
    let refusal = json!({"subject": id, "recipient": "yotsuba-phr"});
    let (status, _) = town.person(http::Method::POST, "/v1/refusals", town.father(), Some(&refusal)).await;
    assert_eq!(status, StatusCode::CREATED.as_u16());
    let (id, _, blocked) = child(town, 2).await;
    town.act(&format!("/people/{id}/blocks"), json!({"party": "yotsuba-phr", "evidence": "支援措置"})).await;
    // One of the same form that nobody has, and one of none.
    let unknown: String = blocked.chars().rev().collect();
    [unknown, "nobody".to_owned(), revoked, refused, blocked]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_a_denial_does_not_tell_why() {
    let memory = std::path::Path::new(MEMORY).is_dir();
    let below = if memory { Some(MEMORY.as_ref()) } else { None };
    let bend = |text: String| text.replace("[server]\n", "[server]\ndenials_per_second_max = 1000000\n");
    let town = Town::open_below(below, bend).await;
    let patients = patients(&town).await;
    let mut campaign = Campaign::new("timing", ROUNDS);
    let mut dice = campaign.dice();
    let token = town.world.app_token(town.mother()).unwrap();
    let host = http1::authority(&town.world);
    let heads = patients.each_ref().map(|patient| {
        format!("GET {} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n", history(patient))
    });
    let mut http = Http1::open(&town.world).await;
    let mut times: [Vec<f64>; 5] = std::array::from_fn(|_| Vec::with_capacity(ROUNDS));
    for round in 0..WARM_UP + ROUNDS {
        let mut order = [0, 1, 2, 3, 4];
        (1..5).rev().for_each(|at| order.swap(at, dice.below(at + 1)));
        for reason in order {
            let began = Instant::now();
            http.send(heads[reason].as_bytes()).await;
            let answer = http.answer().await.unwrap();
            let took = began.elapsed();
            assert_eq!(answer.status, 200, "{}", REASONS[reason]);
            assert!(answer.body.contains(r#""total":0"#), "{}: {}", REASONS[reason], answer.body);
            if round >= WARM_UP {
                times[reason].push(took.as_secs_f64());
            }
        }
        campaign.step();
    }
    let (mut worst, mut least_noticed) = (0.5_f64, 1.0_f64);
    for a in 0..REASONS.len() {
        for b in a + 1..REASONS.len() {
            let area = auc(&times[a], &times[b]);
            if long().is_some() {
                println!("timing: {} / {}: {area:.4}", REASONS[a], REASONS[b]);
            }
            worst = worst.max(area).max(1.0 - area);
            if !(1.0 - AUC_MAX..=AUC_MAX).contains(&area) {
                campaign.finding(format!("{} and {} can be told apart: {area:.4}", REASONS[a], REASONS[b]));
            }
            let later: Vec<f64> = times[b].iter().map(|t| t + INJECTED.as_secs_f64()).collect();
            least_noticed = least_noticed.min(auc(&times[a], &later));
        }
    }
    // What can't see a difference that is there proves nothing.
    if least_noticed <= AUC_MAX {
        campaign.finding(format!("200 µs more would not be noticed: {least_noticed:.4}"));
    }
    let mut all = times.concat();
    all.sort_by(f64::total_cmp);
    let where_ = if memory { "in memory" } else { "on a disk" };
    drop(http);
    town.gateway.stop().await;
    campaign.end(&format!(
        "{ROUNDS} interleaved pairs of each two of {} reasons, ledger {where_}; median {:.0} µs; furthest area {worst:.4}; \
         with 200 µs more at least {least_noticed:.4}",
        REASONS.len(),
        all[all.len() / 2] * 1e6,
    ));
}
