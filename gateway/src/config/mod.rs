//! The configuration: one TOML file, read whole or refused whole.
//!
//! [`Config::read`] reports every problem at once with its line (`sekisho check`). What it returns is checked: every
//! route names registered parties, purposes and categories; every file that is named could be read.

mod forward;
mod pages;
mod read;
mod registry;
mod routes;
mod summary;
pub mod week;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sekisho_adapters::consultation::Shape;
use sekisho_adapters::my_portal::PortalCodes;
use sekisho_policy::PartyId;
use toml::de::DeTable;

pub use forward::Forward;
pub use pages::{Pages, SignIn, Staff};
pub use read::Problem;
use read::{At, Problems, Section};
pub use routes::{Form, PurposeFrom, Route, RouteSource, SubjectIn, segments as route_segments};
pub use summary::Summary;
pub use week::Week;

use crate::ids::party_id;
use crate::ledger::event::ConsentText;
use crate::store::registry::RegistryText;

/// A configuration that holds together.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it was read from, which a reload reads again.
    pub file: PathBuf,
    /// Where and as what to serve.
    pub server: Server,
    /// Token issuers.
    pub issuers: Vec<Issuer>,
    /// What goes into the ledger: parties, purposes, categories, rules.
    pub registry: RegistryText,
    /// How parties prove who they are.
    pub credentials: Vec<Credentials>,
    /// The text to agree to, by purpose.
    pub texts: BTreeMap<String, InForce>,
    /// Where data comes from.
    pub sources: Vec<Source>,
    /// What may be asked, parts of summaries included.
    pub routes: Vec<Arc<Route>>,
    /// What is put together from several sources.
    pub summaries: Vec<Arc<Summary>>,
    /// Where summaries are delivered.
    pub forwards: Vec<Arc<Forward>>,
    /// The nurses' week, where there is one.
    pub week: Option<Arc<Week>>,
    /// People who may use the operators' socket, by user id.
    pub operators: Vec<Operator>,
    /// The citizens' pages.
    pub pages: Pages,
}

/// Where and as what to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Address of the public port.
    pub listen: SocketAddr,
    /// The base URL by which callers know the gateway; the audience of their tokens.
    pub url: String,
    /// Certificate chain, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// Authorities that issue the parties' certificates, PEM.
    pub client_ca: PathBuf,
    /// What they have revoked, PEM: a list of each of them.
    pub client_crl: Option<PathBuf>,
    /// Whether TLS 1.2 is spoken beside 1.3.
    pub tls12: bool,
    /// Directory of ledger, vault and index.
    pub data: PathBuf,
    /// File with the master key: 32 bytes in base64.
    pub master_key: PathBuf,
    /// Name of the ledger on its checkpoints.
    pub ledger: String,
    /// Unix socket for operators.
    pub operators_socket: PathBuf,
    /// Connections at once, at most.
    pub connections_max: usize,
    /// Of those, from one address, at most.
    pub connections_per_address_max: usize,
    /// Denials that one party may cause in a second.
    pub denials_per_second_max: u32,
    /// Worker threads.
    pub workers: usize,
    /// How long requests under way may take to finish at a stop.
    pub drain: Duration,
    /// Address of the management port, if there is one.
    pub management: Option<SocketAddr>,
    /// How long what the law makes us keep of an erased person is kept, in years.
    pub records_kept_years: u16,
    /// Free space below which the data directory's disk makes the gateway not ready, in MiB.
    pub disk_free_min_mib: u64,
}

/// A token issuer.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Its identifier.
    pub url: String,
    /// Authority of its certificate, PEM.
    pub ca: PathBuf,
    /// Our own client there: tokens issued to it are people's, at our pages.
    pub own_client: String,
    /// `acr` values that count as step-up.
    pub step_up_acr: Vec<String>,
    /// Longest age of a sign-in that may grant, in seconds.
    pub step_up_max_age_s: u64,
    /// How long fetched keys are used, in seconds.
    pub keys_max_age_s: u64,
    /// How people sign in there at our pages, where they do.
    pub sign_in: Option<SignIn>,
}

impl Issuer {
    /// Whose staff it signs in; its logins are nobody's as a citizen.
    #[must_use]
    pub fn staff(&self) -> Option<&Staff> {
        self.sign_in.as_ref()?.staff.as_ref()
    }
}

