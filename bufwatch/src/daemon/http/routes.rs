//! What is answered to which request: JSON, and metrics as text. Nothing of a request but its path and a few headers is used.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{DefaultBodyLimit, Path, RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::analysis::Snapshot;
use crate::analysis::query::parse_duration;
use crate::base::Nanos;
use crate::daemon::board::{Board, Row};
use crate::daemon::events::{finding_id, rfc3339};
use crate::daemon::http::Sources;
use crate::daemon::http::access::Refusal;
use crate::daemon::order::{
    NotRecorded, Order, RECORD_FOR, RECORD_FOR_MAX, RECORD_FOR_MIN, Recorded,
};
use crate::daemon::{live, metrics};
use crate::event::Backend;
use crate::export::census_json::{self, Subject};
use crate::export::finding::to_value;
use crate::export::sample_json;
use crate::sys::clock;
use crate::sys::procfs::Container;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN_METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Array buffers of a census that are listed, the largest first.
const PARENTS_SHOWN: usize = 100;

/// Of a request: a filter for stores is a line.
const BODY_BYTES_MAX: usize = 64 << 10;

/// The fleet looks at its orders many times a second.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

const NO_PID: &str = "a pid is a number";
const NOT_WATCHED: &str = "no such process is watched";
const TOO_MUCH: &str = "too much is asked for; try again later";

type PidPath = Result<Path<u32>, PathRejection>;

pub(super) fn router(sources: Sources) -> Router {
    Router::new()
        .route("/metrics", get(metrics_page))
        .route("/v1/processes", get(processes))
        .route("/v1/processes/{pid}/snapshot", get(snapshot))
        .route("/v1/processes/{pid}/findings", get(findings))
        .route("/v1/processes/{pid}/census", get(census).post(take_census))
        .route("/v1/processes/{pid}/live", get(show_live))
        .route("/v1/processes/{pid}/look", post(look))
        .route("/v1/processes/{pid}/recording", post(record).delete(stop_recording))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(sources.clone(), admit))
        .route("/healthz", get(|| async { plain(StatusCode::OK, "ok\n") }))
        .route("/readyz", get(ready))
        .fallback(|| async { error(StatusCode::NOT_FOUND, "there is nothing at this path") })
        .method_not_allowed_fallback(|| async {
            error(StatusCode::METHOD_NOT_ALLOWED, "this path is not asked in that way")
        })
        .with_state(sources)
}

async fn admit(State(sources): State<Sources>, request: Request, next: Next) -> Response {
    let access = Arc::clone(&sources.access.borrow());
    match access.check(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(Refusal::NoToken) => {
            let mut response = error(StatusCode::UNAUTHORIZED, "a token is needed");
            let challenge = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            response
        }
        Err(Refusal::ForeignHost) => {
            error(StatusCode::MISDIRECTED_REQUEST, "this host is not called so")
        }
        Err(Refusal::FromAPage) => error(StatusCode::FORBIDDEN, "not from a page"),
    }
}

/// In the format that is asked for: Prometheus asks for `OpenMetrics`, `curl` for nothing.
async fn metrics_page(State(sources): State<Sources>, headers: HeaderMap) -> Response {
    let accepted = headers.get(header::ACCEPT).and_then(|accepted| accepted.to_str().ok());
    let is_openmetrics = accepted.is_some_and(|it| it.contains("application/openmetrics-text"));
    let page = metrics::page(&board(&sources));
    let page = if is_openmetrics { page.finish() } else { page.finish_as_text() };
    let format = if is_openmetrics { OPENMETRICS } else { PLAIN_METRICS };
    ([(header::CONTENT_TYPE, format)], page).into_response()
}

