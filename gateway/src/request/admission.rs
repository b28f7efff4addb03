//! By what a release came about, so that another configuration can be asked whether it would have let it.

use std::sync::Arc;

use sekisho_policy::PurposeCode;

use super::authenticate::{Caller, KnownParty, party_of};
use super::connection::Connection;
use super::token::Claims;
use crate::app::App;
use crate::config::{Forward, Route, Staff, week};
use crate::sabotage::{self, Check};
use crate::web::session::SignedIn;

/// The configuration, who asked, and the route that a release was admitted under.
pub struct Admission {
    app: Arc<App>,
    of: Of,
    /// The routes that it came by: several, where several sources were asked for one answer; none of a package.
    routes: Vec<Arc<Route>>,
}

enum Of {
    /// A party's token and certificate.
    Caller { claims: Arc<Claims>, party: Option<KnownParty> },
    /// A person who signed in at our pages, at this issuer.
    Person { issuer: String },
    /// A delivery, as it was configured.
    Delivery { to: Arc<Forward> },
    /// A municipality's token and certificate, and to whom the package is sealed.
    Package { claims: Arc<Claims>, party: Option<KnownParty>, to: Arc<week::Municipality> },
    /// A member of a clinic's staff at its pages: signed in at this issuer, for this party, with these roles.
    Viewer { issuer: String, party: String, roles: Vec<String>, acr: String },
    /// A nurse at a municipality's pages: likewise, and the municipality as it was configured.
    Nurse { signed_in: SignedIn, to: Arc<week::Municipality> },
}

impl Admission {
    /// Of this caller, on this route.
    #[must_use]
    pub fn new(app: &Arc<App>, caller: &Caller, route: &Arc<Route>) -> Self {
        let of = Of::Caller { claims: Arc::clone(&caller.claims), party: caller.party.clone() };
        Self { app: Arc::clone(app), of, routes: vec![Arc::clone(route)] }
    }

    /// Of a person at our pages, who sees what this route would give.
    #[must_use]
    pub fn of_person(app: &Arc<App>, issuer: &str, route: &Arc<Route>) -> Self {
        let of = Of::Person { issuer: issuer.to_owned() };
        Self { app: Arc::clone(app), of, routes: vec![Arc::clone(route)] }
    }

    /// Of a delivery to this recipient.
    #[must_use]
    pub fn of_delivery(app: &Arc<App>, to: &Arc<Forward>, route: &Arc<Route>) -> Self {
        let of = Of::Delivery { to: Arc::clone(to) };
        Self { app: Arc::clone(app), of, routes: vec![Arc::clone(route)] }
    }

    /// Of a member of a clinic's staff at its pages.
    #[must_use]
    pub fn of_viewer(app: &Arc<App>, signed_in: &SignedIn, party: &str, route: &Arc<Route>) -> Self {
        let (issuer, party) = (signed_in.issuer.clone(), party.to_owned());
        let (roles, acr) = (signed_in.roles.clone(), signed_in.acr.clone());
        let of = Of::Viewer { issuer, party, roles, acr };
        Self { app: Arc::clone(app), of, routes: vec![Arc::clone(route)] }
    }

    /// Of a nurse at a municipality's pages.
    #[must_use]
    pub fn of_nurse(app: &Arc<App>, signed_in: &SignedIn, to: &Arc<week::Municipality>) -> Self {
        let of = Of::Nurse { signed_in: signed_in.clone(), to: Arc::clone(to) };
        Self { app: Arc::clone(app), of, routes: Vec::new() }
    }

    /// Of a package that a municipality pulls.
    #[must_use]
    pub fn of_package(app: &Arc<App>, caller: &Caller, to: &Arc<week::Municipality>) -> Self {
        let (claims, party) = (Arc::clone(&caller.claims), caller.party.clone());
        let of = Of::Package { claims, party, to: Arc::clone(to) };
        Self { app: Arc::clone(app), of, routes: Vec::new() }
    }

    /// By these routes as well.
    #[must_use]
    pub fn and(mut self, others: Vec<Arc<Route>>) -> Self {
        self.routes.extend(others);
        self
    }

    /// Whether it would come about under this configuration as well: the same party by certificate and client, or the same
    /// sign-in; the same route, the same source.
    #[must_use]
    pub fn holds_under(&self, now: &Arc<App>, connection: &Connection) -> bool {
        if Arc::ptr_eq(&self.app, now) {
            return true;
        }
        let source = |app: &App, route: &Route| {
            app.config.sources.iter().find(|source| source.party == route.source.party).cloned()
        };
        let same_caller = |claims: &Claims, party: &Option<KnownParty>| {
            connection.is_trusted_by(now)
                && now.tokens.issuer(&claims.iss).is_some()
                && party_of(now, connection, claims).is_ok_and(|known| known == *party)
        };
        let known = match &self.of {
            Of::Caller { claims, party } => same_caller(claims, party),
            Of::Package { claims, party, to } => {
                let week = now.config.week.as_ref().filter(|week| Some(week.purpose) == self.purpose_of_week());
                let takes = week.and_then(|week| week.municipality(to.party)).is_some_and(|now| now.key == to.key);
                takes && same_caller(claims, party)
            }
            Of::Person { issuer } => {
                now.web.provider_of(issuer).is_some() && now.config.pages.purpose == self.app.config.pages.purpose
            }
            Of::Delivery { to } => now.config.forwards.contains(to),
            Of::Viewer { issuer, party, roles, acr } => {
                let provider = now.web.provider_of(issuer).filter(|provider| provider.admits(acr));
                let staff = provider.and_then(|provider| provider.settings.staff.as_ref());
                let may = |staff: &Staff| roles.iter().any(|role| staff.viewer_roles.contains(role));
                staff.is_some_and(|staff| staff.party == *party && may(staff))
            }
            Of::Nurse { signed_in, to } => {
                let week = now.config.week.as_ref().filter(|week| Some(week.purpose) == self.purpose_of_week());
                let takes = week.is_some_and(|week| week.municipality(to.party).is_some());
                takes && now.web.is_nurse_of(signed_in, &to.code)
            }
        };
        let same =
            |route: &Arc<Route>| now.config.routes.contains(route) && source(&self.app, route) == source(now, route);
        let checked = if sabotage::off(Check::AdmittedParts) { 1 } else { usize::MAX };
        known && self.routes.iter().take(checked).all(same)
    }

    fn purpose_of_week(&self) -> Option<PurposeCode> {
        self.app.config.week.as_ref().map(|week| week.purpose)
    }
}
