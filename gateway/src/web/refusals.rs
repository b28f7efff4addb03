//! 同意しない: what was refused and stands, what ended by itself, refusing what another guardian has agreed to, and lifting what one refused
//! oneself. Lifting widens, and so asks for the stronger sign-in, as granting does.

use askama::Template;
use http::StatusCode;
use sekisho_policy::{PersonId, Refusal, RefusalId, Scope};

use super::consents;
use super::grant;
use super::page::{Answer, Frame, Trouble};
use super::view;
use super::visit::Visit;
use crate::consent::give::{self, RefusedScope};
use crate::consent::refused::still_stands;
use crate::ids::TextId;
use crate::store::state::Global;

#[derive(Template)]
#[template(path = "refusals.html")]
struct List {
    f: Frame,
    refusals: Vec<RefusalView>,
    /// Those that ended by themselves.
    over: Vec<RefusalView>,
    /// Where to sign in again first, to lift one.
    again: Option<String>,
}

struct RefusalView {
    id: String,
    who: String,
    recipient: Option<String>,
    purpose: Option<String>,
    categories: Vec<String>,
    from: String,
    own: bool,
}

/// All that stand, about the people one decides about.
pub async fn list(visit: &Visit) -> Result<Answer, Trouble> {
    let person = visit.person().await?;
    let global = visit.app.store.registry().await?;
    let (mut refusals, mut over) = (Vec::new(), Vec::new());
    for subject in visit.decided_by(person).await? {
        let snapshot = visit.app.store.snapshot(subject).await?;
        let about = view::who(visit, person, &snapshot.subject);
        let refusals_about = snapshot.subject.records.refusals.iter();
        let standing = refusals_about.filter(|refusal| {
            refusal.lift.is_none() && give::may_see_refusal(&snapshot.subject, &global, person, refusal, visit.now)
        });
        for refusal in standing {
            let stands = still_stands(&snapshot.subject, &global, refusal, visit.now);
            let list = if stands { &mut refusals } else { &mut over };
            list.push(shown(visit, &global, person, &about, refusal));
        }
    }
    let again = (!grant::strong(visit)).then(|| grant::again(visit, "/my/refusals")).flatten();
    Ok(Answer::page(StatusCode::OK, &List { f: visit.frame(), refusals, over, again }))
}

fn shown(visit: &Visit, global: &Global, person: PersonId, about: &str, refusal: &Refusal) -> RefusalView {
    let scope = &refusal.scope;
    let recipient = match scope.recipient {
        Scope::Any => None,
        Scope::Only(id) => global.text.party_code(id).map(|code| view::party(global, visit.lang, code)),
    };
    let purpose = match &scope.purpose {
        Scope::Any => None,
        Scope::Only(purpose) => Some(view::purpose(global, visit.lang, purpose.0.as_str())),
    };
    let categories = match &scope.categories {
        Scope::Any => Vec::new(),
        Scope::Only(codes) => {
            codes.iter().map(|code| view::category_code(global, visit.lang, code.0.as_str())).collect()
        }
    };
    RefusalView {
        id: refusal.id.text(),
        who: about.to_owned(),
        recipient,
        purpose,
        categories,
        from: visit.lang.minute(refusal.from),
        own: refusal.grantor == person,
    }
}

/// Refuses what a consent covers: it stands against whoever's consent, now and later.
pub async fn refuse(visit: &Visit, id: &str) -> Result<Answer, Trouble> {
    let person = visit.sent_by().await?;
    let (id, ..) = consents::find(visit, id).await?;
    let store = &visit.app.store;
    let subject = store.person_of_consent(id)?.ok_or(Trouble::not_found())?;
    let dossier = store.dossier(subject).await?;
    let agreement = dossier.papers.agreements.iter().find(|a| a.consent == id).ok_or(Trouble::not_found())?;
    give::refuse(&visit.app, subject, person, &scope_of(&agreement.terms), None).await?;
    Ok(Answer::see("/my/refusals"))
}

/// A refusal of just what these terms name, in every version.
pub fn scope_of(terms: &crate::ledger::event::Terms) -> RefusedScope {
    let codes = terms.categories.iter().filter_map(|c| c.split_once('@').map(|(code, _)| code.to_owned()));
    RefusedScope {
        recipient: Some(terms.recipient.clone()),
        purpose: Some(terms.purpose.clone()),
        categories: Some(codes.collect()),
    }
}

/// Lifts one's own.
pub async fn lift(visit: &Visit, id: &str) -> Result<Answer, Trouble> {
    let person = visit.sent_by().await?;
    if !grant::strong(visit) {
        return Err(Trouble::sign_in_weak());
    }
    let id = RefusalId::parse(id).map_err(|_| Trouble::not_found())?;
    give::lift(&visit.app, id, person).await?;
    Ok(Answer::see("/my/refusals"))
}
