//! Many appends in flight at once: one stream of requests, with an answer to each.
//!
//! The server executes the appends of one appender in the order in which they were given, so an
//! append need not wait for the answer to the one before. [`EventStoreClient::append`], in
//! contrast, makes a separate call each time.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_base::task;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tonic::{Code, Streaming};
use uuid::Uuid;

use crate::append::{append_to, check, deleted, success, unclear};
use crate::client::{EventStoreClient, Opened};
use crate::error::{Error, ErrorKind, Result};
use crate::event::{AppendOutcome, ExpectedRevision, NewEvent};
use crate::link::{Link, within};
use crate::requests::Requests;
use crate::status::{batch_failure, unknown};
use crate::wire::ExpectedStream;
use crate::wire::streams::batch_append_resp::Result as Answer;
use crate::wire::streams::streams_client::StreamsClient;
use crate::wire::streams::{BatchAppendReq, BatchAppendResp};

/// Appends without waiting for each other. Cheap to clone; clones share the stream of requests.
///
/// A failure is final: every unanswered append ends with `Timeout`, and a new appender is needed.
#[derive(Debug, Clone)]
pub struct Appender {
    client: EventStoreClient,
    requests: mpsc::Sender<BatchAppendReq>,
    places: Arc<Semaphore>,
    waiting: Arc<Mutex<Waiting>>,
}

/// The appends that wait for an answer.
#[derive(Debug, Default)]
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
        self.waiting.lock().asked.remove(&self.id);
    }
}

impl EventStoreClient {
    /// Opens an appender with at most `in_flight_max` appends in flight; further ones wait. A
    /// cancelled call leaves nothing behind.
    ///
    /// # Errors
    /// `Rejected` when `in_flight_max` is zero or the server is older than 21.10; `Unavailable`,
    /// `NotLeader`, `AccessDenied`.
    pub async fn appender(&self, in_flight_max: usize) -> Result<Appender> {
        let doing = "open an appender";
        if in_flight_max == 0 || in_flight_max > Semaphore::MAX_PERMITS {
            let why = format!("`in_flight_max`: expected at least 1, actual {in_flight_max}");
            return Err(Error::of(ErrorKind::Rejected, doing, why));
        }
        let requests = Requests::default();
        let opened = self.open(doing, |link| {
            let request = self.request(requests.open(None, in_flight_max));
            async move { StreamsClient::new(link.channel).batch_append(request).await }
        });
        let Opened { messages, link } = opened.await?;
        let requests = requests.into_sender(doing)?;
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
        self.waiting.lock().over
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
        let doing = append_to(stream);
        check(stream, &events)?;
        let Some(sent) = within(limit, self.send(stream, expected, events)).await else {
            let why = format!("no place for it within {limit:?} (setting `request_timeout`)");
            return Err(Error::of(ErrorKind::Timeout, &doing, why));
        };
        let (answer, _asked) = sent?;
        match within(limit, answer).await {
            Some(Ok(outcome)) => {
                outcome.map_err(|error| deleted(error.of_call(&doing), &doing, expected))
            }
            Some(Err(_)) => Err(unknown(&doing, "the answer is lost")),
            None => {
                let why = format!("no answer within {limit:?} (setting `request_timeout`)");
                Err(unknown(&doing, &why))
            }
        }
    }

    async fn send(
        &self,
        stream: &str,
        expected: ExpectedRevision,
        events: Vec<NewEvent>,
    ) -> Result<(oneshot::Receiver<Result<AppendOutcome>>, Asked)> {
        // the append was not sent
        let failed = || {
            let why = "the appender has failed, open a new one";
            Error::of(ErrorKind::Unavailable, &append_to(stream), why)
        };
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| failed())?;
        let id = Uuid::new_v4();
        let (answer, answered) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock();
            if waiting.over {
                return Err(failed());
            }
            waiting.asked.insert(id, answer);
        }
        let asked = Asked { id, waiting: Arc::clone(&self.waiting), _place: place };
        let request = BatchAppendReq {
            correlation_id: Some(id.into()),
            options: Some(ExpectedStream::new(stream, expected)),
            events: events.into_iter().map(Into::into).collect(),
            is_final: true,
        };
        self.requests.send(request).await.map_err(|_| failed())?;
        Ok((answered, asked))
    }
}

/// Passes the answers to their appends until the stream ends.
async fn take_answers(
    client: EventStoreClient,
    mut answers: Streaming<BatchAppendResp>,
    link: Link,
    waiting: Arc<Mutex<Waiting>>,
) {
    let failed = loop {
        match answers.message().await {
            Ok(Some(answer)) => {
                let id = answer.correlation_id.as_ref().and_then(|id| id.id());
                let asked = id.and_then(|id| waiting.lock().asked.remove(&id));
                if let Some(asked) = asked {
                    // the caller may have given up
                    let _ = asked.send(outcome(answer));
                }
            }
            Ok(None) => break None,
            Err(status) => break Some(status),
        }
    };
    let asked = {
        let mut waiting = waiting.lock();
        waiting.over = true;
        std::mem::take(&mut waiting.asked)
    };
    let why = match failed {
        Some(status) => client.failed("appender", status, &link).to_string(),
        None => "the server ended the stream".to_owned(),
    };
    for (_, asked) in asked {
        let error = Error::of(ErrorKind::Timeout, "the outcome is unknown", &why);
        let _ = asked.send(Err(error));
    }
}

pub(crate) fn outcome(answer: BatchAppendResp) -> Result<AppendOutcome> {
    match answer.result {
        Some(Answer::Success(written)) => success(written),
        Some(Answer::Error(status)) => {
            let code = Code::from(status.code);
            batch_failure(code, &status.message, status.details.as_ref())
        }
        None => Err(unclear()),
    }
}
