//! The nodes that a program outside the cluster asks, and the attempts of one command.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, StatusCode};
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::pool::{Attempt, Pool};
use super::{Access, EntityClient, failure};
use crate::base::backoff::{Backoff, Jitter};
use crate::base::bounds;
use crate::base::text::foreign;
use crate::base::time::{Clock, SystemClock};
use crate::header::{ANSWER_TYPE, COMMAND_TYPE, TELL, TIME_LEFT};
use crate::prelude::*;

/// The default of the commands that are under way at once.
const REQUESTS_MAX: usize = 64;

/// The default of an entity's `ask_timeout`, as of the nodes.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);

/// The default of the time until an address counts as out of reach.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// The pause after every address was tried once.
const PAUSE: Backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));

/// The nodes that a program outside the cluster asks. Cheap to clone; inside a tokio runtime.
///
/// A command goes to the first address that answers, which later commands then try first; after a
/// lost answer they try the next one first. An address that cannot be reached, or whose node takes
/// nothing now (it starts, leaves, or has no home for the entity), is followed by the next one, and
/// after the last by the first, until the command's `ask_timeout`. So is one that refuses the token
/// (401) or its own name (421), until all have. A command is never sent again after it may have
/// taken effect.
#[derive(Debug, Clone)]
pub struct Cluster(Arc<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    pools: Arc<[Pool]>,
    access: Access,
    /// The index of the address that has answered last.
    first: Arc<AtomicUsize>,
    requests: Arc<Semaphore>,
    ask_timeout: Duration,
    connect_timeout: Duration,
}

/// The progress of a command.
#[derive(Default)]
struct Progress {
    /// The index of the node that may have the command, whose effect nobody knows then.
    at: Option<usize>,
    /// The reason why the last node has not taken it.
    why: Option<String>,
}

/// A command on its way, encoded.
pub(super) struct Sent<'a> {
    pub(super) path: &'a str,
    pub(super) headers: &'a [(&'static str, String)],
    pub(super) command: Bytes,
    pub(super) is_ask: bool,
}

