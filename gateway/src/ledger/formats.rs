//! The golden vectors of `docs/formats.md`, read from that very page: what is written today is what is written there.
//! `docs/formats_check.py` derives the same vectors without any of this code.

use data_encoding::HEXLOWER;
use sekisho_policy::{AuthorityId, BasisId, BlockId, ConsentId, PartyId, PersonId, RefusalId, Timestamp};

use super::checkpoint::{LedgerKey, open_checkpoint};
use super::entry::{Bytes16, Bytes32, Cause, ENTRY_BYTES_MAX, Entry, EntryError, EntryType, Header, Idempotency};
use super::event::*;
use super::frame::{self, FrameError, Stored};
use super::merkle::{Frontier, leaf_hash, sha256};
use super::proof;
use super::seal::SealKey;
use crate::ids::{EntryId, ForwardId, KeyId, LinkId, PairwiseId, TextId, party_id};

const PAGE: &str = include_str!("../../../docs/formats.md");

/// A golden block's text.
fn golden(name: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("```golden {name}\n")).unwrap_or_else(|| panic!("no vector {name}"));
    rest.split_once("\n```").unwrap().0
}

/// A golden block of bytes.
fn golden_bytes(name: &str) -> Vec<u8> {
    let hex: String = golden(name).split_whitespace().collect();
    HEXLOWER.decode(hex.as_bytes()).unwrap()
}

fn i(n: u8) -> Bytes16 {
    Bytes16([n; 16])
}

fn h(n: u8) -> Bytes32 {
    Bytes32([n; 32])
}

fn s(text: &str) -> String {
    text.to_owned()
}

fn list(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| s(text)).collect()
}

fn terms() -> Terms {
    Terms {
        recipient: s("app"),
        purpose: s("care"),
        categories: list(&["medication@1", "vaccination@1"]),
        source: Some(s("city")),
        from_ms: 1,
        until_ms: 2,
        data_from: Some(s("2020-01-01")),
        data_until: None,
        text_hash: h(3),
        booking: None,
    }
}

fn linked(to: LinkTarget) -> Event {
    Event::Linked(Linked { link: i(2), person: i(1), to, evidence: s("e"), verified_by: s("v") })
}

fn block(target: BlockedFrom, until_ms: Option<i64>) -> Event {
    Event::BlockSet(BlockSet { block: i(7), subject: i(1), target, from_ms: 6, until_ms, evidence: s("e") })
}

fn attestation() -> Attestation {
    Attestation {
        party: s("city"),
        way: Way::Telephone,
        evidence: s("e"),
        checked_by: s("c"),
        recorded_by: s("d"),
        given_ms: 13,
    }
}

fn consent_ended(superseded_by: Option<Bytes16>) -> Event {
    Event::ConsentEnded(ConsentEnded { consent: i(5), at_ms: 3, by: i(1), superseded_by, attestation: None })
}

fn enrolled() -> Event {
    Event::Enrolled(Enrolled { person: i(1), birth: s("1980-01-01"), evidence: s("e"), verified_by: s("v") })
}

fn activated() -> Event {
    Event::RegistryActivated(RegistryActivated { text: s("{}") })
}

fn consent_text() -> ConsentText {
    ConsentText {
        version: s("2026-11"),
        ja: s("同意します"),
        en: s("I agree"),
        benefit_ja: s("利点"),
        benefit_en: s("a benefit"),
        refusing_ja: s("断ると"),
        refusing_en: s("when refused"),
    }
}

/// What happens to what was received under a consent that was withdrawn.
fn erasure() -> Vec<(&'static str, Event)> {
    let answered =
        |answer| Event::ErasureAnswered(ErasureAnswered { consent: i(5), recipient: s("app"), answer, at_ms: 4 });
    let asked = ErasureAsked { consent: i(5), recipient: s("app"), at_ms: 3 };
    vec![
        ("text-published", Event::TextPublished(TextPublished { text: consent_text() })),
        ("channel-changed", Event::ChannelChanged(ChannelChanged { on: true, at_ms: 3 })),
        ("erasure-asked", Event::ErasureAsked(asked)),
        ("erasure-answered", answered(ErasureAnswer::Erased)),
        ("erasure-refused", answered(ErasureAnswer::Kept { law: s("医師法24条") })),
    ]
}

