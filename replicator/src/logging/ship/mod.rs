//! Sends log lines over HTTP, to Seq and to Datadog, without ever holding up the program.
//!
//! ```text
//!   log event --Layer--> [Queue: bounded, full = lost, counted] --> Sender task --POST--> server
//! ```
//!
//! A line is encoded where it is logged and waits in a bounded queue. One task per sink sends
//! batches: after a failure it tries again with growing pauses; a batch that the server refuses is
//! halved until the refused line is alone, which is lost and counted. At the end of the program the
//! rest is sent within a limit. The console is told of failures, once until lines go through again.

mod layer;
mod outcome;
mod protocol;
mod queue;
#[cfg(test)]
mod receiver;
mod sender;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::task;
pub(super) use layer::ShipLayer;
pub use queue::Counts;
use tokio::task::JoinHandle;

use self::protocol::Protocol;
use self::queue::Queue;
use self::sender::Sender;
use crate::Result;
use crate::config::LogSinkSettings;

/// The target of the lines about sinks of logs, which such sinks do not get.
pub(super) const TARGET: &str = "antiphon_replicator::logging::ship";

/// The sinks of logs that send.
#[derive(Default)]
pub struct Shipping {
    sinks: Vec<Shipped>,
}

struct Shipped {
    name: &'static str,
    queue: Arc<Queue>,
    flush_timeout: Duration,
    task: JoinHandle<()>,
}

impl Shipping {
    /// Starts the task of each sink, and makes its layer, with the properties that every line has.
    ///
    /// # Errors
    /// `Rejected` when TLS cannot be set up.
    pub(super) fn start(
        sinks: &[(String, LogSinkSettings)],
        properties: &[(String, String)],
        machine: Option<&str>,
    ) -> Result<(Self, Vec<ShipLayer>)> {
        let (mut shipping, mut layers) = (Self::default(), Vec::new());
        for (key, settings) in sinks {
            let protocol = Arc::new(Protocol::new(key, settings, properties.to_vec(), machine)?);
            let queue = Arc::new(Queue::new(protocol.limits));
            let sender = Sender::new(key, protocol.clone(), queue.clone(), settings)?;
            layers.push(ShipLayer::new(protocol.clone(), queue.clone()));
            shipping.sinks.push(Shipped {
                name: protocol.name,
                queue,
                flush_timeout: settings.ship().flush_timeout,
                task: task::spawn("log sink", sender.run()),
            });
        }
        Ok((shipping, layers))
    }

    /// The counts of each sink, by its name.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, Arc<Counts>)> {
        self.sinks.iter().map(|sink| (sink.name, sink.queue.counts.clone()))
    }

    /// Sends the lines that wait, within the limit of each sink. Later lines are lost. Returns a
    /// sentence for each sink that lost lines in its life.
    pub async fn close(self) -> Vec<String> {
        self.sinks.iter().for_each(|sink| sink.queue.close());
        let mut losses = Vec::new();
        for mut sink in self.sinks {
            if tokio::time::timeout(sink.flush_timeout, &mut sink.task).await.is_err() {
                sink.task.abort();
                // after its end it counts nothing more
                let _ = sink.task.await;
            }
            sink.queue.give_up();
            let lost = sink.queue.counts.lost();
            if lost > 0 {
                losses.push(format!("{lost} log lines for {} were lost", sink.name));
            }
        }
        losses
    }
}
