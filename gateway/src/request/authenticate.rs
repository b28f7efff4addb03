//! Who asks: certificate or key → party, token → party, person, capacity.
//!
//! Failing here happens before anything about a subject is looked at, so the answers may differ; they are counted, not
//! ledgered (design §3.2).

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, Method};
use sekisho_policy::{Actor, PartyId, PersonId, Timestamp};

use super::connection::Connection;
use super::dpop::{self, NotTaken, Proof, ProofError};
use super::token::{Claims, Shown, TokenError};
use crate::app::App;
use crate::sabotage::{self, Check};
use crate::store::StoreError;

const DPOP: HeaderName = HeaderName::from_static("dpop");

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
    /// The party whose client came together with its certificate or its key; `None` for a person at our own client.
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
    /// The proof of possession.
    #[error("proof of possession: {0}")]
    Proof(#[from] ProofError),
    /// The party's proofs can't be remembered any more.
    #[error("too many proofs of possession in a minute")]
    TooManyProofs,
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

/// What a request shows of who asks.
#[derive(Clone, Copy)]
pub struct Showing<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its path.
    pub path: &'a str,
    /// Its header fields.
    pub headers: &'a HeaderMap,
}

impl Showing<'_> {
    /// Whether it comes with a token that is bound to a key, or wants to.
    #[must_use]
    pub fn is_by_key(&self) -> bool {
        let scheme = self.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.split(' ').next());
        scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("dpop"))
    }
}

/// Checks token and certificate, or token and proof of possession, and finds the party and the person behind them.
///
/// # Errors
/// Why the caller is not accepted.
pub async fn authenticate(app: &App, connection: &Connection, showing: Showing<'_>) -> Result<Caller, AuthError> {
    let checked = caller(app, connection, showing).await;
    match &checked {
        Err(AuthError::Token(error)) => app.metrics.token_refused(*error),
        Err(AuthError::Certificate(_)) => app.metrics.certificate_refused(),
        Err(AuthError::Proof(_)) => app.metrics.proof_refused(),
        Ok(_) | Err(AuthError::Store(_) | AuthError::TooManyProofs) => {}
    }
    checked
}

async fn caller(app: &App, connection: &Connection, showing: Showing<'_>) -> Result<Caller, AuthError> {
    let presented = presented(showing.headers)?;
    let now = app.store.clock().now().map_err(StoreError::from)?;
    if !connection.is_trusted_by(app) && !sabotage::off(Check::CertificateTrusted) {
        return Err(AuthError::Certificate("it is not accepted any more"));
    }
    let (claims, party) = match presented {
        Presented::Bearer(token) => {
            let claims = app.tokens.check(token, Shown::Certificate(connection.certificate), now).await?;
            let party = party_of(app, connection, &claims)?;
            (claims, party)
        }
        Presented::Bound { token, proof } => by_key(app, showing, (token, proof), now).await?,
    };
    let person = match party {
        Some(_) if claims.sub == claims.client_id => None,
        _ => Some(app.store.person_of_login(&claims.iss, &claims.sub).await?.unwrap_or(app.store.nobody())),
    };
    Ok(Caller { party, person, claims })
}

/// The party of a token that is bound to a key, which the request proves to be held.
async fn by_key(
    app: &App,
    showing: Showing<'_>,
    (token, proof): (&str, &str),
    now: Timestamp,
) -> Result<(Arc<Claims>, Option<KnownParty>), AuthError> {
    let url = format!("https://{}{}", app.authority, showing.path);
    let about = dpop::About { method: showing.method.as_str(), url: &url, token, now };
    let proof: Proof = dpop::check(proof, &about)?;
    let claims = app.tokens.check(token, Shown::Key(proof.key), now).await?;
    let party = by_client_with_key(app, &claims)?;
    match app.proofs.take(party.id, &proof, now) {
        Ok(()) => Ok((claims, Some(party))),
        Err(NotTaken::Used(error)) => Err(error.into()),
        Err(NotTaken::Full) => Err(AuthError::TooManyProofs),
    }
}

/// Only clients that are registered for it come with a key, and they come with nothing else.
fn by_client_with_key(app: &App, claims: &Claims) -> Result<KnownParty, AuthError> {
    let known = app.parties.by_client_with_key(&claims.client_id);
    known.cloned().ok_or(AuthError::Certificate("the OAuth client may not come with a key instead"))
}

/// The party that asks; none where a person does, at our own client.
///
/// # Errors
/// When certificate and client are not one party's, or the client may not come with a key.
pub(super) fn party_of(app: &App, connection: &Connection, claims: &Claims) -> Result<Option<KnownParty>, AuthError> {
    if claims.is_bound_to_key() {
        return by_client_with_key(app, claims).map(Some);
    }
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

/// A token as it is presented.
enum Presented<'a> {
    /// With whatever certificate the connection has.
    Bearer(&'a str),
    /// With a proof of possession.
    Bound { token: &'a str, proof: &'a str },
}

/// The one token of a request. Two of anything are a way to make two readers see different ones; a proof beside a bearer token
/// is neither way of asking.
fn presented(headers: &HeaderMap) -> Result<Presented<'_>, AuthError> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let one = all.next().and_then(|one| one.to_str().ok()).ok_or(TokenError::Missing)?;
    if all.next().is_some() && !sabotage::off(Check::OneAuthorization) {
        return Err(TokenError::Missing.into());
    }
    let mut proofs = headers.get_all(DPOP).iter();
    let (proof, another) = (proofs.next(), proofs.next());
    match (one.split_once(' ').ok_or(TokenError::Missing)?, proof) {
        ((scheme, token), None) if scheme.eq_ignore_ascii_case("bearer") => Ok(Presented::Bearer(token)),
        ((scheme, token), proof) if scheme.eq_ignore_ascii_case("dpop") => {
            let proof = proof.filter(|_| another.is_none()).and_then(|proof| proof.to_str().ok());
            Ok(Presented::Bound { token, proof: proof.ok_or(ProofError::Missing)? })
        }
        _ => Err(TokenError::Missing.into()),
    }
}
