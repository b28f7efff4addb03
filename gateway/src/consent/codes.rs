//! One-time codes: by one a person enrols a login of their own, or links the id under which a party knows its user.
//!
//! A code is fifteen random letters, more than 74 bits, and a check letter. It is shown once, to whoever hands it out, and
//! kept nowhere: the ledger holds its hash under a key of the vault, and seals a party's id under another key that only the
//! code gives. A code is used once, by the link that it makes, in one request with it. What is wrong, used, expired or meant
//! for something else is the same [`CodeError::Wrong`] to whoever tries.

use aws_lc_rs::hmac;
use sekisho_policy::{PersonId, Timestamp};

use super::attested::check_words;
use super::give::{GiveError, draft};
use super::links::{Ground, link};
use super::people::ActError;
use crate::app::App;
use crate::ids::{EntryId, TextId, party_id, random};
use crate::ledger::entry::{Bytes16, Bytes32, Cause};
use crate::ledger::event::{Attestation, EnrolmentCodeIssued, Event, LinkCodeIssued, LinkTarget};
use crate::ledger::seal::SealKey;
use crate::sabotage::{self, Check};
use crate::store::{Store, StoreError};

/// Letters that can't be taken for one another: no I, L, O, no 0, 1. Their number is a prime, which the check rests on.
const LETTERS: &[u8; 31] = b"23456789ABCDEFGHJKMNPQRSTUVWXYZ";
/// Letters of a code, the check letter included.
const LENGTH: usize = 16;
/// From this age on a person has a login of their own; before that, those who hold authority decide.
const LOGIN_AGE: u8 = 15;

/// A code.
#[derive(Clone, PartialEq, Eq)]
pub struct Code([u8; LENGTH]);

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Code(..)")
    }
}

/// A letter's number, from 0.
fn number(letter: u8) -> Option<usize> {
    LETTERS.iter().position(|known| *known == letter)
}

/// The sum that is 0 for a code: each place has a weight of its own, so that one wrong letter, or two that changed places, show.
fn sum(letters: &[u8]) -> Option<usize> {
    let weighted = letters.iter().zip(1..).map(|(letter, weight)| Some(number(*letter)? * weight));
    weighted.sum::<Option<usize>>().map(|sum| sum % LETTERS.len())
}

impl Code {
    /// A fresh one.
    #[must_use]
    pub fn mint() -> Self {
        loop {
            // A byte in 32 is no letter: of these, all are none once in more tries than there will be.
            let letters = random::<64>().map(|byte| LETTERS.get(usize::from(byte & 31)).copied());
            let picked: Vec<u8> = letters.into_iter().flatten().take(LENGTH - 1).collect();
            let whole = LETTERS.iter().map(|check| [picked.as_slice(), &[*check]].concat());
            let found = whole.into_iter().find(|letters| sum(letters) == Some(0));
            if let Some(code) = found.and_then(|letters| <[u8; LENGTH]>::try_from(letters).ok()) {
                return Self(code);
            }
        }
    }

    /// A code as somebody types it: small letters, full-width ones, spaces and hyphens do no harm. `None` is a slip of the
    /// pen, which the check letter tells without asking anybody.
    #[must_use]
    pub fn typed(text: &str) -> Option<Self> {
        let narrow = |c: char| match u32::from(c) {
            wide @ 0xff01..=0xff5e => char::from_u32(wide - 0xfee0).unwrap_or(c),
            _ => c,
        };
        let meant =
            text.chars().take(200).map(narrow).filter(|c| !c.is_whitespace() && !matches!(c, '-' | 'ー' | '－' | '‐'));
        let letters: Vec<u8> = meant.map(|c| u8::try_from(c).map_or(0, |c| c.to_ascii_uppercase())).collect();
        let letters = <[u8; LENGTH]>::try_from(letters).ok()?;
        (sum(&letters) == Some(0)).then_some(Self(letters))
    }

    /// As it is printed: `ABCD-EFGH-JKMN-PQRS`.
    #[must_use]
    pub fn shown(&self) -> String {
        let groups = self.0.chunks(4).map(|group| String::from_utf8_lossy(group).into_owned());
        groups.collect::<Vec<_>>().join("-")
    }

