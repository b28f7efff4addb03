//! The table: a row for each route, a column for each seat (who asks, about whom). `docs/access.md` is written from it.
//!
//! A route without a row does not compile: the matches below have no wildcard. What stands in a row is what a running
//! gateway must answer, cell by cell.

use sekisho::api::Which as Api;
use sekisho::web::Which as Page;

/// What an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// `+`: served, with what it is about in it.
    Served,
    /// `o`: served, and nothing of it in it: an own list.
    Own,
    /// `-`: as if it were not there: byte for byte what is answered about ids that nobody ever had.
    NotThere,
    /// `s`: sign in first, or show a token and its certificate; the same whatever was asked about.
    SignIn,
    /// `l`: signed in, but not linked to a person; the same whatever was asked about.
    NotLinked,
    /// `k`: not for this kind of caller; the same whatever was asked about.
    Kind,
    /// `=`: the same to everybody, and about nobody.
    Same,
}

impl Cell {
    /// As it stands in a row.
    pub fn of(symbol: char) -> Self {
        match symbol {
            '+' => Self::Served,
            'o' => Self::Own,
            '-' => Self::NotThere,
            's' => Self::SignIn,
            'l' => Self::NotLinked,
            'k' => Self::Kind,
            '=' => Self::Same,
            other => panic!("`{other}` is no cell"),
        }
    }
}

macro_rules! seats {
    ($($name:ident $text:literal;)*) => {
        /// Who asks, about whom: a column of the table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Seat { $($name,)* }

        /// All of them, in the order of the rows, with what `docs/access.md` says of each.
        pub const SEATS: &[(Seat, &str)] = &[$((Seat::$name, $text),)*];
    };
}

seats! {
    Nobody "nobody (not signed in, no token), about a child";
    Unlinked "somebody signed in who is not linked to a person, about a child";
    Own "an adult, about themself";
    Sole "the only guardian, about the child";
    Agreed "one of two guardians, about what they agreed to for the child";
    Other "the other of the two, about the same";
    Former "a guardian whose authority has ended, about what they agreed to before";
    Blocked "a guardian from whom a protective measure (提供停止措置) hides the child, about what they agreed to before";
    OtherParent "a parent, about the other parent's own";
    OverMinor "a guardian, about what the minor alone decides";
    Minor "that minor, about the same";
    OverAdult "somebody with recorded authority, about a child who has come of age since";
    Stranger "somebody else's guardian, about a child";
    App "the app that receives, with its certificate, its user signed in";
    AppBare "the same app's token without its certificate";
    AppMachine "the same app's own token, no user";
    AppKeptOut "the same app, about a child that a protective measure hides from it";
    OtherApp "another app, with the same user signed in";
    ClinicStaff "a clinic's staff, about what the clinic receives";
    ClinicMachine "the same clinic's own token";
    CityStaff "the city's staff, about what the city attested";
    OtherCity "another city's staff, about the same";
    Portal "the portal's certificate, no token";
    CityClerk "a clerk of the city, signed in at its counter's pages, about a child in its records";
    CityRegistrar "one of them who may hand out enrolment codes as well";
    CityNoRole "staff of the city whose sign-in has no role that the counter knows";
    ClinicClerk "a clerk of a clinic, signed in likewise, about its patient";
    OtherCityClerk "a clerk of another city with every role, about the child in the first one's records";
    ClinicDoctor "a doctor of the clinic, signed in at its pages, about its patient who booked";
}

