//! The transport: its listener, its dial tasks, the nodes at the other ends.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use antiphon_base::backoff::{Backoff, Jitter};
use antiphon_base::task;
use antiphon_base::text::foreign;
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinHandle;

use super::TcpSettings;
use super::accepted::{Accepted, Seat};
use super::endpoints::{Endpoint, Endpoints, Known, Outgoing};
use super::greeting::{Greeter, Secured};
use super::hello::{Greeted, Side};
use super::refusal::{Reason, Refused};
use super::socket::{self, is_descriptor_limit, listen};
use super::stream::{self, Ended};
use super::streams::Streams;
use super::tls::Credentials;
use crate::certificates::now;
use crate::transport::{
    OpeningStream, PURPOSE_BYTES_MAX, Protection, SendError, StreamAcceptor, Transport,
    TransportHandler,
};
use crate::{Error, NodeId, Result, cannot_listen};

/// Frames over TCP.
pub struct TcpTransport {
    me: NodeId,
    settings: TcpSettings,
    /// `None` for connections without TLS.
    credentials: Option<Credentials>,
    address: SocketAddr,
    listener: Mutex<Option<std::net::TcpListener>>,
    handler: OnceLock<Arc<dyn TransportHandler>>,
    endpoints: Mutex<Endpoints>,
    accepting: Mutex<Option<JoinHandle<()>>>,
    accepted: Arc<Accepted>,
    streams: Arc<Streams>,
    this: Weak<Self>,
}

impl TcpTransport {
    /// Takes the port; connections are accepted when the gate starts the transport.
    ///
    /// # Errors
    /// `Rejected` when a setting is wrong, or the address cannot be listened on (naming the setting
    /// `bind`).
    pub fn bind(me: NodeId, bind: SocketAddr, settings: TcpSettings) -> Result<Arc<Self>> {
        settings.validate()?;
        settings.check_protection(bind)?;
        let credentials = Credentials::of(&settings, me.name())?;
        let cannot = |error: std::io::Error| cannot_listen("bind", bind, &error);
        let listener = listen(bind, settings.greeting_max).map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        Ok(Arc::new_cyclic(|this| Self {
            me,
            accepted: Accepted::new(&settings),
            settings,
            credentials,
            address,
            listener: Mutex::new(Some(listener)),
            handler: OnceLock::new(),
            endpoints: Mutex::default(),
            accepting: Mutex::default(),
            streams: Arc::default(),
            this: this.clone(),
        }))
    }

