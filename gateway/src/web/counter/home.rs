//! The first page of staff, and what a party sees of one person: what it attested, and what it receives.

use askama::Template;
use http::StatusCode;

use super::super::Provider;
use super::super::page::{Answer, Frame, Trouble};
use super::super::view::{self, TermsView};
use super::super::visit::Visit;
use super::Member;
use super::word::{NOBODY, Named, Typed, terms_of};
use crate::store::Dossier;
use crate::store::registry::PurposeText;

#[derive(Template)]
#[template(path = "counter/home.html")]
struct Home {
    f: Frame,
    /// Where staff sign in, while nobody is.
    providers: Vec<(String, String)>,
    /// Who they are, once they are.
    party: Option<String>,
    v: Typed,
    notice: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "counter/person.html")]
struct Person {
    f: Frame,
    v: Typed,
    standing: Vec<Standing>,
    /// What could be consented to here: purpose and recipient, in one value.
    uses: Vec<(String, String)>,
    may_enrol: bool,
}

/// A consent as the party may see it.
struct Standing {
    terms: TermsView,
    state: &'static str,
    attested: bool,
}

/// The first page: sign in, or name a person.
pub async fn home(visit: &Visit) -> Result<Answer, Trouble> {
    if visit.session().is_none() {
        let staff = visit.app.web.providers.iter().filter(|p| p.settings.staff.is_some());
        let named =
            |p: &Provider| (p.settings.code.clone(), visit.t(&p.settings.name_ja, &p.settings.name_en).to_owned());
        let providers = staff.map(named).collect();
        let page = Home { f: visit.frame(), providers, party: None, v: Typed::default(), notice: None };
        return Ok(Answer::page(StatusCode::OK, &page));
    }
    let member = Member::of(visit).await?;
    Ok(named(visit, &member, Typed::default(), StatusCode::OK, None))
}

/// The form that names a person.
pub fn named(visit: &Visit, member: &Member, v: Typed, status: StatusCode, notice: Option<&'static str>) -> Answer {
    let party = Some(view::party(&member.global, visit.lang, &member.code));
    Answer::page(status, &Home { f: visit.frame(), providers: Vec::new(), party, v, notice })
}

/// Nobody whom this party knows by that id.
pub fn nobody(visit: &Visit, member: &Member, typed: Typed) -> Answer {
    named(visit, member, typed, StatusCode::NOT_FOUND, Some(visit.t(NOBODY.0, NOBODY.1)))
}

/// One person: what this party may see of them, and what can be recorded. The look is recorded first.
pub async fn person(visit: &Visit) -> Result<Answer, Trouble> {
    let member = Member::sent(visit).await?;
    let v = Typed::of(visit);
    let Some(found) = Named::of(visit, &member, &v).await? else { return Ok(nobody(visit, &member, v)) };
    member.records_look(visit, found.subject).await?;
    let dossier = visit.app.store.dossier(found.subject).await?;
    let page = Person {
        f: visit.frame(),
        v,
        standing: standing(visit, &member, &dossier),
        uses: uses(visit, &member),
        may_enrol: member.may_enrol,
    };
    Ok(Answer::page(StatusCode::OK, &page))
}

/// Consents that this party receives under or attested; another party's are none of its business (`GET /v1/consents/{id}`).
fn standing(visit: &Visit, member: &Member, dossier: &Dossier) -> Vec<Standing> {
    let records = &dossier.subject.records;
    let attested = |a: &crate::store::state::Agreement| a.attestation.as_ref().is_some_and(|s| s.party == member.code);
    let own = |a: &&crate::store::state::Agreement| {
        let all = crate::sabotage::off(crate::sabotage::Check::CounterOwn);
        attested(a) || a.terms.recipient == member.code || all
    };
    let shown = |a: &crate::store::state::Agreement| Standing {
        terms: terms_of(visit, member, &a.terms),
        state: match a.status(records, visit.now) {
            "active" => visit.t("有効", "In force"),
            "revoked" => visit.t("撤回済み", "Withdrawn"),
            "superseded" => visit.t("新しい同意に置き換え済み", "Replaced by a newer one"),
            "expired" => visit.t("期限切れ", "Expired"),
            _ => visit.t("確認できません", "Can't be told"),
        },
        attested: attested(a),
    };
    dossier.papers.agreements.iter().rev().filter(own).take(100).map(shown).collect()
}

/// Purposes and recipients in whose favour this party may attest: of another kind, and of one that the purpose is for.
fn uses(visit: &Visit, member: &Member) -> Vec<(String, String)> {
    let registry = &member.global.text;
    let own_kind = registry.party(&member.code).map(|p| p.kind.as_str()).unwrap_or_default();
    let of = |purpose: &PurposeText| {
        let fits = |kind: &String| kind != own_kind && purpose.receivers.contains(kind);
        let parties: Vec<_> = registry.parties.iter().filter(|p| fits(&p.kind)).map(|p| p.code.clone()).collect();
        let code = purpose.code.clone();
        parties.into_iter().map(move |party| (code.clone(), party)).collect::<Vec<_>>()
    };
    let pairs = registry.purposes.iter().flat_map(of);
    let label = |purpose: &str, party: &str| {
        let (party, purpose) =
            (view::party(&member.global, visit.lang, party), view::purpose(&member.global, visit.lang, purpose));
        format!("{party}: {purpose}")
    };
    pairs.map(|(purpose, party)| (format!("{purpose} {party}"), label(&purpose, &party))).collect()
}
