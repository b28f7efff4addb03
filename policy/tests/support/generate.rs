//! Generated cases. Domains are tiny and lean towards what the request names, so that records really meet.

use jiff::civil::Date;
use sekisho_policy::*;

use super::*;

/// SplitMix64: small, seeded, the same everywhere.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).expect("small")
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (1..items.len()).rev() {
            items.swap(end, self.below(end + 1));
        }
    }
}

/// The instants around which a case happens: a coming of age at 0:00 JST, in a plain and in a leap-day year.
fn base(rng: &mut Rng) -> (i64, Date) {
    let (today, births) = if rng.one_in(3) {
        (day(2026, 3, 1), [day(2008, 2, 29), day(2011, 3, 1), day(2019, 1, 1), day(1990, 2, 3)])
    } else {
        (day(2026, 5, 7), [day(2008, 5, 7), day(2011, 5, 7), day(2019, 8, 9), day(1990, 2, 3)])
    };
    let birth = births[rng.pick(&[0, 0, 1, 2, 2, 2, 3])];
    (Timestamp::start_of_day_jst(today).millis(), birth)
}

fn instant(rng: &mut Rng, base: i64) -> i64 {
    base + rng.pick(&[-40 * DAY, -2 * DAY, -DAY, -1, 0, 0, 1, DAY, 2 * DAY])
}

fn span(rng: &mut Rng, base: i64) -> Period {
    let from = base + rng.pick(&[-400 * DAY, -40 * DAY, -2 * DAY, -2 * DAY, -DAY, -1, 0, 1, DAY]);
    let until = base + rng.pick(&[-DAY, -1, 0, 1, DAY, 2 * DAY, 3 * DAY]);
    if rng.one_in(5) {
        Period::open(at(from))
    } else {
        Period::new(at(from), at(until)).unwrap_or(Period::open(at(from)))
    }
}

fn who(rng: &mut Rng) -> PersonId {
    person(rng.pick(&[CHILD, CHILD, MOTHER, MOTHER, MOTHER, FATHER, FATHER, STRANGER]))
}

fn some_party(rng: &mut Rng) -> PartyId {
    party(rng.pick(&[CLINIC, CLINIC, CLINIC, CLINIC, CLINIC, CLINIC_B, CITY, APP, ODD]))
}

fn some_purpose(rng: &mut Rng) -> PurposeCode {
    purpose(rng.pick(&["care", "care", "care", "checkup"]))
}

const CATEGORIES: [(&str, u16); 4] = [("vaccination", 1), ("vaccination", 2), ("medication", 1), ("consultation", 1)];

fn some_category(rng: &mut Rng) -> CategoryVersion {
    let (text, version) = rng.pick(&[CATEGORIES[0], CATEGORIES[0], CATEGORIES[1], CATEGORIES[2], CATEGORIES[3]]);
    cat(text, version)
}

fn some_categories(rng: &mut Rng) -> Box<[CategoryVersion]> {
    (0..=rng.below(3)).map(|_| some_category(rng)).collect()
}

fn gen_registry(rng: &mut Rng) -> Registry {
    let kinds = [PartyKind::Clinic, PartyKind::Clinic, PartyKind::Municipality, PartyKind::PhrApp];
    let mut parties: Vec<Party> = [CLINIC, CLINIC_B, CITY, APP]
        .into_iter()
        .zip(kinds)
        .map(|(n, kind)| Party {
            id: party(n),
            kind,
            standing: if rng.one_in(60) { Standing::Suspended } else { Standing::Active },
        })
        .collect();
    let kind = rng.pick(&[PartyKind::Person, PartyKind::Research]);
    parties.push(Party { id: party(ODD), kind, standing: Standing::Active });
    let mut purposes = Vec::new();
    for text in ["care", "checkup"] {
        let kinds = [PartyKind::Clinic, PartyKind::Municipality, PartyKind::PhrApp, PartyKind::Person];
        let receivers = kinds.into_iter().filter(|_| !rng.one_in(20)).collect();
        let longest_ms = rng.pick(&[2 * DAY, 40 * DAY, YEAR, YEAR, 3 * YEAR, i64::MAX]);
        purposes.push(Purpose { code: purpose(text), receivers, longest_ms, one_guardian_alone: rng.one_in(3) });
    }
    let mut categories = Vec::new();
    for (text, version) in CATEGORIES {
        let own_consent_age = rng.pick(&[18, 18, 18, 15, 0, 20]);
        categories.push(Category { version: cat(text, version), own_consent_age });
    }
    rng.shuffle(&mut parties);
    let rules = Rules { guardian_refusal_stands: !rng.one_in(3) };
    Registry::new(parties, purposes, categories, rules).expect("each once")
}

