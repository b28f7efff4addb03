//! An online consultation service that parents ask for help, as a source of consultations.
//!
//! What it does: reads the service's feed (or what it pushes) strictly, record by record, and keeps the *triage minimum* only:
//! item scores, that a professional judged and gave a reason, the choice about sharing, ids, places, how to reach somebody
//! safely. Names and words are asked for later, by id, after a permit.
//! What it never does: guess, repair a score, keep an item's wording (it is copyright), or let one bad record keep another back.
//! A bad record that may be urgent says so all the same.

mod client;
mod details;
pub mod fhir;
mod members;
mod reader;
mod salvage;
pub mod stand_in;
pub mod wire;

pub use client::{
    ANSWER_BYTES_MAX, ConsultationService, DETAILS_MAX, Outcome, OutcomeCode, Returned, ServiceError, Shape,
    read_pushed,
};
pub use wire::Broken;

pub(crate) use reader::local_day;

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;

use crate::municipality::MunicipalityCode;

/// Longest id that a service may give a user or a consultation: ASCII letters, digits, `-`, `.`.
pub const ID_BYTES_MAX: usize = 64;

/// The service's id of a consultation. `Debug` shows it: it names a record in errors, and nobody outside the service.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsultationId(String);

/// The service's id of a user. Not in `Debug`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(String);

impl ConsultationId {
    /// `None` unless it is 1 to [`ID_BYTES_MAX`] ASCII letters, digits, `-`, `.`, and can't be a My Number.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        is_id(text).then(|| Self(text.to_owned()))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl UserId {
    /// `None` unless it is 1 to [`ID_BYTES_MAX`] ASCII letters, digits, `-`, `.`, and can't be a My Number.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        is_id(text).then(|| Self(text.to_owned()))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_id(text: &str) -> bool {
    let fits = (1..=ID_BYTES_MAX).contains(&text.len());
    fits && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
        && !crate::my_number::contained_in(text)
}

impl fmt::Debug for ConsultationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConsultationId({})", self.0)
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserId(..)")
    }
}

/// Items of the Edinburgh Postnatal Depression Scale: ten, 0 to 3 each. Only numbers and scores exist here.
pub const EPDS_ITEMS: usize = 10;

/// Highest score of one item.
pub const EPDS_SCORE_MAX: u8 = 3;

/// Which items were answered, and with which score. At least one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epds([Option<u8>; EPDS_ITEMS]);

impl Epds {
    /// `None` when nothing is answered or a score is above [`EPDS_SCORE_MAX`].
    #[must_use]
    pub fn new(scores: [Option<u8>; EPDS_ITEMS]) -> Option<Self> {
        let any = scores.iter().any(Option::is_some);
        let fit = scores.iter().flatten().all(|score| *score <= EPDS_SCORE_MAX);
        (any && fit).then_some(Self(scores))
    }

    /// The sum of what was answered: never more than the whole would be.
    #[must_use]
    pub fn sum(&self) -> u8 {
        self.0.iter().flatten().sum()
    }

    /// How many items were answered.
    #[must_use]
    pub fn answered(&self) -> u8 {
        self.0.iter().flatten().fold(0, |count, _| count + 1)
    }

    /// The score of item 10, where it was answered.
    #[must_use]
    pub const fn item_10(&self) -> Option<u8> {
        let [.., last] = self.0;
        last
    }

    /// All items in order.
    #[must_use]
    pub const fn scores(&self) -> &[Option<u8>; EPDS_ITEMS] {
        &self.0
    }
}

/// What the person who asked wants the municipality to get. One of the three, said explicitly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Choice {
    /// Nothing.
    Nothing,
    /// Who they are and that they asked, without what about.
    IdentityOnly,
    /// What they asked and what was answered, too.
    Content,
}

/// A choice as the service attests it.
#[derive(Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Which of the three.
    pub choice: Choice,
    /// Which municipality the text named as recipient.
    pub municipality: MunicipalityCode,
    /// Version of the text that was agreed to, as registered with the gateway.
    pub text_version: String,
    /// When it was chosen.
    pub at: Timestamp,
    /// Where the service keeps the evidence: a reference of its own.
    pub evidence: String,
}

/// By which means somebody wants to be reached. The number or address itself comes later, after a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Means {
    /// By telephone.
    Telephone,
    /// By a message in the service's app.
    AppMessage,
    /// By e-mail.
    Mail,
    /// By letter.
    Letter,
    /// By a visit.
    Visit,
}

/// How to reach somebody without endangering them (安全な連絡方法). No record goes without it.
#[derive(Clone, PartialEq, Eq)]
pub struct SafeContact {
    /// By which means; at least one, in order of preference, each once.
    pub means: Vec<Means>,
    /// From when until when, `HH:MM`–`HH:MM` local time, in words of the service's form. At most 100 characters.
    pub hours: String,
    /// Whether a message may be left (留守番電話).
    pub voicemail: bool,
    /// 家族に知られたくない.
    pub hidden_from_family: bool,
}

