//! A sink without a destination: for `ReadOnly`, which reads, logs and settles.

use async_trait::async_trait;

use super::{Outcome, Sink};
use crate::event::Envelope;

/// Accepts every event and stores nothing.
#[derive(Debug, Default)]
pub struct NullSink;

#[async_trait]
impl Sink for NullSink {
    async fn write(&self, batch: &[Envelope]) -> Vec<Outcome> {
        vec![Outcome::Written(None); batch.len()]
    }

    fn mixes_streams(&self) -> bool {
        true
    }
}
