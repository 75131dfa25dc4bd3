//! The HTTP interface, on Ditto's port: metrics on Ditto's path, health and status beside them.

use std::net::SocketAddr;
use std::sync::Arc;

use antiphon_base::task;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Board;
use crate::config::{HealthSettings, MetricsSettings};
use crate::metrics::Metrics;
use crate::{Error, Result};

#[derive(Clone)]
struct Shared {
    metrics: Arc<Metrics>,
    board: Arc<Board>,
    paths: Arc<Vec<String>>,
}

/// A running HTTP interface.
pub struct HealthServer {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl HealthServer {
    /// Serves the enabled parts; `None` when metrics and health are both disabled.
    ///
    /// # Errors
    /// `Rejected`, naming the settings, when the address cannot be listened on.
    pub async fn start(
        settings: &MetricsSettings,
        health: &HealthSettings,
        metrics: Arc<Metrics>,
        board: Arc<Board>,
    ) -> Result<Option<Self>> {
        if !settings.enabled && !health.enabled {
            return Ok(None);
        }
        let address = settings.address().ok_or_else(|| {
            let actual = &settings.host;
            Error::rejected(format!(
                "`Metrics:Host`: expected `+` or an IP address, actual `{actual}`"
            ))
        })?;
        let listener = TcpListener::bind(address).await.map_err(|error| {
            Error::rejected(format!(
                "`Metrics:Port`: cannot listen on {address}: {error}: choose a free port, or 0 for any, or set `Metrics:Enabled` to false"
            ))
        })?;
        let address = listener
            .local_addr()
            .map_err(|error| Error::bug("a listener without an address").with_source(error))?;
        let routes = routes(settings, health, metrics, board);
        let (stop, mut stopped) = watch::channel(false);
        let task = task::spawn("http", async move {
            let serving = axum::serve(listener, routes).with_graceful_shutdown(async move {
                let _ = stopped.wait_for(|stop| *stop).await;
            });
            if let Err(error) = serving.await {
                tracing::error!(%error, "the HTTP interface ended");
            }
        });
        Ok(Some(Self { address, stop, task }))
    }

    /// The address that the server listens on.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no new requests and waits for the requests under way.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let _ = self.task.await;
    }
}

fn routes(
    settings: &MetricsSettings,
    health: &HealthSettings,
    metrics: Arc<Metrics>,
    board: Arc<Board>,
) -> Router {
    let mut router: Router<Shared> = Router::new();
    let mut paths = Vec::new();
    if settings.enabled {
        let route = settings.route();
        router =
            router.route(&route, get(show_metrics)).route(&format!("{route}/"), get(show_metrics));
        paths.push(route);
    }
    if health.enabled {
        router = router
            .route("/health", get(health_of_all))
            .route("/health/live", get(live))
            .route("/health/ready", get(ready))
            .route("/status", get(status));
        paths.extend(["/health", "/health/live", "/health/ready", "/status"].map(str::to_owned));
    }
    router.fallback(not_found).with_state(Shared { metrics, board, paths: Arc::new(paths) })
}

fn answer(status: StatusCode, body: &Value) -> Response {
    let body = format!("{body:#}\n");
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn verdict(
    name: &str,
    outcome: std::result::Result<(), Vec<String>>,
    attention: Vec<String>,
) -> Response {
    let mut body = json!({ name: outcome.is_ok() });
    if !attention.is_empty() {
        body["attention"] = json!(attention);
    }
    match outcome {
        Ok(()) => answer(StatusCode::OK, &body),
        Err(reasons) => {
            body["reasons"] = json!(reasons);
            answer(StatusCode::SERVICE_UNAVAILABLE, &body)
        }
    }
}

async fn health_of_all(State(shared): State<Shared>) -> Response {
    let health = shared.board.health();
    let is_ready = health["ready"] == true;
    answer(if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &health)
}

async fn show_metrics(State(shared): State<Shared>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, shared.metrics.text()).into_response()
}

async fn live(State(shared): State<Shared>) -> Response {
    verdict("live", shared.board.live(), Vec::new())
}

async fn ready(State(shared): State<Shared>) -> Response {
    verdict("ready", shared.board.ready(), shared.board.attention())
}

async fn status(State(shared): State<Shared>) -> Response {
    answer(StatusCode::OK, &shared.board.json())
}

async fn not_found(State(shared): State<Shared>) -> Response {
    answer(StatusCode::NOT_FOUND, &json!({ "error": "no such path", "expected": *shared.paths }))
}