pub fn gen_consent(rng: &mut Rng, base: i64, n: u8) -> Consent {
    let ends = [day(2020, 1, 1), day(2021, 1, 1), day(2022, 1, 1), day(2023, 1, 1), day(2024, 1, 1)];
    let (from, length) = (rng.below(4), 1 + rng.below(2));
    let dates = DataPeriod::new(Some(ends[from]), Some(ends[(from + length).min(4)])).ok();
    let period = span(rng, base);
    Consent {
        id: consent_id(n),
        grantor: who(rng),
        recipient: some_party(rng),
        purpose: some_purpose(rng),
        categories: some_categories(rng),
        source: if rng.one_in(4) { Some(some_party(rng)) } else { None },
        period,
        data_period: if rng.one_in(2) { dates } else { None },
        origin: if rng.one_in(4) { Origin::Attested { by: some_attester(rng) } } else { Origin::Own },
        approved_at: if rng.one_in(3) { at(instant(rng, base)) } else { period.from() },
        ended_at: if rng.one_in(5) { Some(at(instant(rng, base))) } else { None },
    }
}

fn some_attester(rng: &mut Rng) -> PartyId {
    party(rng.pick(&[CLINIC, CLINIC_B, CITY, CITY, CITY, APP, UNKNOWN]))
}

pub fn gen_refusal(rng: &mut Rng, base: i64, n: u8) -> Refusal {
    let grantor = who(rng);
    let recipient = if rng.one_in(3) { Scope::Any } else { Scope::Only(some_party(rng)) };
    let purpose = if rng.one_in(3) { Scope::Any } else { Scope::Only(some_purpose(rng)) };
    let categories = if rng.one_in(3) {
        Scope::Any
    } else {
        Scope::Only(some_categories(rng).iter().map(|c| c.code).collect::<Vec<_>>().into_boxed_slice())
    };
    let by = if rng.one_in(2) { grantor } else { who(rng) };
    let lift = rng.one_in(3).then(|| Lift { by, at: at(instant(rng, base)) });
    let scope = RefusalScope { recipient, purpose, categories };
    Refusal { id: RefusalId::from_bytes(bytes(n)), grantor, scope, from: at(instant(rng, base)), lift }
}

pub fn gen_block(rng: &mut Rng, base: i64, n: u8) -> Block {
    let target = if rng.one_in(2) {
        BlockTarget::Person(who(rng))
    } else {
        BlockTarget::Party(party(rng.pick(&[CLINIC, CLINIC_B, CITY, APP])))
    };
    block(n, target, span(rng, base))
}

pub fn gen_basis(rng: &mut Rng, base: i64, n: u8) -> LegalBasis {
    LegalBasis {
        id: BasisId::from_bytes(bytes(n)),
        recipient: some_party(rng),
        purpose: some_purpose(rng),
        categories: some_categories(rng),
        period: span(rng, base),
        ended_at: if rng.one_in(3) { Some(at(instant(rng, base))) } else { None },
    }
}

