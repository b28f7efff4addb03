//! Mail by SMTP over TLS from the first byte (RFC 8314), to one configured server.
//!
//! What it never does: send in clear, follow what the server says to another host, or put an address into an error.

pub mod stand_in;

use std::time::Duration;

use lettre::address::Address;
use lettre::message::{Mailbox, header::ContentType};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};

/// How long the server may take over one mail, greeting included.
const TAKES_MAX: Duration = Duration::from_secs(20);

/// Where mail is handed in.
#[derive(Clone, PartialEq, Eq)]
pub struct MailServer {
    /// Host name, which its certificate must bear.
    pub host: String,
    /// Port; TLS is spoken from the first byte.
    pub port: u16,
    /// Authority of its certificate, PEM.
    pub ca_pem: Vec<u8>,
    /// User name and password, where it wants them.
    pub login: Option<(String, String)>,
    /// The sender's address.
    pub from: String,
}

/// Why a mail was not sent. Says nothing about whom it was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// The settings can't be used.
    #[error("the mail server's certificate authority or sender can't be used")]
    Settings,
    /// Not an address to which mail can go.
    #[error("not an address")]
    Address,
    /// The server will never take it.
    #[error("the mail server refused it for good")]
    Refused,
    /// The server can't be reached, or says to try again later.
    #[error("the mail server did not take it now")]
    NotNow,
}

/// Hands mail in.
#[derive(Clone)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

/// Whether a text is an address to which mail can go: one, plain, of no more than 254 letters (RFC 5321 §4.5.3.1.3).
#[must_use]
pub fn is_address(text: &str) -> bool {
    text.len() <= 254 && text.is_ascii() && text.parse::<Address>().is_ok()
}

impl Mailer {
    /// For this server.
    ///
    /// # Errors
    /// When a setting can't be used.
    pub fn new(server: &MailServer) -> Result<Self, MailError> {
        let settings = |_| MailError::Settings;
        let authority = Certificate::from_pem(&server.ca_pem).map_err(settings)?;
        let tls = TlsParameters::builder(server.host.clone())
            .certificate_store(CertificateStore::None)
            .add_root_certificate(authority)
            .build_rustls()
            .map_err(settings)?;
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server.host.clone())
            .port(server.port)
            .tls(Tls::Wrapper(tls))
            .timeout(Some(TAKES_MAX));
        if let Some((user, password)) = &server.login {
            transport = transport.credentials(Credentials::new(user.clone(), password.clone()));
        }
        let from = server.from.parse::<Address>().map_err(|_| MailError::Settings)?;
        Ok(Self { transport: transport.build(), from: Mailbox::new(None, from) })
    }

    /// Sends one mail of plain text.
    ///
    /// # Errors
    /// Why it was not taken.
    pub async fn send(&self, to: &str, subject: &str, text: String) -> Result<(), MailError> {
        let to = Mailbox::new(None, to.parse::<Address>().map_err(|_| MailError::Address)?);
        let message = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(subject)
            .header(ContentType::TEXT_PLAIN)
            .body(text)
            .map_err(|_| MailError::Address)?;
        let sent = tokio::time::timeout(TAKES_MAX, self.transport.send(message)).await;
        match sent.map_err(|_| MailError::NotNow)? {
            Ok(_) => Ok(()),
            Err(error) if error.is_permanent() => Err(MailError::Refused),
            Err(_) => Err(MailError::NotNow),
        }
    }
}
