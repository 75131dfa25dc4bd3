//! Many appends in flight at once: one stream of requests, with an answer to each.
//!
//! The server executes the appends of one appender in the order in which they were given, so an
//! append need not wait for the answer to the one before. [`EventStoreClient::append`], in
//! contrast, makes a separate call each time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use antiphon_base::task;
use futures::stream;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tonic::{Code, Status, Streaming};
use uuid::Uuid;

use crate::append::{check, success};
use crate::client::{EventStoreClient, Opened};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{
    AppendOutcome, ExpectedRevision, NewEvent, stream_name, uuid_from_wire, uuid_to_wire,
};
use crate::link::{Link, within};
use crate::status::batch_failure;
use crate::wire;
use crate::wire::streams::batch_append_req::{Options, options};
use crate::wire::streams::batch_append_resp::Result as Answer;
use crate::wire::streams::streams_client::StreamsClient;
use crate::wire::streams::{BatchAppendReq, BatchAppendResp};

/// Appends without waiting for each other. Cheap to clone; clones share the stream of requests.
///
/// A failure is final: every unanswered append ends with `Timeout`, and a new appender is needed.
#[derive(Clone)]
pub struct Appender {
    client: EventStoreClient,
    requests: mpsc::Sender<BatchAppendReq>,
    places: Arc<Semaphore>,
    waiting: Arc<Mutex<Waiting>>,
}

/// The appends that wait for an answer.
#[derive(Default)]
struct Waiting {
    asked: BTreeMap<Uuid, oneshot::Sender<Result<AppendOutcome>>>,
    over: bool,
}

/// An append in progress: its permit, and its entry in [`Waiting`].
struct Asked {
    id: Uuid,
    waiting: Arc<Mutex<Waiting>>,
    _place: OwnedSemaphorePermit,
}

impl Drop for Asked {
    fn drop(&mut self) {
        // a cancelled append waits no more
        lock(&self.waiting).asked.remove(&self.id);
    }
}

impl EventStoreClient {
    /// Opens an appender with at most `in_flight_max` appends in flight; further ones wait.
    ///
    /// # Errors
    /// `Rejected` when `in_flight_max` is zero or the server is older than 21.10; `Unavailable`,
    /// `NotLeader`, `AccessDenied`.
    pub async fn appender(&self, in_flight_max: usize) -> Result<Appender> {
        let doing = "open an appender";
        if in_flight_max == 0 || in_flight_max > Semaphore::MAX_PERMITS {
            return Err(Error::rejected(format!(
                "{doing}: `in_flight_max`: expected at least 1, actual {in_flight_max}"
            )));
        }
        let kept = Mutex::new(None);
        let opened = self.open(doing, |link| {
            let (sender, receiver) = mpsc::channel(in_flight_max);
            *kept.lock() = Some(sender);
            let request = self.request(stream::unfold(receiver, |mut receiver| async {
                receiver.recv().await.map(|request| (request, receiver))
            }));
            async move { StreamsClient::new(link.channel).batch_append(request).await }
        });
        let Opened { messages, link } = opened.await?;
        let sender = kept.into_inner();
        let requests = sender
            .ok_or_else(|| Error::new(ErrorKind::Bug, format!("{doing}: opened without a call")))?;
        let waiting = Arc::new(Mutex::new(Waiting::default()));
        let answers = take_answers(self.clone(), messages, link, Arc::clone(&waiting));
        task::spawn("answers to appends", answers);
        let places = Arc::new(Semaphore::new(in_flight_max));
        Ok(Appender { client: self.clone(), requests, places, waiting })
    }
}

impl Appender {
    /// True when the appender has failed: it sends nothing more, and a new one is needed.
    pub fn has_failed(&self) -> bool {
        lock(&self.waiting).over
    }

    /// Appends like [`EventStoreClient::append`]. The append has been sent when the first poll that
    /// did not wait for a permit returns. A cancelled call may have written.
    ///
    /// # Errors
    /// The errors of [`EventStoreClient::append`]. The whole append must fit into one message of
    /// the server (16 MiB on most).
    pub async fn append(
        &self,
        stream: &str,
        expected: ExpectedRevision,
        events: Vec<NewEvent>,
    ) -> Result<AppendOutcome> {
        let limit = self.client.settings().request_timeout;
        let doing = || format!("append to stream `{stream}`");
        check(stream, &events)?;
        let Some(sent) = within(limit, self.send(stream, expected, events)).await else {
            let why = format!("no place for it within {limit:?} (setting `request_timeout`)");
            return Err(Error::new(ErrorKind::Timeout, format!("{}: {why}", doing())));
        };
        let (answer, _asked) = sent?;
        match within(limit, answer).await {
            Some(Ok(outcome)) => outcome.map_err(|error| {
                let message = format!("{}: {}", doing(), error.message());
                Error::new(error.kind(), message).with_source(error)
            }),
            Some(Err(_)) => Err(lost(stream)),
            None => {
                let why = format!("no answer within {limit:?} (setting `request_timeout`)");
                let message = format!("{}: {why}, the outcome is unknown", doing());
                Err(Error::new(ErrorKind::Timeout, message))
            }
        }
    }