fn people() -> Vec<(&'static str, Event)> {
    let authority = AuthorityRecorded {
        authority: i(3),
        subject: i(1),
        guardian: i(4),
        from_ms: -1,
        until_ms: None,
        kind: s("親権者"),
        evidence: s("e"),
        verified_by: s("v"),
        recheck_ms: None,
    };
    let retired = PairwiseRetired { subject: i(1), ids: vec![RetiredId { party: s("app"), id: i(9) }] };
    let minted = PairwiseMinted { subject: i(1), party: s("app"), id: i(9), secret: h(10) };
    vec![
        ("registry-activated", activated()),
        ("enrolled", enrolled()),
        ("linked-login", linked(LinkTarget::Login { issuer: s("https://id.example"), sub: s("s") })),
        ("linked-source", linked(LinkTarget::Source { party: s("city"), id: s("p-1") })),
        ("link-ended", Event::LinkEnded(LinkEnded { link: i(2), reason: s("r") })),
        ("authority-recorded", Event::AuthorityRecorded(authority)),
        ("authority-ended", Event::AuthorityEnded(AuthorityEnded { authority: i(3), at_ms: 2, reason: s("r") })),
        ("pairwise-minted", Event::PairwiseMinted(minted)),
        ("pairwise-retired", Event::PairwiseRetired(retired)),
    ]
}

