//! Look-ups: who a login, a pairwise id, a consent or an idempotency key belongs to; the access log.

use sekisho_policy::{ConsentId, PersonId, Timestamp};

use super::world::{self, START};
use super::{consented, permitted};
use crate::clock::Clock;
use crate::ids::{EntryId, LinkId, PairwiseId, TextId, party_id, random};
use crate::ledger::entry::{Bytes16, Bytes32, Cause, Idempotency};
use crate::ledger::event::{
    AuthorityRecorded, CounterLooked, Event, LinkEnded, LinkTarget, Linked, PairwiseMinted, PairwiseRetired, RetiredId,
    VisitMoved,
};
use crate::store::{Draft, LogLine, Store, StoreError};

pub(super) async fn the_access_log_goes_back_in_pages(open: &impl AsyncFn(&str, Clock) -> Store) {
    let (store, clock, person, _) = consented(open, "log").await;
    let other = *world::enrol(&store, 1).await.unwrap().first().unwrap();
    world::record(&store, other, world::approved(other, ConsentId::mint())).await.unwrap();
    let mut made = Vec::new();
    for round in 0..25 {
        made.push(permitted(&store, person).await.decision());
        permitted(&store, other).await;
        if round % 4 == 0 {
            made.push(looked_at(&store, person).await);
            looked_at(&store, other).await;
        }
    }
    made.reverse();
    assert_eq!(paged(&store, person), made, "each once, and nobody else's");
    store.stop().await.unwrap();
    drop(store);
    let store = open("log", clock).await;
    assert_eq!(paged(&store, person), made, "nor another after a restart");
    store.stop().await.unwrap();
}

/// The entries of all lines about a person, newest first, ten at a time.
fn paged(store: &Store, person: PersonId) -> Vec<EntryId> {
    let (mut seen, mut before) = (Vec::new(), u64::MAX);
    loop {
        let page = store.access_log(person, before, 10).unwrap();
        assert!(page.iter().zip(page.iter().skip(1)).all(|(a, b)| a.position() > b.position()), "newest first");
        let Some(last) = page.last() else { return seen };
        before = last.position();
        seen.extend(page.iter().map(LogLine::entry));
    }
}

/// A look at a person at the city's counter.
async fn looked_at(store: &Store, person: PersonId) -> EntryId {
    let look =
        CounterLooked { subject: Bytes16(*person.bytes()), party: world::CITY.to_owned(), by: "clerk".to_owned() };
    world::record(store, person, Event::CounterLooked(look)).await.unwrap().unwrap().entry
}

pub(super) async fn logins_and_their_ends(open: &impl AsyncFn(&str, Clock) -> Store) {
    let store = open("logins", world::clock()).await;
    let people = world::enrol(&store, 2).await.unwrap();
    let (first, second) = (*people.first().unwrap(), *people.last().unwrap());
    let login = LinkTarget::Login { issuer: "https://id.example".to_owned(), sub: "hanako".to_owned() };
    let find = async || store.person_of_login("https://id.example", "hanako").await.unwrap();
    assert_eq!(find().await, None);
    let link = LinkId::mint();
    world::record(&store, first, linked(first, link, login.clone())).await.unwrap();
    assert_eq!(find().await, Some(first));
    assert_eq!(store.person_of_login("https://id.example", "hanak").await.unwrap(), None);
    assert_eq!(store.person_of_login("https://id.exampleh", "anako").await.unwrap(), None);
    let ended = LinkEnded { link: Bytes16(*link.bytes()), reason: "test".to_owned() };
    world::record(&store, first, Event::LinkEnded(ended)).await.unwrap();
    assert_eq!(find().await, None, "an ended link leads nowhere");
    world::record(&store, second, linked(second, LinkId::mint(), login)).await.unwrap();
    assert_eq!(find().await, Some(second));
    let at_source = LinkTarget::Source { party: world::CITY.to_owned(), id: "p-1".to_owned() };
    world::record(&store, second, linked(second, LinkId::mint(), at_source)).await.unwrap();
    assert_eq!(store.snapshot(second).await.unwrap().subject.id_at(world::CITY), Some("p-1"));
    store.stop().await.unwrap();
}

