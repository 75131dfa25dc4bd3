//! The task that sends the lines of one sink.

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::backoff::{Backoff, Jitter};

use super::TARGET;
use super::outcome::{Outcome, outcome};
use super::protocol::Protocol;
use super::queue::Queue;
use crate::Result;
use crate::config::LogSinkSettings;
use crate::http::{HttpClient, HttpFailure};
use crate::logging::causes;

/// Bytes of an answer; the servers answer with a few words.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Sends the lines of one sink.
pub(super) struct Sender {
    protocol: Arc<Protocol>,
    queue: Arc<Queue>,
    client: HttpClient,
    period: Duration,
    backoff: Backoff,
    /// Requests that failed in a row.
    failures: u32,
    /// True when the console knows that lines do not go through.
    is_told: bool,
}

impl Sender {
    pub(super) fn new(
        key: &str,
        protocol: Arc<Protocol>,
        queue: Arc<Queue>,
        settings: &LogSinkSettings,
    ) -> Result<Self> {
        let period = settings.period();
        let settings = settings.ship();
        let is_https = protocol.uri.scheme_str() == Some("https");
        let client = match is_https {
            true => HttpClient::with_tls(key, settings.request_timeout, ANSWER_BYTES_MAX, 1)?,
            false => HttpClient::new(settings.request_timeout, ANSWER_BYTES_MAX, 1),
        };
        let backoff = Backoff::new(settings.retry_delay, settings.retry_delay_max);
        Ok(Self { protocol, queue, client, period, backoff, failures: 0, is_told: false })
    }

    /// Sends until the queue is closed and empty.
    pub(super) async fn run(mut self) {
        loop {
            let _ = tokio::time::timeout(self.period, self.queue.wake.notified()).await;
            // a line that is logged later than the close is lost at the queue
            let is_closed = self.queue.is_closed();
            while let Some(batch) = self.queue.take() {
                self.deliver(batch).await;
            }
            if is_closed {
                return;
            }
        }
    }

    /// Sends a batch, however long that takes. Of a refused batch the halves are sent.
    async fn deliver(&mut self, batch: Vec<Vec<u8>>) {
        let mut parts = vec![batch];
        while let Some(mut part) = parts.pop() {
            match self.post(&part).await {
                Outcome::Sent => {
                    self.queue.counts.add_sent(part.len());
                    self.works();
                }
                Outcome::Refused(reason) if part.len() > 1 => {
                    tracing::debug!(target: TARGET, "{}: {reason}, half of it is sent", self.protocol.name);
                    let rest = part.split_off(part.len() / 2);
                    parts.extend([rest, part]);
                }
                Outcome::Refused(reason) => {
                    self.queue.counts.add_lost(1);
                    self.tell(&format!("a line is refused and lost: {reason}"));
                }
                Outcome::Later(reason) => {
                    self.failures = self.failures.saturating_add(1);
                    self.tell(&format!("the lines wait: {reason}"));
                    parts.push(part);
                    let pause = self.backoff.delay(self.failures, Jitter::NONE);
                    if !self.queue.is_closed() {
                        // the close wakes it for a last try
                        self.pause(pause).await;
                    } else {
                        tokio::time::sleep(pause).await;
                    }
                }
            }
        }
    }

    /// Waits, at most until the queue is closed. A full batch does not end the pause.
    async fn pause(&self, pause: Duration) {
        let closed = async {
            while !self.queue.is_closed() {
                self.queue.wake.notified().await;
            }
        };
        let _ = tokio::time::timeout(pause, closed).await;
    }

    async fn post(&self, batch: &[Vec<u8>]) -> Outcome {
        match self.client.send(self.protocol.request(batch)).await {
            Ok((status, _)) => outcome(status),
            Err(HttpFailure::Unreachable(error) | HttpFailure::Broken(error)) => {
                Outcome::Later(causes(&*error))
            }
            Err(HttpFailure::Late) => Outcome::Later("no answer in time (`requestTimeout`)".into()),
            // the lines are there, whatever it says
            Err(HttpFailure::TooLarge) => Outcome::Sent,
        }
    }

    fn tell(&mut self, what: &str) {
        let (name, host) = (self.protocol.name, self.protocol.uri.host().unwrap_or_default());
        if std::mem::replace(&mut self.is_told, true) {
            tracing::debug!(target: TARGET, "logs to {name} at {host}: {what}");
        } else {
            tracing::warn!(target: TARGET, "logs to {name} at {host}: {what}");
        }
    }

    fn works(&mut self) {
        self.failures = 0;
        if std::mem::take(&mut self.is_told) {
            let (name, lost) = (self.protocol.name, self.queue.counts.lost());
            tracing::info!(target: TARGET, "logs to {name} go through again, {lost} lines are lost so far");
        }
    }
}