    async fn send(
        &self,
        stream: &str,
        expected: ExpectedRevision,
        events: Vec<NewEvent>,
    ) -> Result<(oneshot::Receiver<Result<AppendOutcome>>, Asked)> {
        let place = Arc::clone(&self.places).acquire_owned().await;
        let place = place.map_err(|_| lost(stream))?;
        let id = Uuid::new_v4();
        let (answer, answered) = oneshot::channel();
        {
            let mut waiting = lock(&self.waiting);
            if waiting.over {
                return Err(ended(stream));
            }
            waiting.asked.insert(id, answer);
        }
        let asked = Asked { id, waiting: Arc::clone(&self.waiting), _place: place };
        if self.requests.send(request(id, stream, expected, events)).await.is_err() {
            return Err(ended(stream));
        }
        Ok((answered, asked))
    }
}

impl fmt::Debug for Appender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Appender({:?})", self.client)
    }
}

/// Passes the answers to their appends until the stream ends.
async fn take_answers(
    client: EventStoreClient,
    mut answers: Streaming<BatchAppendResp>,
    link: Link,
    waiting: Arc<Mutex<Waiting>>,
) {
    let failed: Option<Status> = loop {
        match answers.message().await {
            Ok(Some(answer)) => {
                let id = answer.correlation_id.clone().and_then(uuid_from_wire);
                let asked = id.and_then(|id| lock(&waiting).asked.remove(&id));
                if let Some(asked) = asked {
                    // the caller may have given up
                    let _ = asked.send(outcome(answer));
                }
            }
            Ok(None) => break None,
            Err(status) => break Some(status),
        }
    };
    let mut waiting = lock(&waiting);
    waiting.over = true;
    let asked = std::mem::take(&mut waiting.asked);
    drop(waiting);
    let error = failed.map(|status| client.failed("appender", status, &link));
    for (_, asked) in asked {
        let message = match &error {
            Some(error) => format!("the outcome is unknown: {error}"),
            None => "the outcome is unknown: the server ended the stream".to_owned(),
        };
        let _ = asked.send(Err(Error::new(ErrorKind::Timeout, message)));
    }
}

fn outcome(answer: BatchAppendResp) -> Result<AppendOutcome> {
    match answer.result {
        Some(Answer::Success(written)) => {
            success(written).ok_or_else(|| Error::corrupt("the server's answer says nothing"))
        }
        Some(Answer::Error(status)) => {
            let code = Code::from(status.code);
            batch_failure(code, &status.message, status.details.as_ref())
        }
        None => Err(Error::corrupt("the server's answer says nothing")),
    }
}

fn request(
    id: Uuid,
    stream: &str,
    expected: ExpectedRevision,
    events: Vec<NewEvent>,
) -> BatchAppendReq {
    let expected = match expected {
        ExpectedRevision::Any => options::Expected::Any(wire::Empty {}),
        ExpectedRevision::NoStream => options::Expected::NoStream(wire::Empty {}),
        ExpectedRevision::StreamExists => options::Expected::StreamExists(wire::Empty {}),
        ExpectedRevision::Exact(revision) => options::Expected::Revision(revision),
    };
    let options =
        Options { stream: Some(stream_name(stream)), expected: Some(expected), until: None };
    BatchAppendReq {
        correlation_id: Some(uuid_to_wire(id)),
        options: Some(options),
        events: events.into_iter().map(NewEvent::into_wire).collect(),
        is_final: true,
    }
}

fn lock(waiting: &Mutex<Waiting>) -> MutexGuard<'_, Waiting> {
    waiting.lock()
}

/// The error of an append that was not sent.
fn ended(stream: &str) -> Error {
    let message = format!("append to stream `{stream}`: the appender has failed, open a new one");
    Error::new(ErrorKind::Unavailable, message)
}

fn lost(stream: &str) -> Error {
    let why = "the answer is lost, the outcome is unknown";
    Error::new(ErrorKind::Timeout, format!("append to stream `{stream}`: {why}"))
}
