//! The operators' socket: officials' acts and looks at the running server, over HTTP/1.1 on a Unix socket.
//!
//! Who connects is known from the kernel (peer credentials) and must be configured. Every act is recorded with its
//! operator; every look at something about people is recorded before it is answered.

mod acts;
mod batch;
pub mod client;
pub mod commands;
pub(crate) mod explain;
mod import;
mod lists;
mod report;
mod stream;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{UnixListener, UnixStream};

use crate::app::App;
use crate::config::Role;
use crate::consent::people::ActError;
use crate::ledger::entry::{Bytes16, Cause};
use crate::ledger::event::{Event, OperatorRead};
use crate::ledger::merkle::sha256;
use crate::reload::{Current, ReloadError};
use crate::sabotage::{self, Check};
use crate::store::StoreError;
use crate::week::package::PackageError;
use commands::{Which, which};

/// A short answer, or one that is made while it is sent.
type AdminBody = Either<Full<Bytes>, stream::Piped>;

const BODY_BYTES_MAX: usize = 16 << 20;

/// A configured operator.
#[derive(Clone, Debug)]
pub(crate) struct Acting {
    name: String,
    roles: Vec<Role>,
}

impl Acting {
    fn may(&self, needed: Option<Role>) -> Result<(), AdminError> {
        match needed {
            Some(role) if !self.roles.contains(&role) && !sabotage::off(Check::OperatorRole) => {
                Err(AdminError::Role(role.name()))
            }
            _ => Ok(()),
        }
    }

    /// As the cause of an entry.
    fn cause(&self) -> Cause {
        let digest = sha256(self.name.as_bytes());
        Cause::Operator(Bytes16(digest.first_chunk::<16>().copied().unwrap_or([0; 16])))
    }

    /// Records that this operator looks at something about people.
    async fn records_look(&self, app: &App, what: &str, entry: Option<[u8; 16]>) -> Result<(), StoreError> {
        let read = OperatorRead { operator: self.name.clone(), what: what.to_owned(), entry: entry.map(Bytes16) };
        app.store.record_global(Event::OperatorRead(read), self.cause()).await.map(|_| ())
    }
}

