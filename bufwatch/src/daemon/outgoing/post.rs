//! One POST to somebody who is told something: a connection of its own, and a limit of time for all of it. Plain HTTP: there is no TLS in
//! this program. When it is tried again is decided by others.

use std::io;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::daemon::outgoing::settings::Endpoint;

/// From the connection to the end of the answer.
const LIMIT: Duration = Duration::from_secs(5);
/// Of an answer; a longer one is as good as none.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Why somebody was not told.
#[derive(Debug, thiserror::Error)]
pub(super) enum PostError {
    #[error("no connection: {0}")]
    Connect(io::Error),
    #[error("no request can be made of it: {0}")]
    Request(#[from] axum::http::Error),
    #[error("the connection ended: {0}")]
    Connection(#[from] hyper::Error),
    #[error("no answer within {} s", LIMIT.as_secs())]
    TooSlow,
    #[error("answered with status {0}")]
    Status(u16),
}

impl PostError {
    /// It may be taken later.
    pub(super) const fn may_pass(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Connection(_) | Self::TooSlow => true,
            Self::Status(status) => matches!(*status, 408 | 429 | 500..),
            Self::Request(_) => false,
        }
    }
}

/// What is answered, if that is yes. A redirection is none.
pub(super) async fn post(
    to: &Endpoint,
    content_type: &'static str,
    body: Vec<u8>,
) -> Result<Vec<u8>, PostError> {
    timeout(LIMIT, exchange(to, content_type, body)).await.unwrap_or(Err(PostError::TooSlow))
}

async fn exchange(
    to: &Endpoint,
    content_type: &'static str,
    body: Vec<u8>,
) -> Result<Vec<u8>, PostError> {
    let stream = TcpStream::connect(to.authority()).await.map_err(PostError::Connect)?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    // Ends with this function, however that ends.
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let request = Request::post(to.path())
        .header(header::HOST, to.authority())
        .header(header::USER_AGENT, concat!("bufwatch/", env!("CARGO_PKG_VERSION")))
        .header(header::CONTENT_TYPE, content_type)
        .header(header::CONNECTION, "close")
        .body(Body::from(body))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    if !status.is_success() {
        return Err(PostError::Status(status.as_u16()));
    }
    // It was taken, whatever is said about it.
    let answer = to_bytes(Body::new(response.into_body()), ANSWER_BYTES_MAX).await;
    Ok(answer.map(Vec::from).unwrap_or_default())
}
