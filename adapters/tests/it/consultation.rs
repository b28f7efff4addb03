//! The consultation service's client and stand-in, over real TLS.

use jiff::Timestamp;
use jiff::civil::date;
use sekisho_adapters::consultation::stand_in::{ConsultationOptions, ConsultationStandIn, Knobs};
use sekisho_adapters::consultation::{
    Choice, ConsultationId, ConsultationService, Outcome, OutcomeCode, ServiceError, Shape, Wanted, read_pushed,
};
use sekisho_adapters::http::{HttpError, Limits};
use sekisho_adapters::people::consultations::Consultations;
use sekisho_adapters::stand_in::{Damage, Faults};

use crate::support::{LIMITS, World};

fn now() -> Timestamp {
    "2026-11-20T12:00:00+09:00".parse().unwrap()
}

fn generated(count: u64) -> Option<(Consultations, u64)> {
    let from = "2026-11-16T00:00:00+09:00".parse().unwrap();
    Some((Consultations::new(11, date(2026, 11, 20), from, 1_000), count))
}

async fn world(count: u64, limits: Limits) -> (ConsultationStandIn, ConsultationService, World) {
    let world = World::new();
    let options = ConsultationOptions {
        bind: "127.0.0.1:0".parse().unwrap(),
        tls: world.tls(Some(false)),
        generated: generated(count),
    };
    let stand_in = ConsultationStandIn::start(options).await.unwrap();
    let service = ConsultationService::new(world.http(Some(&world.client), limits), stand_in.url(), Shape::Plain);
    (stand_in, service, world)
}

fn id(text: &str) -> ConsultationId {
    ConsultationId::parse(text).unwrap()
}

#[tokio::test]
async fn a_feed_is_read_page_by_page_and_goes_on_where_it_ended() {
    let (stand_in, service, _world) = world(2_500, LIMITS).await;
    let (mut since, mut seen): (Option<String>, Vec<ConsultationId>) = (None, Vec::new());
    loop {
        let page = service.consultations(since.as_deref(), 1_000, now()).await.unwrap();
        seen.extend(page.items.into_iter().map(|item| item.unwrap().id));
        since = Some(page.next);
        if !page.more {
            break;
        }
    }
    assert_eq!((seen.len(), seen[2_499].as_str()), (2_500, "k-0002499"));
    assert_eq!(stand_in.requests(), 3);
    // What comes later is told, and nothing else again; a broken one doesn't keep the next back.
    stand_in.add("{\"emergency\":true}");
    stand_in.add(generated(1).unwrap().0.json(2_501));
    let page = service.consultations(since.as_deref(), 1_000, now()).await.unwrap();
    let [Err(broken), Ok(sound)] = page.items.as_slice() else { panic!() };
    assert!(broken.urgent && broken.id == Err(0) && sound.id == id("k-0002501"));
    assert_eq!(broken.returned().count(), 0);
}

