//! How long a father's pages take: the time must not tell what is the mother's own. Each address that names something of
//! hers is asked in turn with the same address with an id that nobody ever had, and the two are compared by the area
//! under the ROC curve, as denials are in `timing`.

use std::time::{Duration, Instant};

use http::Method;
use sekisho::ids::TextId;
use sekisho_policy::{ConsentId, PersonId};
use sekisho_tests::browser::Browser;
use sekisho_tests::town::Town;

use crate::dice::Campaign;
use crate::http1::{self, Http1};
use crate::timing::{AUC_MAX, INJECTED, MEMORY, WARM_UP, auc};

/// Pairs of each two.
const ROUNDS: usize = 5_000;

/// Hers, and what is asked beside it.
async fn addresses(town: &Town) -> Vec<(&'static str, [String; 2])> {
    let hers = town.people.parents[0].clone();
    let proposal = town.world.propose(town.mother(), &town.in_seconds(86_400)).await.unwrap();
    let consent = proposal["id"].as_str().unwrap().to_owned();
    town.world.approve(town.mother(), &consent, &hers).await.unwrap();
    let token = town.world.app_token(town.mother()).unwrap();
    let path = format!("/v1/consents/{consent}");
    let seen = town.world.json(&town.world.app_http, Method::GET, &path, &token, None).await.unwrap();
    town.items(seen["patient"].as_str().unwrap()).await;
    let mut browser = Browser::new(town.world.browser.clone(), &town.world.url);
    browser.sign_in("/my/sign-in/dev", town.mother()).await;
    let line = browser.open(&format!("/my/log?about={hers}")).await.link("&at=");
    let (never, nobody) = (ConsentId::mint().text(), PersonId::mint().text());
    let about = |person: &str| format!("/my/log?about={person}");
    vec![
        ("log", [about(&hers), about(&nobody)]),
        ("consent", [format!("/my/consents/{consent}"), format!("/my/consents/{never}")]),
        ("record", [format!("/my/consents/{consent}/record"), format!("/my/consents/{never}/record")]),
        ("line", [line.clone(), line.replace(&hers, &nobody)]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_of_a_fathers_pages_does_not_tell_what_is_the_mothers_own() {
    let below = std::path::Path::new(MEMORY).is_dir().then_some(MEMORY.as_ref());
    let town = Town::open_below(below, |text| text).await;
    let addresses = addresses(&town).await;
    let mut father = Browser::new(town.world.browser.clone(), &town.world.url);
    father.sign_in("/my/sign-in/dev", town.father()).await;
    let cookie = father.cookie("__Host-sekisho").unwrap().clone();
    let mut campaign = Campaign::new("page timing", ROUNDS);
    let mut dice = campaign.dice();
    let host = http1::authority(&town.world);
    let head =
        |path: &String| format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nCookie: __Host-sekisho={cookie}\r\n\r\n");
    let mut http = Http1::open(&town.world).await;
    let mut worst = 0.5_f64;
    for (name, pair) in &addresses {
        let heads = pair.each_ref().map(head);
        let mut times: [Vec<f64>; 2] = std::array::from_fn(|_| Vec::with_capacity(ROUNDS));
        for round in 0..WARM_UP + ROUNDS {
            let first = dice.below(2);
            for which in [first, 1 - first] {
                let began = Instant::now();
                http.send(heads[which].as_bytes()).await;
                let answer = http.answer().await.unwrap();
                let took: Duration = began.elapsed();
                assert_eq!(answer.status, 404, "{name}");
                if round >= WARM_UP {
                    times[which].push(took.as_secs_f64());
                }
            }
            campaign.step();
        }
        let area = auc(&times[0], &times[1]);
        println!("page timing: {name}: {area:.4}");
        worst = worst.max(area).max(1.0 - area);
        if !(1.0 - AUC_MAX..=AUC_MAX).contains(&area) {
            campaign.finding(format!("{name}: hers and nobody's can be told apart: {area:.4}"));
        }
        // What can't see a difference that is there proves nothing.
        let later: Vec<f64> = times[1].iter().map(|t| t + INJECTED.as_secs_f64()).collect();
        if auc(&times[1], &later) <= AUC_MAX {
            campaign.finding(format!("{name}: 200 µs more would not be noticed"));
        }
    }
    drop(http);
    town.gateway.stop().await;
    campaign
        .end(&format!("{ROUNDS} interleaved pairs of each of {} addresses; furthest area {worst:.4}", addresses.len()));
}
