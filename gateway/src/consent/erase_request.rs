//! Requests to erase (消去のお願い): after a withdrawal, what the recipient says it did with what it holds.
//!
//! The request itself is recorded together with the withdrawal (`stop`). Nothing here reaches the recipient's data: the
//! answer is its word, kept with its date and shown to the person.

use sekisho_policy::{ConsentId, PartyId};

use super::give::{GiveError, draft, field};
use crate::app::App;
use crate::ids::party_id;
use crate::ledger::entry::{Bytes16, Cause};
use crate::ledger::event::{ErasureAnswer, ErasureAnswered, Event};
use crate::sabotage::{self, Check};

/// Answers to one request, at most: what was kept is erased one day, and mistakes are put right.
const ANSWERS_MAX: u32 = 10;
/// Longest name of a law, in letters.
const LAW_LETTERS_MAX: usize = 200;

/// An answer, of the words that a party sends.
///
/// # Errors
/// Names the field that is wrong.
pub fn parse(answer: &str, law: Option<&str>) -> Result<ErasureAnswer, GiveError> {
    match (answer, law) {
        ("erased", None) => Ok(ErasureAnswer::Erased),
        ("nothing-held", None) => Ok(ErasureAnswer::NothingHeld),
        ("kept", Some(law)) if !law.trim().is_empty() && law.chars().count() <= LAW_LETTERS_MAX => {
            Ok(ErasureAnswer::Kept { law: law.trim().to_owned() })
        }
        ("kept", _) => Err(field("law", "must name, in at most 200 letters, the law under which it is kept")),
        ("erased" | "nothing-held", Some(_)) => Err(field("law", "is only for what is kept")),
        _ => Err(field("answer", "must be erased, kept or nothing-held")),
    }
}

/// Records what the recipient of a withdrawn consent answers. The same answer again changes nothing.
///
/// # Errors
/// When no request to erase was made to this party under that consent.
pub async fn answer(app: &App, party: PartyId, id: ConsentId, answer: &ErasureAnswer) -> Result<(), GiveError> {
    let unknown = || GiveError::Unknown("request to erase");
    let subject = app.store.person_of_consent(id)?.ok_or_else(unknown)?;
    let recorded = app.store.update(subject, |dossier, _, now| {
        let agreement = dossier.papers.agreements.iter().find(|a| a.consent == id);
        let theirs = |recipient: &str| party_id(recipient) == party || sabotage::off(Check::ErasureAnswerOf);
        let agreement = agreement.filter(|a| theirs(&a.terms.recipient)).ok_or_else(unknown)?;
        let request = agreement.erasure.as_ref().ok_or_else(unknown)?;
        let again = request.answer.as_ref().is_some_and(|(before, _)| before == answer);
        if !again && request.answers >= ANSWERS_MAX {
            return Err(GiveError::TooMany("answers to this request"));
        }
        let answered = ErasureAnswered {
            consent: Bytes16(*id.bytes()),
            recipient: agreement.terms.recipient.clone(),
            answer: answer.clone(),
            at_ms: now.millis(),
        };
        let events = (!again).then_some(Event::ErasureAnswered(answered));
        Ok(((), draft(events, None, Cause::party(party))))
    });
    recorded.await.map(|_| ())
}
