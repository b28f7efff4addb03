//! By what a release came about, so that another configuration can be asked whether it would have let it.

use std::sync::Arc;

use super::authenticate::{Caller, KnownParty, party_of};
use super::connection::Connection;
use super::token::Claims;
use crate::app::App;
use crate::config::Route;

/// The configuration, the caller and the route that a release was admitted under.
pub struct Admission {
    app: Arc<App>,
    claims: Arc<Claims>,
    party: Option<KnownParty>,
    route: Arc<Route>,
}

impl Admission {
    /// Of this caller, on this route.
    #[must_use]
    pub fn new(app: &Arc<App>, caller: &Caller, route: &Arc<Route>) -> Self {
        Self {
            app: Arc::clone(app),
            claims: Arc::clone(&caller.claims),
            party: caller.party.clone(),
            route: Arc::clone(route),
        }
    }

    /// Whether it would come about under this configuration as well: the same party by certificate and client, the same
    /// route, the same source.
    #[must_use]
    pub fn holds_under(&self, now: &Arc<App>, connection: &Connection) -> bool {
        if Arc::ptr_eq(&self.app, now) {
            return true;
        }
        let source = |app: &App| app.config.sources.iter().find(|s| s.party == self.route.source.party).cloned();
        connection.is_trusted_by(now)
            && now.tokens.issuer(&self.claims.iss).is_some()
            && party_of(now, connection, &self.claims).is_ok_and(|party| party == self.party)
            && now.config.routes.contains(&self.route)
            && source(&self.app) == source(now)
    }
}
