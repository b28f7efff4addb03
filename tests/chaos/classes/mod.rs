//! The ways in which a token can be forged, bent or confused. Each gives a token that must be refused.

mod claims;
mod header;
mod text;

use crate::dice::Dice;
use crate::forge::Forge;

/// With which certificate a token comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// The one that good tokens are bound to.
    Bound,
    /// Another party's.
    Other,
    None,
}

/// A token to try.
#[derive(Debug)]
pub struct Attempt {
    pub token: String,
    pub certificate: Certificate,
    /// How many seconds from now it is tried.
    pub later_s: i64,
}

fn now(token: String) -> Attempt {
    Attempt { token, certificate: Certificate::Bound, later_s: 0 }
}

type Class = fn(&Forge, &mut Dice) -> Attempt;

/// Every class, by name.
pub const CLASSES: &[(&str, Class)] = &[
    ("alg none", header::none),
    ("HMAC with the public key", header::hmac_with_public_key),
    ("key id", header::key_id),
    ("key in the header", header::key_in_header),
    ("forger's own key", header::own_key),
    ("header member twice", header::header_twice),
    ("claim twice", claims::claim_twice),
    ("huge or deep", claims::huge),
    ("type", header::wrong_type),
    ("algorithm by another name", header::wrong_algorithm),
    ("critical", header::critical),
    ("bound to something else", claims::binding),
    ("with another certificate", claims::other_certificate),
    ("after its expiry", claims::replay),
    ("times", claims::times),
    ("audience", claims::audience),
    ("issuer", claims::issuer),
    ("shape of the claims", claims::shape),
    ("bytes changed", text::bytes_changed),
    ("parts of two tokens", text::swapped),
    ("signature's numbers", text::signature_numbers),
    ("base64url", text::encoding),
    ("another form", text::form),
];