/// A page's row. From `App` on callers come with tokens, which pages do not look at; from `CityClerk` on with staff's sessions.
#[rustfmt::skip]
pub const fn page(page: Page) -> &'static str {
    match page {
        //                          N U  O S A O F B  P M m A X  a b c k o  c c f g p  C R n d o D
        Page::Root =>              "= =  = = = = = =  = = = = =  = = = = =  = = = = =  = = = = = =",
        Page::Home =>              "= l  + + + + o o  o o + o o  = = = = =  = = = = =  k k k k k k",
        Page::Style =>             "= =  = = = = = =  = = = = =  = = = = =  = = = = =  = = = = = =",
        Page::Icon =>              "= =  = = = = = =  = = = = =  = = = = =  = = = = =  = = = = = =",
        Page::Language =>          "= =  = = = = = =  = = = = =  = = = = =  = = = = =  = = = = = =",
        Page::Exit =>              "= =  = = = = = =  = = = = =  = = = = =  = = = = =  = = = = = =",
        Page::SignIn =>            "= =  = = = = = =  = = = = =  = = = = =  = = = = =  = = = = = =",
        Page::CameBack =>          "= =  = = = = = =  = = = = =  = = = = =  = = = = =  = = = = = =",
        Page::EndedThere =>        "= =  = = = = = =  = = = = =  = = = = =  = = = = =  = = = = = =",
        Page::SignOut =>           "= +  + + + + + +  + + + + +  = = = = =  = = = = =  + + + + + +",
        Page::Consents =>          "s l  + + + + o o  o o + o o  s s s s s  s s s s s  k k k k k k",
        Page::Consent =>           "s l  + + + + - -  - - + - -  s s s s s  s s s s s  k k k k k k",
        Page::Record =>            "s l  + + + - - -  - - + - -  s s s s s  s s s s s  k k k k k k",
        Page::AskToStop =>         "s l  + + + + - -  - - + - -  s s s s s  s s s s s  k k k k k k",
        Page::Stop =>              "s l  + + + + - -  - - + - -  s s s s s  s s s s s  k k k k k k",
        Page::Refuse =>            "s l  + + + + - -  - - + - -  s s s s s  s s s s s  k k k k k k",
        Page::Proposal =>          "s l  + + + - - -  - - + - -  s s s s s  s s s s s  k k k k k k",
        Page::Agree =>             "s l  + + + - - -  - - + - -  s s s s s  s s s s s  k k k k k k",
        Page::Decline =>           "s l  + + + - - -  - - + - -  s s s s s  s s s s s  k k k k k k",
        Page::Refusals =>          "s l  + + + + o o  o o + o o  s s s s s  s s s s s  k k k k k k",
        Page::Lift =>              "s l  + + + - + +  - - + - -  s s s s s  s s s s s  k k k k k k",
        Page::AskToStopAll =>      "s l  + + + + o o  o o + o o  s s s s s  s s s s s  k k k k k k",
        Page::StopAll =>           "s l  + + + + o o  o o + o o  s s s s s  s s s s s  k k k k k k",
        Page::Log =>               "s l  + + + + - -  - o + - -  s s s s s  s s s s s  k k k k k k",
        Page::LogCsv =>            "s l  + + + + - -  - o + - -  s s s s s  s s s s s  k k k k k k",
        Page::LogJson =>           "s l  + + + + - -  - o + - -  s s s s s  s s s s s  k k k k k k",
        Page::Line =>              "s l  + + + + - -  - - + - -  s s s s s  s s s s s  k k k k k k",
        Page::AskToEnrol =>        "s o  o o o o o o  o o o o o  s s s s s  s s s s s  k k k k k k",
        Page::Enrol =>             "s o  o o o o o o  o o o o o  s s s s s  s s s s s  k k k k k k",
        Page::Links =>             "s l  + + + + o o  o + + o o  s s s s s  s s s s s  k k k k k k",
        Page::AddLink =>           "s l  + + + + o o  o + + o o  s s s s s  s s s s s  k k k k k k",
        Page::EndLink =>           "s l  - - - - - -  - - - - -  s s s s s  s s s s s  k k k k k k",
        Page::Preview =>           "s l  + + + - - -  - - + - -  s s s s s  s s s s s  k k k k k k",
        Page::Channel =>           "s l  o o o o o o  o o o o o  s s s s s  s s s s s  k k k k k k",
        Page::ProposeChannel =>    "s l  o o o o o o  o o o o o  s s s s s  s s s s s  k k k k k k",
        Page::ConfirmChannel =>    "s l  o o o o o o  o o o o o  s s s s s  s s s s s  k k k k k k",
        Page::ForgetChannel =>     "s l  o o o o o o  o o o o o  s s s s s  s s s s s  k k k k k k",
        Page::Counter =>           "= k  k k k k k k  k k k k k  = = = = =  = = = = =  + + k + + k",
        Page::CounterPerson
        | Page::CounterAskConsent
        | Page::CounterConsent
        | Page::CounterAskWithdrawal
        | Page::CounterWithdrawal
        | Page::CounterAskRefusal
        | Page::CounterRefusal =>  "s k  k k k k k k  k k k k k  s s s s s  s s s s s  + + k + - k",
        Page::CounterAskCode
        | Page::CounterCode =>     "s k  k k k k k k  k k k k k  s s s s s  s s s s s  k + k k - k",
        Page::CounterAskAnew =>    "s k  k k k k k k  k k k k k  s s s s s  s s s s s  + + k o o k",
        Page::Clinic =>            "= k  k k k k k k  k k k k k  = = = = =  = = = = =  k k k k k +",
        Page::ClinicCheck
        | Page::ClinicSummary
        | Page::ClinicNotTheirs => "s k  k k k k k k  k k k k k  s s s s s  s s s s s  k k k k k +",
        Page::LineProof =>         "s l  + + + + - -  - - + - -  s s s s s  s s s s s  k k k k k k",
        // No municipality takes cases here: nurses' pages are walked in `nurse_pages`.
        Page::Windows
        | Page::AskContact =>      "s l  - - - - - -  - - - - -  s s s s s  s s s s s  k k k k k k",
        Page::Nurses =>            "= k  k k k k k k  k k k k k  = = = = =  = = = = =  k k k k k k",
        Page::NurseSearch
        | Page::NurseCase
        | Page::NurseAct
        | Page::NursePrint
        | Page::NurseManage
        | Page::NurseAssign
        | Page::NurseWatch =>      "s k  k k k k k k  k k k k k  s s s s s  s s s s s  k k k k k k",
        Page::NurseScript =>       "= =  = = = = = =  = = = = =  = = = = =  = = = = =  = = = = = =",
    }
}

