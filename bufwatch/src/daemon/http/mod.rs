//! HTTP on loopback or on a unix socket: who may connect, how many, for how long. What is answered is `routes`' part.

mod access;
mod listener;
mod routes;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;

pub use access::{Access, Secret};
pub use listener::{ListenError, Listener};

use crate::daemon::board::Board;
use crate::daemon::order::Order;

/// Connections at once; more are closed at once.
const CONNECTIONS_MAX: usize = 64;
/// From the first byte of a request to the end of its head.
const HEAD_LIMIT: Duration = Duration::from_secs(5);
/// A connection lives for so long, however it is used: who reads slowly is left.
const CONNECTION_LIMIT: Duration = Duration::from_mins(1);
/// Longest head of a request.
const HEAD_BYTES_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 64;

/// What requests are answered from.
#[derive(Clone, Debug)]
pub struct Sources {
    pub board: watch::Receiver<Arc<Board>>,
    pub orders: mpsc::Sender<Order>,
    pub access: watch::Receiver<Arc<Access>>,
}

/// Answers until it is dropped.
pub async fn serve(listener: Listener, sources: Sources) {
    let router = routes::router(sources);
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        match listener.accept().await {
            Ok(listener::Connection::Tcp(stream)) => answer(stream, &router, &permits),
            Ok(listener::Connection::Unix(stream)) => answer(stream, &router, &permits),
            Err(error) => {
                // Too many open files, most likely: some will be closed.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn answer<S>(stream: S, router: &Router, permits: &Arc<Semaphore>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Ok(permit) = Arc::clone(permits).try_acquire_owned() else { return };
    let service = TowerToHyperService::new(router.clone());
    let task = async move {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            // Who has nothing more to ask may still want the answer.
            .half_close(true)
            .header_read_timeout(HEAD_LIMIT)
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        // What a client does wrong is its own affair.
        if let Ok(Err(error)) = timeout(CONNECTION_LIMIT, connection).await {
            tracing::debug!(%error, "a connection ended");
        }
        drop(permit);
    };
    drop(tokio::spawn(task));
}
