//! Pages for a party's staff at its counter (窓口), under `/counter`: name a person, record what that person said on paper,
//! in person or by telephone after an identity check, hand out a code for enrolment, see who is to be asked anew.
//!
//! Staff sign in at an issuer of their own, which the configuration ties to one party. A person is named by an id that this
//! very party knows, never looked for by name or date of birth; an id that leads to nobody answers like one that is another
//! party's. Words are judged by `consent::attested`, as those that come over the API. Nothing of a person stands in an
//! address: what was typed travels in forms.

mod anew;
mod code;
mod consent;
mod home;
mod member;
mod narrow;
mod word;

pub use anew::list as ask_anew;
pub use code::{ask as ask_code, issue as issue_code};
pub use consent::{ask as ask_consent, record as record_consent};
pub use home::{home, person};
pub use member::Member;
pub use narrow::{ask_refusal, ask_withdrawal, refusal, withdrawal};
