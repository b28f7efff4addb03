//! A nurse's work on a case: who has it, what was done about it, how it ended.
//!
//! It is the municipality's own, beside what is shared: it stays when sharing stops (共有停止). It is kept under the person's content
//! key, so that erasure takes it; whatever must be kept longer belongs into the municipality's own records. The rules here are pure:
//! nobody is contacted before they were found in the resident register, and two who work on one case are told of each other.

use jiff::civil::Date;
use minicbor::{Decode, Encode};
use sekisho_policy::Timestamp;

/// Steps of a case, at most.
const STEPS_MAX: usize = 300;
/// Letters of a note, at most.
pub const NOTE_MAX: usize = 2_000;

/// What is known of the work on a case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Work {
    /// Rises with each change: who writes on an older one is told.
    #[n(0)]
    pub version: u32,
    /// Where it stands.
    #[n(1)]
    pub status: Status,
    /// Whether they were found in the resident register.
    #[n(2)]
    pub matched: Matched,
    /// Who has it.
    #[n(3)]
    pub holder: Option<Staff>,
    /// When a visit is planned, `YYYY-MM-DD`.
    #[n(4)]
    pub visit: Option<String>,
    /// What was done, the oldest first.
    #[n(5)]
    pub steps: Vec<Step>,
    /// When the person asked to be contacted, ms since the epoch.
    #[n(6)]
    pub asked_ms: Option<i64>,
    /// Whether the service was told that sharing stopped after work had begun.
    #[n(7)]
    pub stop_told: bool,
}

/// A nurse.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Staff {
    /// The login at the municipality's provider.
    #[n(0)]
    pub login: String,
    /// Their name, as the provider has it.
    #[n(1)]
    pub name: String,
}

/// Something that was done.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Step {
    /// When, ms since the epoch.
    #[n(0)]
    pub at_ms: i64,
    /// By whom; `None` is the person themself.
    #[n(1)]
    pub by: Option<Staff>,
    /// What: [`Action::code`].
    #[n(2)]
    pub what: String,
    /// A date, or a name.
    #[n(3)]
    pub detail: String,
    /// What the nurse wrote.
    #[n(4)]
    pub note: String,
}

