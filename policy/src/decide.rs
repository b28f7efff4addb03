//! The decision, rule by rule, in the order of `docs/policy-spec.md`.
//!
//! Precedence, the whole of it: not understood > block > suspension > receiver kind > legal basis > refusal > consent >
//! nothing (deny). One function decides all categories of a request; each is decided on its own, so that a partial
//! permit is the sum of its parts.
//!
//! It never allocates on a plain permit (one without data periods), and never looks at the order of records.

use arrayvec::ArrayVec;

use crate::access::{AccessRequest, Actor, Capacity, Receiver};
use crate::category::{CategoryVersion, MAX_CATEGORIES};
use crate::consent::{BlockTarget, Consent, Origin, Refusal, Scope};
use crate::decision::{
    DataScope, Decision, Denial, Field, Forbidding, Kept, Miss, Permit, PermittedBy, Reason, Withheld,
};
use crate::ids::{AuthorityId, PersonId};
use crate::miss::{self, Nearest};
use crate::party::{Party, PartyKind, Standing};
use crate::purpose::Purpose;
use crate::records::SubjectRecords;
use crate::registry::Registry;
use crate::time::{Timestamp, age_reached_at};
use crate::total::Total;

/// Age in years from which nobody else decides (民法4条).
pub const ADULT_AGE: u8 = 18;

/// Decides one request on these records, at this instant.
#[must_use]
pub fn decide(records: &SubjectRecords, registry: &Registry, request: &AccessRequest, now: Timestamp) -> Decision {
    let mut kept: ArrayVec<Kept, MAX_CATEGORIES> = ArrayVec::new();
    let mut withheld: ArrayVec<Withheld, MAX_CATEGORIES> = ArrayVec::new();
    let mut until = Timestamp::MAX;
    let understood = understood(records, registry, request);
    let gate = understood.and_then(|named| gate(records, request, named, now));
    for &version in request.categories.as_slice() {
        let outcome = understood.and_then(|named| {
            let category = registry.category(version).ok_or(Reason::NotUnderstood(Field::Category))?;
            gate?;
            let own_age = age_reached_at(records.birth, category.own_consent_age.min(ADULT_AGE));
            Case { records, registry, request, purpose: named.purpose, version, own_age, now }.one()
        });
        match outcome {
            Ok(cover) => {
                until = until.min(cover.until);
                kept.push(Kept { category: version, by: cover.by, data: cover.data });
            }
            Err(why) => withheld.push(Withheld { category: version, why }),
        }
    }
    if kept.is_empty() {
        return Decision::Deny(Denial::new(withheld));
    }
    until = until.min(next_block(records, request, now));
    Decision::Permit(Permit::new(kept, withheld, until))
}

/// What the request names, found in the registry.
#[derive(Clone, Copy)]
struct Named<'a> {
    purpose: &'a Purpose,
    /// `None` for self-access.
    recipient: Option<&'a Party>,
    source: &'a Party,
}

/// P-2: everything that the request names is registered, and everything on record was understood.
fn understood<'a>(
    records: &SubjectRecords,
    registry: &'a Registry,
    request: &AccessRequest,
) -> Result<Named<'a>, Reason> {
    if records.subject != request.subject {
        return Err(Reason::NotUnderstood(Field::Subject));
    }
    if let Some(field) = records.unreadable {
        return Err(Reason::NotUnderstood(field));
    }
    let purpose = registry.purpose(request.purpose).ok_or(Reason::NotUnderstood(Field::Purpose))?;
    let recipient = match request.receiver.party() {
        Some(id) => Some(registry.party(id).ok_or(Reason::NotUnderstood(Field::Recipient))?),
        None => None,
    };
    let source = registry.party(request.source).ok_or(Reason::NotUnderstood(Field::Source))?;
    Ok(Named { purpose, recipient, source })
}

