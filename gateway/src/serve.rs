//! A running gateway: the public port, the operators' socket, the management port, and the housekeeping beside them;
//! started and stopped as one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::app::{App, BuildError};
use crate::clock::Clock;
use crate::config::Config;
use crate::manage::health::Health;
use crate::metrics::Metrics;
use crate::reload::Current;
use crate::store::Store;
use crate::{admin, manage, request};

/// Connections that wait to be accepted, at most; the kernel may hold fewer (`net.core.somaxconn`).
const BACKLOG: i32 = 4_096;
/// How often the ledger is checkpointed and the index flushed.
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(10);

/// Why the gateway doesn't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It can't be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A port can't be opened.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// Nothing can be counted.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    /// The operators' socket can't be opened.
    #[error("cannot open the operators' socket {0}: {1}")]
    Socket(String, std::io::Error),
}

/// The ports that a gateway serves on, open.
pub struct Ports {
    /// The public port.
    pub public: TcpListener,
    /// The management port, if there is one.
    pub management: Option<TcpListener>,
}

async fn management(config: &Config) -> Result<Option<TcpListener>, StartError> {
    match config.server.management {
        Some(address) => listen(address).await.map(Some),
        None => Ok(None),
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|e| StartError::Listen(address, e))
}

/// A running gateway.
pub struct Gateway {
    /// What is in force.
    pub current: Arc<Current>,
    /// Where it listens.
    pub address: SocketAddr,
    health: Arc<Health>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
    /// What runs beside the public port; ends when dropped.
    beside: JoinSet<()>,
    /// The management port, which outlives the store; ends when dropped.
    management: JoinSet<()>,
}

impl Gateway {
    /// Starts it on the configured addresses.
    ///
    /// # Errors
    /// When it can't be built, or a port or socket can't be opened.
    pub async fn start(config: Config, clock: Clock) -> Result<Self, StartError> {
        let ports = Ports { public: listen(config.server.listen).await?, management: management(&config).await? };
        Self::start_with(ports, config, clock).await
    }

    /// Starts it on a public port that is already open.
    ///
    /// # Errors
    /// When it can't be built, or another port or socket can't be opened.
    pub async fn start_on(public: TcpListener, config: Config, clock: Clock) -> Result<Self, StartError> {
        let management = management(&config).await?;
        Self::start_with(Ports { public, management }, config, clock).await
    }

    /// Starts it on ports that are already open.
    ///
    /// # Errors
    /// When it can't be built, or the operators' socket can't be opened.
    pub async fn start_with(ports: Ports, config: Config, clock: Clock) -> Result<Self, StartError> {
        let failed = |e| StartError::Listen(config.server.listen, e);
        let address = ports.public.local_addr().map_err(failed)?;
        // Asked for anew: what libraries ask for is too short for a crowd that comes at once.
        rustix::net::listen(&ports.public, BACKLOG).map_err(|e| failed(e.into()))?;
        let metrics = Arc::new(Metrics::new(&config)?);
        let health = Health::new(&config.server, clock.clone(), Arc::clone(&metrics));
        let mut management = JoinSet::new();
        if let Some(listener) = ports.management {
            // Before the store: a start that rebuilds the index of a long ledger should be seen to get on.
            if let Ok(address) = listener.local_addr() {
                tracing::info!(%address, "management port open");
            }
            management.spawn(manage::serve(listener, Arc::clone(&health)));
        }
        let current = App::open(config, clock, Arc::clone(health.watch()), metrics).await?;
        let app = current.app();
        let path = &app.config.server.operators_socket;
        let socket = admin::listen(path).map_err(|e| StartError::Socket(path.display().to_string(), e))?;
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn(request::server::serve(Arc::clone(&current), ports.public, stopped));
        let mut beside = JoinSet::new();
        beside.spawn(admin::serve(Arc::clone(&current), socket));
        beside.spawn(Arc::clone(&app.releases).sweep());
        beside.spawn(housekeeping(app.store.clone()));
        beside.spawn(crate::notify::run(Arc::clone(&current)));
        beside.spawn(crate::forward::outbox::run(Arc::clone(&current)));
        beside.spawn(crate::week::run::run(Arc::clone(&current)));
        beside.spawn(crate::week::alert::run(Arc::clone(&current)));
        beside.spawn(async move { app.tokens.fetch_first_keys().await });
        health.serves(&current);
        Ok(Self { current, address, health, stop, serving, beside, management })
    }

    /// The gateway as it stands: what the configuration in force made of it.
    #[must_use]
    pub fn app(&self) -> Arc<App> {
        self.current.app()
    }

    /// Stops taking connections, lets requests under way finish within a deadline, and stops the store cleanly.
    pub async fn stop(mut self) {
        self.health.drains();
        self.stop.send_replace(true);
        let _ = self.serving.await;
        self.beside.shutdown().await;
        if let Err(error) = self.current.app().store.stop().await {
            tracing::error!(%error, "the store did not stop cleanly; the next start will rebuild its index");
        }
        self.management.shutdown().await;
        tracing::info!("stopped");
    }
}

async fn housekeeping(store: Store) {
    let mut tick = tokio::time::interval(HOUSEKEEPING_EVERY);
    loop {
        tick.tick().await;
        if store.checkpoint().await.is_err() || store.mark().await.is_err() {
            return;
        }
    }
}