fn gen_request(rng: &mut Rng) -> AccessRequest {
    let guardian = person(rng.pick(&[MOTHER, MOTHER, FATHER, STRANGER, CHILD]));
    let subject = person(if rng.one_in(9) { MOTHER } else { CHILD });
    let actor = match rng.below(8) {
        0 | 1 => Actor::System,
        2..=5 => Actor::Staff(person(rng.pick(&[STRANGER, STRANGER, FATHER]))),
        6 => Actor::Subject(subject),
        _ => Actor::Guardian(guardian),
    };
    let receiver = match rng.below(16) {
        0 => Receiver::Person { person: subject, capacity: Capacity::Subject },
        1 => Receiver::Person { person: guardian, capacity: Capacity::Guardian },
        2 => Receiver::Party { party: some_party(rng), actor },
        _ => Receiver::Party { party: party(CLINIC), actor },
    };
    let unknown = cat("vaccination", 3);
    let wanted = (0..=rng.below(3)).map(|_| if rng.one_in(40) { unknown } else { some_category(rng) });
    let categories = Categories::new(wanted.collect::<Vec<_>>()).expect("one at least");
    AccessRequest {
        subject: person(if rng.one_in(60) { MOTHER } else { CHILD }),
        receiver: if rng.one_in(60) { Receiver::Party { party: party(UNKNOWN), actor } } else { receiver },
        source: party(if rng.one_in(60) { UNKNOWN } else { rng.pick(&[APP, APP, APP, CITY, CLINIC_B]) }),
        purpose: if rng.one_in(60) { purpose("unknown") } else { some_purpose(rng) },
        categories,
    }
}

/// Makes most consents of the case name what the request names, and lets their grantors decide.
fn lean(rng: &mut Rng, base: i64, w: &mut World) {
    let wanted = w.request.categories.as_slice();
    for c in &mut w.records.consents {
        let mut mostly = |yes: &mut dyn FnMut(&mut Rng)| {
            if !rng.one_in(8) {
                yes(rng);
            }
        };
        mostly(&mut |_| c.recipient = w.request.receiver.party().unwrap_or(c.recipient));
        mostly(&mut |_| c.purpose = w.request.purpose);
        mostly(&mut |rng| c.categories = wanted.iter().copied().filter(|_| !rng.one_in(4)).collect());
        mostly(&mut |rng| c.grantor = person(rng.pick(&[CHILD, MOTHER, MOTHER, MOTHER, FATHER])));
        mostly(&mut |_| {
            c.period = Period::new(at(base - 2 * DAY), c.period.until()).unwrap_or(c.period);
            c.approved_at = c.period.from();
        });
    }
    for (n, guardian) in [(10, MOTHER), (11, FATHER)] {
        if !rng.one_in(6) {
            w.records.authorities.push(authority(n, guardian, Period::open(at(base - 4000 * DAY))));
        }
    }
}

/// The `seed`th case.
pub fn world(seed: u64) -> World {
    let mut rng = Rng(seed.wrapping_mul(0xd134_2543_de82_ef95));
    let rng = &mut rng;
    let (base, birth) = base(rng);
    let mut records = SubjectRecords::new(person(CHILD), birth);
    let ids = |rng: &mut Rng, most: usize| {
        let mut ids: Vec<u8> = (1..=9).collect();
        rng.shuffle(&mut ids);
        ids.truncate(rng.below(most + 1));
        ids
    };
    records.consents = ids(rng, 5).into_iter().map(|n| gen_consent(rng, base, n)).collect();
    let refusals = rng.pick(&[0, 0, 1, 2]);
    records.refusals = ids(rng, refusals).into_iter().map(|n| gen_refusal(rng, base, n)).collect();
    let blocks = rng.pick(&[0, 0, 0, 1, 2]);
    records.blocks = ids(rng, blocks).into_iter().map(|n| gen_block(rng, base, n)).collect();
    let bases = rng.pick(&[0, 0, 0, 2]);
    records.bases = ids(rng, bases).into_iter().map(|n| gen_basis(rng, base, n)).collect();
    for n in ids(rng, 4) {
        let guardian = rng.pick(&[MOTHER, MOTHER, FATHER, FATHER, STRANGER, CHILD]);
        let whole = Period::open(at(base - 4000 * DAY));
        let period = if rng.one_in(2) { whole } else { span(rng, base) };
        records.authorities.push(authority(n, guardian, period));
    }
    if rng.one_in(80) {
        records.unreadable = Some(Field::Record("consent.origin"));
    }
    let now = at(base + rng.pick(&[-2 * DAY, -DAY, -1, 0, 0, 0, 1, DAY, 2 * DAY]));
    let mut w = World { records, registry: gen_registry(rng), request: gen_request(rng), now };
    if !rng.one_in(3) {
        lean(rng, base, &mut w);
    }
    w
}