    /// The address that it listens on.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn id(&self) -> &NodeId {
        &self.me
    }

    /// This side of all connections, as it greets.
    pub(super) fn greeter(&self) -> Greeter<'_> {
        let credentials = self.credentials.as_ref();
        Greeter { me: &self.me, settings: &self.settings, credentials }
    }

    pub(super) fn handshake_timeout(&self) -> Duration {
        self.settings.handshake_timeout
    }

    pub(super) fn streams(&self) -> &Arc<Streams> {
        &self.streams
    }

    fn endpoints(&self) -> MutexGuard<'_, Endpoints> {
        self.endpoints.lock()
    }

    /// Checks that this node wants to be connected with the node.
    ///
    /// # Errors
    /// `Rejected` when it is no member, or none that is known yet.
    pub(super) fn expect_member(&self, node: &NodeId) -> Result<()> {
        let endpoints = self.endpoints();
        if !endpoints.has_stopped && endpoints.wanted.contains(node) {
            return Ok(());
        }
        Err(Error::rejected(format!("`{node}` is no member, or none that this node knows yet")))
    }

    /// Checks that a node that has greeted may be connected.
    ///
    /// # Errors
    /// `Rejected`, with the reason.
    pub(super) fn may_connect(&self, greeted: &Greeted) -> Result<()> {
        self.endpoints().may_connect(&greeted.id, &greeted.place)
    }

    async fn accept(this: Weak<Self>, listener: TcpListener) {
        loop {
            let accepted = listener.accept().await;
            let Some(transport) = this.upgrade() else { return };
            let (stream, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    // at the limit of descriptors, a connection that greets gives its own away
                    if error.raw_os_error().is_some_and(is_descriptor_limit) {
                        transport.accepted.no_descriptor();
                    }
                    drop(transport);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let (seat, closed) = match transport.accepted.admit(from.ip()) {
                Ok(admitted) => admitted,
                Err(Refused(_, error)) => {
                    tracing::warn!(%from, %error, "a connection is refused");
                    continue;
                }
            };
            // each connection in a task of its own, so that a silent node holds up no other
            task::spawn("tcp accepted", async move {
                let ended = tokio::select! {
                    ended = transport.connection(stream, None, Some(&seat)) => ended,
                    // the seat drops the sender when it ends, and not before
                    Ok(reason) = closed => {
                        let Refused(_, error) = reason.gives_way();
                        return tracing::debug!(%from, %error, "a connection is closed");
                    }
                };
                if let Err(Refused(_, error)) = ended {
                    tracing::warn!(%from, %error, "a connection is refused");
                }
            });
        }
    }

    /// Greets, and runs the connection to its end.
    async fn connection(
        &self,
        stream: TcpStream,
        expected: Option<&NodeId>,
        seat: Option<&Seat>,
    ) -> Result<(), Refused> {
        let mut claimed = None;
        // only the side that dials knows whom to expect
        let side = if expected.is_some() { Side::Dials } else { Side::Accepts };
        let greeted = self.greeter().greet(stream, (side, None), &mut claimed).await;
        let (greeted, stream) = greeted.inspect_err(|Refused(reason, error)| {
            self.count(seat, *reason);
            if let Some(claimed) = &claimed {
                self.endpoints().failed(claimed, error);
            }
        })?;
        if let (Some(purpose), Some(seat)) = (greeted.purpose.clone(), seat) {
            return self.run_stream(greeted, &purpose, stream, seat).await;
        }
        let Greeted { id, place, .. } = greeted;
        if expected.is_some_and(|expected| *expected != id) {
            let why = format!("`{id}` answers at that address");
            return Err(Refused(Reason::NoMember, Error::unavailable(why)));
        }
        let handler = self.handler.get().cloned();
        let handler = handler
            .ok_or_else(|| Refused(Reason::Fault, Error::bug("the transport was not started")))?;
        let endpoint = self.endpoint(&id, place, seat)?;
        let _known = Known { endpoints: &self.endpoints, id: &id, endpoint: &endpoint };
        let settings = &self.settings;
        let ended = match stream {
            Secured::Plain(stream) => {
                stream::run(stream.into_split(), &id, &endpoint, handler, settings).await
            }
            Secured::Tls(stream) => {
                stream::run(tokio::io::split(*stream), &id, &endpoint, handler, settings).await
            }
        };
        if ended == Ended::LongFrame {
            self.count(seat, Reason::Frame);
        }
        Ok(())
    }

    /// Counts an accepted connection that is refused.
    pub(super) fn count(&self, seat: Option<&Seat>, reason: Reason) {
        if seat.is_some() {
            self.accepted.refused(reason);
        }
    }

    /// The far end of a connection whose greeting names this place, unless the node is refused.
    fn endpoint(
        &self,
        id: &NodeId,
        place: String,
        seat: Option<&Seat>,
    ) -> Result<Arc<Endpoint>, Refused> {
        let mut endpoints = self.endpoints();
        endpoints.may_connect(id, &place).map_err(|error| {
            self.count(seat, Reason::NoMember);
            Refused(Reason::NoMember, error)
        })?;
        if let Some(seat) = seat {
            seat.greeted(id)?;
        }
        Ok(endpoints.connected(id, place))
    }

    /// Notices changed files of certificates, until the transport is dropped.
    async fn reload(this: Weak<Self>, interval: Duration) {
        loop {
            tokio::time::sleep(interval).await;
            let Some(transport) = this.upgrade() else { return };
            // a disk that does not answer must not block other tasks
            let refresh = move || {
                let refreshed = transport.credentials.as_ref().map(|files| files.refresh(now()));
                match refreshed {
                    Some(Ok(true)) => {
                        tracing::info!("new connections use the changed certificates")
                    }
                    Some(Ok(false)) | None => {}
                    Some(Err(error)) => tracing::error!(
                        %error,
                        "the changed certificates cannot be used; new connections use the old ones"
                    ),
                }
            };
            if tokio::task::spawn_blocking(refresh).await.is_err() {
                return;
            }
        }
    }

    /// Keeps connecting, with longer waits each time, until a connection has lasted.
    async fn dial(this: Weak<Self>, id: NodeId, address: String) {
        let mut failures = 0_u32;
        loop {
            let Some(transport) = this.upgrade() else { return };
            let backoff = Backoff::new(transport.settings.retry_min, transport.settings.retry_max);
            match transport.attempt(&id, &address).await {
                Ok(true) => failures = 0,
                // a node that has declared this node dead greets it, and closes
                Ok(false) => {}
                Err(error) => {
                    if let Some(transport) = this.upgrade() {
                        transport.endpoints().failed(&id, &error);
                    }
                    tracing::debug!(node = %id, address = %foreign(&address), %error, "no connection");
                }
            }
            drop(transport);
            failures = failures.saturating_add(1);
            tokio::time::sleep(backoff.delay(failures, Jitter::NONE)).await;
        }
    }

    /// Connects, and runs the connection to its end. Returns whether it lasted for `retry_max`.
    async fn attempt(&self, id: &NodeId, address: &str) -> Result<bool> {
        let stream = socket::connect(address, self.settings.handshake_timeout).await?;
        let mut connection = pin!(self.connection(stream, Some(id), None));
        let ended = match tokio::time::timeout(self.settings.retry_max, connection.as_mut()).await {
            Ok(ended) => ended.map(|()| false),
            Err(_) => connection.await.map(|()| true),
        };
        Ok(ended?)
    }
}