/// Why an operator's request failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdminError {
    /// Nothing under this path.
    #[error("there is no such thing; see docs/operations.md for what can be asked")]
    NotFound,
    /// The operator lacks a role.
    #[error("this takes the role `{0}`, which the configuration does not give you: see `roles` of your [[operator]]")]
    Role(&'static str),
    /// The configuration.
    #[error(transparent)]
    Reload(#[from] ReloadError),
    /// The query isn't what it needs.
    #[error("the query is not understood: {0}")]
    Query(String),
    /// A file of the configuration.
    #[error(transparent)]
    Build(#[from] crate::app::BuildError),
    /// The body isn't what the act needs.
    #[error("the body is not understood: {0}")]
    Body(String),
    /// The act.
    #[error(transparent)]
    Act(#[from] ActError),
    /// A package.
    #[error(transparent)]
    Package(#[from] PackageError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AdminError {
    const fn status(&self) -> StatusCode {
        match self {
            Self::NotFound | Self::Act(ActError::Unknown(_)) => StatusCode::NOT_FOUND,
            Self::Role(_) => StatusCode::FORBIDDEN,
            Self::Reload(ReloadError::Store(_) | ReloadError::Barrier(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Reload(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Package(PackageError::Unknown) => StatusCode::NOT_FOUND,
            Self::Package(PackageError::NoKey { .. }) => StatusCode::CONFLICT,
            Self::Package(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Build(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Body(_) | Self::Query(_) => StatusCode::BAD_REQUEST,
            Self::Act(ActError::Field { .. }) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Act(ActError::Conflict(_)) => StatusCode::CONFLICT,
            Self::Store(StoreError::Entry(_)) => StatusCode::NOT_FOUND,
            Self::Act(_) | Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Opens the socket; this user and its group can reach it, and who may be heard is told by peer credentials.
///
/// # Errors
/// When the path can't be used.
pub fn listen(path: &Path) -> std::io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;
    // Left behind by a crash: the data directory's lock has shown that no other server runs here.
    if path.exists() {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Serves operators until the task is dropped.
pub async fn serve(current: Arc<Current>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection(Arc::clone(&current), stream));
            }
            Err(error) => {
                tracing::warn!(%error, "an operator's connection could not be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(current: Arc<Current>, stream: UnixStream) {
    let uid = stream.peer_cred().map(|c| c.uid()).ok();
    if acting(&current.app(), uid).is_none() {
        return tracing::warn!(?uid, "somebody who is not a configured operator came to the operators' socket");
    }
    let service = service_fn(move |request: Request<Incoming>| {
        let current = Arc::clone(&current);
        // In a task of its own: an act whose caller hangs up is carried through all the same.
        tokio::spawn(async move { answer(&current, uid, request).await })
    });
    let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "an operator's connection ended early");
    }
}

/// The operator with this user id, by the configuration in force.
fn acting(app: &App, uid: Option<u32>) -> Option<Acting> {
    let operator = app.config.operators.iter().find(|o| Some(o.uid) == uid);
    match operator {
        Some(operator) => Some(Acting { name: operator.name.clone(), roles: operator.roles.clone() }),
        None if sabotage::off(Check::OperatorPeer) => {
            Some(Acting { name: "anybody".to_owned(), roles: Role::ALL.to_vec() })
        }
        None => None,
    }
}

async fn answer(current: &Current, uid: Option<u32>, request: Request<Incoming>) -> Response<AdminBody> {
    let (parts, body) = request.into_parts();
    let whole = Limited::new(body, BODY_BYTES_MAX).collect().await.map(http_body_util::Collected::to_bytes);
    let app = current.app();
    // At every request: a reload may have taken this operator out since the connection was made.
    let answered = match (acting(&app, uid), whole) {
        (None, _) => Err(AdminError::Role("operator")),
        (Some(acting), Ok(body)) => command(current, &app, &acting, &parts, &body).await,
        (Some(_), Err(_)) => Err(AdminError::Body("it is too large or was cut off".to_owned())),
    };
    answered.map_or_else(|error| error_answer(&error), Response::new)
}

fn error_answer(error: &AdminError) -> Response<AdminBody> {
    let value = json!({"error": error.to_string()});
    let mut response = Response::new(AdminBody::Left(Full::new(Bytes::from(value.to_string()))));
    *response.status_mut() = error.status();
    response
}

/// Carries a command out, if there is one and the operator's roles take it. Every command passes here.
async fn command(
    current: &Current,
    app: &Arc<App>,
    acting: &Acting,
    parts: &http::request::Parts,
    body: &[u8],
) -> Result<AdminBody, AdminError> {
    let (which, role, ids) = which(&parts.method, parts.uri.path()).ok_or(AdminError::NotFound)?;
    acting.may(role)?;
    let ([first, _], query) = (ids, parts.uri.query());
    let value = match which {
        Which::Backup => return stream::backup(app, acting).await.map(AdminBody::Right),
        Which::Status => json!({"status": "serving", "origin": app.store.ledger_key().origin()}),
        Which::Explain => explain::explain(app, acting, first).await?,
        Which::Releases => report::releases(app, acting, query).await?,
        Which::Authorities => lists::authorities(app, acting, query).await?,
        Which::AskAnew => lists::ask_anew(app, acting, query).await?,
        Which::Records => report::records(app, acting, first).await?,
        Which::Destroyed => {
            let signed = app.store.destroyed_keys()?;
            json!({"destroyed": String::from_utf8_lossy(&signed)})
        }
        Which::Checkpoint => {
            let signed = app.store.checkpoint().await?;
            json!({"checkpoint": String::from_utf8_lossy(&signed)})
        }
        Which::Reload => {
            let reloaded = current.reload(acting.cause()).await?;
            json!({"registry_changed": reloaded.registry_changed, "transfers_cut": reloaded.transfers_cut})
        }
        Which::BatchPlan => batch::plan(app, acting, acts::parse(body)?).await?,
        Which::BatchRun => return batch::make_up(app, acts::parse(body)?).map(AdminBody::Right),
        Which::BatchWrite => {
            let file = batch::write(app, acting, acts::parse(body)?).await?;
            return Ok(AdminBody::Left(Full::new(Bytes::from(file))));
        }
        Which::DiscloseBasis => {
            let [person, basis] = ids;
            batch::disclose(app, acting, acts::id(person)?, acts::id(basis)?, acts::parse(body)?).await?
        }
        Which::Import => import::consents(app, acting, acts::parse(body)?).await?,
        act => acts::act(app, acting, act, ids, body).await?,
    };
    Ok(AdminBody::Left(Full::new(Bytes::from(value.to_string()))))
}