fn records() -> Vec<(&'static str, Event)> {
    let proposed = ConsentProposed { consent: i(5), person: i(1), terms: terms(), proposed_by: s("app") };
    let approved = ConsentApproved {
        consent: i(5),
        subject: i(1),
        grantor: i(1),
        terms: terms(),
        approved_ms: 1,
        attested_by: None,
        how: s("h"),
        attestation: None,
        proposed_by: None,
    };
    let booked = ConsentApproved {
        terms: Terms { booking: Some(Booking { reference: s("B-1"), visit_ms: 21 }), ..terms() },
        proposed_by: Some(s("phr")),
        ..approved.clone()
    };
    let moved = VisitMoved { consent: i(5), visit_ms: 22, until_ms: 23, at_ms: 3, party: s("app") };
    let refused = Refused {
        refusal: i(6),
        subject: i(1),
        grantor: i(1),
        recipient: Some(s("app")),
        purpose: None,
        categories: Some(list(&["vaccination"])),
        from_ms: 4,
        attestation: None,
    };
    let basis = BasisRecorded {
        basis: i(8),
        subject: i(1),
        recipient: s("city"),
        purpose: s("care"),
        categories: list(&["vaccination@1"]),
        from_ms: 8,
        until_ms: 9,
        article: s("a"),
        requester: s("q"),
        decided_by: s("d"),
        reason: s("r"),
    };
    let attested = ConsentApproved {
        attested_by: Some(s("city")),
        attestation: Some(Attestation { way: Way::Paper, ..attestation() }),
        ..approved.clone()
    };
    let by_word = Attestation { way: Way::InPerson, ..attestation() };
    let withdrawn = Event::ConsentEnded(ConsentEnded {
        consent: i(5),
        at_ms: 3,
        by: i(1),
        superseded_by: None,
        attestation: Some(by_word),
    });
    let code_issued = EnrolmentCodeIssued { person: i(1), code: h(19), until_ms: 14, attestation: attestation() };
    let link_code_issued = LinkCodeIssued { party: s("app"), code: h(19), sealed: vec![20; 20], until_ms: 14 };
    let forward = ForwardAsked {
        forward: i(21),
        subject: i(1),
        consent: i(5),
        summary: s("s"),
        asked_by: s("app"),
        person: i(1),
        by_ms: Some(15),
    };
    let without_end = ForwardAsked { by_ms: None, ..forward.clone() };
    let forward_ended = |end, digest| Event::ForwardEnded(ForwardEnded { forward: i(21), end, attempts: 1, digest });
    let looked = CounterLooked { subject: i(1), party: s("city"), by: s("d") };
    let opened = SummaryOpened { subject: i(1), party: s("city"), by: s("d"), identity_only: true };
    let not_theirs = NotTheirPatient { subject: i(1), party: s("city"), by: s("d"), at_ms: 3 };
    let online = Attestation { way: Way::Online, ..attestation() };
    let flagged = CaseFlagged {
        case: i(23),
        subject: i(1),
        service: s("care"),
        reasons: list(&["epds-sum"]),
        urgency: s("weekly"),
        consulted_ms: 24,
    };
    let alert_decided = |decision, basis| {
        Event::AlertDecided(AlertDecided {
            alert: i(25),
            case: i(23),
            subject: i(1),
            decision,
            by: s("d"),
            acknowledged_by: s("c"),
            reason: s("r"),
            basis,
        })
    };
    let confirmed = BasisConfirmed { basis: i(8), subject: i(1), by: s("d"), upheld: true, at_ms: 26, reason: None };
    let not_upheld = BasisConfirmed { upheld: false, reason: Some(s("r")), ..confirmed.clone() };
    let disclosed = BasisDisclosed { basis: i(8), subject: i(1), by: s("d"), at_ms: 27 };
    let viewed = CaseViewed { case: i(23), subject: i(1), party: s("city"), by: s("d"), whole: true };
    let worked = CaseWorked { case: i(23), subject: i(1), party: s("city"), by: s("d"), what: s("taken"), at_ms: 28 };
    let districts = list(&["kita", "minami"]);
    let assigned = DistrictsAssigned { party: s("city"), by: s("m"), nurse: s("d"), districts, all: false };
    let adopted = SpeciallyAdopted { subject: i(1), from_ms: 11, at_ms: 12, evidence: s("e"), verified_by: s("v") };
    vec![
        ("specially-adopted", Event::SpeciallyAdopted(adopted)),
        ("enrolment-code-issued", Event::EnrolmentCodeIssued(code_issued)),
        ("link-code-issued", Event::LinkCodeIssued(link_code_issued)),
        ("code-used", Event::CodeUsed(CodeUsed { person: i(1), code: h(19) })),
        ("counter-looked", Event::CounterLooked(looked)),
        ("forward-asked", Event::ForwardAsked(forward)),
        ("forward-asked-for-the-visit", Event::ForwardAsked(without_end)),
        ("forward-delivered", forward_ended(ForwardEnd::Delivered, Some(h(22)))),
        ("forward-stopped", forward_ended(ForwardEnd::Stopped, None)),
        ("forward-late", forward_ended(ForwardEnd::Late, None)),
        ("forward-refused", forward_ended(ForwardEnd::Refused, None)),
        ("summary-opened", Event::SummaryOpened(opened)),
        ("not-their-patient", Event::NotTheirPatient(not_theirs)),
        ("refusal-attested-online", Event::Refused(Refused { attestation: Some(online), ..refused.clone() })),
        ("case-flagged", Event::CaseFlagged(flagged)),
        ("alert-decided-consent", alert_decided(AlertDecision::Consent, None)),
        ("alert-decided-basis", alert_decided(AlertDecision::Basis, Some(i(8)))),
        ("alert-decided-not-shared", alert_decided(AlertDecision::NotShared, None)),
        ("basis-confirmed", Event::BasisConfirmed(confirmed)),
        ("basis-not-upheld", Event::BasisConfirmed(not_upheld)),
        ("basis-disclosed", Event::BasisDisclosed(disclosed)),
        ("case-viewed", Event::CaseViewed(viewed)),
        ("case-worked", Event::CaseWorked(worked)),
        ("districts-assigned", Event::DistrictsAssigned(assigned)),
        ("consent-proposed", Event::ConsentProposed(proposed)),
        ("consent-attested", Event::ConsentApproved(attested)),
        ("consent-approved", Event::ConsentApproved(approved)),
        ("consent-booked", Event::ConsentApproved(booked)),
        ("visit-moved", Event::VisitMoved(moved)),
        ("withdrawal-attested", withdrawn),
        ("refusal-attested", Event::Refused(Refused { attestation: Some(attestation()), ..refused.clone() })),
        ("consent-ended", consent_ended(None)),
        ("consent-superseded", consent_ended(Some(i(6)))),
        ("proposal-closed", Event::ProposalClosed(ProposalClosed { consent: i(5), by: i(1), approved: true })),
        ("refused", Event::Refused(refused)),
        ("refusal-lifted", Event::RefusalLifted(RefusalLifted { refusal: i(6), by: i(1), at_ms: 5 })),
        ("block-set-person", block(BlockedFrom::Person(i(4)), None)),
        ("block-set-party", block(BlockedFrom::Party(s("app")), Some(7))),
        ("block-ended", Event::BlockEnded(BlockEnded { block: i(7), at_ms: 7 })),
        ("basis-recorded", Event::BasisRecorded(basis)),
        ("basis-ended", Event::BasisEnded(BasisEnded { basis: i(8), at_ms: 10 })),
    ]
}

