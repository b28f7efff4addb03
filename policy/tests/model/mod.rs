//! The rules once more, written from `docs/policy-spec.md` alone: slow, obvious, and shaped differently from the crate.
//!
//! Every record is asked on its own what it says at an instant `t`; the answers are put into plain lists, and precedence
//! is read off the lists. When something ends is found by asking again at every instant at which anything could change.

pub mod calendar;

use calendar::{birthday, union};
use sekisho_policy::*;

use crate::support::World;

/// What the model answers.
#[derive(Debug, PartialEq)]
pub struct Answer {
    pub kept: Vec<(CategoryVersion, PermittedBy, DataScope)>,
    pub withheld: Vec<(CategoryVersion, Reason)>,
    pub until: Option<Timestamp>,
}

/// The crate's decision in the model's shape.
pub fn shape(decision: &Decision) -> Answer {
    let withheld = |list: &[Withheld]| list.iter().map(|w| (w.category, w.why)).collect();
    match decision {
        Decision::Permit(p) => Answer {
            kept: p.kept().iter().map(|k| (k.category, k.by, k.data.clone())).collect(),
            withheld: withheld(p.withheld()),
            until: Some(p.until()),
        },
        Decision::Deny(d) => Answer { kept: Vec::new(), withheld: withheld(d.withheld()), until: None },
    }
}

/// Decides by the model.
pub fn answer(w: &World) -> Answer {
    let mut out = Answer { kept: Vec::new(), withheld: Vec::new(), until: None };
    let mut ends = coming_blocks(w);
    for &version in w.request.categories.as_slice() {
        match one(w, version) {
            Ok((by, data, end)) => {
                ends.push(end);
                out.kept.push((version, by, data));
            }
            Err(why) => out.withheld.push((version, why)),
        }
    }
    if !out.kept.is_empty() {
        out.until = ends.into_iter().min().map(Timestamp::from_millis);
    }
    out
}

/// P-17: blocks to come of the receiving party or of any person.
fn coming_blocks(w: &World) -> Vec<i64> {
    let now = w.now.millis();
    let mut out = Vec::new();
    for b in &w.records.blocks {
        let concerns = match b.target {
            BlockTarget::Person(_) => true,
            BlockTarget::Party(p) => Some(p) == receiving_party(w),
        };
        if concerns && b.period.from().millis() > now {
            out.push(b.period.from().millis());
        }
    }
    out
}

fn receiving_party(w: &World) -> Option<PartyId> {
    match w.request.receiver {
        Receiver::Party { party, .. } => Some(party),
        Receiver::Person { .. } => None,
    }
}

fn acting_person(w: &World) -> Option<PersonId> {
    match w.request.receiver {
        Receiver::Person { person, .. } => Some(person),
        Receiver::Party { actor: Actor::System, .. } => None,
        Receiver::Party { actor: Actor::Subject(p) | Actor::Guardian(p) | Actor::Staff(p), .. } => Some(p),
    }
}

fn find_party(w: &World, id: PartyId) -> Option<Party> {
    w.registry.parties().iter().copied().find(|p| p.id == id)
}

type Found = Result<(PermittedBy, DataScope, i64), Reason>;

/// Precedence, read from the top.
fn one(w: &World, version: CategoryVersion) -> Found {
    if let Some(field) = not_understood(w, version).into_iter().next() {
        return Err(Reason::NotUnderstood(field));
    }
    if let Some(what) = forbidden_for_all(w).into_iter().next() {
        return Err(Reason::ForbiddenBy(what));
    }
    let purpose = w.registry.purposes().iter().find(|p| p.code == w.request.purpose).expect("understood");
    let kind = receiving_party(w).and_then(|id| find_party(w, id)).map(|p| p.kind);
    let fits = match kind {
        Some(PartyKind::Person) => false,
        Some(kind) => purpose.receivers.contains(&kind),
        None => purpose.receivers.contains(&PartyKind::Person),
    };
    if !fits {
        return nothing(Miss::ReceiverKind, None);
    }
    let own_age = w.registry.categories().iter().find(|c| c.version == version).expect("understood").own_consent_age;
    let birth = (w.records.birth.year(), w.records.birth.month(), w.records.birth.day());
    let alone_from = birthday(birth, own_age.min(18));
    let facts = Facts { w, version, purpose, alone_from };
    facts.by_precedence()
}