/// P-4 to P-6: what forbids every category alike.
fn gate(records: &SubjectRecords, request: &AccessRequest, named: Named<'_>, now: Timestamp) -> Result<(), Reason> {
    let blocks = records.blocks.iter().filter(|b| hits(b.target, request) && b.period.contains(now));
    if let Some(block) = blocks.map(|b| b.id).min() {
        return Err(Reason::ForbiddenBy(Forbidding::Block(block)));
    }
    for party in named.recipient.into_iter().chain([named.source]) {
        if party.standing == Standing::Suspended {
            return Err(Reason::ForbiddenBy(Forbidding::Suspension(party.id)));
        }
    }
    // A person at our own pages is not a party: a party registered as one receives nothing.
    let fits = match named.recipient {
        Some(party) => party.kind != PartyKind::Person && named.purpose.receivers.contains(&party.kind),
        None => named.purpose.receivers.contains(&PartyKind::Person),
    };
    if fits { Ok(()) } else { Err(miss::without_consent(Miss::ReceiverKind)) }
}

/// P-6: whether a block's target is the receiving party or the person who acts.
fn hits(target: BlockTarget, request: &AccessRequest) -> bool {
    match target {
        BlockTarget::Person(person) => request.receiver.person() == Some(person),
        BlockTarget::Party(party) => request.receiver.party() == Some(party),
    }
}

/// P-17: when the next block that concerns this request, or a person who may have granted, begins.
fn next_block(records: &SubjectRecords, request: &AccessRequest, now: Timestamp) -> Timestamp {
    records
        .blocks
        .iter()
        .filter(|b| b.period.from() > now)
        .filter(|b| matches!(b.target, BlockTarget::Person(_)) || hits(b.target, request))
        .map(|b| b.period.from())
        .min()
        .unwrap_or(Timestamp::MAX)
}

/// What permits one category, and up to when on unchanged records.
pub(crate) struct Cover {
    pub(crate) by: PermittedBy,
    pub(crate) data: DataScope,
    pub(crate) until: Timestamp,
}

/// One category of a request that passed the gate.
struct Case<'a> {
    records: &'a SubjectRecords,
    registry: &'a Registry,
    request: &'a AccessRequest,
    purpose: &'a Purpose,
    version: CategoryVersion,
    /// P-8: from when the subject alone decides about the category.
    own_age: Timestamp,
    now: Timestamp,
}

