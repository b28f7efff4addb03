//! SMART scopes: which types a token's holder may ask for (SMART App Launch 2.2, scopes v2; v1's `.read` is understood too).
//!
//! They narrow what a consent covers, and never widen it. Whose records a token is for is not taken from here: the decision
//! is about one person, and says who acts. A scope with a search in it (`patient/Observation.rs?…`) grants nothing here.

/// Whether one of a token's scopes grants these rights (letters of `cruds`) on a resource type.
#[must_use]
pub fn grants(granted: &str, kind: &str, rights: &str) -> bool {
    granted.split(' ').filter_map(parse).any(|scope| grants_by(&scope, kind, rights))
}

/// Whether a token's scopes grant what this scope does: it itself, or for resources one of the same context that grants at
/// least as much (`patient/*.rs` for `patient/Immunization.rs`).
#[must_use]
pub fn covers(granted: &str, needed: &str) -> bool {
    granted.split(' ').any(|scope| {
        scope == needed
            || parse(scope).zip(parse(needed)).is_some_and(|(scope, needed)| {
                scope.context == needed.context && grants_by(&scope, needed.kind, needed.rights)
            })
    })
}

fn grants_by(scope: &Scope<'_>, kind: &str, rights: &str) -> bool {
    (scope.kind == "*" || scope.kind == kind) && rights.chars().all(|right| scope.rights.contains(right))
}

/// A scope in its parts.
#[derive(Debug, PartialEq, Eq)]
pub struct Scope<'a> {
    /// `patient`, `user` or `system`.
    pub context: &'a str,
    /// A resource type, or `*`.
    pub kind: &'a str,
    /// Letters of `cruds`.
    pub rights: &'a str,
}

/// A scope for resources, if it is one.
#[must_use]
pub fn parse(scope: &str) -> Option<Scope<'_>> {
    let (context, rest) = scope.split_once('/')?;
    let (kind, rights) = rest.split_once('.')?;
    let known = matches!(context, "patient" | "user" | "system");
    let typed = kind == "*" || (!kind.is_empty() && kind.bytes().all(|b| b.is_ascii_alphabetic()));
    let rights = match rights {
        "read" => "rs",
        "write" => "cud",
        "*" => "cruds",
        letters => in_order(letters).then_some(letters)?,
    };
    (known && typed).then_some(Scope { context, kind, rights })
}

/// Letters of `cruds`, each at most once, in that order.
fn in_order(letters: &str) -> bool {
    let mut left = "cruds".chars();
    !letters.is_empty() && letters.chars().all(|letter| left.any(|next| next == letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_grants_what_it_says_and_no_more() {
        let token = "openid patient/Immunization.rs system/Observation.r user/Patient.read";
        assert!(grants(token, "Immunization", "rs") && grants(token, "Patient", "rs"));
        assert!(grants(token, "Observation", "r") && !grants(token, "Observation", "s"));
        assert!(!grants(token, "Condition", "r") && !grants(token, "Immunization", "c"));
        assert!(grants("patient/*.rs", "Condition", "r") && grants("system/*.cruds", "Condition", "s"));
        assert!(!grants("patient/*.rs", "Condition", "u"));
    }

    #[test]
    fn a_scope_stands_for_what_it_holds_in_its_own_context() {
        for wider in
            ["patient/Immunization.rs", "patient/*.rs", "patient/Immunization.cruds", "launch/patient patient/*.read"]
        {
            assert!(covers(wider, "patient/Immunization.rs"), "{wider}");
        }
        for other in [
            "system/*.rs",
            "user/Immunization.rs",
            "patient/Immunization.r",
            "patient/Patient.rs",
            "launch/patient",
            "",
        ] {
            assert!(!covers(other, "patient/Immunization.rs"), "{other}");
        }
        assert!(covers("openid consent/propose", "consent/propose") && !covers("patient/*.cruds", "consent/propose"));
    }

    #[test]
    fn what_is_not_understood_grants_nothing() {
        for wrong in [
            "patient/Observation.rs?category=vital-signs",
            "patient/Observation.sr",
            "patient/Observation.rr",
            "patient/Observation.",
            "patient/.rs",
            "patient/Obs ervation.rs",
            "launch/Observation.rs",
            "Observation.rs",
            "patient/Observation.READ",
            "patient/**.rs",
            "",
        ] {
            assert!(!grants(wrong, "Observation", "r"), "{wrong}");
        }
    }
}
