//! Deliveries (`[[forward]]`): where a party takes a summary that a person's app asks to have sent ahead of a visit.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sekisho_policy::PartyId;

use super::read::Section;
use super::{Summary, file, optional_file};
use crate::ids::party_id;
use crate::ledger::merkle::sha256;
use crate::store::registry::RegistryText;

/// Where a party takes deliveries.
#[derive(Clone, PartialEq, Eq)]
pub struct Forward {
    /// Who receives.
    pub party: PartyId,
    /// Its code.
    pub code: String,
    /// What is sent.
    pub summary: Arc<Summary>,
    /// Where to: host, port and path.
    pub url: url::Url,
    /// Authority of its certificate, PEM.
    pub ca: PathBuf,
    /// Our client certificate and key there, PEM, where it wants one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// What deliveries are signed under (`whsec_…`).
    pub secret: String,
    /// The addresses that its name may stand for; empty: any public one, and no other.
    pub addresses: Vec<IpAddr>,
    /// SHA-256 over the files as they were read: what is in force is not the same once one of them was replaced.
    pub files: [u8; 32],
    /// How long reaching it may take, and again sending and the answer.
    pub timeout: Duration,
}

impl std::fmt::Debug for Forward {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forward")
            .field("party", &self.code)
            .field("summary", &self.summary.name)
            .finish_non_exhaustive()
    }
}

pub(super) fn read(
    s: &mut Section<'_, '_, '_>,
    base: &Path,
    registry: &RegistryText,
    summaries: &[Arc<Summary>],
) -> Option<Forward> {
    let code = s
        .parsed("party", "the code of a registered party", |text| registry.party(text).map(|party| party.code.clone()));
    let summary = s.parsed("summary", "the name of a [[summary]]", |text| {
        summaries.iter().find(|summary| summary.name == text).map(Arc::clone)
    });
    let url = s.parsed("url", "an https address without user name or fragment", |text| {
        let url = url::Url::parse(text).ok()?;
        let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        (url.scheme() == "https" && plain && url.host().is_some()).then_some(url)
    });
    let ca = file(s, "ca", base, "PEM file with the authority of the party's certificate");
    let certificate = optional_file(s, "certificate", base, "PEM file with our certificate there");
    let key = optional_file(s, "key", base, "PEM file with its key");
    let secret = file(s, "secret_file", base, "file with the secret that deliveries are signed under (whsec_…)");
    let mut addresses = Vec::new();
    for text in s.texts("addresses", "IP addresses that the party's name may stand for") {
        match text.value.parse::<IpAddr>() {
            Ok(address) => addresses.push(address.to_canonical()),
            Err(_) => s.wrong(text.offset, "addresses", &format!("holds `{}`, which is no IP address", text.value)),
        }
    }
    let timeout = Duration::from_millis(s.number("timeout_ms", 10_000, 100..=60_000));
    let named = [Some(&ca), certificate.as_ref(), key.as_ref()];
    let read = |path: Option<&PathBuf>| path.and_then(|path| std::fs::read(path).ok()).unwrap_or_default();
    let files = sha256(&named.map(|path| sha256(&read(path))).concat());
    let code = code?.value;
    Some(Forward {
        party: party_id(&code),
        code,
        summary: summary?.value,
        url: url?.value,
        ca,
        identity: certificate.zip(key),
        secret: std::fs::read_to_string(secret).unwrap_or_default(),
        addresses,
        files,
        timeout,
    })
}

/// One of a party for a summary: a second would leave open where it goes.
pub(super) fn compare(top: &mut Section<'_, '_, '_>, all: &[Arc<Forward>]) {
    let same = |a: &Forward, b: &Forward| a.party == b.party && a.summary.name == b.summary.name;
    for (at, one) in all.iter().enumerate() {
        if all.iter().skip(at + 1).any(|other| same(one, other)) {
            let offset = top.offset();
            top.wrong(offset, "forward", &format!("is there twice for `{}` and `{}`", one.code, one.summary.name));
        }
    }
}