/// Ready when the processes that were there at the start are watched, and until it is asked to end.
async fn ready(State(sources): State<Sources>) -> Response {
    let board = board(&sources);
    if board.is_ready && !board.is_stopping {
        plain(StatusCode::OK, "ready\n")
    } else {
        plain(StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}

async fn processes(State(sources): State<Sources>) -> Response {
    let board = board(&sources);
    let rows: Vec<Value> = board.processes.iter().map(process).collect();
    json_text(&json!({ "schema": "bufwatch.processes/1", "processes": rows }))
}

fn process(row: &Row) -> Value {
    let snapshot = row.snapshot();
    let memory = snapshot.as_ref().map(|snapshot| snapshot.memory);
    let backend = snapshot.as_ref().map(|snapshot| snapshot.target.backend);
    let container = row.cgroup.as_deref().and_then(Container::parse);
    json!({
        "pid": row.key.pid,
        "process_start_ticks": row.key.start_ticks,
        "service": row.place.service,
        "slot": row.place.slot,
        "command": row.command,
        "user": row.user,
        "cgroup": row.cgroup,
        "container": container.as_ref().map(|it| &it.id),
        "pod": container.as_ref().and_then(|it| it.pod.as_ref()),
        "node_version": row.node_version,
        "state": row.state.name(),
        "backend": backend.map(Backend::name),
        "is_sampled": snapshot.as_ref().map(|snapshot| {
            !snapshot.target.backend.sees().every_store || snapshot.health.coverage.is_some()
        }),
        "watched_since": rfc3339(row.since),
        "rss_bytes": memory.and_then(|memory| memory.rss).map(|rss| rss.0),
        "array_buffers_bytes": memory.and_then(|memory| memory.array_buffers).map(|it| it.0),
        "n_censuses": snapshot.as_ref().map(|snapshot| snapshot.census.n_taken),
        "n_findings": row.open.len(),
        "recording": row.recording,
    })
}

async fn snapshot(State(sources): State<Sources>, pid: PidPath) -> Response {
    match find(&sources, &pid) {
        Ok((_, snapshot)) => json_text(&sample_json::sample(&snapshot)),
        Err(response) => *response,
    }
}

/// Those that were told as events and are open.
async fn findings(State(sources): State<Sources>, pid: PidPath) -> Response {
    let (row, _) = match find(&sources, &pid) {
        Ok(found) => found,
        Err(response) => return *response,
    };
    let since = |opened| clock::wall_now().since(clock::now().since(opened));
    let open: Vec<Value> = row
        .open
        .iter()
        .map(|told| {
            json!({
                "id": finding_id(row.key, told),
                "opened": rfc3339(since(told.opened_at)),
                "finding": to_value(&told.finding),
            })
        })
        .collect();
    json_text(&json!({ "schema": "bufwatch.findings/1", "pid": row.key.pid, "findings": open }))
}

/// The last census; a new one is taken when it is asked for by POST.
async fn census(State(sources): State<Sources>, pid: PidPath) -> Response {
    let (row, snapshot) = match find(&sources, &pid) {
        Ok(found) => found,
        Err(response) => return *response,
    };
    let Some(last) = &snapshot.census.last else {
        let failure = snapshot.census.failure.as_ref().map(|failure| failure.message.as_ref());
        let what = failure.unwrap_or("its heap was not looked at yet; POST to this path");
        return error(StatusCode::NOT_FOUND, what);
    };
    let subject = Subject {
        pid: row.key.pid,
        start_ticks: row.key.start_ticks,
        node_version: snapshot.target.node_version.clone(),
    };
    let shown: Vec<usize> = (0..last.census.parents.len().min(PARENTS_SHOWN)).collect();
    let of_census = |finding: &&crate::analysis::finding::Finding| finding.kind.needs_census();
    let findings: Vec<_> = snapshot.findings.iter().filter(of_census).cloned().collect();
    match census_json::to_json(last, &findings, &subject, &shown) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text + "\n").into_response(),
        Err(_) => error(StatusCode::INTERNAL_SERVER_ERROR, "the census could not be written"),
    }
}

async fn take_census(State(sources): State<Sources>, pid: PidPath) -> Response {
    let (row, _) = match find(&sources, &pid) {
        Ok(found) => found,
        Err(response) => return *response,
    };
    let pid = row.key.pid;
    match sources.orders.try_send(Order::Census { pid }) {
        Ok(()) => {
            let told = json!({ "pid": pid, "census": "asked for", "n_taken": row.snapshot().map(|it| it.census.n_taken) });
            (StatusCode::ACCEPTED, json_text(&told)).into_response()
        }
        Err(_) => error(StatusCode::SERVICE_UNAVAILABLE, TOO_MUCH),
    }
}

/// All of it, for a dashboard elsewhere (`daemon::live`).
async fn show_live(
    State(sources): State<Sources>,
    pid: PidPath,
    RawQuery(query): RawQuery,
) -> Response {
    let snapshot = match find(&sources, &pid) {
        Ok((_, snapshot)) => snapshot,
        Err(response) => return *response,
    };
    let n_censuses = query.as_deref().and_then(|it| it.strip_prefix("censuses="));
    let n_censuses = n_censuses.and_then(|n| n.parse().ok());
    // A large one takes some ten milliseconds, and others want to be answered.
    let encoded = spawn_blocking(move || live::encode(&snapshot, n_censuses)).await;
    match encoded {
        Ok(Ok(text)) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Ok(Err(_)) | Err(_) => {
            error(StatusCode::INTERNAL_SERVER_ERROR, "the snapshot could not be written")
        }
    }
}