impl Cluster {
    /// The nodes with these HTTP addresses (`host:port`), in the order in which they are tried.
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// `Rejected` when there is no address, or one has no port.
    pub fn new<A: Into<String>>(addresses: impl IntoIterator<Item = A>) -> Result<Self> {
        let addresses: Vec<String> = addresses.into_iter().map(Into::into).collect();
        if addresses.is_empty() {
            return Err(Error::rejected("`addresses`: expected one `host:port` at least"));
        }
        let has_port = |address: &&String| {
            let port = address.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()));
            matches!(port, Some((host, Ok(1..))) if !host.is_empty())
        };
        if let Some(wrong) = addresses.iter().find(|address| !has_port(address)) {
            return Err(Error::rejected(format!(
                "`addresses`: expected `host:port`, actual {wrong:?}"
            )));
        }
        Ok(Self(Arc::new(Inner {
            pools: addresses.into_iter().map(Pool::new).collect(),
            access: Access::default(),
            first: Arc::default(),
            requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
            ask_timeout: ASK_TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
        })))
    }

    /// Sets the token and the certificates of each request. Default: none, for plain HTTP. New
    /// connections are made: those of the value before have another access, and stay with it.
    ///
    /// # Errors
    /// `Rejected` when a token would be sent in clear text to an address on another machine.
    pub fn with_access(self, access: Access) -> Result<Self> {
        for pool in self.0.pools.iter() {
            access.check(&pool.address)?;
        }
        Ok(self.with(|inner| {
            inner.pools = inner.pools.iter().map(|pool| Pool::new(pool.address.clone())).collect();
            inner.access = access;
        }))
    }

    /// Sets the number of commands that are under way at the same time, of all clones of this value
    /// together: as many connections at most. A further command waits for its turn within its
    /// `ask_timeout`. From 1 to 65536; default: 64.
    ///
    /// # Errors
    /// `Rejected` when the number is out of its bounds.
    pub fn with_requests_max(self, requests_max: usize) -> Result<Self> {
        bounds::count("requests_max", requests_max, 1..=65536)?;
        Ok(self.with(|inner| inner.requests = Arc::new(Semaphore::new(requests_max))))
    }

    /// Sets the `ask_timeout` of new references. Default: 5 s.
    #[must_use]
    pub fn with_ask_timeout(self, timeout: Duration) -> Self {
        self.with(|inner| inner.ask_timeout = timeout)
    }

    /// Sets the time in which an address must take a connection, with TLS; then the next address is
    /// tried. Default: 1 s.
    #[must_use]
    pub fn with_connect_timeout(self, timeout: Duration) -> Self {
        self.with(|inner| inner.connect_timeout = timeout)
    }

    fn with(self, change: impl FnOnce(&mut Inner)) -> Self {
        let mut inner = Inner::clone(&self.0);
        change(&mut inner);
        Self(Arc::new(inner))
    }

    /// The reference to an entity. `C` is the type of its commands, as the nodes have it. The node
    /// that takes a command chooses the replica ([`RoutingPolicy::FailOver`]), unless
    /// [`EntityClient::with_replica`] names one. Nothing is asked yet.
    ///
    /// # Errors
    /// `Rejected` when the type or the id is not allowed.
    pub fn entity<C>(&self, entity_type: &str, id: &str) -> Result<EntityClient<C>> {
        let entity = ReplicationId::new(entity_type, id, ReplicaId::empty())?;
        Ok(EntityClient::new(self.clone(), entity, self.0.ask_timeout))
    }

    /// Sends a command, to one address after the other while it certainly has no effect.
    pub(super) async fn send(
        &self,
        sent: &Sent<'_>,
        limit: Duration,
    ) -> std::result::Result<Bytes, AskError> {
        let until = SystemClock.now().checked_add(limit);
        let progress = Mutex::new(Progress::default());
        let attempts = self.attempts(sent, until, &progress);
        let answer = tokio::time::timeout(limit, attempts).await;
        let Progress { at: silent, why } = progress.into_inner();
        if let Some(silent) = silent {
            // the next command does not wait for the same node
            self.0.first.store((silent + 1) % self.0.pools.len(), Ordering::Relaxed);
        }
        match answer {
            Ok(answer) => answer,
            Err(_) if silent.is_some() => Err(AskError::Timeout),
            Err(_) => Err(AskError::Expired(format!(
                "no node took the command within {limit:?} (`ask_timeout`): {}",
                why.as_deref().unwrap_or("the other commands had their turn (`requests_max`)")
            ))),
        }
    }

    async fn attempts(
        &self,
        sent: &Sent<'_>,
        until: Option<Instant>,
        progress: &Mutex<Progress>,
    ) -> std::result::Result<Bytes, AskError> {
        let Inner { pools, access, first, requests, connect_timeout, .. } = &*self.0;
        let turn = requests.acquire().await;
        let _turn = turn.map_err(|_| AskError::Unavailable("the client has ended".into()))?;
        let mut round = 0;
        loop {
            let begin = first.load(Ordering::Relaxed);
            let mut refusals = 0;
            for index in (0..pools.len()).map(|next| (begin + next) % pools.len()) {
                let pool = &pools[index];
                let request = self.request(pool, sent, until)?;
                let begins = || progress.lock().at = Some(index);
                let way = (access, *connect_timeout);
                let answer = match pool.send(way, request, begins).await {
                    Attempt::Answered(answer) => answer,
                    Attempt::Broken(why) => return Err(AskError::Unreachable(why)),
                    Attempt::NotSent(why) => {
                        *progress.lock() = Progress { at: None, why: Some(why) };
                        continue;
                    }
                };
                progress.lock().at = None;
                let error = match read(&answer) {
                    Ok(body) => {
                        first.store(index, Ordering::Relaxed);
                        return Ok(body);
                    }
                    Err(error) => error,
                };
                refusals += usize::from(is_of_this_node(answer.status(), &error));
                let has_others = matches!(error, AskError::NotHere(_) | AskError::Unavailable(_))
                    || is_of_this_node(answer.status(), &error) && refusals < pools.len();
                if !has_others {
                    return Err(error);
                }
                progress.lock().why = Some(format!("{}: {error}", pool.address));
            }
            let jitter = Jitter::of(&sent.path, round);
            tokio::time::sleep(PAUSE.delay(round + 1, jitter)).await;
            round = round.saturating_add(1);
        }
    }

    fn request(
        &self,
        pool: &Pool,
        sent: &Sent<'_>,
        until: Option<Instant>,
    ) -> std::result::Result<Request<Full<Bytes>>, AskError> {
        let mut request = Request::post(sent.path)
            .header("host", &pool.address)
            .header("content-type", COMMAND_TYPE);
        if let Some(value) = self.0.access.authorization() {
            request = request.header("authorization", value);
        }
        if let Some(until) = until {
            // the node gives up a little earlier, so that its knowledge of the effect arrives
            let left = until.saturating_duration_since(SystemClock.now()) * 9 / 10;
            request = request.header(TIME_LEFT, left.as_millis().max(1).to_string());
        }
        if !sent.is_ask {
            request = request.header(TELL, "1");
        }
        for (name, value) in sent.headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(sent.command.clone()));
        request.map_err(|error| AskError::Rejected(error.to_string()))
    }
}

/// The encoded answer of an entity. Only an answer that says that it is one counts: a proxy, or
/// another server at the address, may answer 200 to anything.
fn read(answer: &Response<Bytes>) -> std::result::Result<Bytes, AskError> {
    let (status, body) = (answer.status(), answer.body());
    if status != StatusCode::OK {
        return Err(failure::of_answer(status.as_u16(), body));
    }
    match answer.headers().get("content-type") {
        Some(kind) if kind.as_bytes() == ANSWER_TYPE.as_bytes() => Ok(body.clone()),
        kind => Err(AskError::Unanswered(format!(
            "200: expected an answer of the type {ANSWER_TYPE}, actual {}",
            kind.map_or("none".to_owned(), |kind| {
                foreign(&String::from_utf8_lossy(kind.as_bytes())).to_string()
            })
        ))),
    }
}

/// Returns whether another node may take a command that this one certainly has refused: it does not
/// know a new token yet, or is not the one that the address names.
fn is_of_this_node(status: StatusCode, error: &AskError) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::MISDIRECTED_REQUEST)
        && error.is_without_effect()
}

#[cfg(test)]
mod tests;