impl Transport for TcpTransport {
    fn start(&self, handler: Arc<dyn TransportHandler>) {
        self.accepted.report_to(handler.clone());
        self.streams.report_to(handler.clone());
        let _ = self.handler.set(handler);
        let listener = self.listener.lock().take();
        let Some(listener) = listener else { return };
        match TcpListener::from_std(listener) {
            Ok(listener) => {
                let task = task::spawn("tcp accept", Self::accept(self.this.clone(), listener));
                *self.accepting.lock() = Some(task);
            }
            Err(error) => tracing::error!(%error, "the listener cannot be used"),
        }
        if self.credentials.is_some() {
            let reload = Self::reload(self.this.clone(), self.settings.tls_reload_interval);
            task::spawn("tls reload", reload);
        }
    }

    fn connect(&self, node: &NodeId, address: &str) {
        let mut endpoints = self.endpoints();
        endpoints.refused.remove(node);
        endpoints.wanted.insert(node.clone());
        self.accepted.want(node, address);
        if let Some(endpoint) = endpoints.all.get(node) {
            endpoint.want();
        }
        if endpoints.has_stopped || self.me > *node {
            return;
        }
        if endpoints.dialing.get(node).is_some_and(|(known, _)| known == address) {
            return;
        }
        let dial = Self::dial(self.this.clone(), node.clone(), address.to_owned());
        let task = task::spawn("tcp dial", dial);
        if let Some((_, old)) = endpoints.dialing.insert(node.clone(), (address.to_owned(), task)) {
            old.abort();
            endpoints.of(node).close();
        }
    }

    fn expect_place(&self, node: &NodeId, place: &Arc<str>) {
        self.endpoints().expect_place(node, place);
        self.streams.expect_place(node, place);
    }

    fn place_of(&self, node: &NodeId) -> Option<Arc<str>> {
        self.endpoints().place_of(node)
    }