fn linked(person: PersonId, link: LinkId, to: LinkTarget) -> Event {
    Event::Linked(Linked {
        link: Bytes16(*link.bytes()),
        person: Bytes16(*person.bytes()),
        to,
        evidence: "test".to_owned(),
        verified_by: "test".to_owned(),
    })
}

pub(super) async fn pairwise_ids(open: &impl AsyncFn(&str, Clock) -> Store) {
    let (store, clock, person, _) = consented(open, "pairwise").await;
    let id = PairwiseId::from_bytes(random());
    let minted = PairwiseMinted {
        subject: Bytes16(*person.bytes()),
        party: world::APP.to_owned(),
        id: Bytes16(*id.bytes()),
        secret: Bytes32([7; 32]),
    };
    world::record(&store, person, Event::PairwiseMinted(minted)).await.unwrap();
    let check = async |store: &Store| {
        assert_eq!(store.person_of_pairwise(world::app(), id).unwrap(), Some(person));
        assert_eq!(store.person_of_pairwise(party_id(world::CITY), id).unwrap(), None, "useless to any other party");
        assert_eq!(store.person_of_pairwise(world::app(), PairwiseId::from_bytes(random())).unwrap(), None);
        assert_eq!(store.snapshot(person).await.unwrap().subject.pairwise_at(world::APP).unwrap().id, id);
    };
    check(&store).await;
    store.stop().await.unwrap();
    drop(store);
    let store = open("pairwise", clock.clone()).await;
    check(&store).await;
    let ids = vec![RetiredId { party: world::APP.to_owned(), id: Bytes16(*id.bytes()) }];
    let retired = PairwiseRetired { subject: Bytes16(*person.bytes()), ids };
    world::record(&store, person, Event::PairwiseRetired(retired)).await.unwrap();
    let gone = async |store: &Store| {
        assert_eq!(store.person_of_pairwise(world::app(), id).unwrap(), None, "a retired id leads nowhere");
        assert!(store.snapshot(person).await.unwrap().subject.pairwise_at(world::APP).is_none());
    };
    gone(&store).await;
    store.stop().await.unwrap();
    drop(store);
    let store = open("pairwise", clock).await;
    gone(&store).await;
    store.stop().await.unwrap();
}

pub(super) async fn consents_and_wards(open: &impl AsyncFn(&str, Clock) -> Store) {
    let (store, _, person, consent) = consented(open, "wards").await;
    assert_eq!(store.person_of_consent(consent).unwrap(), Some(person));
    assert_eq!(store.person_of_consent(ConsentId::mint()).unwrap(), None);
    let people = world::enrol(&store, 2).await.unwrap();
    let (guardian, child) = (*people.first().unwrap(), *people.last().unwrap());
    let authority = AuthorityRecorded {
        authority: Bytes16(random()),
        subject: Bytes16(*child.bytes()),
        guardian: Bytes16(*guardian.bytes()),
        from_ms: START.millis(),
        until_ms: None,
        kind: "parent".to_owned(),
        evidence: "test".to_owned(),
        verified_by: "test".to_owned(),
        recheck_ms: None,
    };
    world::record(&store, child, Event::AuthorityRecorded(authority)).await.unwrap();
    assert_eq!(store.wards(guardian), [child]);
    assert!(store.wards(child).is_empty());
    store.stop().await.unwrap();
}