    /// A key that only the vault and the code together give.
    fn key(&self, store: &Store, what: &str) -> Result<[u8; 32], StoreError> {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &store.vault().secret("codes")?);
        let tag = hmac::sign(&secret, &[what.as_bytes(), b" ", &self.0].concat());
        Ok(tag.as_ref().first_chunk::<32>().copied().unwrap_or([0; 32]))
    }

    fn hash(&self, store: &Store) -> Result<[u8; 32], StoreError> {
        self.key(store, "find")
    }
}

/// A code that was just issued: what is shown this once.
pub struct Issued {
    /// The code.
    pub code: Code,
    /// Until when it is good.
    pub until: Timestamp,
    /// The entry that says so.
    pub entry: EntryId,
}

/// Why a code did nothing.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// Wrong, used, expired, or not for this: it is not told which.
    #[error("no such code, or not for this, or not any more")]
    Wrong,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<ActError> for CodeError {
    fn from(error: ActError) -> Self {
        match error {
            ActError::Store(error) => Self::Store(error),
            _ => Self::Wrong,
        }
    }
}

fn until(app: &App) -> Result<Timestamp, StoreError> {
    Ok(app.store.clock().now()?.plus_millis(app.config.pages.code_ms))
}

/// Issues a code by which a person will enrol a login, after a party's staff checked who they are.
///
/// # Errors
/// When the attestation says too little, the person is too young for a login, or the store fails.
pub async fn issue_enrolment(app: &App, person: PersonId, attestation: Attestation) -> Result<Issued, GiveError> {
    let now = app.store.clock().now().map_err(StoreError::from)?;
    check_words(&attestation, now)?;
    let (code, until) = (Code::mint(), until(app)?);
    let cause = Cause::party(party_id(&attestation.party));
    let issued = EnrolmentCodeIssued {
        person: Bytes16(*person.bytes()),
        code: Bytes32(code.hash(&app.store)?),
        until_ms: until.millis(),
        attestation,
    };
    let recorded = app.store.update(person, |dossier, _, now| {
        let birth = dossier.subject.records.birth;
        if !dossier.subject.enrolled || now < sekisho_policy::age_reached_at(birth, LOGIN_AGE) {
            return Err(GiveError::NoAuthority);
        }
        Ok(((), draft([Event::EnrolmentCodeIssued(issued.clone())], None, cause)))
    });
    let entry = recorded.await?.1.ok_or(GiveError::Changed)?.entry;
    Ok(Issued { code, until, entry })
}

/// Issues a code by which somebody will link the id under which a party knows its user.
///
/// # Errors
/// When the store fails.
pub async fn issue_link(app: &App, party: &str, id: &str) -> Result<Issued, StoreError> {
    let (code, until) = (Code::mint(), until(app)?);
    let hash = code.hash(&app.store)?;
    let sealed = SealKey::new(code.key(&app.store, "seal")?).seal(&aad(party, &hash), id.as_bytes());
    let issued = LinkCodeIssued { party: party.to_owned(), code: Bytes32(hash), sealed, until_ms: until.millis() };
    let appended = app.store.record_global(Event::LinkCodeIssued(issued), Cause::party(party_id(party))).await?;
    Ok(Issued { code, until, entry: appended.entry })
}

fn aad(party: &str, hash: &[u8; 32]) -> Vec<u8> {
    [hash.as_slice(), party.as_bytes()].concat()
}

/// The entry that issued a code, while the code is good.
fn good(app: &App, code: &Code) -> Result<(EntryId, Event, [u8; 32]), CodeError> {
    let hash = code.hash(&app.store)?;
    let (entry, event) = app.store.code(hash)?.ok_or(CodeError::Wrong)?;
    let until_ms = match &event {
        Event::EnrolmentCodeIssued(issued) => issued.until_ms,
        Event::LinkCodeIssued(issued) => issued.until_ms,
        _ => return Err(CodeError::Wrong),
    };
    let now = app.store.clock().now().map_err(StoreError::from)?;
    if until_ms <= now.millis() && !sabotage::off(Check::CodeExpires) {
        return Err(CodeError::Wrong);
    }
    Ok((entry, event, hash))
}

