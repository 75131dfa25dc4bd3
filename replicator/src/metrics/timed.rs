//! Measures the writes of a sink.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Metrics, Summary};
use crate::Result;
use crate::event::Envelope;
use crate::sink::{Outcome, Sink};

/// A sink whose writes are measured as Ditto measured its appends.
pub struct TimedSink {
    inner: Arc<dyn Sink>,
    duration: Summary,
}

impl TimedSink {
    /// Measures the writes of `inner` with `duration`.
    pub fn new(inner: Arc<dyn Sink>, duration: Summary) -> Self {
        Self { inner, duration }
    }

    /// The summary of appends to an event store, with Ditto's labels.
    pub fn summary(metrics: &Metrics) -> Summary {
        metrics.io("eventstore", "ditto-destination", "append_to_stream")
    }
}

#[async_trait]
impl Sink for TimedSink {
    async fn write(&self, batch: &[Envelope]) -> Vec<Outcome> {
        let started = self.duration.now();
        let outcomes = self.inner.write(batch).await;
        self.duration.observe(self.duration.now().saturating_duration_since(started));
        outcomes
    }

    async fn probe(&self) -> Result<()> {
        self.inner.probe().await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }

    fn mixes_streams(&self) -> bool {
        self.inner.mixes_streams()
    }
}