fn nothing(miss: Miss, consent: Option<ConsentId>) -> Found {
    Err(Reason::NothingApplies(NearestMiss { miss, consent }))
}

/// P-2, in the order in which they are told.
fn not_understood(w: &World, version: CategoryVersion) -> Vec<Field> {
    let mut out = Vec::new();
    if w.records.subject != w.request.subject {
        out.push(Field::Subject);
    }
    out.extend(w.records.unreadable);
    if !w.registry.purposes().iter().any(|p| p.code == w.request.purpose) {
        out.push(Field::Purpose);
    }
    if receiving_party(w).is_some_and(|id| find_party(w, id).is_none()) {
        out.push(Field::Recipient);
    }
    if find_party(w, w.request.source).is_none() {
        out.push(Field::Source);
    }
    if !w.registry.categories().iter().any(|c| c.version == version) {
        out.push(Field::Category);
    }
    out
}

/// P-6, then P-4.
fn forbidden_for_all(w: &World) -> Vec<Forbidding> {
    let mut blocks: Vec<BlockId> = Vec::new();
    for b in &w.records.blocks {
        let meant = match b.target {
            BlockTarget::Person(p) => acting_person(w) == Some(p),
            BlockTarget::Party(p) => receiving_party(w) == Some(p),
        };
        if meant && b.period.from() <= w.now && w.now < b.period.until() {
            blocks.push(b.id);
        }
    }
    blocks.sort();
    let mut out: Vec<Forbidding> = blocks.into_iter().map(Forbidding::Block).collect();
    for id in receiving_party(w).into_iter().chain([w.request.source]) {
        if find_party(w, id).is_some_and(|p| p.standing == Standing::Suspended) {
            out.push(Forbidding::Suspension(id));
        }
    }
    out
}

/// One category of one understood question.
struct Facts<'a> {
    w: &'a World,
    version: CategoryVersion,
    purpose: &'a Purpose,
    alone_from: i64,
}

