//! Signing in at a My Portal-style source: the state between leaving for the portal and coming back, and the token.
//!
//! The account that signed in there must be the one that verified enrolment linked to the subject; a name or a birth date
//! never is proof. Tokens lie sealed in the vault until they expire.

use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use sekisho_adapters::my_portal::{PortalClient, PortalToken, Verifier};
use sekisho_policy::PersonId;

use super::fetch::{Fetched, Sources};
use crate::config::Source;
use crate::sabotage::{self, Check};
use crate::store::Store;

/// Sign-ins under way, at most; the oldest are forgotten first.
const UNDER_WAY_MAX: usize = 10_000;
/// How long a person may take at the portal.
const TAKES_MAX: Duration = Duration::from_secs(600);

struct Begun {
    subject: PersonId,
    source: Source,
    verifier: Verifier,
    at: Instant,
}

/// Sign-ins under way.
pub struct SignIns {
    begun: Cache<String, std::sync::Arc<Begun>>,
}

/// How coming back from the portal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CameBack {
    /// The token is kept; the app can ask again.
    Done,
    /// The state is unknown, used, or too old.
    UnknownState,
    /// The portal did not take the code.
    Refused,
    /// Somebody else's account signed in.
    OtherAccount,
    /// Something failed on the way; try again.
    Failed,
}

impl Default for SignIns {
    fn default() -> Self {
        Self { begun: Cache::new(UNDER_WAY_MAX) }
    }
}

impl SignIns {
    /// Begins a sign-in for a subject: gives the URL to open.
    pub(super) fn begin(&self, subject: PersonId, source: &Source, client: &PortalClient) -> Fetched {
        match client.begin() {
            Ok(sign_in) => {
                let begun = Begun { subject, source: source.clone(), verifier: sign_in.verifier, at: Instant::now() };
                self.begun.insert(sign_in.state, std::sync::Arc::new(begun));
                Fetched::MustSignIn(sign_in.url)
            }
            Err(error) => Fetched::Failed(error.to_string()),
        }
    }

    /// The subject's token at a source, while it lasts.
    pub(super) fn token(
        &self,
        store: &Store,
        subject: PersonId,
        source: &Source,
        account: &str,
    ) -> Option<PortalToken> {
        let kept = match store.vault().token(subject, *source.party.bytes()) {
            Ok(kept) => kept?,
            Err(error) => {
                tracing::error!(%error, "an upstream token can't be read");
                return None;
            }
        };
        let (expiry_ms, rest) = kept.split_first_chunk::<8>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (kept_for, token) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        // A token of an account that is no longer, or never was, the linked one would bring somebody else's records.
        if kept_for != account.as_bytes() && !sabotage::off(Check::PortalAccount) {
            return None;
        }
        let now = store.clock().now().ok()?;
        let lasts = now.millis() < i64::from_le_bytes(*expiry_ms);
        lasts.then(|| String::from_utf8(token.to_vec()).ok().map(PortalToken::from_kept)).flatten()
    }

    /// Forgets a token that the portal no longer takes.
    pub(super) fn forget(&self, store: &Store, subject: PersonId, source: &Source) {
        if let Err(error) = store.vault().drop_token(subject, *source.party.bytes()) {
            tracing::error!(%error, "an upstream token can't be forgotten");
        }
    }

    /// The browser came back with a code.
    pub async fn came_back(&self, store: &Store, sources: &Sources, state: &str, code: &str) -> CameBack {
        let again = sabotage::off(Check::SignInOnce).then(|| self.begun.get(state)).flatten();
        let begun = again.or_else(|| self.begun.remove(state).map(|(_, begun)| begun));
        let Some(begun) = begun.filter(|begun| begun.at.elapsed() < TAKES_MAX) else {
            return CameBack::UnknownState;
        };
        let Some((_, client)) = sources.portal(begun.source.party) else { return CameBack::Failed };
        let session = match client.redeem(code, &begun.verifier).await {
            Ok(session) => session,
            Err(sekisho_adapters::my_portal::PortalError::Unauthenticated) => return CameBack::Refused,
            Err(error) => {
                tracing::warn!(%error, "the portal's code could not be redeemed");
                return CameBack::Failed;
            }
        };
        let Ok(snapshot) = store.snapshot(begun.subject).await else { return CameBack::Failed };
        let linked = snapshot.subject.id_at(&begun.source.code);
        if linked != Some(session.account.as_str()) && !sabotage::off(Check::PortalAccount) {
            return CameBack::OtherAccount;
        }
        let Ok(now) = store.clock().now() else { return CameBack::Failed };
        let lasts_ms = i64::try_from(session.expires_in_s.min(86_400 * 90)).unwrap_or(0) * 1_000;
        let expiry = now.plus_millis(lasts_ms).millis().to_le_bytes();
        let account = session.account.as_str().as_bytes();
        let Ok(length) = u16::try_from(account.len()) else { return CameBack::Failed };
        let kept = [expiry.as_slice(), &length.to_le_bytes(), account, session.token.secret().as_bytes()].concat();
        let (subject, source) = (begun.subject, *begun.source.party.bytes());
        match store.in_vault(move |vault| vault.put_token(subject, source, &kept)).await {
            Ok(()) => CameBack::Done,
            _ => CameBack::Failed,
        }
    }
}
