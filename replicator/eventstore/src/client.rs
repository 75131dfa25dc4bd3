//! The client, a handle that is cheap to clone. Its calls are in `append`, `read`, `subscribe`,
//! `metadata`, `group` and `consumer`; this module has the parts common to all calls.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use antiphon_base::time::{Clock, SystemClock};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tonic::metadata::{AsciiMetadataValue, MetadataValue};
use tonic::{Request, Response, Status};

use crate::connection_string::{ConnectionString, NodePreference};
use crate::error::{Error, ErrorKind, Result};
use crate::greeting::Complaint;
use crate::link::{Link, Links, within};
use crate::settings::ClientSettings;
use crate::status::{failure, unknown};
use crate::tls;

/// A client of one store. Clones share one connection, which is opened at first use and reopened
/// after a failure.
///
/// ```no_run
/// use antiphon_eventstore::{
///     ClientSettings, ConnectionString, EventStoreClient, ExpectedRevision, NewEvent,
/// };
///
/// # async fn example() -> antiphon_eventstore::Result<()> {
/// let connection = ConnectionString::parse("esdb://admin:changeit@localhost:2113?tls=false")?;
/// let store = EventStoreClient::new(connection, ClientSettings::default())?;
/// let event = NewEvent::json("customer-created", r#"{"name":"Ada"}"#);
/// let outcome = store.append("customer-1", ExpectedRevision::NoStream, vec![event]).await?;
/// println!("{outcome:?}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct EventStoreClient {
    shared: Arc<Shared>,
}

struct Shared {
    settings: ClientSettings,
    links: Links,
    authorization: Option<AsciiMetadataValue>,
    requires_leader: AsciiMetadataValue,
    connection_name: Option<AsciiMetadataValue>,
    shown: String,
}

/// The opened answer stream of a call.
pub(crate) struct Opened<T> {
    pub(crate) messages: tonic::Streaming<T>,
    pub(crate) link: Link,
}

