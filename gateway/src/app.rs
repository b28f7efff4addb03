//! The one place where the gateway's objects are built and wired.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use data_encoding::{BASE64, BASE64URL_NOPAD};
use rustls::ServerConfig;
use sekisho_adapters::http::{HttpClient, Limits};
use sekisho_adapters::mail::Mailer;
use sekisho_adapters::webhook::{Secret, Webhook};
use sekisho_policy::{PartyId, Timestamp};

use crate::clock::Clock;
use crate::config::{Config, Credentials, Forward, Issuer, Source};
use crate::consent::barrier::Barrier;
use crate::forward::Recipient;
use crate::forward::outbox::Outbox;
use crate::ledger::entry::Cause;
use crate::ledger::event::{Event, RegistryActivated, TextPublished};
use crate::metrics::Metrics;
use crate::notify::Notifier;
use crate::reload::Current;
use crate::request::authenticate::KnownParty;
use crate::request::bounds::Denials;
use crate::request::dpop::Proofs;
use crate::request::fetch::Sources;
use crate::request::portal::SignIns;
use crate::request::releases::Releases;
use crate::request::token::Tokens;
use crate::store::{OpenError, Options, Store, StoreError, Watch};
use crate::tls::{self, Trust};
use crate::web::Web;
use crate::web::provider::Provider;
use crate::web::session::Sessions;
use crate::week::desk::Desk;
use crate::week::districts::Tables;

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
    by_client_with_key: HashMap<String, KnownParty>,
    origins: HashSet<String>,
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
            for client in &one.dpop_clients {
                parties.by_client_with_key.insert(client.clone(), party.clone());
            }
            parties.origins.extend(one.origins.iter().cloned());
        }
        parties
    }

    /// The party that registered this certificate.
    #[must_use]
    pub fn by_certificate(&self, thumbprint: &[u8; 32]) -> Option<&KnownParty> {
        self.by_certificate.get(thumbprint)
    }

    /// The party that registered this OAuth client to come with a key instead of a certificate.
    #[must_use]
    pub fn by_client_with_key(&self, client: &str) -> Option<&KnownParty> {
        self.by_client_with_key.get(client)
    }

    /// Whether a party's app asks from pages of this origin.
    #[must_use]
    pub fn has_origin(&self, origin: &str) -> bool {
        self.origins.contains(origin)
    }

    /// The party that registered this OAuth client.
    #[must_use]
    pub fn by_client(&self, client: &str) -> Option<&KnownParty> {
        self.by_client.get(client)
    }
}

/// Everything that a request needs: what one configuration says, and what outlives it. Never changed: a reload makes
/// another one ([`crate::reload`]).
pub struct App {
    /// The configuration in force when the request came.
    pub config: Config,
    /// How many configurations this process has had before.
    pub generation: u64,
    /// Since when it is in force; `None` where the clock could not tell.
    pub since: Option<Timestamp>,
    /// Host and port by which callers address us.
    pub authority: String,
    /// TLS of the public port.
    pub tls: Arc<ServerConfig>,
    /// Whose client certificates are accepted.
    pub trust: Trust,
    /// The store.
    pub store: Store,
    /// Parties.
    pub parties: Parties,
    /// Tokens.
    pub tokens: Tokens,
    /// Proofs of possession that were used.
    pub proofs: Arc<Proofs>,
    /// Sources.
    pub sources: Sources,
    /// Sign-ins at portals.
    pub sign_ins: Arc<SignIns>,
    /// Releases under way.
    pub releases: Arc<Releases>,
    /// Denials by party, bounded.
    pub denials: Denials,
    /// What stops them.
    pub barrier: Barrier,
    /// Pages for citizens.
    pub web: Web,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Our own certificates and the list of revoked ones by name, and when each ends.
    pub certificates: Vec<(String, Timestamp)>,
    /// What waits to be delivered.
    pub outbox: Arc<Outbox>,
    /// What the nurses' week shares.
    pub desk: Arc<Desk>,
    /// Municipalities' districts.
    pub districts: Tables,
    clients: HashMap<PartyId, HttpClient>,
    recipients: Vec<Recipient>,
    current: Weak<Current>,
}

/// What outlives a configuration.
struct Lasting {
    store: Store,
    proofs: Arc<Proofs>,
    releases: Arc<Releases>,
    sign_ins: Arc<SignIns>,
    sessions: Arc<Sessions>,
    outbox: Arc<Outbox>,
    desk: Arc<Desk>,
    metrics: Arc<Metrics>,
}

