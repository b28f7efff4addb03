//! Whether a refusal stands, in general or against a consent that is about to be given: asked of the decision itself, on records with
//! that one consent, so that what a parent may decide alone (P-14) and all else is told once, in the policy.

use sekisho_policy::{
    AccessRequest, Actor, Categories, CategoryVersion, Code, Consent, ConsentId, Decision, Forbidding, MAX_CATEGORIES,
    Miss, Origin, Period, PersonId, PurposeCode, Reason, Receiver, Refusal, RefusalId, Scope, SubjectRecords,
    Timestamp, Withheld,
};

use super::give::GiveError;
use crate::ids::party_id;
use crate::ledger::event::Terms;
use crate::sabotage::{self, Check};
use crate::store::state::{Agreement, Global, Subject, category_version};

/// Who is about to give a consent, and by whom it was collected.
#[derive(Clone, Copy)]
pub(super) struct Grant<'a> {
    /// The subject or a guardian.
    pub(super) grantor: PersonId,
    /// The attesting party's code; `None` when the person gives it here.
    pub(super) attested_by: Option<&'a str>,
}

/// Granting what a refusal stands against would be a consent that does nothing: the person is told to lift it first.
pub(super) fn no_refusal_stands(
    subject: &Subject,
    global: &Global,
    terms: &Terms,
    grant: Grant<'_>,
    now: Timestamp,
) -> Result<(), GiveError> {
    let refusal = withheld(subject, global, terms, grant, now).into_iter().find_map(|w| match w.why {
        Reason::ForbiddenBy(Forbidding::Refusal(id)) => Some(id),
        _ => None,
    });
    if sabotage::off(Check::RefusalStands) {
        return Ok(());
    }
    refusal.map_or(Ok(()), |id: RefusalId| Err(GiveError::RefusalStands(id)))
}

/// The same, and that whoever gives it is one whose word counts: a child too young, named by mistake, is not.
pub(super) fn could_count(
    subject: &Subject,
    global: &Global,
    terms: &Terms,
    grant: Grant<'_>,
    now: Timestamp,
) -> Result<(), GiveError> {
    no_refusal_stands(subject, global, terms, grant, now)?;
    let grantor = |w: &Withheld| matches!(w.why, Reason::NothingApplies(near) if near.miss == Miss::Grantor);
    if withheld(subject, global, terms, grant, now).iter().any(grantor) {
        return Err(GiveError::NoAuthority);
    }
    Ok(())
}

/// Whether a refusal still forbids anything: with the authority under which a guardian gave it, and as the subject comes to
/// decide alone, it ends by itself (P-8, P-9, P-13). Asked of the decision, about everything registered that it names.
#[must_use]
pub fn still_stands(subject: &Subject, global: &Global, refusal: &Refusal, now: Timestamp) -> bool {
    let records = &subject.records;
    let alone = SubjectRecords {
        refusals: vec![refusal.clone()],
        authorities: records.authorities.clone(),
        ..SubjectRecords::new(records.subject, records.birth)
    };
    // A party that is suspended receives nothing now, and is refused all the same.
    let Ok(registry) = global.text.to_policy(&[]) else { return true };
    let mut requests = named_by(records.subject, global, refusal).peekable();
    // Of what is not registered nothing passes anyway.
    sabotage::off(Check::RefusalOver)
        || requests.peek().is_none()
        || requests.any(|request| match sekisho_policy::decide(&alone, &registry, &request, now) {
            Decision::Permit(_) => false,
            Decision::Deny(denial) => denial.withheld().iter().any(is_refused),
        })
}

/// Whether an agreement, taken by itself, permits anything now. Legal bases are not looked at.
#[must_use]
pub fn counts(subject: &Subject, global: &Global, agreement: &Agreement, now: Timestamp) -> bool {
    let attested_by = agreement.attestation.as_ref().map(|a| a.party.as_str());
    counts_alone(subject, global, &agreement.terms, Grant { grantor: agreement.grantor, attested_by }, now)
}

