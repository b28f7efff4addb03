//! Parties, purposes, categories and rules, from the configuration file to the registry that goes into the ledger.

use std::collections::BTreeMap;

use sekisho_policy::Code;

use super::read::{At, Section};
use super::{Credentials, InForce, Issuer};
use crate::ids::party_id;
use crate::ledger::event::ConsentText;
use crate::store::registry::{CategoryText, Coverage, PartyText, PurposeText, RegistryText, RulesText, party_kind};
use crate::store::state::category_version;

type Read = (RegistryText, Vec<Credentials>, BTreeMap<String, InForce>);

pub(super) fn read(top: &mut Section<'_, '_, '_>) -> Read {
    let (mut registry, mut credentials, mut texts) = (RegistryText::default(), Vec::new(), BTreeMap::new());
    top.each("party", |s| {
        let (party, how) = party(s);
        credentials.push(how);
        registry.parties.push(party);
    });
    top.each("purpose", |s| {
        let (purpose, text) = purpose(s);
        texts.extend(text.map(|text| (purpose.code.clone(), text)));
        registry.purposes.push(purpose);
    });
    top.each("category", |s| registry.categories.push(category(s)));
    if let Some(rules) =
        top.one("rules", |s| RulesText { guardian_refusal_stands: s.flag("guardian_refusal_stands", true) })
    {
        registry.rules = rules;
    }
    for (purpose, text) in &texts {
        for code in &text.compulsory {
            let known = registry.categories.iter().any(|c| c.version.split_once('@').is_some_and(|(of, _)| of == code));
            if !known {
                top.problems.at(
                    0,
                    format!("purpose `{purpose}`: `compulsory` holds `{code}`, of which no category is registered"),
                );
            }
        }
    }
    if top.problems.is_empty()
        && let Err(error) = registry.to_policy(&[])
    {
        top.problems.at(0, error.to_string());
    }
    (registry, credentials, texts)
}

/// A certificate or client that two parties share, or that is our own, would let one speak for the other.
pub(super) fn compare(top: &mut Section<'_, '_, '_>, credentials: &[Credentials], issuers: &[Issuer]) {
    let mut seen: BTreeMap<&str, &str> =
        issuers.iter().map(|i| (i.own_client.as_str(), "the gateway itself")).collect();
    for one in credentials {
        for proof in one.certificates.iter().chain(&one.clients).chain(&one.dpop_clients) {
            if let Some(other) = seen.insert(proof, &one.code) {
                let message = format!("`{proof}` belongs to `{}` and to `{other}`: it must be one party's", one.code);
                top.problems.at(0, message);
            }
        }
    }
}

fn code(s: &mut Section<'_, '_, '_>) -> String {
    let parsed = s.parsed("code", "a lower-case letter, then up to 30 of a-z, 0-9 and -", |t| Code::parse(t).ok());
    parsed.map(|c| c.value.as_str().to_owned()).unwrap_or_default()
}

fn party(s: &mut Section<'_, '_, '_>) -> (PartyText, Credentials) {
    let code = code(s);
    let kind = s.parsed("kind", "one of phr-app, clinic, municipality, consultation-service, research, portal", |t| {
        party_kind(t).filter(|k| *k != sekisho_policy::PartyKind::Person).map(|_| t.to_owned())
    });
    let certificates = s.texts("certificates", "SHA-256 of client certificates, base64url");
    for At { value, offset } in &certificates {
        if data_encoding::BASE64URL_NOPAD.decode(value.as_bytes()).map_or(0, |d| d.len()) != 32 {
            s.wrong(*offset, "certificates", "must hold SHA-256 thumbprints in base64url (43 letters), as x5t#S256");
        }
    }
    let clients = s.texts("clients", "OAuth client ids");
    let dpop_clients = s.texts("dpop_clients", "OAuth client ids that come with a key instead of a certificate");
    let origins = s.texts("origins", "origins of browser apps such as https://app.example");
    for At { value, offset } in &origins {
        if !is_origin(value) {
            s.wrong(
                *offset,
                "origins",
                &format!("holds `{value}`, which is not an origin such as https://app.example"),
            );
        }
    }
    let credentials = Credentials {
        party: party_id(&code),
        code: code.clone(),
        certificates: certificates.into_iter().map(|c| c.value).collect(),
        clients: clients.into_iter().map(|c| c.value).collect(),
        dpop_clients: dpop_clients.into_iter().map(|c| c.value).collect(),
        origins: origins.into_iter().map(|o| o.value).collect(),
    };
    let party = PartyText {
        kind: kind.map(|k| k.value).unwrap_or_default(),
        name_ja: s.text("name_ja", "name in Japanese").value,
        name_en: s.text("name_en", "name in English").value,
        code,
    };
    (party, credentials)
}