/// Of segment 1 the entries 5 and 7, with the leaves of the one-byte entries `05` and `07`.
fn pruned_of() -> PrunedOf {
    let mut of = PrunedOf::none(1);
    [5, 7].into_iter().for_each(|at| of.add(at, &leaf_hash(&[at as u8])));
    of
}

fn happenings() -> Vec<(&'static str, Event)> {
    let question = Question {
        subject: i(1),
        party: Some(i(11)),
        capacity: 2,
        person: Some(i(4)),
        source: i(12),
        purpose: s("care"),
        categories: list(&["vaccination@1"]),
    };
    let decided = Decided {
        question,
        route: s("r"),
        now_ms: 1_795_305_600_000,
        records: 12,
        records_digest: h(13),
        registry: 14,
        registry_digest: h(15),
        kept: 1,
        by_basis: false,
        consents: None,
    };
    let on_consents = Decided { consents: Some(vec![i(5), i(6)]), ..decided.clone() };
    let closed =
        Closed { decision: i(16), outcome: Outcome::Complete, items: 1, withheld: 2, bytes: 3, digest: Some(h(17)) };
    let unknown = Closed { decision: i(16), outcome: Outcome::Unknown, items: 0, withheld: 0, bytes: 0, digest: None };
    let standing = StandingChanged { party: s("app"), suspended: true, reason: s("r") };
    vec![
        ("decided", Event::Decided(decided)),
        ("decided-on-consents", Event::Decided(on_consents)),
        ("closed", Event::Closed(closed)),
        ("closed-unknown", Event::Closed(unknown)),
        ("standing-changed", Event::StandingChanged(standing)),
        ("key-destroyed", Event::KeyDestroyed(KeyDestroyed { key: i(18) })),
        (
            "pruned",
            Event::Pruned(Pruned {
                before_ms: 11,
                segments: vec![pruned_of(), PrunedOf { segment: 2, ..pruned_of() }],
            }),
        ),
        (
            "package-planned",
            Event::PackagePlanned(PackagePlanned {
                package: i(28),
                municipality: s("city"),
                week: s("2026-W47"),
                part: 1,
                cases: 2,
            }),
        ),
        (
            "package-copied",
            Event::PackageCopied(PackageCopied {
                package: i(28),
                copy: 1,
                rows: 2,
                withheld: 3,
                digest: h(29),
                as_file: false,
            }),
        ),
        ("package-received", Event::PackageReceived(PackageReceived { package: i(28), copy: 1, at_ms: 30 })),
        ("alert-raised", Event::AlertRaised(AlertRaised { alert: i(25), service: s("care") })),
        ("alert-acknowledged", Event::AlertAcknowledged(AlertAcknowledged { alert: i(25), at_ms: 31 })),
        ("operator-read", Event::OperatorRead(OperatorRead { operator: s("o"), what: s("w"), entry: None })),
    ]
}

