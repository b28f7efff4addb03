//! A stand-in of a mail server: takes mail by SMTP over TLS and keeps it, or refuses as told.
//!
//! What it never does: deliver anything.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// Lines of one session, at most.
const LINES_MAX: usize = 10_000;

/// A mail that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// From whom, as in the envelope.
    pub from: String,
    /// To whom, as in the envelope.
    pub to: String,
    /// Headers and text, as they came.
    pub data: String,
}

#[derive(Default)]
struct State {
    taken: Mutex<Vec<Taken>>,
    /// What is answered to a recipient, instead of taking it.
    refusal: Mutex<Option<String>>,
}

/// A running stand-in; ends when dropped.
pub struct MailStandIn {
    address: SocketAddr,
    state: Arc<State>,
    _serving: JoinSet<()>,
}

impl MailStandIn {
    /// Starts on a free port of this machine.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(tls: ServerConfig) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, state) = (listener.local_addr()?, Arc::<State>::default());
        let (acceptor, shared) = (TlsAcceptor::from(Arc::new(tls)), Arc::clone(&state));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, state) = (acceptor.clone(), Arc::clone(&shared));
                tokio::spawn(async move { session(stream, &acceptor, &state).await.is_ok() });
            }
        });
        Ok(Self { address, state, _serving: serving })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What was taken so far.
    #[must_use]
    pub fn taken(&self) -> Vec<Taken> {
        self.state.taken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Answers every recipient with this from now on (`450 later`, `550 never`), or takes mail again.
    pub fn refuse(&self, answer: Option<&str>) {
        *self.state.refusal.lock().unwrap_or_else(PoisonError::into_inner) = answer.map(str::to_owned);
    }
}

async fn session(stream: TcpStream, acceptor: &TlsAcceptor, state: &State) -> io::Result<()> {
    let mut stream = BufReader::new(acceptor.accept(stream).await?);
    stream.write_all(b"220 stand-in\r\n").await?;
    let mut mail = Taken { from: String::new(), to: String::new(), data: String::new() };
    let mut in_data = false;
    for _ in 0..LINES_MAX {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let line = line.trim_end_matches(['\r', '\n']);
        if in_data {
            if line != "." {
                mail.data.push_str(line);
                mail.data.push('\n');
                continue;
            }
            in_data = false;
            state.taken.lock().unwrap_or_else(PoisonError::into_inner).push(mail.clone());
            mail.data.clear();
            stream.write_all(b"250 taken\r\n").await?;
            continue;
        }
        let address = || line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let answer = match verb.as_str() {
            "EHLO" => "250 8BITMIME".to_owned(),
            "MAIL" => {
                mail.from = address();
                "250 ok".to_owned()
            }
            "RCPT" => {
                mail.to = address();
                let refusal = state.refusal.lock().unwrap_or_else(PoisonError::into_inner).clone();
                refusal.unwrap_or_else(|| "250 ok".to_owned())
            }
            "DATA" => {
                in_data = true;
                "354 go on".to_owned()
            }
            "RSET" | "NOOP" => "250 ok".to_owned(),
            "QUIT" => "221 bye".to_owned(),
            _ => "502 not here".to_owned(),
        };
        stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
        if verb == "QUIT" {
            return stream.shutdown().await;
        }
    }
    Ok(())
}