macro_rules! coded {
    ($(#[$doc:meta])* $name:ident { $($(#[$one:meta])* $variant:ident = $number:literal, $code:literal, $ja:literal, $en:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
        #[cbor(index_only)]
        pub enum $name { $($(#[$one])* #[n($number)] $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// As it stands in forms, records and counts.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// In Japanese and in English.
            #[must_use]
            pub const fn words(self) -> (&'static str, &'static str) {
                match self { $(Self::$variant => ($ja, $en),)* }
            }

            /// The one with this code.
            #[must_use]
            pub fn of(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|one| one.code() == code)
            }
        }
    };
}

coded! {
    /// Where a case stands.
    Status {
        /// Nobody has it.
        #[default] New = 0, "new", "未着手", "New";
        /// Somebody has it.
        Taken = 1, "taken", "担当あり", "Taken";
        /// Contact was attempted.
        Attempted = 2, "attempted", "連絡を試行", "Contact attempted";
        /// Contact was made.
        Contacted = 3, "contacted", "連絡済み", "In contact";
        /// A visit is planned.
        Visit = 4, "visit", "訪問予定", "Visit planned";
        /// It is closed.
        Closed = 5, "closed", "終結", "Closed";
    }
}

coded! {
    /// Whether somebody was found in the resident register.
    Matched {
        /// Nobody has looked.
        #[default] NotYet = 0, "not-yet", "未照合", "Not looked up";
        /// It is them.
        Confirmed = 1, "confirmed", "確認済", "Confirmed";
        /// It is somebody else.
        Another = 2, "another", "別人", "Somebody else";
        /// It can't be told.
        Unclear = 3, "unclear", "特定できず", "Can't be told";
    }
}

coded! {
    /// How a case ended.
    Outcome {
        /// Supported, nothing further.
        #[default] Supported = 0, "supported", "支援して終了", "Supported; nothing further";
        /// The district goes on.
        Ongoing = 1, "ongoing", "地区で継続支援", "The district goes on supporting";
        /// Referred.
        Referred = 2, "referred", "関係機関へつないだ", "Referred elsewhere";
        /// They don't want it.
        Declined = 3, "declined", "本人が希望しない", "They do not want it";
        /// Nobody answers.
        Unreachable = 4, "unreachable", "連絡がつかない", "Could not be reached";
        /// They moved away.
        Moved = 5, "moved", "転出した", "Moved away";
        /// Who it is can't be told.
        NotIdentified = 6, "not-identified", "別人・特定できず", "Not the person, or can't be told";
    }
}

coded! {
    /// What a nurse asks the service: no free text goes there.
    Question {
        /// Another way to reach them.
        #[default] Contact = 0, "contact", "別の連絡方法はあるか", "Is there another way to reach them?";
        /// When.
        Hours = 1, "hours", "連絡してよい時間帯はいつか", "At which hours may they be reached?";
        /// Who.
        Identity = 2, "identity", "氏名・生年月日・住所は正しいか", "Are name, date of birth and address right?";
        /// Whether they want it.
        Wishes = 3, "wishes", "本人は連絡を望んでいるか", "Do they want to be contacted?";
        /// More words.
        Content = 4, "content", "相談内容の補足がほしい", "Is there more to what they asked?";
    }
}

/// What a nurse does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Takes the case.
    Take,
    /// Hands it to a colleague.
    HandOver(Staff),
    /// Looked them up in the resident register.
    Match(Matched),
    /// Tried to reach them.
    Attempted,
    /// Reached them.
    Contacted,
    /// Plans a visit.
    Visit(Date),
    /// Writes something down.
    Note,
    /// Asks the service.
    Ask(Question),
    /// Closes the case.
    Close(Outcome),
    /// Opens it again.
    Reopen,
}

impl Action {
    /// As it stands in records.
    #[must_use]
    pub fn code(&self) -> String {
        match self {
            Self::Take => "taken".to_owned(),
            Self::HandOver(_) => "handed-over".to_owned(),
            Self::Match(matched) => format!("matched-{}", matched.code()),
            Self::Attempted => "contact-attempted".to_owned(),
            Self::Contacted => "contact-made".to_owned(),
            Self::Visit(_) => "visit-planned".to_owned(),
            Self::Note => "note".to_owned(),
            Self::Ask(question) => format!("asked-{}", question.code()),
            Self::Close(outcome) => format!("closed-{}", outcome.code()),
            Self::Reopen => "reopened".to_owned(),
        }
    }

    /// What the service may learn of it, and no more.
    #[must_use]
    pub const fn outcome(&self) -> Option<&'static str> {
        match self {
            Self::Contacted => Some("contacted"),
            Self::Visit(_) => Some("invited"),
            Self::Close(_) => Some("closed"),
            _ => None,
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::HandOver(to) => to.name.clone(),
            Self::Visit(day) => day.to_string(),
            _ => String::new(),
        }
    }
}

/// The words for what stands in a step.
#[must_use]
pub fn words(what: &str) -> (String, String) {
    let fixed = match what {
        "taken" => ("受け持った", "Taken"),
        "handed-over" => ("引き継いだ", "Handed over"),
        "contact-attempted" => ("連絡を試みた", "Contact attempted"),
        "contact-made" => ("連絡がついた", "Contact made"),
        "visit-planned" => ("訪問を予定した", "Visit planned"),
        "note" => ("記録", "Note"),
        "reopened" => ("再開した", "Opened again"),
        "contact-asked" => ("本人が連絡を希望した", "The person asked to be contacted"),
        _ => ("", ""),
    };
    let about = |prefix: &str, ja: &str, en: &str, (j, e): (&str, &str)| {
        what.starts_with(prefix).then(|| (format!("{ja}: {j}"), format!("{en}: {e}")))
    };
    let matched = what.strip_prefix("matched-").and_then(Matched::of).map(Matched::words);
    let closed = what.strip_prefix("closed-").and_then(Outcome::of).map(Outcome::words);
    let asked = what.strip_prefix("asked-").and_then(Question::of).map(Question::words);
    matched
        .and_then(|words| about("matched-", "住民との照合", "Resident register", words))
        .or_else(|| closed.and_then(|words| about("closed-", "終結", "Closed", words)))
        .or_else(|| asked.and_then(|words| about("asked-", "事業者に尋ねた", "The service was asked", words)))
        .unwrap_or_else(|| (fixed.0.to_owned(), fixed.1.to_owned()))
}

