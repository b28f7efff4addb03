//! The one place where the gateway's objects are built and wired.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use sekisho_adapters::http::{HttpClient, Limits};
use sekisho_policy::{PartyId, Timestamp};

use crate::clock::Clock;
use crate::config::{Config, Credentials, Source};
use crate::consent::barrier::Barrier;
use crate::ledger::entry::Cause;
use crate::ledger::event::{Event, RegistryActivated};
use crate::metrics::Metrics;
use crate::request::authenticate::KnownParty;
use crate::request::bounds::Denials;
use crate::request::fetch::Sources;
use crate::request::portal::SignIns;
use crate::request::releases::Releases;
use crate::request::token::Tokens;
use crate::store::{OpenError, Options, Store, StoreError, Watch};

/// Why the gateway can't be built. Each message names the file or step.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file can't be used.
    #[error("{what} {path}: {why}")]
    File {
        /// What it should be.
        what: &'static str,
        /// Which file.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// TLS settings that don't fit together.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The store.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The store, after opening.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Parties by what they prove themselves with.
#[derive(Debug, Default)]
pub struct Parties {
    by_certificate: HashMap<[u8; 32], KnownParty>,
    by_client: HashMap<String, KnownParty>,
}

impl Parties {
    fn new(credentials: &[Credentials]) -> Self {
        let mut parties = Self::default();
        for one in credentials {
            let party = KnownParty { id: one.party, code: Arc::from(one.code.as_str()) };
            for thumbprint in &one.certificates {
                let bytes = BASE64URL_NOPAD.decode(thumbprint.as_bytes()).ok().and_then(|b| b.try_into().ok());
                bytes.map(|b: [u8; 32]| parties.by_certificate.insert(b, party.clone()));
            }
            for client in &one.clients {
                parties.by_client.insert(client.clone(), party.clone());
            }
        }
        parties
    }

    /// The party that registered this certificate.
    #[must_use]
    pub fn by_certificate(&self, thumbprint: &[u8; 32]) -> Option<&KnownParty> {
        self.by_certificate.get(thumbprint)
    }

    /// The party that registered this OAuth client.
    #[must_use]
    pub fn by_client(&self, client: &str) -> Option<&KnownParty> {
        self.by_client.get(client)
    }
}

/// Everything that a request needs.
pub struct App {
    /// The configuration in force.
    pub config: Config,
    /// Host and port by which callers address us.
    pub authority: String,
    /// The store.
    pub store: Store,
    /// Parties.
    pub parties: Parties,
    /// Tokens.
    pub tokens: Tokens,
    /// Sources.
    pub sources: Sources,
    /// Sign-ins at portals.
    pub sign_ins: SignIns,
    /// Releases under way.
    pub releases: Arc<Releases>,
    /// Denials by party, bounded.
    pub denials: Denials,
    /// What stops them.
    pub barrier: Barrier,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Our own certificates by name, and when each ends.
    pub certificates: Vec<(String, Timestamp)>,
    clients: HashMap<PartyId, HttpClient>,
}

impl App {
    /// Opens the store, activates the configuration's registry and wires everything.
    ///
    /// # Errors
    /// When a file can't be used or the store doesn't open.
    pub async fn build(
        config: Config,
        clock: Clock,
        watch: Arc<Watch>,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, BuildError> {
        let certificates = own_certificates(&config)?;
        let options = Options {
            directory: config.server.data.clone(),
            origin: config.server.ledger.clone(),
            master_key: master_key(&config.server.master_key)?,
            clock,
        };
        let store = Store::open_watched(options, watch).await?;
        activate(&store, &config).await?;
        let mut clients = HashMap::new();
        for source in &config.sources {
            clients.insert(source.party, source_client(source)?);
        }
        let mut issuers = Vec::new();
        for issuer in &config.issuers {
            let tls = client_tls(&issuer.ca, None)?;
            let limits = Limits { connect_ms: 2_000, total_ms: 5_000, body_bytes_max: 256 << 10 };
            issuers.push((issuer.clone(), HttpClient::new(tls, limits)));
        }
        let with_client = |s: &Source| clients.get(&s.party).map(|c| (s.clone(), c.clone()));
        let releases = Releases::new(store.clone(), Arc::clone(&metrics));
        let authority = config.server.url.trim_start_matches("https://").to_owned();
        Ok(Arc::new(Self {
            authority: authority.split('/').next().unwrap_or_default().to_owned(),
            parties: Parties::new(&config.credentials),
            tokens: Tokens::new(config.server.url.clone(), issuers, &metrics),
            sources: Sources::new(config.sources.iter().filter_map(with_client)),
            sign_ins: SignIns::default(),
            denials: Denials::new(config.server.denials_per_second_max),
            barrier: Barrier::new(
                store.clone(),
                Arc::clone(&releases),
                config.server.url.clone(),
                Arc::clone(&metrics),
            ),
            metrics,
            certificates,
            releases,
            clients,
            store,
            config,
        }))
    }

    /// The client of a configured source.
    #[must_use]
    pub fn http_of(&self, source: &Source) -> Option<&HttpClient> {
        self.clients.get(&source.party)
    }

    /// TLS of the public port.
    ///
    /// # Errors
    /// When certificate, key or authorities can't be used.
    pub fn server_tls(&self) -> Result<ServerConfig, BuildError> {
        let server = &self.config.server;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let roots = Arc::new(roots(&server.client_ca)?);
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
            .allow_unauthenticated()
            .build()
            .map_err(|e| unusable("client authorities", &server.client_ca, e))?;
        let mut tls = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain(&server.certificate)?, key(&server.key)?)?;
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(tls)
    }
}

/// Our own certificates: a name for each, and when it ends.
fn own_certificates(config: &Config) -> Result<Vec<(String, Timestamp)>, BuildError> {
    let server = ("server".to_owned(), &config.server.certificate);
    let at_sources = config.sources.iter().filter_map(|source| {
        let (certificate, _) = source.identity.as_ref()?;
        Some((format!("source:{}", source.code), certificate))
    });
    let ends = |(name, path): (String, &PathBuf)| Ok((name, ends(path)?));
    std::iter::once(server).chain(at_sources).map(ends).collect()
}

/// When the first certificate of a file ends.
fn ends(path: &Path) -> Result<Timestamp, BuildError> {
    let chain = chain(path)?;
    let parsed = chain.first().and_then(|first| x509_parser::parse_x509_certificate(first).ok());
    let (_, certificate) = parsed.ok_or_else(|| unusable("certificates", path, "the first is not a certificate"))?;
    Ok(Timestamp::from_millis(certificate.validity().not_after.timestamp().saturating_mul(1_000)))
}

/// The configuration's registry goes into the ledger when it differs from the one in force.
async fn activate(store: &Store, config: &Config) -> Result<(), StoreError> {
    let text = config.registry.canonical();
    if store.registry().await?.text.canonical() == text {
        return Ok(());
    }
    let event = Event::RegistryActivated(RegistryActivated { text });
    store.record_global(event, Cause::Gateway).await.map(|_| ())
}

fn unusable(what: &'static str, path: &Path, why: impl std::fmt::Display) -> BuildError {
    BuildError::File { what, path: path.display().to_string(), why: why.to_string() }
}

/// Reads the master key: 32 bytes in base64 (for example `head -c 32 /dev/urandom | base64`).
///
/// # Errors
/// When the file can't be read or isn't that.
pub fn master_key(path: &Path) -> Result<[u8; 32], BuildError> {
    let text = std::fs::read_to_string(path).map_err(|e| unusable("master key", path, e))?;
    let bytes = BASE64.decode(text.trim().as_bytes()).ok().and_then(|b| b.try_into().ok());
    bytes.ok_or_else(|| unusable("master key", path, "must be 32 bytes in base64"))
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|e| unusable("certificates", path, e))?;
    certificates.collect::<Result<_, _>>().map_err(|e| unusable("certificates", path, e))
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, BuildError> {
    PrivateKeyDer::from_pem_file(path).map_err(|e| unusable("key", path, e))
}

fn roots(path: &Path) -> Result<RootCertStore, BuildError> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(path)? {
        roots.add(certificate).map_err(|e| unusable("authority", path, e))?;
    }
    Ok(roots)
}

fn client_tls(ca: &Path, identity: Option<(&Path, &Path)>) -> Result<ClientConfig, BuildError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots(ca)?);
    Ok(match identity {
        Some((certificate, key_file)) => builder.with_client_auth_cert(chain(certificate)?, key(key_file)?)?,
        None => builder.with_no_client_auth(),
    })
}

fn source_client(source: &Source) -> Result<HttpClient, BuildError> {
    let identity = source.identity.as_ref().map(|(c, k)| (c.as_path(), k.as_path()));
    let tls = client_tls(&source.ca, identity)?;
    let limits = Limits { connect_ms: 2_000, total_ms: source.timeout_ms, body_bytes_max: source.body_bytes_max };
    Ok(HttpClient::new(tls, limits))
}
