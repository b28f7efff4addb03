//! What both proxies are given: certificates, and children with a Bundle of exactly 2,600 bytes each.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use jiff::civil::date;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sekisho_adapters::certs::{self, ALPN_H1, DevCa, Identity, Validity};
use sekisho_adapters::fhir_server::stand_in::{FhirOptions, FhirServer, Knobs};
use sekisho_adapters::http::{HttpClient, Limits};
use sekisho_adapters::people::{Child, People, fhir};

use crate::Failure;

/// Bytes of every answer of the upstream.
pub const BODY_BYTES: usize = 2_600;
/// Children who are asked about, one per connection of the load.
pub const CHILDREN: usize = 32;

const SEED: u64 = 2_600;
const FAMILIES: usize = 200;

/// Where cargo builds to: this program lies in `TARGET/release` or `TARGET/debug`.
pub fn target_directory() -> Result<PathBuf, Failure> {
    let myself = std::env::current_exe()?;
    let target = myself.parent().and_then(Path::parent).ok_or("this program lies in no target directory")?;
    Ok(target.to_owned())
}

/// Milliseconds since the epoch.
#[expect(clippy::disallowed_methods, reason = "certificates and tokens of the bench are valid now, by the real clock")]
pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A fresh authority and what it issued; the files lie in `work`.
pub struct World {
    /// The directory of this run.
    pub work: PathBuf,
    /// The authority of every certificate.
    pub ca: DevCa,
    /// The client certificate of the load generator.
    pub client: Identity,
    /// The children, with what the upstream answers about them.
    pub children: Vec<Child>,
}

impl World {
    /// Makes certificates and children, and writes what the other processes need.
    pub async fn make(work: &Path) -> Result<Self, Failure> {
        std::fs::create_dir_all(work)?;
        let now = now_ms();
        let ca = DevCa::new(now)?;
        let server = ca.server(Validity::around(now))?;
        let client = ca.client("bench clinic", Validity::around(now))?;
        write(work, "ca.pem", &ca.pem())?;
        for (name, identity) in [("server", &server), ("client", &client)] {
            write(work, &format!("{name}.pem"), identity.cert_pem())?;
            write(work, &format!("{name}.key"), identity.key_pem())?;
        }
        let children = children();
        let bodies = rendered(&ca, &server, &children).await?;
        write(work, "bodies.json", &serde_json::to_string(&bodies)?)?;
        Ok(Self { work: work.to_owned(), ca, client, children })
    }
}

fn write(work: &Path, name: &str, text: &str) -> Result<(), Failure> {
    Ok(std::fs::write(work.join(name), text)?)
}

/// Those synthetic children whose history fills the Bundle best, so that little of it is padding.
fn children() -> Vec<Child> {
    let families = People::new(SEED, date(2026, 6, 1)).families().take(FAMILIES);
    let mut children: Vec<Child> = families.flat_map(|family| family.children).collect();
    let bytes = |child: &Child| -> usize {
        fhir::resources_within(child, BODY_BYTES).iter().map(|resource| resource.to_string().len()).sum()
    };
    children.sort_by_cached_key(|child| std::cmp::Reverse(bytes(child)));
    children.truncate(CHILDREN);
    children
}

/// What a FHIR server answers to a search for each child, padded to the byte by the stand-in.
async fn rendered(ca: &DevCa, server: &Identity, children: &[Child]) -> Result<BTreeMap<String, String>, Failure> {
    let fhir_server = FhirServer::start(FhirOptions {
        bind: SocketAddr::from(([127, 0, 0, 1], 0)),
        tls: certs::server_config(server.chain(), server.key(), None, false, ALPN_H1)?,
        now: Arc::new(now_ms),
    })
    .await?;
    for child in children {
        fhir_server.put(&child.person.id, fhir::resources_within(child, BODY_BYTES));
    }
    fhir_server.set_knobs(Knobs { pad_to_bytes: Some(BODY_BYTES), ..Knobs::default() });
    let limits = Limits { connect_ms: 2_000, total_ms: 5_000, body_bytes_max: 1 << 20 };
    let http = HttpClient::new(certs::client_config(ca.roots()?, None, ALPN_H1)?, limits);
    let mut bodies = BTreeMap::new();
    for child in children {
        let url = format!("{}/Immunization?patient={}", fhir_server.url(), child.person.id);
        let answer = http.send(http::Request::get(url).body(Bytes::new())?).await?;
        let body = String::from_utf8(answer.body.to_vec())?;
        if body.len() != BODY_BYTES {
            return Err(format!("a Bundle has {} bytes instead of {BODY_BYTES}", body.len()).into());
        }
        bodies.insert(child.person.id.clone(), body);
    }
    Ok(bodies)
}

/// The upstream's answers by child.
pub fn bodies(work: &Path) -> Result<BTreeMap<String, String>, Failure> {
    Ok(serde_json::from_slice(&std::fs::read(work.join("bodies.json"))?)?)
}

/// TLS of the upstream.
pub fn upstream_tls(work: &Path) -> Result<rustls::ServerConfig, Failure> {
    let (chain, key) = identity(work, "server")?;
    Ok(certs::server_config(chain, key, None, false, ALPN_H1)?)
}

fn roots(work: &Path) -> Result<rustls::RootCertStore, Failure> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(work.join("ca.pem"))?)?;
    Ok(roots)
}

/// TLS of the relay towards its clients, whose certificates it demands.
pub fn relay_tls(work: &Path) -> Result<rustls::ServerConfig, Failure> {
    let (chain, key) = identity(work, "server")?;
    Ok(certs::server_config(chain, key, Some(Arc::new(roots(work)?)), true, ALPN_H1)?)
}

/// TLS without a certificate of one's own: towards the upstream.
pub fn plain_tls(work: &Path) -> Result<rustls::ClientConfig, Failure> {
    Ok(certs::client_config(Arc::new(roots(work)?), None, ALPN_H1)?)
}

/// TLS of the load generator: TLS 1.3 with the client certificate.
pub fn load_tls(work: &Path) -> Result<rustls::ClientConfig, Failure> {
    let roots = roots(work)?;
    let (chain, key) = identity(work, "client")?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    tls.alpn_protocols = ALPN_H1.iter().map(|name| name.to_vec()).collect();
    Ok(tls)
}

type ChainAndKey = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn identity(work: &Path, name: &str) -> Result<ChainAndKey, Failure> {
    let chain = CertificateDer::pem_file_iter(work.join(format!("{name}.pem")))?.collect::<Result<_, _>>()?;
    Ok((chain, PrivateKeyDer::from_pem_file(work.join(format!("{name}.key")))?))
}