#[tokio::test]
async fn ten_megabytes_of_one_record_hold_no_other_back() {
    let (stand_in, service, _world) = world(3, LIMITS).await;
    let large =
        |megabytes: usize| format!(r#"{{"id":"k-large","emergency":true,"note":"{}"}}"#, "a".repeat(megabytes << 20));
    stand_in.add(large(10));
    let page = service.consultations(None, 100, now()).await.unwrap();
    assert_eq!(page.items.iter().filter(|item| item.is_ok()).count(), 3);
    let rejected = page.items[3].as_ref().unwrap_err();
    assert_eq!((&rejected.id, rejected.problems[0].why, rejected.urgent), (&Ok(id("k-large")), "too-large", true));
    // One that no answer may be as large as: the records before it still come.
    stand_in.add(large(33));
    let page = service.consultations(Some("w-0"), 8, now()).await.unwrap();
    assert_eq!((page.items.len(), page.more), (4, true));
    let alone = service.consultations(Some("w-4"), 8, now()).await;
    assert_eq!(alone.unwrap_err(), ServiceError::Upstream(HttpError::TooLarge));
}

#[tokio::test]
async fn choices_details_and_what_the_service_is_told() {
    let (stand_in, service, _world) = world(50, LIMITS).await;
    stand_in.choose("syn-000001-p1", None, "nothing", "132063", "2026-11-19T08:00:00+09:00");
    let page = service.choices(None, 100, now()).await.unwrap();
    let changed = page.items[0].as_ref().unwrap();
    assert_eq!((changed.user.as_str(), changed.chosen.choice), ("syn-000001-p1", Choice::Nothing));
    assert!(service.choices(Some(&page.next), 100, now()).await.unwrap().items.is_empty());

    stand_in.forget("k-0000002");
    let ids = [id("k-0000001"), id("k-0000002"), id("k-9999999")];
    for wanted in [Wanted::Identity, Wanted::Content] {
        let details = service.details(&ids, wanted, now()).await.unwrap();
        let [Ok(one)] = details.as_slice() else { panic!() };
        assert_eq!((one.id.as_str(), one.asker.id.as_str()), ("k-0000001", "syn-000001-p1"));
        assert_eq!(one.content.is_some(), wanted == Wanted::Content);
    }
    let words: Vec<bool> = stand_in.take_asked().into_iter().map(|(_, words)| words).collect();
    assert_eq!(words, [false, true]);
    stand_in.set_knobs(Knobs { sends_words: true, ..Knobs::default() });
    let details = service.details(&ids, Wanted::Identity, now()).await.unwrap();
    assert!(details[0].as_ref().unwrap().content.is_none());
    stand_in.set_knobs(Knobs { somebody_elses: true, ..Knobs::default() });
    assert_eq!(service.details(&ids, Wanted::Identity, now()).await.unwrap_err(), ServiceError::NotAskedFor);
    let many = vec![id("k-1"); 101];
    assert_eq!(service.details(&many, Wanted::Identity, now()).await.unwrap_err(), ServiceError::TooMany);

    let page = read_pushed(br#"{"id":"k-7","emergency":false}"#, &Shape::Plain, now()).unwrap();
    let returned: Vec<_> = page[0].as_ref().unwrap_err().returned().collect();
    service.returned(&returned).await.unwrap();
    let outcomes = vec![Outcome { id: id("k-1"), code: OutcomeCode::Closed }; 1_500];
    service.outcomes(&outcomes).await.unwrap();
    service.alert("alt-1", 2).await.unwrap();
    let told = stand_in.told();
    assert_eq!(told.returned[0], ("k-7".to_owned(), "at".to_owned(), "missing".to_owned()));
    assert_eq!((told.returned.len(), told.outcomes.len()), (5, 1_500));
    assert_eq!(told.alerts, [("alt-1".to_owned(), 2)]);
}

#[tokio::test]
async fn a_service_that_misbehaves_is_an_error_and_never_an_empty_page() {
    let limits = Limits { total_ms: 300, ..LIMITS };
    let (stand_in, service, world) = world(50, limits).await;
    let faults = |faults: Faults| Knobs { faults, ..Knobs::default() };
    for (knobs, expected) in [
        (faults(Faults { hang: true, ..Faults::default() }), ServiceError::Upstream(HttpError::TimedOut)),
        (faults(Faults { status: Some(503), ..Faults::default() }), ServiceError::Refused(503)),
        (faults(Faults { status: Some(204), ..Faults::default() }), ServiceError::Refused(204)),
        (
            faults(Faults { damage: Damage::Garbage, ..Faults::default() }),
            ServiceError::Malformed { what: "body", urgent: false },
        ),
        (faults(Faults { damage: Damage::DieHalfWay, ..Faults::default() }), ServiceError::Upstream(HttpError::Broken)),
        (Knobs { stands_still: true, ..Knobs::default() }, ServiceError::Malformed { what: "next", urgent: false }),
    ] {
        stand_in.set_knobs(knobs);
        assert_eq!(service.consultations(Some("w-5"), 10, now()).await.unwrap_err(), expected);
    }
    // Only the feed of choices: consultations still come.
    let choices = Faults { status: Some(500), ..Faults::default() };
    stand_in.set_knobs(Knobs { choices, ..Knobs::default() });
    assert_eq!(service.choices(None, 10, now()).await.unwrap_err(), ServiceError::Refused(500));
    assert!(service.consultations(None, 10, now()).await.is_ok());

    let nobody = ConsultationService::new(world.http(None, limits), stand_in.url(), Shape::Plain);
    assert_eq!(nobody.consultations(None, 10, now()).await.unwrap_err(), ServiceError::Refused(401));
    let url = stand_in.url();
    drop(stand_in);
    let dead = ConsultationService::new(world.client(), url, Shape::Plain);
    assert!(matches!(dead.consultations(None, 10, now()).await, Err(ServiceError::Upstream(_))));
}