    fn disconnect(&self, node: &NodeId) {
        let mut endpoints = self.endpoints();
        endpoints.refuse(node);
        self.accepted.unwant(node);
        self.streams.end_of(node);
        // the connection runs in the dial task: it is closed, which reports its end, and not
        // aborted
        let dialing = endpoints.dialing.remove(node);
        let connected = endpoints.all.remove(node);
        drop(endpoints);
        let is_up = connected.as_ref().is_some_and(|endpoint| endpoint.is_connected());
        if let Some(connected) = connected {
            connected.retire();
        }
        if let Some((_, task)) = dialing {
            if is_up {
                task::spawn("tcp undial", async move {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    task.abort();
                });
            } else {
                task.abort();
            }
        }
    }

    fn send(&self, node: &NodeId, frame: Bytes) -> std::result::Result<(), SendError> {
        SendError::check_frame(&frame)?;
        let unreachable = || SendError::Unreachable(format!("no connection to `{node}`"));
        let Some(endpoint) = self.endpoints().all.get(node).cloned() else {
            return Err(unreachable());
        };
        let Some(Outgoing { frames, queued }) = endpoint.outgoing() else {
            return Err(unreachable());
        };
        let bytes = frame.len();
        let limit = self.settings.strangers_queue_bytes_max();
        if !endpoint.is_wanted() && queued.load(Ordering::Acquire) + bytes > limit {
            // a node that is no member, and takes no bytes, must not fill the memory
            self.accepted.refused(Reason::Stalled);
            endpoint.close();
            return Err(SendError::Full(format!("{limit} bytes for a node that is no member")));
        }
        queued.fetch_add(bytes, Ordering::AcqRel);
        let sent = frames.try_send(frame);
        if sent.is_err() {
            queued.fetch_sub(bytes, Ordering::AcqRel);
        }
        sent.map_err(|error| match error {
            TrySendError::Full(_) => {
                SendError::Full(format!("`queue_frames_max` {}", self.settings.queue_frames_max))
            }
            TrySendError::Closed(_) => unreachable(),
        })
    }

    fn end_stranger(&self, node: &NodeId) {
        let endpoint = self.endpoints().all.get(node).cloned();
        if let Some(endpoint) = endpoint.filter(|endpoint| !endpoint.is_wanted()) {
            endpoint.close();
        }
    }

    fn trouble(&self, node: &NodeId) -> Option<String> {
        self.endpoints().trouble(node)
    }

    fn protection(&self) -> Protection {
        match &self.credentials {
            Some(credentials) => {
                Protection::Certificates { expires: credentials.current().expires }
            }
            None if self.settings.insecure => Protection::None,
            None => Protection::ThisMachine,
        }
    }

    fn accept_streams(
        &self,
        purpose: &'static str,
        acceptor: Option<StreamAcceptor>,
    ) -> Result<()> {
        let bytes = purpose.len();
        if bytes > PURPOSE_BYTES_MAX {
            let expected = format!("at most {PURPOSE_BYTES_MAX} bytes, actual {bytes}");
            return Err(Error::rejected(format!("purpose of a stream: expected {expected}")));
        }
        self.streams.accept(purpose, acceptor);
        Ok(())
    }

    fn open_stream(&self, node: &NodeId, address: &str, purpose: &'static str) -> OpeningStream {
        let (this, node, address) = (self.this.clone(), node.clone(), address.to_owned());
        Box::pin(async move {
            let transport = this.upgrade();
            let transport = transport.ok_or_else(|| Error::unavailable("the node has ended"))?;
            transport.dial_stream(&node, &address, purpose).await
        })
    }

    fn stop(&self) {
        self.streams.stop();
        if let Some(task) = self.accepting.lock().take() {
            task.abort();
        }
        let stopped = Endpoints { has_stopped: true, ..Endpoints::default() };
        let endpoints = std::mem::replace(&mut *self.endpoints(), stopped);
        for (_, task) in endpoints.dialing.into_values() {
            task.abort();
        }
        for endpoint in endpoints.all.values() {
            endpoint.retire();
        }
    }
}
