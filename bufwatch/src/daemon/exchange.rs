//! One request over HTTP to somebody else, and the answer, on a connection of its own. Plain HTTP: there is no TLS in this program. Who is
//! asked for what, and how long that may take, is decided by others.

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

/// What is answered; the connection ends with it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    body: Incoming,
    _connection: JoinSet<Result<(), hyper::Error>>,
}

/// `stream`: to who is asked.
pub(super) async fn send<S>(stream: S, request: Request<Body>) -> Result<Answer, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let response = sender.send_request(request).await?;
    Ok(Answer { status: response.status(), body: response.into_body(), _connection: tasks })
}

impl Answer {
    /// What it says; nothing if that is longer than `most`, or breaks off.
    pub(super) async fn read(self, most: usize) -> Vec<u8> {
        to_bytes(Body::new(self.body), most).await.map(Vec::from).unwrap_or_default()
    }
}