/// What the dashboard shows of it: an order of stores, a filter, one store.
async fn look(State(sources): State<Sources>, pid: PidPath, body: Bytes) -> Response {
    let (row, _) = match find(&sources, &pid) {
        Ok(found) => found,
        Err(response) => return *response,
    };
    let Ok(look) = serde_json::from_slice(&body) else {
        return error(StatusCode::BAD_REQUEST, "that is no look of this bufwatch");
    };
    match sources.orders.try_send(Order::Look { pid: row.key.pid, look }) {
        Ok(()) => (StatusCode::ACCEPTED, json_text(&json!({}))).into_response(),
        Err(_) => error(StatusCode::SERVICE_UNAVAILABLE, TOO_MUCH),
    }
}

/// Has a process recorded for a while: `?duration=10m`.
async fn record(
    State(sources): State<Sources>,
    pid: PidPath,
    RawQuery(query): RawQuery,
) -> Response {
    match lasts(query.as_deref()) {
        Ok(lasts) => order_recording(&sources, pid, Some(lasts)).await,
        Err(what) => error(StatusCode::BAD_REQUEST, what),
    }
}

async fn stop_recording(State(sources): State<Sources>, pid: PidPath) -> Response {
    order_recording(&sources, pid, None).await
}

fn lasts(query: Option<&str>) -> Result<Nanos, &'static str> {
    let Some(query) = query.filter(|query| !query.is_empty()) else { return Ok(RECORD_FOR) };
    let text = query.strip_prefix("duration=").ok_or("only `duration` is known, as in 10m")?;
    let lasts = parse_duration(text).ok_or("no duration; use 600 or 10m")?;
    let is_fine = (RECORD_FOR_MIN..=RECORD_FOR_MAX).contains(&lasts);
    if is_fine { Ok(lasts) } else { Err("a duration is between 1s and 24h") }
}

async fn order_recording(sources: &Sources, pid: PidPath, lasts: Option<Nanos>) -> Response {
    let Ok(Path(pid)) = pid else { return error(StatusCode::BAD_REQUEST, NO_PID) };
    let (answer, answered) = oneshot::channel();
    let order = Order::Record { pid, lasts, answer };
    if sources.orders.try_send(order).is_err() {
        return error(StatusCode::SERVICE_UNAVAILABLE, TOO_MUCH);
    }
    let status = if lasts.is_some() { StatusCode::ACCEPTED } else { StatusCode::OK };
    match timeout(ANSWER_LIMIT, answered).await {
        Ok(Ok(Ok(Recorded { path, until }))) => {
            let until = until.map(rfc3339);
            let told = json!({ "pid": pid, "recording": path, "wanted_until": until });
            (status, json_text(&told)).into_response()
        }
        Ok(Ok(Err(NotRecorded::NotWatched))) => error(StatusCode::NOT_FOUND, NOT_WATCHED),
        Ok(Ok(Err(NotRecorded::NoDirectory))) => {
            error(StatusCode::CONFLICT, "recordings.directory is not set")
        }
        Ok(Ok(Err(NotRecorded::Always))) => {
            let what = "all is recorded as it is: recordings.when is \"always\"";
            error(StatusCode::CONFLICT, what)
        }
        Ok(Err(_)) | Err(_) => error(StatusCode::SERVICE_UNAVAILABLE, TOO_MUCH),
    }
}

fn board(sources: &Sources) -> Arc<Board> {
    Arc::clone(&sources.board.borrow())
}

/// A process that is watched, with its newest snapshot.
fn find(sources: &Sources, pid: &PidPath) -> Result<(Row, Arc<Snapshot>), Box<Response>> {
    let Ok(Path(pid)) = pid else {
        return Err(Box::new(error(StatusCode::BAD_REQUEST, NO_PID)));
    };
    let board = board(sources);
    let row = board.processes.iter().find(|row| row.key.pid == *pid);
    let found = row.and_then(|row| Some((row.clone(), row.snapshot()?)));
    found.ok_or_else(|| Box::new(error(StatusCode::NOT_FOUND, NOT_WATCHED)))
}

fn json_text(value: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], format!("{value}\n")).into_response()
}

fn plain(status: StatusCode, text: &'static str) -> Response {
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

fn error(status: StatusCode, what: &str) -> Response {
    (status, json_text(&json!({ "error": what }))).into_response()
}
