//! Tokens bound to a client's key (RFC 9449 §5): the thumbprint of the key that a proof at the token endpoint is signed by.
//! A development provider looks at no more of it than that.

use jsonwebtoken::jwk::ThumbprintHash;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;

/// The key's thumbprint, if the proof is signed by the key that it carries, for this endpoint.
pub(super) fn thumbprint(proof: &str, endpoint: &str) -> Option<String> {
    let header = jsonwebtoken::decode_header(proof).ok()?;
    if header.typ.as_deref() != Some("dpop+jwt") || !matches!(header.alg, Algorithm::ES256 | Algorithm::EdDSA) {
        return None;
    }
    let jwk = header.jwk?;
    let mut validation = Validation::new(header.alg);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    let claims = jsonwebtoken::decode::<Value>(proof, &key, &validation).ok()?.claims;
    let about = (claims.get("htm")?.as_str()?, claims.get("htu")?.as_str()?);
    if about != ("POST", endpoint) {
        return None;
    }
    jwk.thumbprint(ThumbprintHash::SHA256).ok()
}
