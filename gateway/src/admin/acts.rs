//! Officials' acts: enrolment, links and their repair, guardianship, blocks, legal bases, standings (`docs/operations.md`).

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use sekisho_policy::{AuthorityId, BasisId, BlockId, PersonId};

use super::commands::Which;
use super::{Acting, AdminError};
use crate::app::App;
use crate::consent::adoption::{self, NewAdoption};
use crate::consent::authority::{self as authorities, NewAuthority};
use crate::consent::erasure;
use crate::consent::links::{self, Ground};
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

pub(super) fn id<T: TextId>(text: &str) -> Result<T, AdminError> {
    T::parse(text).map_err(|_| AdminError::NotFound)
}

/// An official's act. What else there is, `command` has answered.
pub(super) async fn act(
    app: &App,
    acting: &Acting,
    which: Which,
    [first, second]: [&str; 2],
    body: &[u8],
) -> Result<Value, AdminError> {
    let cause = acting.cause();
    match which {
        Which::Enrol => {
            let new: NewPeople = parse(body)?;
            let ids = people::enrol(&app.store, &new.people, cause).await?;
            Ok(json!({"people": ids.iter().map(TextId::text).collect::<Vec<_>>()}))
        }
        Which::Erase => {
            let Empty {} = parse(body)?;
            let cut = erasure::erase(app, id(first)?, cause).await?;
            Ok(json!({"transfers_cut": cut}))
        }
        Which::DestroyOld => {
            let Empty {} = parse(body)?;
            Ok(json!({"people": erasure::destroy_old_records(app, cause).await?}))
        }
        Which::Link => {
            let new: NewLink = parse(body)?;
            let to = match new.to {
                Target::Login { issuer, sub } => LinkTarget::Login { issuer, sub },
                Target::Source { party, id } => LinkTarget::Source { party, id },
            };
            let ground = Ground { evidence: &new.evidence, verified_by: &new.verified_by, code: None };
            let link = links::link(app, id::<PersonId>(first)?, &to, &ground, cause).await?;
            Ok(json!({"link": link.map(|link| link.text())}))
        }
        Which::EndLink => {
            let why: Why = parse(body)?;
            let cut = links::end_link(app, id(first)?, id::<LinkId>(second)?, &why.reason, cause).await?;
            Ok(json!({"transfers_cut": cut}))
        }
        Which::Authority => {
            let new: NewAuthority = parse(body)?;
            let authority = authorities::record_authority(app, id(first)?, &new, cause).await?;
            Ok(json!({"authority": authority.text()}))
        }
        Which::EndAuthority => {
            let why: Why = parse(body)?;
            let authority = id::<AuthorityId>(second)?;
            let cut = authorities::end_authority(app, id(first)?, authority, &why.reason, cause).await?;
            Ok(json!({"transfers_cut": cut}))
        }
        Which::Adoption => {
            let new: NewAdoption = parse(body)?;
            let severed = adoption::special_adoption(app, id(first)?, &new, cause).await?;
            Ok(json!({"entry": severed.entry.map(|e| e.text()), "transfers_cut": severed.transfers_cut}))
        }
        Which::Block => block(app, id(first)?, parse(body)?, acting).await,
        Which::EndBlock => {
            people::end_block(app, id(first)?, id::<BlockId>(second)?, cause).await?;
            Ok(json!({}))
        }
        Which::Basis => {
            let new: NewBasis = parse(body)?;
            let basis = people::record_basis(app, id(first)?, &new, cause).await?;
            Ok(json!({"basis": basis.text()}))
        }
        Which::EndBasis => {
            let cut = people::end_basis(app, id(first)?, id::<BasisId>(second)?, cause).await?;
            Ok(json!({"transfers_cut": cut}))
        }
        Which::Suspend | Which::Reinstate => {
            let why: Why = parse(body)?;
            let suspended = which == Which::Suspend;
            let (appended, cut) = people::set_standing(app, first, suspended, &why.reason, cause).await?;
            Ok(json!({"entry": appended.entry.text(), "transfers_cut": cut}))
        }
        Which::Status
        | Which::Checkpoint
        | Which::Reload
        | Which::Backup
        | Which::Destroyed
        | Which::Explain
        | Which::Releases
        | Which::Records
        | Which::Authorities
        | Which::AskAnew
        | Which::BatchPlan
        | Which::BatchRun
        | Which::BatchWrite
        | Which::DiscloseBasis
        | Which::Import => Err(AdminError::NotFound),
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
