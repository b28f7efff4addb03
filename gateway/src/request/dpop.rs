//! Proofs of possession (DPoP, RFC 9449), for apps that can't hold a client certificate: a token is bound to a key, and each
//! request carries a proof, signed by that key, of this very method, address, token and moment.
//!
//! A proof is good once. What was seen is held in memory, by party and bounded; a proof from before this process began is
//! refused, since nobody knows whether it was used. Nothing of a proof is followed, and no private key is looked at.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use sekisho_policy::{PartyId, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::ledger::merkle::sha256;
use crate::sabotage::{self, Check};

/// Longest proof that is looked at, in bytes.
const PROOF_BYTES_MAX: usize = 4 << 10;
/// Longest `jti`.
const JTI_BYTES_MAX: usize = 256;
/// How old a proof may be, in seconds.
pub const AGE_MAX_S: i64 = 60;
/// How far a client's clock may be ahead, in seconds.
pub const AHEAD_MAX_S: i64 = 5;
/// Proofs of one party that are remembered, at most: so many may come in `AGE_MAX_S`.
pub const REMEMBERED_MAX: usize = 100_000;
/// Algorithms of proofs, as they are told.
pub const ALGORITHMS: [&str; 2] = ["ES256", "EdDSA"];
/// Members of a JWK that only a private or symmetric key has (RFC 7518 §6).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Why a proof is not accepted. The caller learns only that it is not; the operator learns which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ProofError {
    #[error("no proof, or more than one")]
    Missing,
    #[error("not a proof (`dpop+jwt`) of at most {PROOF_BYTES_MAX} bytes")]
    Malformed,
    #[error("the header names a place to fetch a key, or what must be understood and is not")]
    Header,
    #[error("the algorithm is not allowed, or not the key's")]
    Algorithm,
    #[error("the key is none that is allowed, or not a public one")]
    Key,
    #[error("the signature is wrong")]
    Signature,
    #[error("for another method or address")]
    Target,
    #[error("for another token")]
    Token,
    #[error("too old, from before the gateway began, or from the future")]
    Time,
    #[error("it was used before")]
    Replayed,
}

/// What a proof must be about.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The request's method.
    pub method: &'a str,
    /// Its address, without query.
    pub url: &'a str,
    /// The access token that it came with.
    pub token: &'a str,
    /// Now.
    pub now: Timestamp,
}

/// A proof that is one; whether it was used before is asked of [`Proofs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// RFC 7638 thumbprint of the key.
    pub key: [u8; 32],
    id: [u8; 32],
    made_s: i64,
}

#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    iat: i64,
    ath: String,
}

/// Reads a proof and holds it against what it must be about.
///
/// # Errors
/// Why it is not accepted.
pub fn check(proof: &str, about: &About<'_>) -> Result<Proof, ProofError> {
    if proof.len() > PROOF_BYTES_MAX {
        return Err(ProofError::Malformed);
    }
    let (algorithm, jwk) = header(proof)?;
    let key = DecodingKey::from_jwk(&jwk).map_err(|_| ProofError::Key)?;
    let mut validation = Validation::new(algorithm);
    // Its times are ours to judge, and it has no audience beside its address.
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    use jsonwebtoken::errors::ErrorKind;
    let decoded = jsonwebtoken::decode::<Claims>(proof, &key, &validation).map_err(|error| match error.kind() {
        ErrorKind::InvalidSignature => ProofError::Signature,
        ErrorKind::InvalidAlgorithm => ProofError::Algorithm,
        _ => ProofError::Malformed,
    })?;
    let claims = decoded.claims;
    if (claims.htm != about.method || claims.htu != about.url) && !sabotage::off(Check::ProofTarget) {
        return Err(ProofError::Target);
    }
    let token = BASE64URL_NOPAD.encode(&sha256(about.token.as_bytes()));
    if claims.ath != token && !sabotage::off(Check::ProofToken) {
        return Err(ProofError::Token);
    }
    let now_s = about.now.millis().div_euclid(1_000);
    let age = now_s.checked_sub(claims.iat).ok_or(ProofError::Time)?;
    if !(-AHEAD_MAX_S..=AGE_MAX_S).contains(&age) && !sabotage::off(Check::ProofAge) {
        return Err(ProofError::Time);
    }
    if claims.jti.is_empty() || claims.jti.len() > JTI_BYTES_MAX {
        return Err(ProofError::Malformed);
    }
    let key = thumbprint(&jwk)?;
    let id = sha256(&[key.as_slice(), claims.jti.as_bytes()].concat());
    Ok(Proof { key, id, made_s: claims.iat })
}

