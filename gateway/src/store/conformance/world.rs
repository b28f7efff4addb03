//! A small world to try a store in: a registry, people, consents and requests, all made up.

use sekisho_policy::{
    AccessRequest, Actor, Categories, Code, ConsentId, PartyId, PersonId, PurposeCode, Receiver, Timestamp,
};

use crate::clock::Clock;
use crate::ids::{TextId, party_id};
use crate::ledger::entry::{Bytes16, Bytes32, Cause};
use crate::ledger::event::{Booking, ConsentApproved, ConsentEnded, Enrolled, Event, RegistryActivated, Terms};
use crate::store::embedded::writer::Appended;
use crate::store::registry::{CategoryText, PartyText, PurposeText, RegistryText, RulesText};
use crate::store::state::category_version;
use crate::store::{Draft, Store, StoreError};

/// 2026-11-22T00:00:00Z, when everything here begins.
pub const START: Timestamp = Timestamp::from_millis(1_795_305_600_000);
/// A day in milliseconds.
pub const DAY_MS: i64 = 86_400_000;
/// The app that receives.
pub const APP: &str = "yotsuba-phr";
/// The city that holds.
pub const CITY: &str = "hoshi-city";
/// What it is for.
pub const PURPOSE: &str = "daily-care";
/// What is asked for.
pub const VACCINATION: &str = "vaccination@1";

/// A clock that stands at [`START`].
#[must_use]
pub fn clock() -> Clock {
    Clock::manual(START)
}

/// The registry: an app, a city, one purpose, two categories.
#[must_use]
pub fn registry() -> RegistryText {
    let party = |code: &str, kind: &str| PartyText {
        code: code.to_owned(),
        kind: kind.to_owned(),
        name_ja: "試験".to_owned(),
        name_en: "Test".to_owned(),
    };
    let category = |version: &str| CategoryText {
        version: version.to_owned(),
        label_ja: "試験".to_owned(),
        label_en: "Test".to_owned(),
        own_consent_age: 18,
        quiet: false,
        covers: Vec::new(),
    };
    RegistryText {
        parties: vec![party(CITY, "municipality"), party(APP, "phr-app")],
        purposes: vec![PurposeText {
            code: PURPOSE.to_owned(),
            label_ja: "試験".to_owned(),
            label_en: "Test".to_owned(),
            receivers: vec!["phr-app".to_owned()],
            longest_days: 365,
            one_guardian_alone: false,
            purpose_of_use: "PATRQT".to_owned(),
            visit_hours_after: None,
        }],
        categories: vec![category("medication@1"), category(VACCINATION)],
        rules: RulesText::default(),
    }
}

/// Brings a registry into force.
///
/// # Errors
/// The store's.
pub async fn activate(store: &Store, registry: &RegistryText) -> Result<Appended, StoreError> {
    let event = Event::RegistryActivated(RegistryActivated { text: registry.canonical() });
    store.record_global(event, Cause::Gateway).await
}

/// Makes people known, adults all.
///
/// # Errors
/// The store's.
pub async fn enrol(store: &Store, count: usize) -> Result<Vec<PersonId>, StoreError> {
    let people: Vec<PersonId> = (0..count).map(|_| PersonId::mint()).collect();
    store.make_keys(people.clone()).await?;
    for person in &people {
        record(store, *person, enrolled(*person)).await?;
    }
    Ok(people)
}

/// An adult's identity check.
#[must_use]
pub fn enrolled(person: PersonId) -> Event {
    Event::Enrolled(Enrolled {
        person: Bytes16(*person.bytes()),
        birth: "1980-01-01".to_owned(),
        evidence: "test".to_owned(),
        verified_by: "test".to_owned(),
    })
}

/// Records one event about a person.
///
/// # Errors
/// The store's.
pub async fn record(store: &Store, person: PersonId, event: Event) -> Result<Option<Appended>, StoreError> {
    store.update(person, |_, _, _| Ok::<_, StoreError>(((), draft([event.clone()])))).await.map(|(_, at)| at)
}

/// A draft of these events.
#[must_use]
pub fn draft(events: impl IntoIterator<Item = Event>) -> Draft {
    Draft { events: events.into_iter().collect(), cause: Some(Cause::Person), ..Draft::default() }
}

/// A consent for a hundred days from [`START`].
#[must_use]
pub fn approved(subject: PersonId, consent: ConsentId) -> Event {
    Event::ConsentApproved(ConsentApproved {
        consent: Bytes16(*consent.bytes()),
        subject: Bytes16(*subject.bytes()),
        grantor: Bytes16(*subject.bytes()),
        terms: Terms {
            recipient: APP.to_owned(),
            purpose: PURPOSE.to_owned(),
            categories: vec![VACCINATION.to_owned()],
            source: None,
            from_ms: START.millis(),
            until_ms: START.millis() + 100 * DAY_MS,
            data_from: None,
            data_until: None,
            text_hash: Bytes32([1; 32]),
            booking: None,
        },
        approved_ms: START.millis(),
        attested_by: None,
        how: "test".to_owned(),
        attestation: None,
        proposed_by: None,
    })
}

/// The same, for a visit that was booked under this reference.
#[must_use]
pub fn booked(subject: PersonId, consent: ConsentId, reference: &str) -> Event {
    let mut event = approved(subject, consent);
    if let Event::ConsentApproved(approved) = &mut event {
        approved.terms.booking = Some(Booking { reference: reference.to_owned(), visit_ms: START.millis() });
    }
    event
}

/// The consent's end, now.
#[must_use]
pub fn ended(by: PersonId, consent: ConsentId, at: Timestamp) -> Event {
    Event::ConsentEnded(ConsentEnded {
        consent: Bytes16(*consent.bytes()),
        at_ms: at.millis(),
        by: Bytes16(*by.bytes()),
        superseded_by: None,
        attestation: None,
    })
}

/// The app's question about a person's vaccinations.
#[must_use]
pub fn question(subject: PersonId) -> AccessRequest {
    AccessRequest {
        subject,
        receiver: Receiver::Party { party: app(), actor: Actor::System },
        source: party_id(CITY),
        purpose: PurposeCode(code(PURPOSE)),
        categories: categories(),
    }
}

/// The app's id.
#[must_use]
pub fn app() -> PartyId {
    party_id(APP)
}

#[expect(clippy::expect_used, reason = "a constant")]
fn code(text: &str) -> Code {
    Code::parse(text).expect("a code")
}

#[expect(clippy::expect_used, reason = "a constant")]
fn categories() -> Categories {
    category_version(VACCINATION).and_then(|version| Categories::new([version])).expect("a category")
}