const AT: Timestamp = Timestamp::from_millis(1_795_305_600_000);

fn clear(id: u8) -> Entry {
    let header = Header::new(EntryType::RegistryActivated, EntryId::from_bytes([id; 16]), AT, None, Cause::Gateway);
    Entry { header, body: activated().encode() }
}

fn sealed() -> Entry {
    let (id, key) = (EntryId::from_bytes([0xa1; 16]), KeyId::from_bytes([0xb0; 16]));
    let header = Header::new(EntryType::Enrolled, id, AT, Some(key), Cause::Party(i(0xd0)));
    let header = header.with_idempotency(Some(Idempotency { key: h(0xc0), body: h(0xc1) }));
    let key = SealKey::new(std::array::from_fn(|at| at as u8));
    Entry { header, body: key.seal_with_nonce([7; 12], &header.aad(), &enrolled().encode()) }
}

#[test]
fn ids() {
    let bytes: [u8; 16] = std::array::from_fn(|at| at as u8);
    let expected = [
        EntryId::of(bytes).text(),
        LinkId::of(bytes).text(),
        KeyId::of(bytes).text(),
        PersonId::of(bytes).text(),
        PartyId::of(bytes).text(),
        ConsentId::of(bytes).text(),
        RefusalId::of(bytes).text(),
        BlockId::of(bytes).text(),
        AuthorityId::of(bytes).text(),
        BasisId::of(bytes).text(),
        ForwardId::of(bytes).text(),
    ];
    assert_eq!(golden("ids").lines().collect::<Vec<_>>(), expected);
    assert_eq!(PairwiseId::from_bytes(bytes).text(), golden("pairwise-id"));
    assert_eq!(party_id("yotsuba-phr").text(), golden("party-id"));
}

#[test]
fn every_event() {
    let all: Vec<_> = people().into_iter().chain(records()).chain(erasure()).chain(happenings()).collect();
    for (name, event) in &all {
        let bytes = golden_bytes(&format!("event-{name}"));
        let (kind, body) = bytes.split_first().unwrap();
        let kind = EntryType::from_number(*kind).unwrap();
        assert_eq!(event.entry_type(), kind, "{name}");
        assert_eq!(HEXLOWER.encode(&event.encode()), HEXLOWER.encode(body), "{name}");
        assert_eq!(Event::decode(kind, body).as_ref(), Ok(event), "{name}");
        // One encoding: nothing may follow, nothing be left out, no byte be another.
        assert_eq!(Event::decode(kind, &[body, &[0]].concat()), Err(BodyError), "{name}");
        for at in 0..body.len() {
            assert_eq!(Event::decode(kind, &body[..at]), Err(BodyError), "{name} cut at {at}");
            let mut bent = body.to_vec();
            bent[at] ^= 1;
            assert_ne!(Event::decode(kind, &bent).as_ref(), Ok(event), "{name}, byte {at}");
        }
    }
    let spelled_out = [0x83, 0x61, b'o', 0x61, b'w', 0xf6];
    assert_eq!(Event::decode(EntryType::OperatorRead, &spelled_out), Err(BodyError), "an absent field at the end");
    let named = PAGE.matches("```golden event-").count();
    assert_eq!(all.len(), named);
    for number in 1..=38 {
        assert!(all.iter().any(|(_, event)| event.entry_type() as u8 == number), "no vector of type {number}");
    }
    assert_eq!(EntryType::from_number(0), None);
    assert_eq!(EntryType::from_number(39), None);
}

