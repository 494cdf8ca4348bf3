//! What is answered to which request: JSON, and metrics as text. Nothing of a request but its path and a few headers is used.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::{Value, json};

use crate::analysis::Snapshot;
use crate::daemon::board::{Board, Row};
use crate::daemon::events::{finding_id, rfc3339};
use crate::daemon::http::access::Refusal;
use crate::daemon::http::{Order, Sources, metrics};
use crate::export::census_json::{self, Subject};
use crate::export::finding::to_value;
use crate::export::sample_json;
use crate::sys::clock;
use crate::sys::procfs::Container;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN_METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Array buffers of a census that are listed, the largest first.
const PARENTS_SHOWN: usize = 100;

type PidPath = Result<Path<u32>, PathRejection>;

pub(super) fn router(sources: Sources) -> Router {
    Router::new()
        .route("/metrics", get(metrics_page))
        .route("/v1/processes", get(processes))
        .route("/v1/processes/{pid}/snapshot", get(snapshot))
        .route("/v1/processes/{pid}/findings", get(findings))
        .route("/v1/processes/{pid}/census", get(census).post(take_census))
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
    let page = metrics::page(&board(&sources), is_openmetrics);
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
        Err(_) => error(StatusCode::SERVICE_UNAVAILABLE, "too much is asked for; try again later"),
    }
}

fn board(sources: &Sources) -> Arc<Board> {
    Arc::clone(&sources.board.borrow())
}

/// A process that is watched, with its newest snapshot.
fn find(sources: &Sources, pid: &PidPath) -> Result<(Row, Arc<Snapshot>), Box<Response>> {
    let Ok(Path(pid)) = pid else {
        return Err(Box::new(error(StatusCode::BAD_REQUEST, "a pid is a number")));
    };
    let board = board(sources);
    let row = board.processes.iter().find(|row| row.key.pid == *pid);
    let found = row.and_then(|row| Some((row.clone(), row.snapshot()?)));
    found.ok_or_else(|| Box::new(error(StatusCode::NOT_FOUND, "no such process is watched")))
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