/// How a party proves who it is.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Which party.
    pub party: PartyId,
    /// Its code.
    pub code: String,
    /// SHA-256 of its client certificates, base64url, as in `x5t#S256`.
    pub certificates: Vec<String>,
    /// Its OAuth clients.
    pub clients: Vec<String>,
    /// Its OAuth clients that come with a key instead of a certificate (RFC 9449).
    pub dpop_clients: Vec<String>,
    /// Origins of its browser apps.
    pub origins: Vec<String>,
}

/// The text that a person is asked to agree to now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InForce {
    /// What it says.
    pub text: ConsentText,
    /// Its hash, by which it is agreed to.
    pub hash: [u8; 32],
    /// Codes of categories that are part of every consent for the purpose.
    pub compulsory: Vec<String>,
}

/// A party that holds data, and how to ask it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Which party.
    pub party: PartyId,
    /// Its code.
    pub code: String,
    /// Base URL.
    pub url: String,
    /// Authority of its certificate, PEM.
    pub ca: PathBuf,
    /// Our client certificate and key there, PEM, where it wants one.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// How long an answer may take, in milliseconds.
    pub timeout_ms: u64,
    /// Largest answer, in bytes.
    pub body_bytes_max: usize,
    /// What kind of system.
    pub kind: SourceKind,
}

/// What kind of system a source is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// A FHIR R4 server.
    Fhir,
    /// A PHR app (docs/phr-app-source.md).
    PhrApp,
    /// An online consultation service (docs/consultation-source.md). Nothing is asked of it by a route: `[week]` collects.
    Consultation(Shape),
    /// A My Portal-style source.
    MyPortal {
        /// Our registered client.
        client_id: String,
        /// Where the portal sends people back to.
        redirect_uri: String,
        /// Codes that the portal's specification gives.
        codes: Box<PortalCodes>,
    },
}

/// A person who operates the gateway.
#[derive(Clone, Debug)]
pub struct Operator {
    /// The name that goes into the ledger.
    pub name: String,
    /// Unix user id.
    pub uid: u32,
    /// What this person may do.
    pub roles: Vec<Role>,
}

/// What an operator may do at the operators' socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Keeps the gateway running: checkpoints, reloads, backups. Sees nothing about people.
    Operator,
    /// Acts for the municipality: enrolment, links, guardianship, blocks, bases, erasure.
    Official,
    /// Looks: explained decisions, reports, exports. Each look is recorded.
    Auditor,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Operator, Self::Official, Self::Auditor];

    /// As it stands in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Official => "official",
            Self::Auditor => "auditor",
        }
    }
}

/// A configuration that can't be used, with everything that is wrong.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{} problem(s) in {}", problems.len(), file.display())]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// What is wrong, by line.
    pub problems: Vec<Problem>,
}

impl Config {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let fail = |problems| ConfigError { file: file.to_owned(), problems };
        let text = std::fs::read_to_string(file)
            .map_err(|e| fail(vec![Problem { line: 0, message: format!("cannot be read: {e}") }]))?;
        Self::parse(&text, file).map_err(fail)
    }

    /// Parses the text of a configuration file; relative paths are taken from its directory.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn parse(text: &str, file: &Path) -> Result<Self, Vec<Problem>> {
        let base = file.parent().unwrap_or(Path::new("."));
        let mut problems = Problems::new(text);
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            problems.at(error.span().map_or(0, |s| s.start), error.message().to_owned());
        }
        let mut top = Section::new("the file", 0, table.get_ref(), &mut problems);
        let server = top.one("server", |s| server(s, base));
        let mut issuers = Vec::new();
        top.each("issuer", |s| issuers.push(issuer(s, base)));
        let (registry, credentials, texts) = registry::read(&mut top);
        registry::compare(&mut top, &credentials, &issuers);
        let pages = top.optional("pages", |s| pages::pages(s, base, &registry)).unwrap_or_default();
        pages::compare(&mut top, &issuers, &registry);
        let mut sources = Vec::new();
        top.each("source", |s| sources.extend(source(s, base, &registry)));
        // What a consultation service holds goes nowhere by a route.
        let asked: Vec<Source> =
            sources.iter().filter(|s| !matches!(s.kind, SourceKind::Consultation(_))).cloned().collect();
        let mut routes = Vec::new();
        top.each("route", |s| routes.extend(routes::read(s, &registry, &asked).map(Arc::new)));
        let mut summaries = Vec::new();
        top.each("summary", |s| summaries.extend(summary::read(s, &registry, &asked).map(Arc::new)));
        routes.extend(summaries.iter().flat_map(|summary| &summary.parts).map(Arc::clone));
        routes::compare(&mut top, &routes, &summaries);
        let mut forwards = Vec::new();
        top.each("forward", |s| forwards.extend(forward::read(s, base, &registry, &summaries).map(Arc::new)));
        forward::compare(&mut top, &forwards);
        let week = top.optional("week", |s| week::read(s, base, &registry, &sources)).flatten().map(Arc::new);
        let mut operators = Vec::new();
        top.each("operator", |s| {
            let name = s.text("name", "the name that goes into the ledger").value;
            // Without a user id an operator is nobody, not root.
            let missing = u64::from(u32::MAX);
            let uid = s.number("uid", missing, 0..=missing);
            if uid == missing {
                let offset = s.offset();
                s.wrong(offset, "uid", "is missing (the operator's Unix user id)");
            }
            operators.push(Operator { name, uid: u32::try_from(uid).unwrap_or(u32::MAX), roles: roles(s) });
        });
        top.done();
        if let (true, Some(server)) = (problems.is_empty(), server) {
            let file = file.to_owned();
            return Ok(Self {
                file,
                server,
                issuers,
                registry,
                credentials,
                texts,
                sources,
                routes,
                summaries,
                forwards,
                week,
                operators,
                pages,
            });
        }
        Err(problems.into_list())
    }
}

