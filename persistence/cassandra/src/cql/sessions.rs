//! The sessions on a server: one for coordination and one for all else, so that rows of megabytes
//! use other connections than the renewal of a node's own row.
//!
//! After the server was away, the driver tries to connect again at growing intervals of up to 10 s.
//! A task here is faster: while nothing is answered and connections fail, it tries the contact
//! points with plain connections at short, even intervals. As soon as a contact point takes a
//! connection, new sessions replace the old ones.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use antiphon_base::Result;
use antiphon_base::task;
use antiphon_base::time::{Clock, SystemClock};
use parking_lot::{Mutex, RwLock};
use scylla::client::session::Session;
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::answers::Answers;
use super::{ServerSettings, session};

/// Time between two tries. Up to half of it is added at random, so that the nodes of a place do not
/// come all at once.
const TRY_INTERVAL: Duration = Duration::from_millis(250);
/// Time that a plain connection may take.
const TRY_TIMEOUT: Duration = Duration::from_secs(1);
/// Least time between two replacements of the sessions: a server that has just come back is busy.
const RENEW_INTERVAL: Duration = Duration::from_secs(5);

/// The purpose of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Coordination,
    Data,
}

struct Pair {
    coordination: Arc<Session>,
    data: Arc<Session>,
}

/// The sessions of a process.
pub(super) struct Sessions {
    pair: RwLock<Pair>,
    settings: ServerSettings,
    renewing: AtomicBool,
    renewed_at: Mutex<Option<Instant>>,
}

impl Sessions {
    /// Connects both sessions.
    pub(super) async fn open(settings: &ServerSettings) -> Result<Arc<Self>> {
        let pair = connect(settings).await?;
        Ok(Arc::new(Self {
            pair: RwLock::new(pair),
            settings: settings.clone(),
            renewing: AtomicBool::new(false),
            renewed_at: Mutex::default(),
        }))
    }

    /// The session to use now.
    pub(super) fn get(&self, of: Use) -> Arc<Session> {
        let pair = self.pair.read();
        match of {
            Use::Coordination => pair.coordination.clone(),
            Use::Data => pair.data.clone(),
        }
    }

    /// Starts the task that connects new sessions, because connections fail and nothing is
    /// answered. Does nothing when the task runs, or when the sessions were replaced a moment ago.
    pub(super) fn renew(self: &Arc<Self>, answers: &Arc<Answers>) {
        let renewed_at = *self.renewed_at.lock();
        let rested = |at| SystemClock.now().duration_since(at) >= RENEW_INTERVAL;
        if !renewed_at.is_none_or(rested) || self.renewing.swap(true, Ordering::AcqRel) {
            return;
        }
        let settings = self.settings.clone();
        task::spawn(
            "cassandra reconnect",
            reconnect(Arc::downgrade(self), settings, answers.clone()),
        );
    }

    fn replace(&self, pair: Pair) {
        *self.pair.write() = pair;
        let mut renewed_at = self.renewed_at.lock();
        *renewed_at = Some(SystemClock.now());
    }
}

async fn connect(settings: &ServerSettings) -> Result<Pair> {
    let (coordination, data) =
        futures::try_join!(session::connect(settings), session::connect(settings))?;
    Ok(Pair { coordination: Arc::new(coordination), data: Arc::new(data) })
}

/// Runs until there are new sessions, until the old sessions get answers again, or until the store
/// is closed.
async fn reconnect(sessions: Weak<Sessions>, settings: ServerSettings, answers: Arc<Answers>) {
    while sessions.strong_count() > 0 && answers.is_failing() {
        if is_there(&settings.contact_points).await {
            let connected = tokio::time::timeout(settings.connect_timeout * 2, connect(&settings));
            match (connected.await, sessions.upgrade()) {
                (Ok(Ok(pair)), Some(sessions)) => {
                    sessions.replace(pair);
                    tracing::info!("the database takes connections again");
                    break;
                }
                (Ok(Err(error)), _) => {
                    tracing::debug!(%error, "the database takes connections, but no sessions yet");
                }
                (Ok(Ok(_)) | Err(_), _) => {}
            }
        }
        let chance = u32::try_from(SystemClock.wall().as_micros() % 100).unwrap_or(0);
        tokio::time::sleep(TRY_INTERVAL + TRY_INTERVAL * chance / 200).await;
    }
    if let Some(sessions) = sessions.upgrade() {
        sessions.renewing.store(false, Ordering::Release);
    }
}

/// Returns true when any contact point takes a connection.
async fn is_there(contact_points: &[String]) -> bool {
    let tries = contact_points.iter().map(|point| {
        let point = if has_port(point) { point.clone() } else { format!("{point}:9042") };
        Box::pin(async move {
            match tokio::time::timeout(TRY_TIMEOUT, TcpStream::connect(point)).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(_)) | Err(_) => Err(()),
            }
        })
    });
    futures::future::select_ok(tries).await.is_ok()
}

/// True for `host:port` and `[::1]:port`, false for `host` and `::1`.
fn has_port(point: &str) -> bool {
    point.rsplit_once(':').is_some_and(|(host, port)| {
        port.parse::<u16>().is_ok() && (!host.contains(':') || host.ends_with(']'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_point_without_a_port_has_the_default_one() {
        for (point, expected) in [
            ("db", false),
            ("db:9043", true),
            ("10.0.0.1:1", true),
            ("::1", false),
            ("[::1]:9042", true),
        ] {
            assert_eq!(has_port(point), expected, "{point}");
        }
    }
}