/// Algorithm and key: the one place where a key is taken from what it signed, since its thumbprint stands in the token.
fn header(proof: &str) -> Result<(Algorithm, Jwk), ProofError> {
    let (first, _) = proof.split_once('.').ok_or(ProofError::Malformed)?;
    let bytes = BASE64URL_NOPAD.decode(first.as_bytes()).map_err(|_| ProofError::Malformed)?;
    let header: Map<String, Value> = serde_json::from_slice(&bytes).map_err(|_| ProofError::Malformed)?;
    if header.get("typ").and_then(Value::as_str) != Some("dpop+jwt") {
        return Err(ProofError::Malformed);
    }
    if ["jku", "x5u", "x5c", "crit", "zip", "b64"].iter().any(|name| header.contains_key(*name)) {
        return Err(ProofError::Header);
    }
    let jwk = header.get("jwk").and_then(Value::as_object).ok_or(ProofError::Key)?;
    if PRIVATE.iter().any(|name| jwk.contains_key(*name)) {
        return Err(ProofError::Key);
    }
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let (algorithm, name, members) = match (text("kty"), text("crv")) {
        (Some("EC"), Some("P-256")) => (Algorithm::ES256, "ES256", &["kty", "crv", "x", "y"][..]),
        (Some("OKP"), Some("Ed25519")) => (Algorithm::EdDSA, "EdDSA", &["kty", "crv", "x"][..]),
        _ => return Err(ProofError::Key),
    };
    if header.get("alg").and_then(Value::as_str) != Some(name) {
        return Err(ProofError::Algorithm);
    }
    // Only what makes the key: whatever else stands there means nothing here.
    let bare: Map<String, Value> =
        members.iter().filter_map(|name| Some(((*name).to_owned(), json!(text(name)?)))).collect();
    let jwk = serde_json::from_value(Value::Object(bare)).map_err(|_| ProofError::Key)?;
    Ok((algorithm, jwk))
}

fn thumbprint(jwk: &Jwk) -> Result<[u8; 32], ProofError> {
    let text = jwk.thumbprint(ThumbprintHash::SHA256).map_err(|_| ProofError::Key)?;
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| ProofError::Key)?;
    bytes.try_into().map_err(|_| ProofError::Key)
}

/// Proofs that were used, by party and by the minute in which they were made.
pub struct Proofs {
    /// The second in which this process began.
    began_s: i64,
    used: Mutex<HashMap<PartyId, Minutes>>,
}

/// One party's, by the minute in which they were made.
type Minutes = BTreeMap<i64, HashSet<[u8; 32]>>;

/// Why a proof is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// It was used before, or may have been.
    Used(ProofError),
    /// The party's proofs fill the memory: nobody could tell any more whether this one was used.
    Full,
}

impl Proofs {
    /// None yet; of what was used before this moment nothing is known.
    #[must_use]
    pub fn since(began: Timestamp) -> Self {
        Self { began_s: began.millis().div_euclid(1_000), used: Mutex::default() }
    }

    /// Takes note of a proof of this party.
    ///
    /// # Errors
    /// When it was used before, or may have been, or can't be remembered.
    pub fn take(&self, party: PartyId, proof: &Proof, now: Timestamp) -> Result<(), NotTaken> {
        if sabotage::off(Check::ProofOnce) {
            return Ok(());
        }
        if proof.made_s <= self.began_s {
            return Err(NotTaken::Used(ProofError::Time));
        }
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let minutes = used.entry(party).or_default();
        // What is older than a proof may be is refused by its age.
        let oldest = now.millis().div_euclid(1_000).saturating_sub(AGE_MAX_S).div_euclid(60);
        minutes.retain(|minute, _| *minute >= oldest);
        if minutes.values().any(|ids| ids.contains(&proof.id)) {
            return Err(NotTaken::Used(ProofError::Replayed));
        }
        if minutes.values().map(HashSet::len).sum::<usize>() >= REMEMBERED_MAX {
            return Err(NotTaken::Full);
        }
        minutes.entry(proof.made_s.div_euclid(60)).or_default().insert(proof.id);
        Ok(())
    }
}