impl Facts<'_> {
    fn by_precedence(&self) -> Found {
        let now = self.w.now.millis();
        let official =
            matches!(self.w.request.receiver, Receiver::Party { actor: Actor::System | Actor::Staff(_), .. });
        let mut bases: Vec<(i64, BasisId)> = Vec::new();
        for b in self.w.records.bases.iter().filter(|b| official && self.basis_holds(b, now)) {
            bases.push((self.end(|t| self.basis_holds(b, t)), b.id));
        }
        if let Some((end, id)) = longest(bases) {
            return Ok((PermittedBy::Basis(id), DataScope::All, end));
        }
        let actor_end = match self.w.request.receiver {
            Receiver::Person { person, capacity: Capacity::Subject } if person == self.w.records.subject => {
                return Ok((PermittedBy::OwnAccess, DataScope::All, i64::MAX));
            }
            Receiver::Person { capacity: Capacity::Subject, .. } => return nothing(Miss::Actor, None),
            Receiver::Person { person, capacity: Capacity::Guardian } => {
                return match longest(self.authorities(person, now)) {
                    Some((end, id)) => Ok((PermittedBy::Authority(id), DataScope::All, end)),
                    None => nothing(Miss::Actor, None),
                };
            }
            Receiver::Party { actor: Actor::Guardian(p), .. } => longest(self.authorities(p, now)).map(|(end, _)| end),
            Receiver::Party { actor: Actor::Subject(p), .. } => (p == self.w.records.subject).then_some(i64::MAX),
            Receiver::Party { .. } => Some(i64::MAX),
        };
        let Some(actor_end) = actor_end else { return nothing(Miss::Actor, None) };
        let (by, data, end) = self.by_consent()?;
        Ok((by, data, end.min(actor_end)))
    }

    fn by_consent(&self) -> Found {
        let now = self.w.now.millis();
        let standing: Vec<&Refusal> = self.w.records.refusals.iter().filter(|r| self.stands(r, now)).collect();
        let (mut whole, mut dated, mut periods, mut misses) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for c in &self.w.records.consents {
            match self.missing(c, now) {
                Some(miss) => misses.push((miss, c.id)),
                None if standing.iter().any(|r| !self.overruled(r, c)) => {}
                None => match c.data_period {
                    None => whole.push((self.consent_end(c), c.id)),
                    Some(dates) => {
                        dated.push((self.consent_end(c), c.id));
                        periods.push(dates);
                    }
                },
            }
        }
        if let Some((end, id)) = longest(whole) {
            return Ok((PermittedBy::Consent(id), DataScope::All, end));
        }
        if let Some(first_end) = dated.iter().map(|d| d.0).min() {
            let (_, id) = longest(dated).expect("one at least");
            return Ok((PermittedBy::Consent(id), DataScope::Within(union(&periods)), first_end));
        }
        if let Some(id) = standing.iter().map(|r| r.id).min() {
            return Err(Reason::ForbiddenBy(Forbidding::Refusal(id)));
        }
        misses.sort_by_key(|(miss, id)| (std::cmp::Reverse(*miss), *id));
        match misses.first() {
            Some(&(miss, id)) => nothing(miss, Some(id)),
            None => nothing(Miss::NoConsent, None),
        }
    }

    /// P-7.
    fn basis_holds(&self, b: &LegalBasis, t: i64) -> bool {
        let named = Some(b.recipient) == receiving_party(self.w)
            && b.purpose == self.w.request.purpose
            && b.categories.contains(&self.version);
        named && in_period(b.period, t) && b.ended_at.is_none_or(|end| t < end.millis())
    }

    /// P-8, P-9: records of authority that hold at `since` and at `t`.
    fn guards(&self, a: &Authority, who: PersonId, since: i64, t: i64) -> bool {
        let child = who != self.w.records.subject && t < self.alone_from;
        child && a.guardian == who && in_period(a.period, since) && in_period(a.period, t)
    }

    fn authorities(&self, who: PersonId, t: i64) -> Vec<(i64, AuthorityId)> {
        let holding = self.w.records.authorities.iter().filter(|a| self.guards(a, who, t, t));
        holding.map(|a| (self.end(|later| self.guards(a, who, t, later)), a.id)).collect()
    }

    /// P-13: whether a refusal stands towards this recipient, purpose and category at `t`.
    fn stands(&self, r: &Refusal, t: i64) -> bool {
        let by_the_subject = r.grantor == self.w.records.subject;
        let from = r.from.millis();
        let by_a_guardian = self.w.records.authorities.iter().any(|a| self.guards(a, r.grantor, from, t));
        let lifted = r.lift.is_some_and(|l| l.by == r.grantor && l.at.millis() <= t);
        from <= t && self.reaches(r) && !lifted && (by_the_subject || by_a_guardian)
    }

    fn reaches(&self, r: &Refusal) -> bool {
        let s = &r.scope;
        let towards =
            s.recipient == Scope::Any || receiving_party(self.w).is_some_and(|p| s.recipient == Scope::Only(p));
        let purpose = s.purpose == Scope::Any || s.purpose == Scope::Only(self.w.request.purpose);
        let category = match &s.categories {
            Scope::Any => true,
            Scope::Only(codes) => codes.contains(&self.version.code),
        };
        towards && purpose && category
    }

    /// P-14: whether a guardian's consent prevails over this refusal of another guardian.
    fn overruled(&self, r: &Refusal, c: &Consent) -> bool {
        let alone = self.purpose.one_guardian_alone || !self.w.registry.rules().guardian_refusal_stands;
        let people = [r.grantor, c.grantor, self.w.records.subject];
        alone && people[0] != people[1] && people[0] != people[2] && people[1] != people[2]
    }

    /// P-16: of all that is wrong with a consent at `t`, what makes it least close.
    fn missing(&self, c: &Consent, t: i64) -> Option<Miss> {
        self.wrong(c, t).into_iter().min()
    }

    /// P-1, P-8, P-9, P-11, P-12: all that is wrong with a consent at `t`.
    fn wrong(&self, c: &Consent, t: i64) -> Vec<Miss> {
        let r = &self.w.request;
        let code_named = c.categories.iter().any(|v| v.code == self.version.code);
        let version_named = c.categories.contains(&self.version);
        let given_now = c.approved_at.millis().min(self.w.now.millis());
        let entitled = if c.grantor == self.w.records.subject {
            c.approved_at.millis() >= self.alone_from
        } else {
            self.w.records.authorities.iter().any(|a| self.guards(a, c.grantor, given_now, t))
        };
        let names_grantor = |b: &Block| b.target == BlockTarget::Person(c.grantor) && in_period(b.period, t);
        let cap = c.period.from().millis().saturating_add(self.purpose.longest_ms);
        let begins = c.period.from().max(c.approved_at).millis();
        let wrong = [
            (Some(c.recipient) != receiving_party(self.w), Miss::OtherRecipient),
            (c.purpose != r.purpose, Miss::OtherPurpose),
            (!code_named, Miss::OtherCategory),
            (code_named && !version_named, Miss::OtherVersion),
            (c.source.is_some() && c.source != Some(r.source), Miss::OtherSource),
            (!self.rightly_attested(c), Miss::Attester),
            (!entitled, Miss::Grantor),
            (self.w.records.blocks.iter().any(names_grantor), Miss::GrantorBlocked),
            (c.ended_at.is_some_and(|end| end.millis() <= t), Miss::Ended),
            (c.period.until().millis() <= t || cap <= t, Miss::Expired),
            (begins > t, Miss::NotYet),
        ];
        wrong.into_iter().filter(|(is, _)| *is).map(|(_, miss)| miss).collect()
    }

    /// P-11.
    fn rightly_attested(&self, c: &Consent) -> bool {
        match c.origin {
            Origin::Own => true,
            Origin::Attested { by } => {
                find_party(self.w, by).zip(find_party(self.w, c.recipient)).is_some_and(|(attester, recipient)| {
                    attester.standing == Standing::Active && attester.kind != recipient.kind
                })
            }
        }
    }

    /// P-17: a consent's end, or the beginning of the first refusal to come that would stand against it.
    fn consent_end(&self, c: &Consent) -> i64 {
        let now = self.w.now.millis();
        let refusals = self.w.records.refusals.iter().filter(|r| self.reaches(r) && !self.overruled(r, c));
        let refused = refusals.map(|r| r.from.millis()).filter(|from| *from > now).min().unwrap_or(i64::MAX);
        // Blocks to come end every permit alike, so a consent's own end is looked for without them.
        let blocks_aside = |t| self.wrong(c, t).iter().all(|m| *m == Miss::GrantorBlocked);
        self.end(blocks_aside).min(refused)
    }

    /// The first instant after now at which `holds` is no longer so.
    fn end(&self, holds: impl Fn(i64) -> bool) -> i64 {
        let now = self.w.now.millis();
        let mut instants = self.instants();
        instants.sort_unstable();
        instants.into_iter().filter(|t| *t > now).find(|t| !holds(*t)).unwrap_or(i64::MAX)
    }

    /// Every instant at which something recorded begins or ends.
    fn instants(&self) -> Vec<i64> {
        let r = &self.w.records;
        let mut out = vec![self.alone_from];
        let mut period = |p: Period| out.extend([p.from().millis(), p.until().millis()]);
        r.consents.iter().for_each(|c| period(c.period));
        r.authorities.iter().for_each(|a| period(a.period));
        r.bases.iter().for_each(|b| period(b.period));
        out.extend(r.consents.iter().map(|c| c.period.from().millis().saturating_add(self.purpose.longest_ms)));
        out.extend(r.consents.iter().filter_map(|c| c.ended_at).map(Timestamp::millis));
        out.extend(r.bases.iter().filter_map(|b| b.ended_at).map(Timestamp::millis));
        out
    }
}

fn in_period(p: Period, t: i64) -> bool {
    p.from().millis() <= t && t < p.until().millis()
}

/// The one that ends last; of several, the one with the smallest id.
fn longest<Id: Ord + Copy>(mut list: Vec<(i64, Id)>) -> Option<(i64, Id)> {
    list.sort_by_key(|(end, id)| (std::cmp::Reverse(*end), *id));
    list.first().copied()
}
