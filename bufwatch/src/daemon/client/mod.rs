//! Asks a daemon over HTTP, on the address or the unix socket that it listens on. What is made of the answers is `remote`'s part, and the
//! caller's.

pub mod remote;

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use crate::daemon::exchange::send;
use crate::daemon::listen::Listen;
use crate::daemon::live::LiveError;

/// From the connection to the end of the answer.
const LIMIT: Duration = Duration::from_secs(10);

/// Of an answer: a hundred thousand array buffers with their holders are a tenth of it.
const ANSWER_BYTES_MAX: usize = 1 << 30;

/// Where a daemon is, and how to be let in.
#[derive(Clone, Debug)]
pub struct Client {
    pub to: Listen,
    pub token: Option<String>,
}

/// A process that the daemon watches.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Listed {
    pub pid: u32,
    pub service: String,
    pub slot: u32,
    pub command: String,
    pub node_version: Option<String>,
    pub state: String,
    pub rss_bytes: Option<u64>,
    pub n_findings: u64,
}

/// Why a daemon did not answer, or not with what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("no daemon answers on `{to}`: {source}")]
    Connect { to: Listen, source: io::Error },
    #[error("the daemon on `{0}` gave no answer in time")]
    TooSlow(Listen),
    #[error("the connection to the daemon ended: {0}")]
    Connection(#[from] hyper::Error),
    #[error("no request can be made: {0}")]
    Request(#[from] axum::http::Error),
    #[error("the daemon asks for another token")]
    NoToken,
    #[error("the daemon watches no such process")]
    NotWatched,
    #[error("the daemon answers with status {status}: {what}")]
    Refused { status: u16, what: String },
    #[error("the daemon cannot be shown: {0}")]
    Live(#[from] LiveError),
}

impl ClientError {
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Connect { .. } => {
                "is `bufwatch daemon` running, does it listen there, and may you use its socket?"
            }
            Self::TooSlow(_) | Self::Connection(_) => "try again; is the daemon under heavy load?",
            Self::NoToken => "--token-file FILE names the file with the daemon's token",
            Self::NotWatched => "leave out --pid to choose among those that are watched",
            Self::Request(_) | Self::Refused { .. } => "is this the address of a bufwatch daemon?",
            Self::Live(_) => "use a bufwatch of the daemon's version",
        }
    }

    /// It may be over at the next try.
    const fn may_pass(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::TooSlow(_) | Self::Connection(_))
    }
}

impl Client {
    /// The processes that are watched, or are about to be.
    pub async fn processes(&self) -> Result<Vec<Listed>, ClientError> {
        #[derive(Deserialize)]
        struct Processes {
            processes: Vec<Listed>,
        }
        let answer = self.ask(Method::GET, "/v1/processes", Vec::new()).await?;
        let read: Processes = serde_json::from_slice(&answer).map_err(LiveError::Malformed)?;
        Ok(read.processes)
    }

    async fn ask(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Vec<u8>, ClientError> {
        let exchange = async {
            let connect = |source| ClientError::Connect { to: self.to.clone(), source };
            match &self.to {
                Listen::Tcp(address) => {
                    let stream = TcpStream::connect(address).await.map_err(connect)?;
                    self.exchange(stream, &address.to_string(), method, path, body).await
                }
                Listen::Unix(socket) => {
                    let stream = UnixStream::connect(socket).await.map_err(connect)?;
                    self.exchange(stream, "localhost", method, path, body).await
                }
            }
        };
        timeout(LIMIT, exchange)
            .await
            .unwrap_or_else(|_| Err(ClientError::TooSlow(self.to.clone())))
    }

    async fn exchange<S>(
        &self,
        stream: S,
        host: &str,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<Vec<u8>, ClientError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, host)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONNECTION, "close");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let answer = send(stream, request.body(Body::from(body))?).await?;
        let status = answer.status;
        let answer = answer.read(ANSWER_BYTES_MAX).await;
        match status {
            _ if status.is_success() => Ok(answer),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(ClientError::NoToken),
            StatusCode::NOT_FOUND => Err(ClientError::NotWatched),
            _ => Err(ClientError::Refused { status: status.as_u16(), what: message(&answer) }),
        }
    }
}

/// What the daemon says of its refusal.
fn message(answer: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    let refusal: Result<Refusal, _> = serde_json::from_slice(answer);
    let what = refusal.map_or_else(|_| "no reason is given".to_owned(), |it| it.error);
    crate::base::sanitize(&what)
}