/// A path to a file that can be read now.
fn file(s: &mut Section<'_, '_, '_>, key: &'static str, base: &Path, what: &str) -> PathBuf {
    let named = s.text(key, what);
    readable(s, key, base, &named)
}

fn readable(s: &mut Section<'_, '_, '_>, key: &'static str, base: &Path, named: &At<String>) -> PathBuf {
    let path = base.join(&named.value);
    if !named.value.is_empty()
        && let Err(error) = std::fs::File::open(&path)
    {
        s.wrong(named.offset, key, &format!("names {}, which cannot be read: {error}", path.display()));
    }
    path
}

/// A path to a file that can be read now, where one is named.
fn optional_file(s: &mut Section<'_, '_, '_>, key: &'static str, base: &Path, what: &str) -> Option<PathBuf> {
    let named = s.optional_text(key, what)?;
    Some(readable(s, key, base, &named))
}

fn server(s: &mut Section<'_, '_, '_>, base: &Path) -> Server {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let listen = s.parsed("listen", "an address and port such as 0.0.0.0:8443", |t| t.parse().ok());
    let url = s.parsed("url", "an https URL without trailing slash", https_url);
    let ledger = s.parsed("ledger", "a name such as city.example/sekisho, without spaces or +", |t| {
        (!t.contains([' ', '+', '\n'])).then(|| t.to_owned())
    });
    Server {
        listen: listen.map_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)), |l| l.value),
        url: url.map(|u| u.value).unwrap_or_default(),
        certificate: file(s, "certificate", base, "PEM file with the certificate chain"),
        key: file(s, "key", base, "PEM file with the certificate's key"),
        client_ca: file(s, "client_ca", base, "PEM file with the authorities of the parties' certificates"),
        client_crl: optional_file(
            s,
            "client_crl",
            base,
            "PEM file with a revocation list of each of those authorities",
        ),
        tls12: s.flag("tls12", false),
        data: s.path("data", base, "directory of ledger, vault and index"),
        master_key: file(s, "master_key", base, "file with 32 bytes in base64"),
        ledger: ledger.map(|l| l.value).unwrap_or_default(),
        operators_socket: s.path("operators_socket", base, "path of the operators' Unix socket"),
        connections_max: s.number("connections_max", 20_000, 1..=1_000_000) as usize,
        connections_per_address_max: s.number("connections_per_address_max", 5_000, 1..=1_000_000) as usize,
        denials_per_second_max: s.number("denials_per_second_max", 200, 1..=1_000_000) as u32,
        workers: s.number("workers", cores as u64, 1..=1_024) as usize,
        drain: Duration::from_secs(s.number("drain_s", 20, 0..=3_600)),
        management: management(s),
        records_kept_years: s.number("records_kept_years", 3, 1..=100) as u16,
        disk_free_min_mib: s.number("disk_free_min_mib", 512, 0..=1 << 40),
    }
}