/// A place as far as triage needs it: whose nurses, and which district.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Municipality.
    pub municipality: MunicipalityCode,
    /// Postal code, seven digits, where it is known.
    pub postal: Option<PostalCode>,
}

/// A postal code: seven digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PostalCode([u8; 7]);

impl PostalCode {
    /// Seven ASCII digits, or three, `-` and four.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: Vec<u8> = match text.as_bytes() {
            [a, b, c, b'-', rest @ ..] if rest.len() == 4 => [a, b, c].into_iter().chain(rest).copied().collect(),
            all => all.to_vec(),
        };
        let digits: [u8; 7] = digits.try_into().ok()?;
        digits.iter().all(u8::is_ascii_digit).then_some(Self(digits))
    }

    /// The seven digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Somebody whom a consultation is about.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The service's id.
    pub id: UserId,
    /// Date of birth, not after the consultation.
    pub birth: Date,
}

/// A consultation, as far as triage needs it.
#[derive(Clone, PartialEq, Eq)]
pub struct Consultation {
    /// Which.
    pub id: ConsultationId,
    /// Who asked (相談者): the subject.
    pub asker: User,
    /// A child it is also about: a second subject, decided separately.
    pub child: Option<User>,
    /// When.
    pub at: Timestamp,
    /// Item scores, where the questionnaire was answered.
    pub epds: Option<Epds>,
    /// A professional's judgement that a nurse is needed.
    pub judgement: Option<Judgement>,
    /// The service's emergency mark.
    pub emergency: bool,
    /// Further marks of the service (codes), for criteria that a municipality configures.
    pub marks: Vec<String>,
    /// Which of the three choices.
    pub chosen: Chosen,
    /// Where they are registered as living (住所).
    pub residence: Place,
    /// Where they are now (現在地), if elsewhere: 里帰り, evacuated.
    pub present: Option<Place>,
    /// How to reach them.
    pub contact: SafeContact,
}

/// A professional's judgement (専門職の判断). Its reason is words about a person: that there is one is kept, the words are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Whether a written reason came with it; without one it flags nothing and goes back.
    pub reasoned: bool,
}

impl Consultation {
    /// Whether it can't wait for the week: item 10, or the emergency mark.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        self.emergency || self.epds.and_then(|epds| epds.item_10()).is_some_and(|score| score >= 1)
    }
}

/// A record that can't be taken as it is. It names the record and what is wrong, and says nothing personal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Which, where it could be read; else its place in the page, from 0.
    pub id: Result<ConsultationId, usize>,
    /// Whose, where it could be read. A change of choice that can't be read counts as a withdrawal of everything of theirs.
    pub user: Option<UserId>,
    /// Everything that is wrong, in order; at least one.
    pub problems: Vec<Problem>,
    /// Whether anything readable in it says that it can't wait: a human gets to know all the same.
    pub urgent: bool,
}

/// What is wrong with a record: the path of the field (`epds[3]`, `asker.birth`), and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which field.
    pub field: String,
    /// What is wrong, as a code of the table in `docs/consultation-source.md`.
    pub why: &'static str,
}

/// A change of somebody's choice, from the service's feed: a withdrawal, or a new choice.
#[derive(Clone, PartialEq, Eq)]
pub struct ChoiceChanged {
    /// Whose.
    pub user: UserId,
    /// For this consultation only, or `None` for all of theirs.
    pub consultation: Option<ConsultationId>,
    /// What holds from now on.
    pub chosen: Chosen,
}

/// A page of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What it holds, in the service's order.
    pub items: Vec<T>,
    /// Where to go on: opaque, at most 512 bytes, visible ASCII.
    pub next: String,
    /// Whether there is more now.
    pub more: bool,
}

/// What is asked for after a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Name, birth date, address, the number or address to be reached at.
    Identity,
    /// That, and the words: reasons, consultation, advice, the course of scores.
    Content,
}

/// Who a consultation is about, and what was said. Nothing of it is in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Detail {
    /// Which consultation.
    pub id: ConsultationId,
    /// Who asked.
    pub asker: Identity,
    /// The child, where there is one.
    pub child: Option<Identity>,
    /// Address in words.
    pub address: String,
    /// The number, mail address … for each means of the safe contact that needs one.
    pub reach: Vec<(Means, String)>,
    /// The words, if they were asked for.
    pub content: Option<Content>,
}

/// Who somebody is.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The service's id.
    pub id: UserId,
    /// Name as written.
    pub name: String,
    /// Name in kana.
    pub kana: String,
    /// Date of birth.
    pub birth: Date,
}

/// What was said.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    /// The professional's written reason, where one judged.
    pub judgement: Option<String>,
    /// What was asked (相談内容). May be empty.
    pub consultation: String,
    /// What was answered (助言). May be empty.
    pub advice: String,
    /// Sums of earlier questionnaires, oldest first: the course.
    pub course: Vec<(Date, u8)>,
}

macro_rules! silent {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )*};
}

silent!(Chosen, SafeContact, Place, PostalCode, User, ChoiceChanged, Detail, Identity, Content);

impl fmt::Debug for Consultation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consultation").field("id", &self.id).finish_non_exhaustive()
    }
}
