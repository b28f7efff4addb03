//! A development certificate authority, and rustls settings for both ends.
//!
//! What it does: issues server and client certificates with a chosen validity, and builds TLS 1.3 settings over the
//! aws-lc-rs provider without installing anything process-wide.
//! What it never does: stand for a real authority. Keys live in memory and `Debug` never shows them.
//! Thumbprints are `x5t#S256` of RFC 8705 §3.1: base64url of SHA-256 over the DER certificate, unpadded.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use data_encoding::BASE64URL_NOPAD;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, RevokedCertParams,
    SanType, SerialNumber,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// Offer HTTP/2 and HTTP/1.1.
pub const ALPN_H2_AND_H1: &[&[u8]] = &[b"h2", b"http/1.1"];
/// Offer HTTP/1.1 only.
pub const ALPN_H1: &[&[u8]] = &[b"http/1.1"];

const HOUR_MS: i64 = 3_600_000;

/// Why a certificate or TLS settings couldn't be made.
#[derive(Debug, thiserror::Error)]
pub enum CertError {
    /// The certificate couldn't be made.
    #[error("a certificate could not be made")]
    Certificate(#[from] rcgen::Error),
    /// The TLS settings couldn't be made.
    #[error("TLS settings could not be made")]
    Tls(#[from] rustls::Error),
    /// The verifier of client certificates couldn't be made.
    #[error("the verifier of client certificates could not be made")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
    /// No random number could be had.
    #[error("no random number could be had")]
    Random,
}

/// From when until when a certificate is valid, in Unix milliseconds (kept to the second).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First instant.
    pub not_before_ms: i64,
    /// Last instant.
    pub not_after_ms: i64,
}

impl Validity {
    /// From an hour ago for thirty days.
    #[must_use]
    pub fn around(now_ms: i64) -> Self {
        Self { not_before_ms: now_ms - HOUR_MS, not_after_ms: now_ms + 30 * 24 * HOUR_MS }
    }

    /// Over since an hour.
    #[must_use]
    pub fn expired(now_ms: i64) -> Self {
        Self { not_before_ms: now_ms - 48 * HOUR_MS, not_after_ms: now_ms - HOUR_MS }
    }
}

/// The SHA-256 thumbprint of a DER certificate, as `x5t#S256` writes it.
#[must_use]
pub fn thumbprint(der: &[u8]) -> String {
    BASE64URL_NOPAD.encode(digest::digest(&digest::SHA256, der).as_ref())
}

/// A certificate with its chain and private key.
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivatePkcs8KeyDer<'static>,
    cert_pem: String,
    key_pem: String,
    serial: SerialNumber,
}

impl Identity {
    /// The chain, leaf first.
    #[must_use]
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.chain.clone()
    }

    /// The private key.
    #[must_use]
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone_key())
    }

    /// The leaf certificate as PEM.
    #[must_use]
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// The private key as PEM: a secret.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// The leaf's `x5t#S256`.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        self.chain.first().map(|der| thumbprint(der)).unwrap_or_default()
    }
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
            cert_pem: self.cert_pem.clone(),
            key_pem: self.key_pem.clone(),
            serial: self.serial.clone(),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("x5t_s256", &self.thumbprint()).finish_non_exhaustive()
    }
}

/// A development certificate authority, in memory.
pub struct DevCa {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl fmt::Debug for DevCa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevCa").field("x5t_s256", &thumbprint(self.issuer.der())).finish_non_exhaustive()
    }
}

impl DevCa {
    /// A new authority, valid from a day ago for ten years.
    ///
    /// # Errors
    ///
    /// When no key or certificate can be made.
    pub fn new(now_ms: i64) -> Result<Self, CertError> {
        let validity = Validity { not_before_ms: now_ms - 72 * HOUR_MS, not_after_ms: now_ms + 3650 * 24 * HOUR_MS };
        let mut params = params("Sekisho development CA", validity)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        Ok(Self { issuer: CertifiedIssuer::self_signed(params, key)? })
    }

