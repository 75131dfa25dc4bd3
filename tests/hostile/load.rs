//! Honest clients, and the times of their asks.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use antiphon::app::client::Client;
use antiphon_base::task;
use antiphon_base::time::{Clock, SystemClock};
use parking_lot::Mutex;
use serde_json::json;
use tokio::task::JoinHandle;

/// Clients of each node.
const CLIENTS: usize = 2;
/// Pause of a client between two asks.
const PAUSE: Duration = Duration::from_millis(5);
/// Longest time of an ask.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    times: Mutex<Vec<Duration>>,
    failed: Mutex<Vec<String>>,
}

/// Clients that add to counters, through all nodes.
pub(crate) struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

/// The times of asks, the shortest first.
pub(crate) struct Times(Vec<Duration>);

impl Load {
    pub(crate) fn start(nodes: &[String]) -> Self {
        let shared = Arc::new(Shared::default());
        let client = |number: usize| {
            let address = nodes[number % nodes.len()].clone();
            task::spawn("client", ask_always(shared.clone(), address, number))
        };
        let clients = (0..CLIENTS * nodes.len()).map(client).collect();
        Self { shared, clients }
    }

    /// The times of the asks that are answered within the next `time`.
    pub(crate) async fn during(&self, time: Duration) -> Times {
        self.until(tokio::time::sleep(time)).await
    }

    /// The times of the asks that are answered before `end`.
    pub(crate) async fn until(&self, end: impl Future<Output = ()>) -> Times {
        self.shared.times.lock().clear();
        end.await;
        let mut times = std::mem::take(&mut *self.shared.times.lock());
        times.sort_unstable();
        Times(times)
    }

    /// Ends the clients. Returns the answers that were no success.
    pub(crate) async fn stop(self) -> Vec<String> {
        self.shared.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("a client without a panic");
        }
        std::mem::take(&mut *self.shared.failed.lock())
    }
}

impl Times {
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn quantile(&self, percent: usize) -> Duration {
        let last = self.0.len().saturating_sub(1);
        self.0.get(last * percent / 100).copied().unwrap_or_default()
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [half, most] = [50, 99].map(|percent| self.quantile(percent));
        write!(f, "{} asks, p50 {half:?}, p99 {most:?}", self.count())
    }
}

async fn ask_always(shared: Arc<Shared>, address: String, number: usize) {
    let mut client = Client::new(address).with_timeout(TIMEOUT);
    let mut round = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        round += 1;
        let path = format!("/entities/counter/c-{number}-{}", round % 50);
        let began = SystemClock.now();
        let answer = client.post(&path, &[], &json!({ "add": 1 })).await;
        let failed = match answer {
            Ok((status, _)) if status.is_success() => None,
            Ok((status, body)) => Some(format!("{status} {}", String::from_utf8_lossy(&body))),
            Err(error) => Some(error.to_string()),
        };
        match failed {
            None => shared.times.lock().push(SystemClock.now() - began),
            Some(why) => shared.failed.lock().push(why),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