impl EventStoreClient {
    /// Creates a client of the store that `connection` names. Sends nothing yet.
    ///
    /// # Errors
    /// `Rejected` when a setting is out of range, or a certificate of the connection string cannot
    /// be used.
    pub fn new(connection: ConnectionString, settings: ClientSettings) -> Result<Self> {
        let settings = connection.applied_to(settings);
        settings.validate()?;
        let authorization = connection.credentials.as_ref().map(|credentials| {
            let pair = format!("{}:{}", credentials.user, credentials.password);
            let mut value = header("authorization", &format!("Basic {}", STANDARD.encode(pair)))?;
            value.set_sensitive(true);
            Ok::<_, Error>(value)
        });
        let name = connection.connection_name.as_ref();
        let leader = connection.node_preference == NodePreference::Leader;
        let authorization = authorization.transpose()?;
        let tls = tls::config(&connection)?;
        let shared = Shared {
            authorization: authorization.clone(),
            requires_leader: MetadataValue::from_static(if leader { "true" } else { "false" }),
            connection_name: name.map(|name| header("connectionName", name)).transpose()?,
            shown: connection.to_string(),
            links: Links::new(connection, settings.clone(), tls, authorization),
            settings,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The settings in force, including those of the connection string.
    pub fn settings(&self) -> &ClientSettings {
        &self.shared.settings
    }

    pub(crate) fn now(&self) -> tokio::time::Instant {
        SystemClock.now()
    }

    /// `message` with the headers that every request has.
    pub(crate) fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        let headers = request.metadata_mut();
        headers.insert("requires-leader", self.shared.requires_leader.clone());
        if let Some(value) = &self.shared.authorization {
            headers.insert("authorization", value.clone());
        }
        if let Some(value) = &self.shared.connection_name {
            headers.insert("connection-name", value.clone());
        }
        request
    }

    /// Makes a call with a single answer.
    pub(crate) async fn call<T, F, A>(&self, doing: &str, make: F) -> Result<T>
    where
        F: Fn(Link) -> A,
        A: Future<Output = Result<Response<T>, Status>>,
    {
        self.at_leader(doing, make).await.map(|(answer, _)| answer)
    }

    /// Makes a call with a single message and a single answer.
    pub(crate) async fn ask<M, T, F, A>(&self, doing: String, message: M, make: F) -> Result<T>
    where
        M: Clone,
        F: Fn(Link, Request<M>) -> A,
        A: Future<Output = Result<Response<T>, Status>>,
    {
        self.call(&doing, |link| make(link, self.request(message.clone()))).await
    }

    /// Makes a call that is answered by a stream. The timeout applies to the opening of the stream.
    /// The stream writes nothing, so its outcome is never unknown.
    pub(crate) async fn open<T, F, A>(&self, doing: &str, make: F) -> Result<Opened<T>>
    where
        F: Fn(Link) -> A,
        A: Future<Output = Result<Response<tonic::Streaming<T>>, Status>>,
    {
        match self.at_leader(doing, make).await {
            Ok((messages, link)) => Ok(Opened { messages, link }),
            Err(error) => Err(not_a_write(doing, error, "no answer, or the connection broke")),
        }
    }

    /// Makes a call. When the node is not the leader and names the leader, the call is repeated
    /// there, once: nothing was written before.
    async fn at_leader<T, F, A>(&self, doing: &str, make: F) -> Result<(T, Link)>
    where
        F: Fn(Link) -> A,
        A: Future<Output = Result<Response<T>, Status>>,
    {
        match self.attempt(doing, &make).await {
            Err(error) if error.kind() == ErrorKind::NotLeader => self.attempt(doing, &make).await,
            other => other,
        }
    }

    async fn attempt<T, F, A>(&self, doing: &str, make: &F) -> Result<(T, Link)>
    where
        F: Fn(Link) -> A,
        A: Future<Output = Result<Response<T>, Status>>,
    {
        let link = self.shared.links.get(doing).await?;
        let limit = self.shared.settings.request_timeout;
        match within(limit, make(link.clone())).await {
            Some(Ok(response)) => Ok((response.into_inner(), link)),
            Some(Err(status)) => Err(self.failed(doing, status, &link)),
            None => {
                self.shared.links.discard(&link, None);
                let why = format!("no answer within {limit:?} (setting `request_timeout`)");
                Err(unknown(doing, &why))
            }
        }
    }

    /// Converts `status` into an error, and drops the connection if it is unusable.
    pub(crate) fn failed(&self, doing: &str, status: Status, link: &Link) -> Error {
        let is_local = std::error::Error::source(&status).is_some();
        let mut failure = failure(doing, status);
        let complaint = *link.complaints.lock();
        if let Some(complaint) = complaint.filter(|_| is_local) {
            failure.error = complain(doing, failure.error, complaint);
        }
        if failure.broken {
            self.shared.links.discard(link, failure.leader);
        }
        failure.error
    }

    /// Does the same as [`Self::failed`] for a stream that only reads, whose outcome is never
    /// unknown.
    pub(crate) fn ended(&self, doing: &str, status: Status, link: &Link) -> Error {
        not_a_write(doing, self.failed(doing, status, link), "the connection broke")
    }
}

/// The error of a connection whose server is no event store.
fn complain(doing: &str, error: Error, complaint: Complaint) -> Error {
    match complaint {
        Complaint::Foreign(why) => Error::of(ErrorKind::Unavailable, doing, why).with_source(error),
        Complaint::Silent(why) => {
            Error::new(error.kind(), format!("{}: {why}", error.message())).with_source(error)
        }
    }
}

/// Turns a timeout into `Unavailable`, for a call that only reads.
fn not_a_write(doing: &str, error: Error, why: &str) -> Error {
    if error.kind() != ErrorKind::Timeout {
        return error;
    }
    Error::of(ErrorKind::Unavailable, doing, why).with_source(error)
}

impl fmt::Debug for EventStoreClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventStoreClient({})", self.shared.shown)
    }
}

fn header(name: &str, value: &str) -> Result<AsciiMetadataValue> {
    value.parse().map_err(|error| {
        Error::rejected(format!("`{name}`: expected visible ASCII characters")).with_source(error)
    })
}
