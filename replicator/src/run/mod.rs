//! A replicator: all subscriptions of a configuration, the HTTP interface, and the shutdown.

mod build;
mod check;
mod clients;
mod journals;
mod sinks;
mod sources;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::SystemClock;
pub(crate) use check::check;
pub use clients::{destination_client, source_client};
use futures::future::{join_all, select_all};
pub use journals::{sink_journal, source_journal};
pub use sinks::sink_of;
pub use sources::source_of;

use crate::config::Config;
use crate::health::{Board, HealthServer};
use crate::logging::Shipping;
use crate::metrics::Metrics;
use crate::subscription::RunningSubscription;
use crate::{Error, Result};

/// A running replicator.
pub struct Replicator {
    subscriptions: Vec<RunningSubscription>,
    board: Arc<Board>,
    http: Option<HealthServer>,
    stop_timeout: Duration,
}

impl Replicator {
    /// Starts all parts of the configuration; `logs` are the sinks of logs, which the metrics show.
    ///
    /// # Errors
    /// `Rejected`, naming the setting; `Unavailable` or `Corrupt` when a checkpoint cannot be read.
    pub async fn start(config: &Config, logs: &Shipping) -> Result<Self> {
        config.validate()?;
        let metrics = Arc::new(Metrics::new(Arc::new(SystemClock)));
        for (index, (name, counts)) in logs.counts().enumerate() {
            metrics.logs(&format!("{index} {name}"), counts);
        }
        let board = Board::new(&metrics);
        let all_parts = build::all_parts(config, &metrics, &board).await?;
        let http =
            HealthServer::start(&config.metrics, &config.health, metrics, board.clone()).await?;
        if let Some(http) = &http {
            tracing::info!("metrics and health at http://{}", http.local_address());
        }
        let mut subscriptions = Vec::with_capacity(all_parts.len());
        for parts in all_parts {
            subscriptions.push(RunningSubscription::start(parts).await?);
        }
        Ok(Self { subscriptions, board, http, stop_timeout: config.settings.stop_timeout })
    }

    /// The address of the HTTP interface; none when it is off.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(HealthServer::local_address)
    }

    /// The state of the subscriptions.
    pub fn board(&self) -> &Arc<Board> {
        &self.board
    }

    /// Runs until `shutdown` is ready, every subscription is done, or one fails. Then stops the
    /// subscriptions that still run.
    ///
    /// # Errors
    /// `Rejected` with the reason of each subscription that failed or did not stop in time.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Result<()> {
        let mut failures = Vec::new();
        let mut running = std::mem::take(&mut self.subscriptions);
        let mut shutdown = Box::pin(shutdown);
        while !running.is_empty() {
            let ends = running.iter_mut().map(|subscription| Box::pin(subscription.ended()));
            let (ended, index) = tokio::select! {
                () = &mut shutdown => break,
                (ended, index, _) = select_all(ends) => (ended, index),
            };
            let subscription = running.remove(index);
            if let Err(reason) = ended {
                failures.push(format!("subscription `{}`: {reason}", subscription.name()));
                break;
            }
        }
        let timeout = self.stop_timeout;
        let stops = running.into_iter().map(|subscription| async move {
            let name = subscription.name().to_owned();
            subscription
                .stop(timeout)
                .await
                .map_err(|reason| format!("subscription `{name}`: {reason}"))
        });
        failures.extend(join_all(stops).await.into_iter().filter_map(std::result::Result::err));
        if let Some(http) = self.http {
            http.stop().await;
        }
        if failures.is_empty() { Ok(()) } else { Err(Error::rejected(failures.join("; "))) }
    }
}