/// A row of the JSON API, of what portals call, and of what is public. Staff of the counter's pages come with a token of their
/// own issuer.
#[rustfmt::skip]
pub const fn api(route: Api) -> &'static str {
    match route {
        //                          N U  O S A O F B  P M m A X  a b c k o  c c f g p  C R n d o D
        Api::Consents =>           "s k  + + + + o o  o o + o o  k s k k k  k k k k s  s s s s s s",
        Api::Propose =>            "s k  k k k k k k  k k k k k  + s k + +  - k - - s  s s s s s s",
        Api::Consent =>            "s -  + + + + - -  - - + - -  + s + - -  + + + - s  s s s s s s",
        Api::Record =>             "s k  + + + - - -  - - + - -  k s k k k  k k k k s  s s s s s s",
        Api::Preview =>            "s k  k k k k k k  k k k k k  + s k o -  - k - - s  s s s s s s",
        Api::Approve =>            "s k  + + + - - -  - - + - -  k s k k k  k k k k s  s s s s s s",
        Api::Decline =>            "s k  + + + - - -  - - + - -  k s k k k  k k k k s  s s s s s s",
        Api::Revoke =>             "s -  + + + + + -  - - + - -  + s + - -  + + - - s  s s s s s s",
        Api::Deliveries =>         "s k  k k k k k k  k k k k k  + s k - +  k k k k s  s s s s s s",
        Api::Deliver =>            "s k  k k k k k k  k k k k k  + s k - +  k k k k s  s s s s s s",
        Api::AttestConsent =>      "s k  k k k k k k  k k k k k  k s k k k  + k + - s  s s s s s s",
        Api::AttestRefusal =>      "s k  k k k k k k  k k k k k  k s k k k  + k + - s  s s s s s s",
        Api::AttestWithdrawal =>   "s k  k k k k k k  k k k k k  k s k k k  + k + - s  s s s s s s",
        Api::LinkCode =>           "s k  k k k k k k  k k k k k  k s k k k  k k k k s  s s s s s s",
        Api::Booking =>            "s k  k k k k k k  k k k k k  k s - k k  k + k k s  s s s s s s",
        Api::BookingCancelled
        | Api::BookingMoved =>     "s k  k k k k k k  k k k k k  - s - - -  - + - - s  s s s s s s",
        Api::Refusals =>           "s k  + + + + o o  o o + o o  k s k k k  k k k k s  s s s s s s",
        Api::Refuse =>             "s k  + + + + - -  - - + - -  k s k k k  k k k k s  s s s s s s",
        Api::Lift =>               "s k  + + + - + +  - - + - -  k s k k k  k k k k s  s s s s s s",
        Api::AccessLog =>          "s k  + + + + - -  - o + - -  k s k k k  k k k k s  s s s s s s",
        Api::Erasures =>           "s k  k k k k k k  k k k k k  k s o k k  k o k k s  s s s s s s",
        Api::AnswerErasure =>      "s k  k k k k k k  k k k k k  k s - k k  k - k k s  s s s s s s",
        Api::Packages
        | Api::PackageCopy
        | Api::PackageReceived
        | Api::PushConsultations
        | Api::Alerts
        | Api::AcknowledgeAlert
        | Api::DecideAlert
        | Api::Bases
        | Api::ConfirmBasis =>     "s k  k k k k k k  k k k k k  k s k k k  k k k k s  s s s s s s",
        Api::Me =>                 "s k  + + + + o o  o + + o o  k s k k k  k k k k s  s s s s s s",
        Api::Text =>               "s =  = = = = = =  = = = = =  = s = = =  = = = = s  s s s s s s",
        Api::OpenApi =>            "= =  = = = = = =  = = = = =  = = = = =  = = = = =  = = = = = =",
        Api::PortalCameBack =>     "= =  = = = = = =  = = = = =  = = = = =  = = = = =  = = = = = =",
        Api::PortalNotice =>       "s s  s s s s s s  s s s s s  = s = = =  = = = = =  s s s s s s",
        Api::Keys =>               "= =  = = = = = =  = = = = =  = = = = =  = = = = =  = = = = = =",
        Api::Resource =>           "= =  = = = = = =  = = = = =  = = = = =  = = = = =  = = = = = =",
        Api::Smart =>              "= =  = = = = = =  = = = = =  = = = = =  = = = = =  = = = = = =",
        Api::SmartOfBase =>        "= =  = = = = = =  = = = = =  = = = = =  = = = = =  = = = = = =",
        Api::Metadata =>           "= =  = = = = = =  = = = = =  = = = = =  = = = = =  = = = = = =",
    }
}