/// Consents for a visit, by the recipient's reference; and what moves with the visit, at once and after a restart.
pub(super) async fn bookings(open: &impl AsyncFn(&str, Clock) -> Store) {
    let (store, clock, person, _) = consented(open, "bookings").await;
    let other = *world::enrol(&store, 1).await.unwrap().first().unwrap();
    let (first, second, third) = (ConsentId::mint(), ConsentId::mint(), ConsentId::mint());
    for (person, consent, reference) in [(person, first, "B-1"), (other, second, "B-1"), (person, third, "B-11")] {
        world::record(&store, person, world::booked(person, consent, reference)).await.unwrap();
    }
    let moved = |visit_ms: i64, until_ms: i64| {
        let (consent, party) = (Bytes16(*first.bytes()), world::APP.to_owned());
        Event::VisitMoved(VisitMoved { consent, visit_ms, until_ms, at_ms: START.millis(), party })
    };
    let end = START.millis() + 100 * world::DAY_MS;
    // Later, earlier, later again: the end goes one way only.
    for (visit_ms, until_ms) in [(end, end + 1), (5, end - 9), (6, end - 3)] {
        world::record(&store, person, moved(visit_ms, until_ms)).await.unwrap();
    }
    let check = async |store: &Store| {
        let found = |party, reference: &str| store.bookings(party, reference, 10).unwrap();
        let mut both = found(world::app(), "B-1");
        both.sort_unstable_by_key(|(consent, _)| *consent == second);
        assert_eq!(both, [(first, person), (second, other)]);
        assert_eq!(store.bookings(world::app(), "B-1", 1).unwrap().len(), 1, "bounded");
        assert_eq!(found(world::app(), "B-11"), [(third, person)]);
        assert!(found(world::app(), "B").is_empty() && found(party_id(world::CITY), "B-1").is_empty());
        let dossier = store.dossier(person).await.unwrap();
        let consent = dossier.subject.records.consents.iter().find(|c| c.id == first).unwrap();
        let paper = dossier.papers.agreements.iter().find(|a| a.consent == first).unwrap();
        let until = Timestamp::from_millis(end - 9);
        assert_eq!((consent.period.until(), paper.until()), (until, until));
        assert_eq!((paper.visit(), paper.moved.unwrap().times), (Some(Timestamp::from_millis(6)), 3));
    };
    check(&store).await;
    store.stop().await.unwrap();
    drop(store);
    let store = open("bookings", clock).await;
    check(&store).await;
    store.stop().await.unwrap();
}

/// Far more entries than a page of the index holds: none is lost at its edge, live, at an earlier count, or after a restart.
pub(super) async fn everything_about_somebody_with_many_entries(open: &impl AsyncFn(&str, Clock) -> Store) {
    let (store, clock, person, _) = consented(open, "many").await;
    let early = permitted(&store, person).await.decision();
    for _ in 0..5 {
        let rows = (0..60).map(|_| (world::approved(person, ConsentId::mint()), None)).collect::<Vec<_>>();
        let drafted = || Draft { cause: Some(Cause::Person), rows: rows.clone(), ..Draft::default() };
        store.update(person, |_, _, _| Ok::<_, StoreError>(((), drafted()))).await.unwrap();
        permitted(&store, person).await;
    }
    let whole = async |store: &Store| {
        let subject = store.snapshot(person).await.unwrap().subject;
        assert_eq!((subject.entries, subject.records.consents.len()), (302, 301));
        assert_eq!(store.kept(person).unwrap().records.len(), 302);
        for line in store.access_log(person, u64::MAX, 10).unwrap() {
            assert!(store.explain(line.entry()).unwrap().agrees, "on the records as they were then");
        }
        assert!(store.explain(early).unwrap().agrees);
    };
    whole(&store).await;
    store.stop().await.unwrap();
    drop(store);
    let store = open("many", clock).await;
    whole(&store).await;
    store.stop().await.unwrap();
}

pub(super) async fn an_idempotency_key_counts_once(open: &impl AsyncFn(&str, Clock) -> Store) {
    let store = open("idempotency", world::clock()).await;
    let person = *world::enrol(&store, 1).await.unwrap().first().unwrap();
    let key = Idempotency { key: Bytes32([3; 32]), body: Bytes32([4; 32]) };
    assert!(store.by_idempotency(key.key.0).unwrap().is_none());
    // The same request, sent many times at once.
    let requests: Vec<_> = (0..16)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let event = world::approved(person, ConsentId::mint());
                let drafted = || Draft {
                    events: [event.clone()].into_iter().collect(),
                    cause: Some(Cause::Person),
                    idempotency: Some(key),
                    ..Draft::default()
                };
                store.update(person, |_, _, _| Ok::<_, StoreError>(((), drafted()))).await
            })
        })
        .collect();
    let mut counted = 0;
    for request in requests {
        match request.await.unwrap() {
            Ok(_) => counted += 1,
            Err(error) => assert!(matches!(error, StoreError::Repeated)),
        }
    }
    assert_eq!(counted, 1);
    let (event, body, _) = store.by_idempotency(key.key.0).unwrap().unwrap();
    assert!(matches!(event, Event::ConsentApproved(_)));
    assert_eq!(body, key.body.0);
    assert_eq!(store.snapshot(person).await.unwrap().subject.records.consents.len(), 1);
    store.stop().await.unwrap();
}