/// Why something can't be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Somebody else changed it meanwhile.
    Changed,
    /// It is not in the register yet, or is somebody else: contact would reach the wrong person.
    NotMatched,
    /// Somebody else has it, or nobody.
    NotHolder,
    /// It is closed.
    Closed,
    /// It is not closed.
    NotClosed,
    /// A note, a date or a name is missing or too long.
    Field,
    /// There are too many steps.
    Full,
}

impl Work {
    /// Whether somebody has done something about it.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.steps.iter().any(|step| step.by.is_some())
    }

    /// Does something.
    ///
    /// # Errors
    /// Why not; then nothing has changed.
    pub fn act(&mut self, of: u32, by: &Staff, action: &Action, note: &str, now: Timestamp) -> Result<(), Refused> {
        if of != self.version {
            return Err(Refused::Changed);
        }
        if note.chars().count() > NOTE_MAX || (*action == Action::Note && note.trim().is_empty()) {
            return Err(Refused::Field);
        }
        if self.steps.len() >= STEPS_MAX {
            return Err(Refused::Full);
        }
        self.may(by, action)?;
        match action {
            Action::Take => self.hold(by.clone()),
            Action::HandOver(to) => self.hold(to.clone()),
            Action::Match(matched) => self.matched = *matched,
            Action::Attempted => self.status = self.status.max(Status::Attempted),
            Action::Contacted => self.status = self.status.max(Status::Contacted),
            Action::Visit(day) => {
                self.status = Status::Visit;
                self.visit = Some(day.to_string());
            }
            Action::Note | Action::Ask(_) => {}
            Action::Close(_) => self.status = Status::Closed,
            Action::Reopen => self.status = Status::Taken,
        }
        if *action == Action::Reopen {
            self.holder = Some(by.clone());
        }
        self.step(Some(by.clone()), action.code(), action.detail(), note, now);
        Ok(())
    }

    /// The person asked to be contacted.
    pub fn asked(&mut self, now: Timestamp) {
        if self.asked_ms.is_some() || self.steps.len() >= STEPS_MAX {
            return;
        }
        self.asked_ms = Some(now.millis());
        self.step(None, "contact-asked".to_owned(), String::new(), "", now);
    }

    fn hold(&mut self, by: Staff) {
        self.holder = Some(by);
        self.status = self.status.max(Status::Taken);
    }

    fn step(&mut self, by: Option<Staff>, what: String, detail: String, note: &str, now: Timestamp) {
        self.version = self.version.wrapping_add(1);
        self.steps.push(Step { at_ms: now.millis(), by, what, detail, note: note.trim().to_owned() });
    }

    fn may(&self, by: &Staff, action: &Action) -> Result<(), Refused> {
        let holds = self.holder.as_ref().is_some_and(|holder| holder.login == by.login);
        match (self.status, action) {
            (Status::Closed, Action::Reopen | Action::Note) => return Ok(()),
            (Status::Closed, _) => return Err(Refused::Closed),
            (_, Action::Reopen) => return Err(Refused::NotClosed),
            // Whoever finds a case left behind can take it; the record says from whom.
            (_, Action::Take | Action::Note) => return Ok(()),
            _ if !holds => return Err(Refused::NotHolder),
            _ => {}
        }
        let reaches = matches!(action, Action::Attempted | Action::Contacted | Action::Visit(_));
        let ends = matches!(action, Action::Close(outcome) if *outcome != Outcome::NotIdentified);
        if (reaches || ends) && self.matched != Matched::Confirmed {
            return Err(Refused::NotMatched);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nurse(login: &str) -> Staff {
        Staff { login: login.to_owned(), name: format!("保健師 {login}") }
    }

    const fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn from_taking_to_an_outcome() {
        let (mut work, hayashi) = (Work::default(), nurse("hayashi"));
        let day: Date = "2026-12-01".parse().unwrap();
        let acts = [
            (Action::Take, Status::Taken),
            (Action::Match(Matched::Confirmed), Status::Taken),
            (Action::Attempted, Status::Attempted),
            (Action::Contacted, Status::Contacted),
            (Action::Attempted, Status::Contacted),
            (Action::Visit(day), Status::Visit),
            (Action::Close(Outcome::Ongoing), Status::Closed),
        ];
        for (version, (action, status)) in acts.iter().enumerate() {
            work.act(u32::try_from(version).unwrap(), &hayashi, action, "", at(1)).unwrap();
            assert_eq!(work.status, *status, "{action:?}");
        }
        let told: Vec<&str> = acts.iter().filter_map(|(action, _)| action.outcome()).collect();
        assert_eq!(told, ["contacted", "invited", "closed"]);
        assert_eq!(work.act(7, &hayashi, &Action::Contacted, "", at(2)), Err(Refused::Closed));
        work.act(7, &nurse("mori"), &Action::Reopen, "", at(3)).unwrap();
        assert_eq!((work.status, work.holder.unwrap().login), (Status::Taken, "mori".to_owned()));
    }

    #[test]
    fn nobody_is_reached_before_it_is_clear_who_it_is() {
        let (mut work, hayashi) = (Work::default(), nurse("hayashi"));
        work.act(0, &hayashi, &Action::Take, "", at(1)).unwrap();
        let day = Action::Visit("2026-12-01".parse().unwrap());
        for matched in [Matched::NotYet, Matched::Another, Matched::Unclear] {
            work.matched = matched;
            for action in [&Action::Attempted, &Action::Contacted, &day, &Action::Close(Outcome::Supported)] {
                assert_eq!(work.act(1, &hayashi, action, "", at(2)), Err(Refused::NotMatched), "{action:?}");
            }
        }
        work.act(1, &hayashi, &Action::Close(Outcome::NotIdentified), "", at(2)).unwrap();
    }

    #[test]
    fn who_writes_on_an_older_state_is_told_and_nothing_changes() {
        let (mut work, hayashi, mori) = (Work::default(), nurse("hayashi"), nurse("mori"));
        work.act(0, &hayashi, &Action::Take, "", at(1)).unwrap();
        let before = work.clone();
        assert_eq!(work.act(0, &mori, &Action::Take, "", at(2)), Err(Refused::Changed));
        assert_eq!(work.act(1, &mori, &Action::Match(Matched::Confirmed), "", at(2)), Err(Refused::NotHolder));
        assert_eq!(work.act(1, &mori, &Action::Note, " ", at(2)), Err(Refused::Field));
        assert_eq!(work.act(1, &mori, &Action::Note, &"字".repeat(NOTE_MAX + 1), at(2)), Err(Refused::Field));
        assert_eq!(work, before);
        work.act(1, &hayashi, &Action::HandOver(mori.clone()), "", at(2)).unwrap();
        assert_eq!(work.act(2, &hayashi, &Action::Ask(Question::Hours), "", at(3)), Err(Refused::NotHolder));
        work.act(2, &mori, &Action::Ask(Question::Hours), "", at(3)).unwrap();
        assert_eq!(
            work.steps.iter().map(|s| s.what.as_str()).collect::<Vec<_>>(),
            ["taken", "handed-over", "asked-hours"]
        );
    }

    #[test]
    fn every_step_has_words() {
        let day = Action::Visit("2026-12-01".parse().unwrap());
        let mut actions = vec![Action::Take, Action::HandOver(nurse("a")), Action::Attempted, Action::Contacted, day];
        actions.extend([Action::Note, Action::Reopen]);
        actions.extend(Matched::ALL.iter().map(|m| Action::Match(*m)));
        actions.extend(Outcome::ALL.iter().map(|o| Action::Close(*o)));
        actions.extend(Question::ALL.iter().map(|q| Action::Ask(*q)));
        for action in actions {
            let (ja, en) = words(&action.code());
            assert!(!ja.is_empty() && !en.is_empty(), "{action:?}");
        }
    }
}