#[test]
fn entries_in_clear_and_sealed() {
    let bytes = golden_bytes("entry-clear");
    assert_eq!(HEXLOWER.encode(&clear(0xa0).encode()), HEXLOWER.encode(&bytes));
    assert_eq!(Entry::decode(&bytes), Ok(clear(0xa0)));
    assert_eq!(leaf_hash(&bytes).to_vec(), golden_bytes("leaf"));
    let bytes = golden_bytes("entry-sealed");
    assert_eq!(HEXLOWER.encode(&sealed().encode()), HEXLOWER.encode(&bytes));
    let Entry { header, body } = Entry::decode(&bytes).unwrap();
    let key = SealKey::new(std::array::from_fn(|at| at as u8));
    let plain = key.open(&header.aad(), &body).unwrap();
    assert_eq!(Event::decode(header.entry_type().unwrap(), &plain), Ok(enrolled()));
    let body = SealKey::new(std::array::from_fn(|at| at as u8)).seal_with_nonce([7; 12], b"header", b"body");
    assert_eq!(body, golden_bytes("sealed-body"));
}

#[test]
fn whatever_is_not_the_one_encoding_of_an_entry_is_refused() {
    let good = golden_bytes("entry-clear");
    let with = |at: usize, byte: u8| {
        let mut bent = good.clone();
        bent[at] = byte;
        Entry::decode(&bent)
    };
    // 82 array of two, 87 header of seven, 01 version, 01 type, 50 id …
    assert_eq!(good[..5], [0x82, 0x87, 1, 1, 0x50]);
    assert_eq!(with(2, 2), Err(EntryError::Newer(2)));
    assert_eq!(with(2, 0), Err(EntryError::Malformed), "no version 0 was ever written");
    assert_eq!(with(3, 0), Err(EntryError::UnknownType(0)));
    assert_eq!(with(3, 0x17 + 1), Err(EntryError::Malformed));
    let spliced = |at: usize, drop: usize, bytes: &[u8]| {
        let mut bent = good.clone();
        bent.splice(at..at + drop, bytes.iter().copied());
        Entry::decode(&bent)
    };
    let malformed = Err(EntryError::Malformed);
    assert_eq!(spliced(2, 1, &[0x18, 1]), malformed, "an integer longer than it need be");
    assert_eq!(spliced(4, 1, &[0x58, 16]), malformed, "a length longer than it need be");
    assert_eq!(spliced(1, 1, &[0x88]), malformed, "one field more than there are");
    assert_eq!(spliced(good.len(), 0, &[0]), malformed, "bytes after the end");
    let mut indefinite = good.clone();
    indefinite[0] = 0x9f;
    indefinite.push(0xff);
    assert_eq!(Entry::decode(&indefinite), malformed, "an indefinite length");
    let mut newer = indefinite.clone();
    newer[2] = 9;
    assert_eq!(Entry::decode(&newer), Err(EntryError::Newer(9)), "whatever else it is");
    for length in 0..good.len() {
        assert!(Entry::decode(&good[..length]).is_err(), "cut at {length}");
    }
    assert_eq!(Entry::decode(&vec![0; ENTRY_BYTES_MAX + 1]), malformed);
}

