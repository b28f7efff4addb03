//! A running gateway: the public port, the operators' socket, and the housekeeping beside them; started and stopped as one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::app::{App, BuildError};
use crate::clock::Clock;
use crate::config::Config;
use crate::{admin, request};

/// How long requests under way may take to finish at a stop.
const DRAIN: Duration = Duration::from_secs(20);
/// How often the ledger is checkpointed and the index flushed.
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(10);

/// Why the gateway doesn't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It can't be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The port can't be opened.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// The operators' socket can't be opened.
    #[error("cannot open the operators' socket {0}: {1}")]
    Socket(String, std::io::Error),
}

/// A running gateway.
pub struct Gateway {
    /// Its parts.
    pub app: Arc<App>,
    /// Where it listens.
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    beside: Vec<JoinHandle<()>>,
}

impl Gateway {
    /// Starts it on the configured address.
    ///
    /// # Errors
    /// When it can't be built, or a port or socket can't be opened.
    pub async fn start(config: Config, clock: Clock) -> Result<Self, StartError> {
        let address = config.server.listen;
        let listener = TcpListener::bind(address).await.map_err(|e| StartError::Listen(address, e))?;
        Self::start_on(listener, config, clock).await
    }

    /// Starts it on a port that is already open.
    ///
    /// # Errors
    /// When it can't be built, or the operators' socket can't be opened.
    pub async fn start_on(listener: TcpListener, config: Config, clock: Clock) -> Result<Self, StartError> {
        let address = listener.local_addr().map_err(|e| StartError::Listen(config.server.listen, e))?;
        let app = App::build(config, clock).await?;
        let tls = app.server_tls()?;
        let path = &app.config.server.operators_socket;
        let socket = admin::listen(path).map_err(|e| StartError::Socket(path.display().to_string(), e))?;
        let (stop, stopped) = watch::channel(false);
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let serving = tokio::spawn(request::server::serve(Arc::clone(&app), listener, acceptor, stopped, DRAIN));
        let beside = vec![
            tokio::spawn(admin::serve(Arc::clone(&app), socket)),
            tokio::spawn(Arc::clone(&app.releases).sweep()),
            tokio::spawn(housekeeping(Arc::clone(&app))),
        ];
        tracing::info!(%address, "serving");
        Ok(Self { app, address, stop, serving, beside })
    }

    /// Stops taking connections, lets requests under way finish within a deadline, and stops the store cleanly.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let _ = self.serving.await;
        self.beside.iter().for_each(JoinHandle::abort);
        if let Err(error) = self.app.store.stop().await {
            tracing::error!(%error, "the store did not stop cleanly; the next start will rebuild its index");
        }
        tracing::info!("stopped");
    }
}

async fn housekeeping(app: Arc<App>) {
    let mut tick = tokio::time::interval(HOUSEKEEPING_EVERY);
    loop {
        tick.tick().await;
        if app.store.checkpoint().await.is_err() || app.store.mark().await.is_err() {
            return;
        }
    }
}
