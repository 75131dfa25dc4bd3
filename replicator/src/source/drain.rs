//! Reads of several messages at once from a subscription of the event store.

use async_trait::async_trait;
use futures::FutureExt;

use super::{Delivery, Reader};
use crate::Result;

/// A subscription of the event store.
pub(super) trait Messages: Send {
    /// The next message as a delivery; none when it has nothing to deliver. Cancel-safe.
    fn next_delivery(&mut self) -> impl Future<Output = Result<Option<Delivery>>> + Send;
}

#[async_trait]
impl<M: Messages> Reader for M {
    async fn next(&mut self, count_max: usize) -> Result<Vec<Delivery>> {
        let mut deliveries = Vec::new();
        while deliveries.is_empty() {
            deliveries.extend(self.next_delivery().await?);
        }
        // an error comes after the deliveries read so far: the next call meets it again
        while deliveries.len() < count_max
            && let Some(Ok(next)) = self.next_delivery().now_or_never()
        {
            deliveries.extend(next);
        }
        Ok(deliveries)
    }
}