/// Links a login to the person for whom a code was issued.
///
/// # Errors
/// When the code is not good for this.
pub async fn enrol(app: &App, issuer: &str, sub: &str, code: &Code) -> Result<(), CodeError> {
    let (entry, Event::EnrolmentCodeIssued(issued), hash) = good(app, code)? else { return Err(CodeError::Wrong) };
    let person = PersonId::of(issued.person.0);
    // A lost code is worth nothing once another one was handed out.
    if app.store.dossier(person).await?.papers.code != Some(hash) && !sabotage::off(Check::CodeNewest) {
        return Err(CodeError::Wrong);
    }
    let of = &issued.attestation;
    let evidence = format!(
        "code {}: {}; identity checked by {}, code issued by {}",
        entry.text(),
        of.evidence,
        of.checked_by,
        of.recorded_by
    );
    let to = LinkTarget::Login { issuer: issuer.to_owned(), sub: sub.to_owned() };
    let ground = Ground { evidence: &evidence, verified_by: &of.party, code: Some(hash) };
    link(app, person, &to, &ground, Cause::Person).await?;
    Ok(())
}

/// Links the id of a party's user to a person: whoever enters the code, or a child about whom they decide, which the caller has
/// made sure of.
///
/// # Errors
/// When the code is not good for this, or the id is another person's.
pub async fn link_source(app: &App, person: PersonId, code: &Code) -> Result<(), CodeError> {
    let (entry, Event::LinkCodeIssued(issued), hash) = good(app, code)? else { return Err(CodeError::Wrong) };
    let key = SealKey::new(code.key(&app.store, "seal")?);
    let id = key.open(&aad(&issued.party, &hash), &issued.sealed).ok().and_then(|id| String::from_utf8(id).ok());
    let to = LinkTarget::Source { party: issued.party.clone(), id: id.ok_or(CodeError::Wrong)? };
    let evidence = format!("code {}, given by {} to its user", entry.text(), issued.party);
    let ground = Ground { evidence: &evidence, verified_by: &issued.party, code: Some(hash) };
    link(app, person, &to, &ground, Cause::Person).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_however_it_is_typed_and_no_slip_passes() {
        for _ in 0..200 {
            let code = Code::mint();
            let shown = code.shown();
            assert_eq!((shown.len(), Code::typed(&shown)), (19, Some(code.clone())), "{shown}");
            let wide: String = shown.chars().map(|c| char::from_u32(u32::from(c) + 0xfee0).unwrap()).collect();
            assert_eq!(Code::typed(&wide), Some(code.clone()));
            assert_eq!(Code::typed(&format!(" {} ", shown.to_lowercase().replace('-', " "))), Some(code.clone()));
            for at in 0..LENGTH {
                for letter in LETTERS.iter().filter(|letter| **letter != code.0[at]) {
                    let mut slip = code.0;
                    slip[at] = *letter;
                    assert_eq!(Code::typed(std::str::from_utf8(&slip).unwrap()), None);
                }
                for other in 0..at {
                    let mut slip = code.0;
                    slip.swap(at, other);
                    let same = slip == code.0;
                    assert_eq!(Code::typed(std::str::from_utf8(&slip).unwrap()).is_some(), same);
                }
            }
        }
        for text in ["", "ABCD", "あ", "ABCD-EFGH-JKMN-PQR0", &"A".repeat(500)] {
            assert_eq!(Code::typed(text), None, "{text}");
        }
    }

    #[test]
    fn codes_differ_and_use_every_letter() {
        let codes: std::collections::BTreeSet<String> = (0..1_000).map(|_| Code::mint().shown()).collect();
        assert_eq!(codes.len(), 1_000);
        let letters: std::collections::BTreeSet<char> = codes.iter().flat_map(|code| code.chars()).collect();
        assert_eq!(letters.len(), LETTERS.len() + 1);
    }
}
