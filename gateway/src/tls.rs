//! TLS of the public port and towards sources and issuers: from PEM files to what rustls uses.
//!
//! TLS 1.3; 1.2 only where the configuration says so, and then only with forward secrecy and authenticated encryption,
//! which is all that rustls has. Which client certificates are accepted is [`Trust`].

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use sekisho_policy::Timestamp;

use crate::app::{BuildError, unusable};
use crate::config::Server;

/// Whose client certificates are accepted: authorities, and what they have revoked.
#[derive(Clone, Debug)]
pub struct Trust {
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Trust {
    /// From the configured files. With a revocation list, an authority without one, or with one that is past its next
    /// update, accepts nobody: whether its certificates were revoked can't be told.
    ///
    /// # Errors
    /// When a file can't be used.
    pub fn new(server: &Server) -> Result<Self, BuildError> {
        let roots = Arc::new(roots(&server.client_ca)?);
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider()).allow_unauthenticated();
        let builder = match &server.client_crl {
            Some(path) => builder.with_crls(revocation_lists(path)?).enforce_revocation_expiration(),
            None => builder,
        };
        let verifier = builder.build().map_err(|e| unusable("client authorities", &server.client_ca, e))?;
        Ok(Self { verifier })
    }

    /// Whether a client that showed this chain, its own certificate first, would be let in at this instant.
    #[must_use]
    pub fn accepts(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> bool {
        let Some((own, others)) = chain.split_first() else { return false };
        let since_epoch = Duration::from_millis(u64::try_from(now.millis()).unwrap_or(0));
        self.verifier.verify_client_cert(own, others, UnixTime::since_unix_epoch(since_epoch)).is_ok()
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// TLS of the public port.
///
/// # Errors
/// When certificate and key can't be used.
pub fn server(server: &Server, trust: &Trust) -> Result<ServerConfig, BuildError> {
    let versions: &[&SupportedProtocolVersion] =
        if server.tls12 { &[&rustls::version::TLS13, &rustls::version::TLS12] } else { &[&rustls::version::TLS13] };
    let mut tls = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)?
        .with_client_cert_verifier(Arc::clone(&trust.verifier))
        .with_single_cert(chain(&server.certificate)?, key(&server.key)?)
        .map_err(|e| unusable("certificate", &server.certificate, format_args!("does not go with its key: {e}")))?;
    // With 1.2 an old client could else prefer the weaker of what both can.
    tls.ignore_client_order = true;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(tls)
}

/// TLS towards a source or issuer: its authority, and our certificate and key there where it wants one.
///
/// # Errors
/// When a file can't be used.
pub fn client(ca: &Path, identity: Option<(&Path, &Path)>) -> Result<ClientConfig, BuildError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots(ca)?);
    Ok(match identity {
        Some((certificate, key_file)) => builder.with_client_auth_cert(chain(certificate)?, key(key_file)?)?,
        None => builder.with_no_client_auth(),
    })
}

/// When the first certificate of a file ends.
///
/// # Errors
/// When it can't be told.
pub fn ends(path: &Path) -> Result<Timestamp, BuildError> {
    let chain = chain(path)?;
    let parsed = chain.first().and_then(|first| x509_parser::parse_x509_certificate(first).ok());
    let (_, certificate) = parsed.ok_or_else(|| unusable("certificates", path, "the first is not a certificate"))?;
    Ok(instant(certificate.validity().not_after.timestamp()))
}

/// When the first of the revocation lists in a file must have been replaced.
///
/// # Errors
/// When it can't be told.
pub fn revocation_ends(path: &Path) -> Result<Timestamp, BuildError> {
    let next_update = |list: &CertificateRevocationListDer<'_>| {
        let (_, list) = x509_parser::parse_x509_crl(list).ok()?;
        list.next_update().map(|at| instant(at.timestamp()))
    };
    let lists = revocation_lists(path)?;
    let all: Option<Vec<Timestamp>> = lists.iter().map(next_update).collect();
    let first = all.and_then(|all| all.into_iter().min());
    first.ok_or_else(|| unusable("revocation lists", path, "there is none, or one names no next update"))
}

fn instant(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds.saturating_mul(1_000))
}

fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, BuildError> {
    let lists = CertificateRevocationListDer::pem_file_iter(path).map_err(|e| unusable("revocation lists", path, e))?;
    let lists: Vec<_> = lists.collect::<Result<_, _>>().map_err(|e| unusable("revocation lists", path, e))?;
    if lists.is_empty() { Err(unusable("revocation lists", path, "there is none in it")) } else { Ok(lists) }
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|e| unusable("certificates", path, e))?;
    let chain: Vec<_> = certificates.collect::<Result<_, _>>().map_err(|e| unusable("certificates", path, e))?;
    if chain.is_empty() { Err(unusable("certificates", path, "there is none in it")) } else { Ok(chain) }
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