/// An origin as browsers write it, by TLS.
fn is_origin(text: &str) -> bool {
    url::Url::parse(text).is_ok_and(|url| url.scheme() == "https" && url.origin().ascii_serialization() == text)
}

fn purpose(s: &mut Section<'_, '_, '_>) -> (PurposeText, Option<InForce>) {
    let code = code(s);
    let receivers = s.texts("receivers", "kinds of party, or person");
    for At { value, offset } in &receivers {
        if party_kind(value).is_none() {
            s.wrong(*offset, "receivers", &format!("holds `{value}`, which is not a kind of receiver"));
        }
    }
    let purpose = PurposeText {
        code,
        label_ja: s.text("label_ja", "label in Japanese").value,
        label_en: s.text("label_en", "label in English").value,
        receivers: receivers.into_iter().map(|r| r.value).collect(),
        longest_days: s.number("longest_days", 365, 1..=3_660) as u32,
        one_guardian_alone: s.flag("one_guardian_alone", false),
        purpose_of_use: s.text("purpose_of_use", "HL7 v3 PurposeOfUse code such as PATRQT").value,
        visit_hours_after: s.optional_number("visit_hours_after", 0..=744).map(|hours| hours as u32),
    };
    let only_themselves = purpose.receivers.iter().all(|kind| kind == "person") && !purpose.receivers.is_empty();
    (purpose, (!only_themselves).then(|| text(s)))
}

/// What people are asked to agree to. Who looks at what is their own agrees to nothing.
fn text(s: &mut Section<'_, '_, '_>) -> InForce {
    let text = ConsentText {
        version: s.text("text_version", "version of the text that people agree to").value,
        ja: s.text("text_ja", "the text that people agree to, in Japanese").value,
        en: s.text("text_en", "the same in English").value,
        benefit_ja: s.text("benefit_ja", "what good it does, in Japanese").value,
        benefit_en: s.text("benefit_en", "the same in English").value,
        refusing_ja: s.text("refusing_ja", "what refusing means, honestly, in Japanese").value,
        refusing_en: s.text("refusing_en", "the same in English").value,
    };
    let compulsory = s.texts("compulsory", "codes of categories without which nothing goes, such as identity");
    InForce { hash: text.hash(), text, compulsory: compulsory.into_iter().map(|code| code.value).collect() }
}

fn category(s: &mut Section<'_, '_, '_>) -> CategoryText {
    let version =
        s.parsed("version", "a code and version such as vaccination@1", |t| category_version(t).map(|_| t.to_owned()));
    let mut covers = Vec::new();
    let (label_ja, label_en) =
        (s.text("label_ja", "label in Japanese").value, s.text("label_en", "label in English").value);
    let own_consent_age = s.number("own_consent_age", 18, 0..=18) as u8;
    let quiet = s.flag("quiet", false);
    s.each("covers", |c| covers.push(coverage(c)));
    CategoryText {
        version: version.map(|v| v.value).unwrap_or_default(),
        label_ja,
        label_en,
        own_consent_age,
        quiet,
        covers,
    }
}

fn coverage(s: &mut Section<'_, '_, '_>) -> Coverage {
    let texts = |list: Vec<At<String>>| list.into_iter().map(|t| t.value).collect::<Vec<_>>();
    let resource = s.parsed("resource", "a FHIR resource type such as Immunization", |t| {
        let letters = t.bytes().all(|b| b.is_ascii_alphabetic()) && t.starts_with(|c: char| c.is_ascii_uppercase());
        letters.then(|| t.to_owned())
    });
    let elements = s.texts("elements", "top-level elements that may pass");
    for At { value, offset } in &elements {
        if matches!(value.as_str(), "text" | "contained" | "meta" | "link" | "extension" | "modifierExtension") {
            let what = format!("holds `{value}`, which is never passed on whole (narrative is made anew)");
            s.wrong(*offset, "elements", &what);
        }
    }
    Coverage {
        resource: resource.map(|r| r.value).unwrap_or_default(),
        elements: texts(elements),
        extensions: texts(s.texts("extensions", "URLs of extensions that may pass")),
        code_element: s.optional_text("code_element", "element that holds the code").map(|t| t.value),
        codes: texts(s.texts("codes", "codes as system|code")),
        date_elements: texts(s.texts("date_elements", "elements that hold the date")),
    }
}
