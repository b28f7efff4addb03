//! Who is signed in at our pages: sessions on this side, a random cookie on the other.
//!
//! A session is known by the SHA-256 of its cookie, so that nothing that is held here could be sent as one. It ends when
//! nothing was done for a while, when its time is over, at sign-out here or at the provider, and with the process. Which
//! person it stands for is not kept: each request asks the links again, so that a link that ended ends what it opened.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use data_encoding::BASE64URL_NOPAD;
use sekisho_policy::Timestamp;

use super::nurse::Watched;
use super::tries::Tries;
use crate::ids::random;
use crate::ledger::merkle::sha256;
use crate::sabotage::{self, Check};

/// Sessions at once, at most; beyond it the one that was idle longest ends.
const SESSIONS_MAX: usize = 100_000;
/// Of those, of one sign-in at a provider (`sub`), at most.
const OF_ONE_MAX: usize = 10;

/// How a person signed in, as the provider vouched for it.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// The provider.
    pub issuer: String,
    /// Who, to it.
    pub sub: String,
    /// Its own session, if it names one.
    pub sid: Option<String>,
    /// How strongly.
    pub acr: String,
    /// When, in seconds since the epoch.
    pub auth_time: i64,
    /// Which roles it says somebody of a party's staff has; none of a citizen.
    pub roles: Vec<String>,
    /// The name of a member of staff, where it says one; never a citizen's.
    pub name: Option<String>,
}

/// One session.
#[derive(Clone)]
pub struct Session {
    /// How the person signed in.
    pub signed_in: SignedIn,
    /// What every form of this session must carry.
    csrf: [u8; 32],
    begun: Timestamp,
    seen: Timestamp,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Session(..)")
    }
}

impl Session {
    /// What forms carry.
    #[must_use]
    pub fn csrf(&self) -> String {
        BASE64URL_NOPAD.encode(&self.csrf)
    }

    /// Whether a form is of this session.
    #[must_use]
    pub fn sent(&self, csrf: &str) -> bool {
        verify_slices_are_equal(self.csrf().as_bytes(), csrf.as_bytes()).is_ok() || sabotage::off(Check::CsrfToken)
    }
}

/// How long sessions last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lasting {
    /// Without anything being done, in milliseconds.
    pub idle_ms: i64,
    /// In all, in milliseconds.
    pub most_ms: i64,
}

impl Lasting {
    fn over(self, session: &Session, now: Timestamp) -> bool {
        let since = |at: Timestamp| now.millis().saturating_sub(at.millis());
        let over = since(session.seen) >= self.idle_ms || since(session.begun) >= self.most_ms;
        over && !sabotage::off(Check::SessionEnds)
    }
}

/// All sessions of this process.
#[derive(Default)]
pub struct Sessions {
    by_digest: Mutex<HashMap<[u8; 32], Session>>,
    /// Tries of one-time codes.
    pub tries: Tries,
    /// What nurses' open pages show.
    pub watched: Watched,
}

impl Sessions {
    /// Begins a session, always under a new cookie; the one before, if any, ends.
    #[must_use]
    pub fn begin(
        &self,
        signed_in: SignedIn,
        before: Option<&str>,
        lasting: impl Fn(&SignedIn) -> Lasting,
        now: Timestamp,
    ) -> String {
        let cookie = BASE64URL_NOPAD.encode(&random::<32>());
        let mut sessions = self.lock();
        if let Some(before) = before {
            sessions.remove(&digest(before));
        }
        make_room(&mut sessions, &signed_in, &lasting, now);
        let session = Session { signed_in, csrf: random(), begun: now, seen: now };
        sessions.insert(digest(&cookie), session);
        cookie
    }

    /// The session of a cookie, used now; `lasting` says how long those of a sign-in last.
    #[must_use]
    pub fn used(&self, cookie: &str, lasting: impl Fn(&SignedIn) -> Lasting, now: Timestamp) -> Option<Session> {
        let mut sessions = self.lock();
        let key = digest(cookie);
        let session = sessions.get_mut(&key)?;
        if lasting(&session.signed_in).over(session, now) {
            sessions.remove(&key);
            return None;
        }
        session.seen = session.seen.max(now);
        Some(session.clone())
    }

    /// The session of a cookie, without using it: a page that asks by itself whether it may still be shown keeps nobody signed in.
    #[must_use]
    pub fn looked_at(&self, cookie: &str, lasting: impl Fn(&SignedIn) -> Lasting, now: Timestamp) -> Option<Session> {
        let sessions = self.lock();
        let session = sessions.get(&digest(cookie))?;
        (!lasting(&session.signed_in).over(session, now)).then(|| session.clone())
    }

    /// Ends a session, and gives it.
    pub fn end(&self, cookie: &str) -> Option<Session> {
        self.lock().remove(&digest(cookie))
    }