/// The management port speaks clear text and asks nobody who they are, so it may not be where everybody can reach it.
fn management(s: &mut Section<'_, '_, '_>) -> Option<SocketAddr> {
    let what = "an address and port such as 127.0.0.1:9090, loopback or private";
    let text = s.optional_text("management", what)?;
    let address = text.value.parse().ok().filter(|address: &SocketAddr| match address.ip().to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local(),
    });
    if address.is_none() {
        s.wrong(text.offset, "management", &format!("is `{}`, but must be {what}", text.value));
    }
    address
}

/// What an operator may do. Nothing, where nothing is said: a role is given, never assumed.
fn roles(s: &mut Section<'_, '_, '_>) -> Vec<Role> {
    let what = "any of `operator`, `official`, `auditor`";
    let named = s.texts("roles", what);
    let none = named.is_empty();
    let mut roles = Vec::new();
    for text in named {
        match Role::ALL.into_iter().find(|role| role.name() == text.value) {
            Some(role) => roles.push(role),
            None => s.wrong(text.offset, "roles", &format!("names `{}`, but must be {what}", text.value)),
        }
    }
    if none {
        let offset = s.offset();
        s.wrong(offset, "roles", &format!("is missing or empty ({what})"));
    }
    roles
}

fn https_url(text: &str) -> Option<String> {
    let url = url::Url::parse(text).ok()?;
    (url.scheme() == "https" && !text.ends_with('/') && url.query().is_none()).then(|| text.to_owned())
}

fn issuer(s: &mut Section<'_, '_, '_>, base: &Path) -> Issuer {
    Issuer {
        url: s.parsed("url", "the issuer's https URL", https_url).map(|u| u.value).unwrap_or_default(),
        ca: file(s, "ca", base, "PEM file with the authority of the issuer's certificate"),
        own_client: s.text("own_client", "the gateway's own client id at this issuer").value,
        step_up_acr: s.texts("step_up_acr", "acr values that count as step-up").into_iter().map(|t| t.value).collect(),
        step_up_max_age_s: s.number("step_up_max_age_s", 300, 1..=3_600),
        keys_max_age_s: s.number("keys_max_age_s", 300, 1..=86_400),
        sign_in: s.optional("sign_in", |s| pages::sign_in(s, base)),
    }
}

fn source(s: &mut Section<'_, '_, '_>, base: &Path, registry: &RegistryText) -> Option<Source> {
    let code = s.parsed("party", "a registered party", |t| registry.party(t).map(|p| p.code.clone()));
    let url = s.parsed("url", "an https URL without trailing slash", https_url);
    let ca = file(s, "ca", base, "PEM file with the authority of the source's certificate");
    let certificate = s.optional_text("certificate", "PEM file with our certificate there").map(|t| base.join(t.value));
    let key = s.optional_text("key", "PEM file with its key").map(|t| base.join(t.value));
    let timeout_ms = s.number("timeout_ms", 10_000, 1..=300_000);
    let body_bytes_max = s.number("body_bytes_max", 4 << 20, 1_024..=64 << 20) as usize;
    let known = |t: &str| {
        ["fhir", "phr-app", "consultation", "consultation-fhir", "my-portal"].contains(&t).then(|| t.to_owned())
    };
    let kind = match s.parsed("kind", "`fhir`, `phr-app`, `consultation`, `consultation-fhir` or `my-portal`", known) {
        Some(kind) if kind.value == "fhir" => Some(SourceKind::Fhir),
        Some(kind) if kind.value == "phr-app" => Some(SourceKind::PhrApp),
        Some(kind) if kind.value == "consultation" => Some(SourceKind::Consultation(Shape::Plain)),
        Some(kind) if kind.value == "consultation-fhir" => {
            s.embedded("names").map(|names| SourceKind::Consultation(Shape::Fhir(Box::new(names))))
        }
        Some(_) => {
            let client_id = s.text("client_id", "the gateway's registered client at the portal").value;
            let redirect_uri = s.text("redirect_uri", "where the portal sends people back to").value;
            s.embedded("codes").map(|codes| SourceKind::MyPortal { client_id, redirect_uri, codes: Box::new(codes) })
        }
        None => None,
    };
    let code = code?.value;
    Some(Source {
        party: party_id(&code),
        code,
        url: url?.value,
        ca,
        identity: certificate.zip(key),
        timeout_ms,
        body_bytes_max,
        kind: kind?,
    })
}
