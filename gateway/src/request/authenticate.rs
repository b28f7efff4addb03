//! Who asks: certificate → party, token → party, person, capacity.
//!
//! Failing here happens before anything about a subject is looked at, so the answers may differ; they are counted, not
//! ledgered (design §3.2).

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use sekisho_policy::{Actor, PartyId, PersonId};

use super::connection::Connection;
use super::token::{Claims, TokenError};
use crate::app::App;
use crate::sabotage::{self, Check};
use crate::store::StoreError;

/// A party that proved who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownParty {
    /// Which.
    pub id: PartyId,
    /// Its code.
    pub code: Arc<str>,
}

/// Who asks, proven.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The party whose certificate and client came together; `None` for a person at our own client.
    pub party: Option<KnownParty>,
    /// The person who is signed in; `None` for a machine. An unlinked login is nobody.
    pub person: Option<PersonId>,
    /// What the token says.
    pub claims: Arc<Claims>,
}

/// Why the caller is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The token.
    #[error("token: {0}")]
    Token(#[from] TokenError),
    /// The certificate is missing, not registered, or another party's than the token's client.
    #[error("client certificate: {0}")]
    Certificate(&'static str),
    /// The store could not be asked.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Caller {
    /// The capacity in which this caller asks about a subject.
    #[must_use]
    pub fn actor_for(&self, subject: PersonId) -> Actor {
        match self.person {
            None => Actor::System,
            Some(person) if person == subject => Actor::Subject(person),
            Some(person) => Actor::Guardian(person),
        }
    }
}

/// Checks token and certificate, and finds the party and the person behind them.
///
/// # Errors
/// Why the caller is not accepted.
pub async fn authenticate(app: &App, connection: &Connection, headers: &HeaderMap) -> Result<Caller, AuthError> {
    let checked = caller(app, connection, headers).await;
    match &checked {
        Err(AuthError::Token(error)) => app.metrics.token_refused(*error),
        Err(AuthError::Certificate(_)) => app.metrics.certificate_refused(),
        Ok(_) | Err(AuthError::Store(_)) => {}
    }
    checked
}

async fn caller(app: &App, connection: &Connection, headers: &HeaderMap) -> Result<Caller, AuthError> {
    let token = bearer(headers).ok_or(TokenError::Missing)?;
    let now = app.store.clock().now().map_err(StoreError::from)?;
    if !connection.is_trusted_by(app) && !sabotage::off(Check::CertificateTrusted) {
        return Err(AuthError::Certificate("it is not accepted any more"));
    }
    let claims = app.tokens.check(token, connection.certificate, now).await?;
    let party = party_of(app, connection, &claims)?;
    let person = match party {
        Some(_) if claims.sub == claims.client_id => None,
        _ => Some(app.store.person_of_login(&claims.iss, &claims.sub).await?.unwrap_or(app.store.nobody())),
    };
    Ok(Caller { party, person, claims })
}

/// The party that asks; none where a person does, at our own client.
///
/// # Errors
/// When certificate and client are not one party's.
pub(super) fn party_of(app: &App, connection: &Connection, claims: &Claims) -> Result<Option<KnownParty>, AuthError> {
    let own = app.tokens.issuer(&claims.iss).filter(|issuer| issuer.own_client == claims.client_id);
    match own {
        // A party's staff are nobody's citizens: what they do as staff, they do at the counter's pages.
        Some(issuer) if issuer.staff().is_some() && !sabotage::off(Check::StaffApart) => Err(TokenError::Issuer.into()),
        Some(_) => Ok(None),
        None => party(app, connection, claims).map(Some),
    }
}

/// The party of the certificate, which must be the party of the token's client as well.
fn party(app: &App, connection: &Connection, claims: &Claims) -> Result<KnownParty, AuthError> {
    let by_client = app.parties.by_client(&claims.client_id).ok_or(AuthError::Certificate("unknown OAuth client"))?;
    if sabotage::off(Check::CertificateParty) {
        return Ok(by_client.clone());
    }
    let thumbprint = connection.certificate.ok_or(AuthError::Certificate("none was shown"))?;
    let by_certificate =
        app.parties.by_certificate(&thumbprint).ok_or(AuthError::Certificate("it is not registered"))?;
    if by_certificate != by_client {
        return Err(AuthError::Certificate("it is another party's than the token's client"));
    }
    Ok(by_certificate.clone())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let one = all.next()?.to_str().ok()?;
    // Two Authorization headers are a way to make two readers see two tokens.
    if all.next().is_some() && !sabotage::off(Check::OneAuthorization) {
        return None;
    }
    let (scheme, token) = one.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}