impl App {
    /// Opens the store, activates the configuration's registry and wires everything.
    ///
    /// # Errors
    /// When a file can't be used or the store doesn't open.
    pub async fn open(
        config: Config,
        clock: Clock,
        watch: Arc<Watch>,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Current>, BuildError> {
        let parts = Parts::read(&config)?;
        let options = Options {
            directory: config.server.data.clone(),
            origin: config.server.ledger.clone(),
            master_key: master_key(&config.server.master_key)?,
            clock,
        };
        let store = Store::open_watched(options, watch).await?;
        activate(&store, &config, Cause::Gateway).await?;
        let releases = Releases::new(store.clone(), Arc::clone(&metrics));
        let outbox = Outbox::open(&store).await?;
        let (sign_ins, sessions) = (Arc::default(), Arc::default());
        let began = store.clock().now().map_err(StoreError::from)?;
        let proofs = Arc::new(Proofs::since(began));
        let desk = Arc::default();
        let lasting = Lasting { store, proofs, releases, sign_ins, sessions, outbox, desk, metrics };
        Ok(Current::new(|current| Self::assemble(config, parts, lasting, current, None)))
    }

    /// The same gateway under another configuration. Nothing is changed yet, neither here nor in the store.
    ///
    /// # Errors
    /// When a file can't be used.
    pub fn under(&self, config: Config) -> Result<Self, BuildError> {
        let parts = Parts::read(&config)?;
        let lasting = Lasting {
            store: self.store.clone(),
            proofs: Arc::clone(&self.proofs),
            releases: Arc::clone(&self.releases),
            sign_ins: Arc::clone(&self.sign_ins),
            sessions: Arc::clone(&self.web.sessions),
            outbox: Arc::clone(&self.outbox),
            desk: Arc::clone(&self.desk),
            metrics: Arc::clone(&self.metrics),
        };
        Ok(Self::assemble(config, parts, lasting, self.current.clone(), Some(self)))
    }

    fn assemble(config: Config, parts: Parts, lasting: Lasting, current: Weak<Current>, before: Option<&Self>) -> Self {
        let Parts { trust, tls, clients, recipients, issuers, providers, notifier, certificates, districts } = parts;
        let Lasting { store, proofs, releases, sign_ins, sessions, outbox, desk, metrics } = lasting;
        let with_client = |s: &Source| clients.get(&s.party).map(|c| (s.clone(), c.clone()));
        let known = config.sources.iter().filter_map(with_client);
        let authority = config.server.url.trim_start_matches("https://").to_owned();
        Self {
            authority: authority.split('/').next().unwrap_or_default().to_owned(),
            generation: before.map_or(0, |before| before.generation + 1),
            since: store.clock().now().ok(),
            parties: Parties::new(&config.credentials),
            tokens: Tokens::new(config.server.url.clone(), issuers, &metrics),
            sources: Sources::new(known, before.map(|before| &before.sources)),
            denials: Denials::new(config.server.denials_per_second_max),
            barrier: Barrier::new(Arc::clone(&releases), config.server.url.clone(), Arc::clone(&metrics)),
            web: Web::new(&config, providers, notifier, sessions),
            proofs,
            sign_ins,
            trust,
            tls,
            metrics,
            certificates,
            releases,
            outbox,
            desk,
            districts,
            clients,
            recipients,
            store,
            config,
            current,
        }
    }

    /// The client of a configured source.
    #[must_use]
    pub fn http_of(&self, source: &Source) -> Option<&HttpClient> {
        self.clients.get(&source.party)
    }

    /// Who takes deliveries of this summary for a party.
    #[must_use]
    pub fn recipient(&self, party: PartyId, summary: &str) -> Option<&Recipient> {
        self.recipients.iter().find(|to| to.config.party == party && to.config.summary.name == summary)
    }

    /// What is in force now, for whoever has worked on under this one; `None` when the gateway is gone.
    #[must_use]
    pub fn now(&self) -> Option<Arc<Self>> {
        self.current.upgrade().map(|current| current.app())
    }
}

/// What is made from the files that a configuration names: everything that can be wrong with them.
struct Parts {
    trust: Trust,
    tls: Arc<ServerConfig>,
    clients: HashMap<PartyId, HttpClient>,
    recipients: Vec<Recipient>,
    issuers: Vec<(Issuer, HttpClient)>,
    providers: Vec<Provider>,
    notifier: Notifier,
    certificates: Vec<(String, Timestamp)>,
    districts: Tables,
}

impl Parts {
    fn read(config: &Config) -> Result<Self, BuildError> {
        let trust = Trust::new(&config.server)?;
        let tls = Arc::new(tls::server(&config.server, &trust)?);
        let certificates = own_certificates(config)?;
        let mut clients = HashMap::new();
        for source in &config.sources {
            clients.insert(source.party, source_client(source)?);
        }
        let (mut issuers, mut providers) = (Vec::new(), Vec::new());
        for issuer in &config.issuers {
            let tls = tls::client(&issuer.ca, None)?;
            let limits = Limits { connect_ms: 2_000, total_ms: 5_000, body_bytes_max: 256 << 10 };
            let http = HttpClient::new(tls, limits);
            if let Some(settings) = &issuer.sign_in {
                let provider = Provider::new(issuer.clone(), settings.clone(), http.clone(), &config.server.url);
                providers.push(provider.map_err(|e| unusable("key for signing in", &issuer.ca, e))?);
            }
            issuers.push((issuer.clone(), http));
        }
        let notifier = notifier(config)?;
        let recipients = config.forwards.iter().map(recipient).collect::<Result<Vec<_>, _>>()?;
        let districts = Tables::read(config).map_err(|(path, why)| unusable("table of districts", &path, why))?;
        Ok(Self { trust, tls, clients, recipients, issuers, providers, notifier, certificates, districts })
    }
}

/// The configuration's registry goes into the ledger when it differs from the one in force, and each text that was never there.
/// Tells whether the registry did.
///
/// # Errors
/// When it could not be recorded.
pub async fn activate(store: &Store, config: &Config, cause: Cause) -> Result<bool, StoreError> {
    let known = store.registry().await?;
    for text in config.texts.values().filter(|text| !known.texts.contains_key(&text.hash)) {
        let event = Event::TextPublished(TextPublished { text: text.text.clone() });
        store.record_global(event, cause).await?;
    }
    let text = config.registry.canonical();
    if known.text.canonical() == text {
        return Ok(false);
    }
    let event = Event::RegistryActivated(RegistryActivated { text });
    store.record_global(event, cause).await.map(|_| true)
}

/// Our own certificates and the list of revoked ones: a name for each, and when it ends.
fn own_certificates(config: &Config) -> Result<Vec<(String, Timestamp)>, BuildError> {
    let server = ("server".to_owned(), &config.server.certificate);
    let at_sources = config.sources.iter().filter_map(|source| {
        let (certificate, _) = source.identity.as_ref()?;
        Some((format!("source:{}", source.code), certificate))
    });
    let ends = |(name, path): (String, &PathBuf)| Ok((name, tls::ends(path)?));
    let mut all = std::iter::once(server).chain(at_sources).map(ends).collect::<Result<Vec<_>, BuildError>>()?;
    if let Some(lists) = &config.server.client_crl {
        all.push(("client_crl".to_owned(), tls::revocation_ends(lists)?));
    }
    Ok(all)
}

/// A file that can't be used.
pub(crate) fn unusable(what: &'static str, path: &Path, why: impl std::fmt::Display) -> BuildError {
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

fn notifier(config: &Config) -> Result<Notifier, BuildError> {
    let mailer = config.pages.mail.as_ref().map(|mail| Mailer::new(&mail.0)).transpose();
    let mailer = mailer.map_err(|e| unusable("mail server of [pages.mail]", &config.file, e))?;
    let mut apps = Vec::new();
    for app in &config.pages.apps {
        let limits = Limits { connect_ms: 2_000, total_ms: 10_000, body_bytes_max: 64 << 10 };
        let http = HttpClient::new(tls::client(&app.ca, None)?, limits);
        let webhook = Webhook::new(app.url.clone(), http, &app.secret);
        let webhook = webhook.map_err(|e| unusable("secret of [[pages.app]]", &config.file, e))?;
        apps.push((app.party.clone(), webhook));
    }
    Ok(Notifier { mailer, apps })
}

fn recipient(config: &Arc<Forward>) -> Result<Recipient, BuildError> {
    let identity = config.identity.as_ref().map(|(c, k)| (c.as_path(), k.as_path()));
    let mut tls = tls::client(&config.ca, identity)?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let secret = Secret::parse(&config.secret).map_err(|e| unusable("secret of [[forward]]", &config.ca, e))?;
    Ok(Recipient { config: Arc::clone(config), tls: Arc::new(tls), secret })
}

fn source_client(source: &Source) -> Result<HttpClient, BuildError> {
    let identity = source.identity.as_ref().map(|(c, k)| (c.as_path(), k.as_path()));
    let tls = tls::client(&source.ca, identity)?;
    let limits = Limits { connect_ms: 2_000, total_ms: source.timeout_ms, body_bytes_max: source.body_bytes_max };
    Ok(HttpClient::new(tls, limits))
}
