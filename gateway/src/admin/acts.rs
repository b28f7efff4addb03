//! Officials' acts: enrolment, links and their repair, guardianship, blocks, legal bases, standings (`docs/operations.md`).

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use sekisho_policy::{AuthorityId, BasisId, BlockId, PersonId};

use super::{Acting, AdminError};
use crate::app::App;
use crate::consent::adoption::{self, NewAdoption};
use crate::consent::authority::{self as authorities, NewAuthority};
use crate::consent::erasure;
use crate::consent::people::{self, NewBasis, NewPerson};
use crate::ids::{LinkId, TextId};
use crate::ledger::entry::Bytes16;
use crate::ledger::event::{BlockedFrom, LinkTarget};
use crate::sabotage::{self, Check};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPeople {
    people: Vec<NewPerson>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, untagged)]
enum Target {
    Login { issuer: String, sub: String },
    Source { party: String, id: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewLink {
    to: Target,
    evidence: String,
    verified_by: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Why {
    reason: String,
}

/// Nothing to say beside the path.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Empty {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewBlock {
    person: Option<String>,
    party: Option<String>,
    evidence: String,
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, AdminError> {
    let my_number = std::str::from_utf8(body).is_ok_and(sekisho_adapters::my_number::contained_in);
    if my_number && !sabotage::off(Check::MyNumber) {
        return Err(AdminError::Body("it seems to hold a My Number, which is never taken".to_owned()));
    }
    serde_json::from_slice(body).map_err(|e| AdminError::Body(e.to_string()))
}

fn id<T: TextId>(text: &str) -> Result<T, AdminError> {
    T::parse(text).map_err(|_| AdminError::NotFound)
}

pub(super) async fn act(app: &App, acting: &Acting, segments: &[&str], body: &[u8]) -> Result<Value, AdminError> {
    let cause = acting.cause();
    match segments {
        ["people"] => {
            let new: NewPeople = parse(body)?;
            let ids = people::enrol(&app.store, &new.people, cause).await?;
            Ok(json!({"people": ids.iter().map(TextId::text).collect::<Vec<_>>()}))
        }
        ["people", person, "erase"] => {
            let Empty {} = parse(body)?;
            let cut = erasure::erase(app, id(person)?, cause).await?;
            Ok(json!({"transfers_cut": cut}))
        }
        ["records", "destroy-old"] => {
            let Empty {} = parse(body)?;
            Ok(json!({"people": erasure::destroy_old_records(app, cause).await?}))
        }
        ["people", person, "links"] => {
            let new: NewLink = parse(body)?;
            let to = match new.to {
                Target::Login { issuer, sub } => LinkTarget::Login { issuer, sub },
                Target::Source { party, id } => LinkTarget::Source { party, id },
            };
            let link = people::link(app, id::<PersonId>(person)?, to, &new.evidence, &new.verified_by, cause).await?;
            Ok(json!({"link": link.text()}))
        }
        ["people", person, "links", link, "end"] => {
            let why: Why = parse(body)?;
            let cut = people::end_link(app, id(person)?, id::<LinkId>(link)?, &why.reason, cause).await?;
            Ok(json!({"transfers_cut": cut}))
        }
        ["people", person, "authorities"] => {
            let new: NewAuthority = parse(body)?;
            let authority = authorities::record_authority(app, id(person)?, &new, cause).await?;
            Ok(json!({"authority": authority.text()}))
        }
        ["people", person, "authorities", authority, "end"] => {
            let why: Why = parse(body)?;
            let authority = id::<AuthorityId>(authority)?;
            let cut = authorities::end_authority(app, id(person)?, authority, &why.reason, cause).await?;
            Ok(json!({"transfers_cut": cut}))
        }
        ["people", person, "special-adoption"] => {
            let new: NewAdoption = parse(body)?;
            let severed = adoption::special_adoption(app, id(person)?, &new, cause).await?;
            Ok(json!({"entry": severed.entry.map(|e| e.text()), "transfers_cut": severed.transfers_cut}))
        }
        ["people", person, "blocks"] => block(app, id(person)?, parse(body)?, acting).await,
        ["people", person, "blocks", block, "end"] => {
            people::end_block(app, id(person)?, id::<BlockId>(block)?, cause).await?;
            Ok(json!({}))
        }
        ["people", person, "bases"] => {
            let new: NewBasis = parse(body)?;
            let basis = people::record_basis(app, id(person)?, &new, cause).await?;
            Ok(json!({"basis": basis.text()}))
        }
        ["people", person, "bases", basis, "end"] => {
            let cut = people::end_basis(app, id(person)?, id::<BasisId>(basis)?, cause).await?;
            Ok(json!({"transfers_cut": cut}))
        }
        ["parties", party, standing @ ("suspend" | "reinstate")] => {
            let why: Why = parse(body)?;
            let suspended = *standing == "suspend";
            let (appended, cut) = people::set_standing(app, party, suspended, &why.reason, cause).await?;
            Ok(json!({"entry": appended.entry.text(), "transfers_cut": cut}))
        }
        _ => Err(AdminError::NotFound),
    }
}

async fn block(app: &App, subject: PersonId, new: NewBlock, acting: &Acting) -> Result<Value, AdminError> {
    let target = match (&new.person, &new.party) {
        (Some(person), None) => BlockedFrom::Person(Bytes16(*id::<PersonId>(person)?.bytes())),
        (None, Some(party)) => BlockedFrom::Party(party.clone()),
        _ => return Err(AdminError::Body("name a `person` or a `party`, one of the two".to_owned())),
    };
    let (block, cut) = people::block(app, subject, target, &new.evidence, acting.cause()).await?;
    Ok(json!({"block": block.text(), "transfers_cut": cut}))
}
