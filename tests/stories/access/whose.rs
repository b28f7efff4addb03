//! What is asked about: whose it is, and its ids.

use sekisho::ids::TextId;
use sekisho_policy::PersonId;

use super::table::Seat;

/// Whose it is that is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whose {
    Own,
    SoleWard,
    JointWard,
    FormerWard,
    BlockedWard,
    OtherParent,
    Minor,
    Adult,
    KeptOutWard,
    /// The joint ward's, as the city attested it for the clinic.
    Attested,
}

impl Whose {
    pub const ALL: [Self; 10] = [
        Self::Own,
        Self::SoleWard,
        Self::JointWard,
        Self::FormerWard,
        Self::BlockedWard,
        Self::OtherParent,
        Self::Minor,
        Self::Adult,
        Self::KeptOutWard,
        Self::Attested,
    ];

    /// What a seat asks about.
    pub const fn of(seat: Seat) -> Self {
        match seat {
            Seat::Own => Self::Own,
            Seat::Sole => Self::SoleWard,
            Seat::Former => Self::FormerWard,
            Seat::Blocked => Self::BlockedWard,
            Seat::OtherParent => Self::OtherParent,
            Seat::OverMinor | Seat::Minor => Self::Minor,
            Seat::OverAdult => Self::Adult,
            Seat::AppKeptOut => Self::KeptOutWard,
            Seat::ClinicStaff
            | Seat::ClinicMachine
            | Seat::CityStaff
            | Seat::OtherCity
            | Seat::CityClerk
            | Seat::CityRegistrar
            | Seat::CityNoRole
            | Seat::ClinicClerk
            | Seat::OtherCityClerk
            | Seat::ClinicDoctor => Self::Attested,
            Seat::Nobody
            | Seat::Unlinked
            | Seat::Agreed
            | Seat::Other
            | Seat::Stranger
            | Seat::App
            | Seat::AppBare
            | Seat::AppMachine
            | Seat::OtherApp
            | Seat::Portal => Self::JointWard,
        }
    }

    /// The login of whoever agrees to it.
    pub const fn by(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::SoleWard => "sole",
            Self::JointWard | Self::Attested => "agreed",
            Self::FormerWard => "former",
            Self::BlockedWard => "blocked",
            Self::OtherParent => "the-other-parent",
            Self::Minor => "minor",
            Self::Adult => "adult",
            Self::KeptOutWard => "of-kept-out",
        }
    }

    /// What it covers: what a minor decides about alone, or that and more.
    pub const fn categories(self) -> &'static [&'static str] {
        match self {
            Self::Minor => &["identity@1"],
            _ => &["identity@1", "vaccination@1"],
        }
    }
}

/// What is asked about. Two of them that differ in the ids alone must be answered alike by whoever may see neither.
#[derive(Clone, Debug)]
pub struct Target {
    pub subject: String,
    pub consent: String,
    pub proposal: String,
    pub refusal: String,
    /// A decision about the subject.
    pub entry: String,
    /// The cursor in the address of its proof, as its owner got it.
    pub at: String,
    /// The app's id for the subject; the clinic's, for what was attested for it.
    pub patient: String,
    /// The clinic's reference for the visit, of what was attested for it.
    pub booking: String,
    /// The subject's id in the city's records, and in the clinic's.
    pub record: String,
    /// A guardian's, likewise.
    pub guardian: String,
}

impl Target {
    /// Ids that nobody ever had, of the same kinds.
    pub fn never(&self) -> Self {
        let fresh = || sekisho_policy::ConsentId::mint().text();
        Self {
            subject: PersonId::mint().text(),
            consent: fresh(),
            proposal: fresh(),
            refusal: sekisho_policy::RefusalId::mint().text(),
            entry: sekisho::ids::EntryId::mint().text(),
            at: self.at.clone(),
            patient: sekisho::ids::PairwiseId::from_bytes(sekisho::ids::random()).text(),
            booking: fresh(),
            record: "never-there".to_owned(),
            guardian: "never-there-either".to_owned(),
        }
    }

    /// Everything that names it.
    pub fn ids(&self) -> [&str; 8] {
        // The longer of two, one of which begins like the other, first.
        let named = [&self.guardian, &self.record];
        let [guardian, record] = named.map(String::as_str);
        [&self.subject, &self.consent, &self.proposal, &self.refusal, &self.entry, &self.patient, guardian, record]
    }
}
