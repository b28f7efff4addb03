//! Whether an active consent no longer covers what is in force, so that the person is to be asked anew.

use sekisho_policy::Timestamp;

use crate::app::App;
use crate::store::Dossier;
use crate::store::registry::CategoryText;
use crate::store::state::{Agreement, Global, category_version};

/// Why the person behind an active consent is to be asked anew: `text` (another one is in force), `category` (there is a later
/// version of one), `recipient` (no active consent for the same purpose names this one). Empty: not at all.
#[must_use]
pub fn why(
    app: &App,
    global: &Global,
    dossier: &Dossier,
    agreement: &Agreement,
    recipient: Option<&str>,
    now: Timestamp,
) -> Vec<&'static str> {
    let purpose = &agreement.terms.purpose;
    let mut why = Vec::new();
    if app.config.texts.get(purpose).is_some_and(|text| text.hash != agreement.terms.text_hash.0) {
        why.push("text");
    }
    if agreement.terms.categories.iter().any(|c| outdated(global, c)) {
        why.push("category");
    }
    let records = &dossier.subject.records;
    let active = |a: &&Agreement| a.terms.purpose == *purpose && a.status(records, now) == "active";
    let to = |code: &str| dossier.papers.agreements.iter().filter(active).any(|a| a.terms.recipient == code);
    if recipient.is_some_and(|code| !to(code)) {
        why.push("recipient");
    }
    why
}

/// Whether a later version of a category is registered.
fn outdated(global: &Global, category: &str) -> bool {
    let Some(given) = category_version(category) else { return true };
    let later = |c: &CategoryText| {
        category_version(&c.version).is_some_and(|v| v.code == given.code && v.version > given.version)
    };
    global.text.categories.iter().any(later)
}