impl Case<'_> {
    /// P-7 to P-16.
    fn one(&self) -> Result<Cover, Reason> {
        if let Some(cover) = self.legal_basis() {
            return Ok(cover);
        }
        match self.request.receiver {
            Receiver::Person { person, capacity } => self.self_access(person, capacity),
            Receiver::Party { actor, .. } => {
                let actor_until = self.actor_until(actor)?;
                let mut cover = self.consents()?;
                cover.until = cover.until.min(actor_until);
                Ok(cover)
            }
        }
    }

    /// P-7: a legal basis serves a party's officials and machines, not a person who acts through its app.
    fn legal_basis(&self) -> Option<Cover> {
        let Receiver::Party { party, actor: Actor::System | Actor::Staff(_) } = self.request.receiver else {
            return None;
        };
        let applies = self.records.bases.iter().filter(|b| {
            b.recipient == party
                && b.purpose == self.request.purpose
                && b.categories.contains(&self.version)
                && b.period.contains(self.now)
                && b.ended_at.is_none_or(|end| self.now < end)
        });
        applies
            .map(|b| (b.period.until().min(b.ended_at.unwrap_or(Timestamp::MAX)), b.id))
            .max_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)))
            .map(|(until, id)| Cover { by: PermittedBy::Basis(id), data: DataScope::All, until })
    }

    /// P-10: people see their own; guardians see the child's own categories while their authority lasts.
    fn self_access(&self, person: PersonId, capacity: Capacity) -> Result<Cover, Reason> {
        let cover = match capacity {
            Capacity::Subject if person == self.request.subject => Some((PermittedBy::OwnAccess, Timestamp::MAX)),
            Capacity::Subject => None,
            Capacity::Guardian => {
                self.authority(person, self.now).map(|(id, until)| (PermittedBy::Authority(id), until))
            }
        };
        let (by, until) = cover.ok_or(miss::without_consent(Miss::Actor))?;
        Ok(Cover { by, data: DataScope::All, until })
    }

    /// P-10: whether the person who acts for the party may act in that capacity, and until when.
    fn actor_until(&self, actor: Actor) -> Result<Timestamp, Reason> {
        let until = match actor {
            Actor::System | Actor::Staff(_) => Some(Timestamp::MAX),
            Actor::Subject(person) => (person == self.request.subject).then_some(Timestamp::MAX),
            Actor::Guardian(person) => self.authority(person, self.now).map(|(_, until)| until),
        };
        until.ok_or(miss::without_consent(Miss::Actor))
    }

    /// P-8, P-9: the authority that a guardian holds over a category now and held at `since`, without a break: one
    /// record spans both. The longest-lasting is named, then the smaller id.
    fn authority(&self, guardian: PersonId, since: Timestamp) -> Option<(AuthorityId, Timestamp)> {
        if guardian == self.records.subject || self.now >= self.own_age {
            return None;
        }
        let held = self
            .records
            .authorities
            .iter()
            .filter(|a| a.guardian == guardian && a.period.contains(since) && a.period.contains(self.now));
        held.map(|a| (a.id, a.period.until().min(self.own_age))).max_by(|a, b| a.1.cmp(&b.1).then(b.0.cmp(&a.0)))
    }

    /// P-11 to P-16: consents that cover the category, less those that a refusal stands against.
    fn consents(&self) -> Result<Cover, Reason> {
        let (mut total, mut nearest) = (Total::default(), Nearest::default());
        for consent in &self.records.consents {
            match self.covers(consent) {
                Err(miss) => nearest.add(miss, consent.id),
                Ok(until) if self.refusal_against(Some(consent)).is_none() => {
                    total.add(consent, until.min(self.refused_from(consent)));
                }
                Ok(_) => {}
            }
        }
        if let Some(cover) = total.into_cover() {
            return Ok(cover);
        }
        match self.refusal_against(None) {
            Some(refusal) => Err(Reason::ForbiddenBy(Forbidding::Refusal(refusal.id))),
            None => Err(nearest.into_reason()),
        }
    }

    /// P-1, P-8, P-9, P-11, P-12: whether this consent covers the category now, and until when; else what it lacks.
    fn covers(&self, consent: &Consent) -> Result<Timestamp, Miss> {
        if self.request.receiver.party() != Some(consent.recipient) {
            return Err(Miss::OtherRecipient);
        }
        if consent.purpose != self.request.purpose {
            return Err(Miss::OtherPurpose);
        }
        if !consent.categories.contains(&self.version) {
            let other = consent.categories.iter().any(|c| c.code == self.version.code);
            return Err(if other { Miss::OtherVersion } else { Miss::OtherCategory });
        }
        if consent.source.is_some_and(|source| source != self.request.source) {
            return Err(Miss::OtherSource);
        }
        if !self.attested_rightly(consent) {
            return Err(Miss::Attester);
        }
        let entitled_until = self.grantor_entitled_until(consent).ok_or(Miss::Grantor)?;
        let grantor = BlockTarget::Person(consent.grantor);
        if self.records.blocks.iter().any(|b| b.target == grantor && b.period.contains(self.now)) {
            return Err(Miss::GrantorBlocked);
        }
        self.in_time(consent).map(|until| until.min(entitled_until))
    }

    /// P-11: a party can't attest a consent in favour of itself or of its own kind.
    fn attested_rightly(&self, consent: &Consent) -> bool {
        let Origin::Attested { by } = consent.origin else { return true };
        match (self.registry.party(by), self.registry.party(consent.recipient)) {
            (Some(attester), Some(recipient)) => {
                attester.kind != recipient.kind && attester.standing == Standing::Active
            }
            _ => false,
        }
    }

    /// P-8, P-9: the subject decides from the category's own-consent age on, guardians before it.
    fn grantor_entitled_until(&self, consent: &Consent) -> Option<Timestamp> {
        if consent.grantor == self.records.subject {
            return (self.own_age <= consent.approved_at).then_some(Timestamp::MAX);
        }
        // What is approved only later has its own miss (P-12); until then the authority is looked at as it is now.
        self.authority(consent.grantor, consent.approved_at.min(self.now)).map(|(_, until)| until)
    }

    /// P-12: half-open, not before it was approved, capped by the purpose's longest period, cut short by its end.
    fn in_time(&self, consent: &Consent) -> Result<Timestamp, Miss> {
        let ended_at = consent.ended_at.unwrap_or(Timestamp::MAX);
        if ended_at <= self.now {
            return Err(Miss::Ended);
        }
        let cap = consent.period.from().plus_millis(self.purpose.longest_ms);
        let until = consent.period.until().min(cap);
        if until <= self.now {
            return Err(Miss::Expired);
        }
        if self.now < consent.period.from().max(consent.approved_at) {
            return Err(Miss::NotYet);
        }
        Ok(until.min(ended_at))
    }

    /// P-13, P-14: the refusal with the smallest id that stands against this consent; or, without one, against the
    /// category as such.
    fn refusal_against(&self, consent: Option<&Consent>) -> Option<&Refusal> {
        self.records
            .refusals
            .iter()
            .filter(|r| r.from <= self.now && self.in_scope(r))
            .filter(|r| !self.lifted(r) && self.refuser_entitled(r))
            .filter(|r| consent.is_none_or(|c| !self.exempt(r, c)))
            .min_by_key(|r| r.id)
    }

    /// P-17: when the next recorded refusal in scope begins, [`Timestamp::MAX`] if none is to come.
    fn refused_from(&self, consent: &Consent) -> Timestamp {
        let to_come = |r: &&Refusal| r.from > self.now && self.in_scope(r) && !self.exempt(r, consent);
        self.records.refusals.iter().filter(to_come).map(|r| r.from).min().unwrap_or(Timestamp::MAX)
    }

    /// P-13: whether the refusal's scope reaches this recipient, purpose and category, whatever its version.
    fn in_scope(&self, refusal: &Refusal) -> bool {
        let scope = &refusal.scope;
        let recipient = match scope.recipient {
            Scope::Any => true,
            Scope::Only(party) => self.request.receiver.party() == Some(party),
        };
        let purpose = match scope.purpose {
            Scope::Any => true,
            Scope::Only(purpose) => purpose == self.request.purpose,
        };
        let categories = match &scope.categories {
            Scope::Any => true,
            Scope::Only(codes) => codes.contains(&self.version.code),
        };
        recipient && purpose && categories
    }

    /// P-13: lifted by its own grantor. Coming of age needs no lifting: it ends guardians' refusals itself.
    fn lifted(&self, refusal: &Refusal) -> bool {
        refusal.lift.is_some_and(|lift| lift.by == refusal.grantor && lift.at <= self.now)
    }

    /// P-13: the subject's refusal always counts; a guardian's ends with the authority under which it was made.
    fn refuser_entitled(&self, refusal: &Refusal) -> bool {
        refusal.grantor == self.records.subject || self.authority(refusal.grantor, refusal.from).is_some()
    }

    /// P-14: another guardian's refusal, where the operator or the purpose lets one guardian decide alone.
    fn exempt(&self, refusal: &Refusal, consent: &Consent) -> bool {
        let subject = self.records.subject;
        let between_guardians =
            refusal.grantor != subject && consent.grantor != subject && refusal.grantor != consent.grantor;
        between_guardians && (self.purpose.one_guardian_alone || !self.registry.rules().guardian_refusal_stands)
    }
}
