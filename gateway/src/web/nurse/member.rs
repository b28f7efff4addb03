//! A nurse, or a manager, as the issuer, the configuration in force and the manager's word say.

use std::sync::Arc;

use super::super::page::Trouble;
use super::super::session::SignedIn;
use super::super::visit::Visit;
use crate::config::week::{Municipality, Week};
use crate::sabotage::{self, Check};
use crate::week::nurses::Item;
use crate::week::shelf::nurses::Nurse;
use crate::week::shelf::{Changes, Shelf};
use crate::week::work::Staff;

/// Cases that one login opens in an hour, at most, each list as one.
const AN_HOUR: u32 = 600;

/// Whoever is signed in as a nurse or a manager.
pub struct Member {
    /// The municipality.
    pub to: Arc<Municipality>,
    /// How they signed in.
    pub signed_in: SignedIn,
    /// Whether they assign districts.
    pub is_manager: bool,
    /// Whether they are a nurse.
    pub is_nurse: bool,
    /// What the manager says they see.
    assigned: Option<Nurse>,
}

impl Member {
    /// Whoever is signed in, if it is a nurse of a municipality that takes cases. Asked anew at each request, of the configuration in
    /// force.
    ///
    /// # Errors
    /// Why not.
    pub async fn of(visit: &Visit) -> Result<Self, Trouble> {
        let of = &visit.session().ok_or(Trouble::nurse_signed_out())?.signed_in;
        let provider = visit.app.web.provider_of(&of.issuer).ok_or(Trouble::nurse_signed_out())?;
        let staff = provider.settings.staff.as_ref().ok_or(Trouble::not_nurse())?;
        let week = visit.app.config.week.as_ref().ok_or(Trouble::not_nurse())?;
        let to = week.municipalities.iter().find(|to| to.code == staff.party).ok_or(Trouble::not_nurse())?;
        if !visit.app.web.is_nurse_of(of, &to.code) && !sabotage::off(Check::NurseRole) {
            return Err(Trouble::no_nurse_role());
        }
        let has = |roles: &[String]| of.roles.iter().any(|role| roles.contains(role));
        let assigned = Shelf(&visit.app.store).nurse(to.party, &of.sub)?;
        Ok(Self {
            to: Arc::clone(to),
            signed_in: of.clone(),
            is_manager: has(&staff.manager_roles),
            is_nurse: has(&staff.nurse_roles),
            assigned,
        })
    }

    /// The same, having sent a form of this very session.
    ///
    /// # Errors
    /// As [`Member::of`], and when the form is another's.
    pub async fn sent(visit: &Visit) -> Result<Self, Trouble> {
        let member = Self::of(visit).await?;
        visit.is_own_form()?;
        Ok(member)
    }

    /// The week in force.
    ///
    /// # Errors
    /// When there is none.
    pub fn week<'v>(&self, visit: &'v Visit) -> Result<&'v Week, Trouble> {
        visit.app.config.week.as_deref().ok_or(Trouble::not_nurse())
    }

    /// As they stand in records of work.
    #[must_use]
    pub fn staff(&self) -> Staff {
        let login = self.signed_in.sub.clone();
        let name = self.signed_in.name.clone().unwrap_or_else(|| login.clone());
        Staff { login, name }
    }

    /// Whether this one sees a case: one of their districts, or one that they were handed.
    #[must_use]
    pub fn sees(&self, item: &Item) -> bool {
        let holds = item.work.holder.as_ref().is_some_and(|holder| holder.login == self.signed_in.sub);
        let assigned = self.assigned.as_ref();
        let theirs = assigned.is_some_and(|nurse| nurse.all || nurse.districts.contains(&item.district));
        self.is_manager || holds || theirs || sabotage::off(Check::OwnDistricts)
    }

    /// Whether anybody has said what they see.
    #[must_use]
    pub fn has_districts(&self) -> bool {
        self.is_manager || self.assigned.as_ref().is_some_and(|nurse| nurse.all || !nurse.districts.is_empty())
    }

    /// Whether one more may be opened in this hour.
    ///
    /// # Errors
    /// When not.
    pub fn may_look(&self, visit: &Visit) -> Result<(), Trouble> {
        let who = format!("{} {}", self.signed_in.issuer, self.signed_in.sub);
        let may = visit.app.web.sessions.tries.may(["cases opened", &who], AN_HOUR, visit.now);
        if may { Ok(()) } else { Err(Trouble::too_many_looks()) }
    }

    /// Is known from here on, under the name that the provider has now, so that a manager can assign districts, and colleagues hand over.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn is_here(&self, visit: &Visit) -> Result<(), Trouble> {
        let Staff { login, name } = self.staff();
        if self.assigned.as_ref().is_some_and(|known| known.name == name) {
            return Ok(());
        }
        let (districts, all) = self.assigned.as_ref().map(|n| (n.districts.clone(), n.all)).unwrap_or_default();
        let mut changes = Changes::default();
        changes.put_nurse(self.to.party, &Nurse { login, name, districts, all });
        changes.make(&visit.app.store).await?;
        Ok(())
    }
}