    /// The authority's certificate.
    #[must_use]
    pub fn der(&self) -> &CertificateDer<'static> {
        self.issuer.der()
    }

    /// The authority's certificate as PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// The authority as the only trusted root.
    ///
    /// # Errors
    ///
    /// When rustls refuses the certificate.
    pub fn roots(&self) -> Result<Arc<RootCertStore>, CertError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der().clone())?;
        Ok(Arc::new(roots))
    }

    /// A server certificate for `localhost`, `127.0.0.1` and `::1`.
    ///
    /// # Errors
    ///
    /// When no key or certificate can be made.
    pub fn server(&self, validity: Validity) -> Result<Identity, CertError> {
        self.server_for(&[], validity)
    }

    /// A server certificate for `localhost`, the loopback addresses and further DNS names.
    ///
    /// # Errors
    ///
    /// When a name is no DNS name, or no key or certificate can be made.
    pub fn server_for(&self, names: &[&str], validity: Validity) -> Result<Identity, CertError> {
        let mut params = params("localhost", validity)?;
        params.subject_alt_names = vec![
            SanType::DnsName("localhost".try_into()?),
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        ];
        for name in names {
            params.subject_alt_names.push(SanType::DnsName((*name).try_into()?));
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params)
    }

    /// A client certificate with this common name.
    ///
    /// # Errors
    ///
    /// When no key or certificate can be made.
    pub fn client(&self, common_name: &str, validity: Validity) -> Result<Identity, CertError> {
        let mut params = params(common_name, validity)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params)
    }

    fn issue(&self, mut params: CertificateParams) -> Result<Identity, CertError> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let serial = params.serial_number.clone().ok_or(CertError::Random)?;
        let cert = params.signed_by(&key, &self.issuer)?;
        Ok(Identity {
            chain: vec![cert.der().clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()),
            cert_pem: cert.pem(),
            key_pem: key.serialize_pem(),
            serial,
        })
    }

    /// A list, as PEM, of what this authority has revoked; its times are the list's own and its next update's.
    ///
    /// # Errors
    ///
    /// When no list can be made.
    pub fn revocation_list(&self, revoked: &[&Identity], validity: Validity) -> Result<String, CertError> {
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let issued = epoch + seconds(validity.not_before_ms);
        let one = |identity: &&Identity| RevokedCertParams {
            serial_number: identity.serial.clone(),
            revocation_time: issued,
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: issued,
            next_update: epoch + seconds(validity.not_after_ms),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.iter().map(one).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer)?.pem()?)
    }
}

fn params(common_name: &str, validity: Validity) -> Result<CertificateParams, CertError> {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    params.distinguished_name = name;
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + seconds(validity.not_before_ms);
    params.not_after = epoch + seconds(validity.not_after_ms);
    let mut serial = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut serial).map_err(|_| CertError::Random)?;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

/// Whole seconds since the epoch; instants before it count as the epoch.
fn seconds(ms: i64) -> Duration {
    Duration::from_secs(u64::try_from(ms / 1000).unwrap_or(0))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn alpn_list(alpn: &[&[u8]]) -> Vec<Vec<u8>> {
    alpn.iter().map(|name| name.to_vec()).collect()
}

/// TLS 1.3 settings of a server. Client certificates are asked for when `client_ca` is given, and insisted on when
/// `client_required`.
///
/// # Errors
///
/// When rustls refuses the certificate, the key or the authority.
pub fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    client_ca: Option<Arc<RootCertStore>>,
    client_required: bool,
    alpn: &[&[u8]],
) -> Result<ServerConfig, CertError> {
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13])?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(roots) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
            let verifier = if client_required { verifier } else { verifier.allow_unauthenticated() };
            builder.with_client_cert_verifier(verifier.build()?)
        }
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = alpn_list(alpn);
    Ok(config)
}

/// TLS 1.3 settings of a client that trusts `roots` only, with a client certificate if one is given.
///
/// # Errors
///
/// When rustls refuses the certificate or the key.
pub fn client_config(
    roots: Arc<RootCertStore>,
    identity: Option<&Identity>,
    alpn: &[&[u8]],
) -> Result<ClientConfig, CertError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => builder.with_client_auth_cert(identity.chain(), identity.key())?,
    };
    config.alpn_protocols = alpn_list(alpn);
    Ok(config)
}