/// A row of a route for data, by its name in the configuration of the tests. Without one the walk fails.
#[rustfmt::skip]
pub fn data(route: &str) -> Option<&'static str> {
    Some(match route {
        //                          N U  O S A O F B  P M m A X  a b c k o  c c f g p  C R n d o D
        "vaccination-history" =>   "s k  k k k k k k  k k k k k  + s + - -  - - - - s  s s s s s s",
        "portal-history" =>        "s k  k k k k k k  k k k k k  + s + - -  - - - - s  s s s s s s",
        "clinic-history" =>        "s k  k k k k k k  k k k k k  - s - - -  - + - - s  s s s s s s",
        "patient" =>               "s k  k k k k k k  k k k k k  + s + - -  - - - - s  s s s s s s",
        "app-summary" =>           "s k  k k k k k k  k k k k k  + s + - -  - - - - s  s s s s s s",
        "summary" =>               "s k  k k k k k k  k k k k k  - s - - -  - + - - s  s s s s s s",
        _ => return None,
    })
}

/// The cells of a row, one for each seat.
pub fn cells(row: &str) -> Vec<Cell> {
    let cells: Vec<Cell> = row.chars().filter(|c| *c != ' ').map(Cell::of).collect();
    assert_eq!(cells.len(), SEATS.len(), "{row}");
    cells
}