/// Whether a consent, taken by itself, permits anything now: no refusal and no block stands against all of it, and whoever gave it
/// may still decide. Legal bases are not looked at, so that nothing is told of them.
pub(super) fn counts_alone(
    subject: &Subject,
    global: &Global,
    terms: &Terms,
    grant: Grant<'_>,
    now: Timestamp,
) -> bool {
    matches!(decided(subject, global, terms, grant, now), Some(Decision::Permit(_)))
}

fn is_refused(withheld: &Withheld) -> bool {
    matches!(withheld.why, Reason::ForbiddenBy(Forbidding::Refusal(_)))
}

/// Everything that could be asked, by whom the purpose is for, and that a refusal names.
fn named_by(subject: PersonId, global: &Global, refusal: &Refusal) -> impl Iterator<Item = AccessRequest> {
    let (text, scope) = (&global.text, &refusal.scope);
    let named = |version: &CategoryVersion| match &scope.categories {
        Scope::Any => true,
        Scope::Only(codes) => codes.contains(&version.code),
    };
    let versions = text.categories.iter().filter_map(|c| category_version(&c.version)).filter(named);
    let versions: Vec<_> = versions.collect();
    let pairs = text.purposes.iter().flat_map(|purpose| text.parties.iter().map(move |party| (purpose, party)));
    pairs.filter(|(purpose, party)| purpose.receivers.contains(&party.kind)).flat_map(move |(purpose, party)| {
        let (party, purpose) = (party_id(&party.code), Code::parse(&purpose.code).map(PurposeCode));
        let purpose =
            purpose.ok().filter(|purpose| scope.purpose == Scope::Any || scope.purpose == Scope::Only(*purpose));
        let purpose = purpose.filter(|_| scope.recipient == Scope::Any || scope.recipient == Scope::Only(party));
        let some = versions.chunks(MAX_CATEGORIES).filter_map(|some| Categories::new(some.iter().copied()));
        let receiver = Receiver::Party { party, actor: Actor::System };
        let request =
            move |(purpose, categories)| AccessRequest { subject, receiver, source: party, purpose, categories };
        some.filter_map(move |categories| purpose.zip(Some(categories))).map(request).collect::<Vec<_>>()
    })
}

/// What the policy would withhold if nothing but this consent were given, from now on.
fn withheld(subject: &Subject, global: &Global, terms: &Terms, grant: Grant<'_>, now: Timestamp) -> Vec<Withheld> {
    match decided(subject, global, terms, grant, now) {
        Some(Decision::Permit(permit)) => permit.withheld().to_vec(),
        Some(Decision::Deny(denial)) => denial.withheld().to_vec(),
        None => Vec::new(),
    }
}

fn decided(subject: &Subject, global: &Global, terms: &Terms, grant: Grant<'_>, now: Timestamp) -> Option<Decision> {
    let categories: Vec<_> = terms.categories.iter().filter_map(|c| category_version(c)).collect();
    let (Some(asked), Ok(purpose), Ok(period)) = (
        Categories::new(categories.iter().copied()),
        Code::parse(&terms.purpose),
        Period::new(now, Timestamp::from_millis(terms.until_ms)),
    ) else {
        return None;
    };
    let records = &subject.records;
    let recipient = party_id(&terms.recipient);
    let source = terms.source.as_deref().map_or(recipient, party_id);
    let given = Consent {
        id: ConsentId::from_bytes([0; 16]),
        grantor: grant.grantor,
        recipient,
        purpose: PurposeCode(purpose),
        categories: categories.into(),
        source: None,
        // One that begins later is looked at as if it began now: a refusal that stands then can be lifted until then.
        period,
        data_period: None,
        origin: grant.attested_by.map_or(Origin::Own, |by| Origin::Attested { by: party_id(by) }),
        approved_at: now,
        ended_at: None,
    };
    let alone = SubjectRecords {
        consents: vec![given],
        refusals: records.refusals.clone(),
        blocks: records.blocks.clone(),
        authorities: records.authorities.clone(),
        bases: Vec::new(),
        ..SubjectRecords::new(records.subject, records.birth)
    };
    let receiver = Receiver::Party { party: recipient, actor: Actor::System };
    let request =
        AccessRequest { subject: records.subject, receiver, source, purpose: PurposeCode(purpose), categories: asked };
    Some(sekisho_policy::decide(&alone, &global.registry, &request, now))
}