    /// Ends what the provider says has ended: one of its sessions, or all of somebody's. Gives how many there were.
    pub fn end_at(&self, issuer: &str, sub: Option<&str>, sid: Option<&str>) -> usize {
        let mut sessions = self.lock();
        let before = sessions.len();
        sessions.retain(|_, session| {
            let of = &session.signed_in;
            let same_sub = sub.is_none_or(|sub| of.sub == sub);
            let same_sid = sid.is_none_or(|sid| of.sid.as_deref() == Some(sid));
            of.issuer != issuer || !(same_sub && same_sid) || (sub.is_none() && sid.is_none())
        });
        before - sessions.len()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Session>> {
        self.by_digest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends those of the same person that were idle longest, and when all places are taken whatever is over, else whoever was idle longest.
fn make_room(
    sessions: &mut HashMap<[u8; 32], Session>,
    of: &SignedIn,
    lasting: impl Fn(&SignedIn) -> Lasting,
    now: Timestamp,
) {
    let same = |s: &Session| s.signed_in.issuer == of.issuer && s.signed_in.sub == of.sub;
    let mut own: Vec<_> = sessions.iter().filter(|(_, s)| same(s)).map(|(key, s)| (s.seen, *key)).collect();
    own.sort_unstable();
    for (_, key) in own.iter().take((own.len() + 1).saturating_sub(OF_ONE_MAX)) {
        sessions.remove(key);
    }
    if sessions.len() >= SESSIONS_MAX {
        sessions.retain(|_, session| !lasting(&session.signed_in).over(session, now));
    }
    if sessions.len() >= SESSIONS_MAX
        && let Some(idlest) = sessions.iter().min_by_key(|(_, s)| s.seen).map(|(key, _)| *key)
    {
        sessions.remove(&idlest);
    }
}

fn digest(cookie: &str) -> [u8; 32] {
    sha256(cookie.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn lasting(_: &SignedIn) -> Lasting {
        Lasting { idle_ms: 1_000, most_ms: 5_000 }
    }

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn of(sub: &str) -> SignedIn {
        let (issuer, acr) = ("https://provider.invalid".to_owned(), "aal2".to_owned());
        SignedIn {
            issuer,
            sub: sub.to_owned(),
            sid: Some(format!("sid-{sub}")),
            acr,
            auth_time: 0,
            roles: Vec::new(),
            name: None,
        }
    }

    #[test]
    fn a_session_ends_when_idle_and_in_any_case_in_the_end() {
        let sessions = Sessions::default();
        let cookie = sessions.begin(of("a"), None, lasting, at(0));
        for step in 1..=4 {
            assert!(sessions.used(&cookie, lasting, at(step * 999)).is_some());
        }
        assert!(sessions.used(&cookie, lasting, at(4_995)).is_some());
        assert!(sessions.used(&cookie, lasting, at(5_000)).is_none(), "its time is over");
        assert_eq!(sessions.count(), 0);
        let cookie = sessions.begin(of("a"), None, lasting, at(0));
        assert!(sessions.used(&cookie, lasting, at(1_000)).is_none(), "nothing was done");
    }

    #[test]
    fn signing_in_again_ends_the_session_before() {
        let sessions = Sessions::default();
        let before = sessions.begin(of("a"), None, lasting, at(0));
        let csrf = sessions.used(&before, lasting, at(0)).unwrap().csrf();
        let after = sessions.begin(of("a"), Some(&before), lasting, at(1));
        assert!(before != after && sessions.used(&before, lasting, at(1)).is_none());
        let session = sessions.used(&after, lasting, at(1)).unwrap();
        assert!(session.sent(&session.csrf()) && !session.sent(&csrf) && !session.sent(""));
    }

    #[test]
    fn the_provider_ends_one_of_its_sessions_or_all_of_somebodys() {
        let sessions = Sessions::default();
        let cookies = ["a", "a", "b"].map(|sub| sessions.begin(of(sub), None, lasting, at(0)));
        assert_eq!(sessions.end_at("https://provider.invalid", None, None), 0, "nobody is named");
        assert_eq!(sessions.end_at("https://another.invalid", Some("a"), None), 0);
        assert_eq!(sessions.end_at("https://provider.invalid", Some("a"), Some("sid-b")), 0);
        assert_eq!(sessions.end_at("https://provider.invalid", Some("a"), None), 2);
        assert!(sessions.used(&cookies[2], lasting, at(0)).is_some());
        assert_eq!(sessions.end_at("https://provider.invalid", None, Some("sid-b")), 1);
    }

    #[test]
    fn nobody_has_more_than_ten() {
        let sessions = Sessions::default();
        let first = sessions.begin(of("a"), None, lasting, at(0));
        for _ in 0..OF_ONE_MAX {
            let _ = sessions.begin(of("a"), None, lasting, at(1));
        }
        assert_eq!(sessions.count(), OF_ONE_MAX);
        assert!(sessions.used(&first, lasting, at(1)).is_none());
    }
}
