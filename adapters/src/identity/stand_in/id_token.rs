//! ID tokens (OpenID Connect Core §2), and who is signed in where.

use std::collections::VecDeque;

use aws_lc_rs::digest;
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use super::authorize::Code;
use super::keys::{Signature, sign_as};
use super::token::AccessToken;
use super::{Registration, State, lock};

const SIGN_INS_MAX: usize = 10_000;

/// Somebody signed in at a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignIn {
    /// Where.
    pub client_id: String,
    /// Who.
    pub sub: String,
    /// Which of their sign-ins.
    pub sid: String,
}

/// Who is signed in where. When there are too many the oldest is forgotten.
#[derive(Debug, Default)]
pub(super) struct SignIns(VecDeque<SignIn>);

impl SignIns {
    fn add(&mut self, sign_in: SignIn) {
        if self.0.len() >= SIGN_INS_MAX {
            self.0.pop_front();
        }
        self.0.push_back(sign_in);
    }

    pub fn all(&self) -> Vec<SignIn> {
        self.0.iter().cloned().collect()
    }

    /// Ends all of a person's: those that there were.
    pub fn end(&mut self, sub: &str) -> Vec<SignIn> {
        let (ended, kept): (Vec<_>, Vec<_>) = self.0.drain(..).partition(|sign_in| sign_in.sub == sub);
        self.0 = kept.into();
        ended
    }
}

/// The ID token for a code, with what was asked for as a lie.
pub(super) fn issue(
    state: &State,
    client: &Registration,
    code: &Code,
    access: &AccessToken,
) -> Result<String, &'static str> {
    let now = state.now_s();
    let key = state.id_token_key().map_err(|_| "server_error")?;
    let mut claims = json!({
        "iss": state.issuer, "sub": code.sub, "aud": client.client_id, "iat": now, "exp": now + state.token_ttl_s,
        "auth_time": code.auth_time, "acr": code.acr, "sid": code.sid, "at_hash": at_hash(access)
    });
    let mut signature = Signature::Ours;
    if let Value::Object(claims) = &mut claims {
        let persona = state.personas.iter().find(|persona| persona.sub == code.sub);
        if let Some(roles) = persona.map(|persona| &persona.roles).filter(|roles| !roles.is_empty()) {
            claims.insert("roles".to_owned(), json!(roles));
            // As a provider of staff does; the label has what the sign-in page adds in brackets.
            let name = persona.map(|persona| persona.label.split('（').next().unwrap_or_default());
            claims.insert("name".to_owned(), json!(name));
        }
        if let Some(nonce) = &code.nonce {
            claims.insert("nonce".to_owned(), json!(nonce));
        }
        if let Some(lie) = &lock(&state.knobs).lie {
            signature = lie.bend(now, claims);
        }
    }
    let token = sign_as(signature, &key, "JWT", &claims).map_err(|_| "server_error")?;
    let sign_in = SignIn { client_id: client.client_id.clone(), sub: code.sub.clone(), sid: code.sid.clone() };
    lock(&state.sign_ins).add(sign_in);
    Ok(token)
}

/// The left half of the access token's SHA-256, which both ES256 and RS256 ask for.
fn at_hash(access: &AccessToken) -> String {
    let digest = digest::digest(&digest::SHA256, access.secret().as_bytes());
    BASE64URL_NOPAD.encode(digest.as_ref().get(..16).unwrap_or_default())
}