#[test]
fn frames() {
    for (name, more) in [("frame", false), ("frame-more", true)] {
        let mut bytes = Vec::new();
        frame::put(&mut bytes, 5, more, b"entry");
        assert_eq!(HEXLOWER.encode(&bytes), golden(name));
        let found = frame::get(&bytes).unwrap();
        assert_eq!((found.acknowledged, found.more, found.length), (5, more, 21));
        assert_eq!(found.stored, Stored::Whole(b"entry"));
        for at in 0..bytes.len() {
            assert_eq!(frame::get(&bytes[..at]), Err(FrameError::Cut));
            let mut bent = bytes.clone();
            bent[at] ^= 0x80;
            assert!(frame::get(&bent).is_err(), "byte {at}");
        }
    }
    let mut bytes = Vec::new();
    frame::put_pruned(&mut bytes, 5, true, &leaf_hash(b"entry"));
    assert_eq!(HEXLOWER.encode(&bytes), golden("frame-pruned").replace('\n', ""));
    let found = frame::get(&bytes).unwrap();
    assert_eq!((found.acknowledged, found.more, found.length), (5, true, 48));
    assert_eq!(found.stored, Stored::Pruned(&leaf_hash(b"entry")));
    for at in 0..bytes.len() {
        assert_eq!(frame::get(&bytes[..at]), Err(FrameError::Cut));
        for bit in 0..8 {
            let mut bent = bytes.clone();
            bent[at] ^= 1 << bit;
            assert!(frame::get(&bent).is_err(), "byte {at}");
        }
    }
    // A hash has one length, whatever the checksum says.
    let mut short = Vec::new();
    frame::put(&mut short, 5, false, &[7; 31]);
    short[3] |= 0x40;
    let sum = crc32c::crc32c_append(crc32c::crc32c(&short[..4]), &short[8..]);
    short[4..8].copy_from_slice(&sum.to_le_bytes());
    assert_eq!(frame::get(&short), Err(FrameError::Damaged));
    let slot = [5u64.to_le_bytes().as_slice(), &crc32c::crc32c(&5u64.to_le_bytes()).to_le_bytes(), &[0; 4]].concat();
    assert_eq!(HEXLOWER.encode(&slot), golden("high-water-slot"));
}

#[test]
fn roots_checkpoint_and_hashes() {
    let mut tree = Frontier::default();
    for (size, expected) in golden("roots").lines().enumerate() {
        assert_eq!(HEXLOWER.encode(&tree.root()), expected, "size {size}");
        tree.push(leaf_hash(&[size as u8]));
    }
    assert_eq!(tree.size(), 9);
    let key = LedgerKey::new("sekisho.example/ledger", [9; 32]).unwrap();
    let signed = key.checkpoint(3, [5; 32]).unwrap();
    assert_eq!(String::from_utf8(signed.clone()).unwrap(), format!("{}\n", golden("checkpoint")));
    assert_eq!(key.verifier_key(), golden("verifier-key"));
    assert_eq!(open_checkpoint(&signed, golden("verifier-key")), Ok((3, [5; 32])));
    let counted = |parts: &[&[u8]]| {
        let all: Vec<u8> = parts.iter().flat_map(|part| [&(part.len() as u64).to_le_bytes(), *part].concat()).collect();
        HEXLOWER.encode(&sha256(&all))
    };
    assert_eq!(HEXLOWER.encode(&consent_text().hash()), golden("text-hash"));
    assert_eq!(counted(&[&[11; 16], &[1; 16], b"POST /v1/consents", b"k-1"]), golden("idempotency-key"));
    let chain = [clear(0xa0), sealed()]
        .iter()
        .fold([0; 32], |digest, entry| sha256(&[digest.as_slice(), &leaf_hash(&entry.encode())].concat()));
    assert_eq!(HEXLOWER.encode(&chain), golden("records-digest"));
}

#[test]
fn inclusion_proof() {
    let dir = tempfile::tempdir().unwrap();
    let (mut bytes, mut tree) = (frame::SEGMENT_MAGIC.to_vec(), Frontier::default());
    for entry in [clear(0xa0), sealed(), clear(0xa2)] {
        frame::put(&mut bytes, 0, false, &entry.encode());
        tree.push(leaf_hash(&entry.encode()));
    }
    std::fs::write(dir.path().join("00000000.seg"), bytes).unwrap();
    let key = LedgerKey::new("sekisho.example/ledger", [9; 32]).unwrap();
    let checkpoint = key.checkpoint(3, tree.root()).unwrap();
    let made = proof::prove(dir.path(), sealed().header.id(), &checkpoint).unwrap();
    assert_eq!(made, golden("proof"));
    let shown = proof::check(golden("proof"), golden("verifier-key")).unwrap();
    assert_eq!((shown.entry, shown.index, shown.size), (sealed(), 1, 3));
}
