//! The accepted connections of a transport: the shell around [`Admission`].

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::admission::{Admission, Close, Counts, Input};
use super::refusal::{Reason, Refused};
use super::settings::TcpSettings;
use crate::NodeId;
use crate::origin::Origin;
use crate::transport::TransportHandler;

/// The accepted connections.
pub(super) struct Accepted {
    state: Mutex<State>,
    handler: OnceLock<Arc<dyn TransportHandler>>,
}

struct State {
    admission: Admission,
    last: u64,
    /// The way to close each connection.
    closing: BTreeMap<u64, oneshot::Sender<Reason>>,
}

/// The seat of an accepted connection, given back in whatever way its task ends.
pub(super) struct Seat {
    accepted: Arc<Accepted>,
    number: u64,
}

impl Accepted {
    pub(super) fn new(settings: &TcpSettings) -> Arc<Self> {
        let admission = Admission::new(settings);
        let state = State { admission, last: 0, closing: BTreeMap::new() };
        Arc::new(Self { state: Mutex::new(state), handler: OnceLock::new() })
    }

    /// Reports to the handler from now on.
    pub(super) fn report_to(&self, handler: Arc<dyn TransportHandler>) {
        let _ = self.handler.set(handler);
    }

    /// Takes a connection, and returns its seat and the sign that it must be closed.
    ///
    /// # Errors
    /// The reason, when there is no room.
    pub(super) fn admit(
        self: &Arc<Self>,
        from: IpAddr,
    ) -> Result<(Seat, oneshot::Receiver<Reason>), Refused> {
        let mut state = self.state.lock();
        state.last += 1;
        let number = state.last;
        let (close, closed) = oneshot::channel();
        state.closing.insert(number, close);
        let seat = Seat { accepted: self.clone(), number };
        let reason = self.step(&mut state, Input::Accepted(number, Origin::of(from)), number);
        drop(state);
        reason.map_or(Ok((seat, closed)), |reason| Err(reason.gives_way()))
    }

    /// Notes that the node is a member, at this address (an IP address with a port, or a name).
    pub(super) fn want(&self, node: &NodeId, address: &str) {
        let address = address.parse().ok();
        let origin = address.map(|address: std::net::SocketAddr| Origin::of(address.ip()));
        self.note(Input::Wanted(node.clone(), origin));
    }

    /// Notes that the node is no member any more.
    pub(super) fn unwant(&self, node: &NodeId) {
        self.note(Input::Unwanted(node.clone()));
    }

    /// Frees a descriptor, if a connection is there that greets.
    pub(super) fn no_descriptor(&self) {
        self.note(Input::NoDescriptor);
    }

    fn note(&self, input: Input) {
        self.step(&mut self.state.lock(), input, 0);
    }

    /// Steps the core, and closes the connection that must be closed, unless it is `own`: then the
    /// reason is returned.
    fn step(&self, state: &mut State, input: Input, own: u64) -> Option<Reason> {
        let close = state.admission.step(input);
        self.report(state.admission.counts());
        let Close(number, reason) = close?;
        self.refused(reason);
        if number == own {
            return Some(reason);
        }
        if let Some(close) = state.closing.remove(&number) {
            let _ = close.send(reason);
        }
        None
    }

    /// Counts a connection that was refused.
    pub(super) fn refused(&self, reason: Reason) {
        if let Some(handler) = self.handler.get() {
            handler.refused(reason.text());
        }
    }

    fn report(&self, counts: Counts) {
        if let Some(handler) = self.handler.get() {
            handler.accepted(counts.greeting, counts.strangers);
        }
    }
}

impl Seat {
    /// Notes that the other side has proved to be that node.
    ///
    /// # Errors
    /// The reason, when there is no room for it.
    pub(super) fn greeted(&self, node: &NodeId) -> Result<(), Refused> {
        let mut state = self.accepted.state.lock();
        let input = Input::Greeted(self.number, node.clone());
        let reason = self.accepted.step(&mut state, input, self.number);
        reason.map_or(Ok(()), |reason| Err(reason.gives_way()))
    }

    /// Notes that the other side has proved to be that node, and opens a stream of this purpose.
    ///
    /// # Errors
    /// The reason, when it is no member or there is no room for it.
    pub(super) fn streams(&self, node: &NodeId, purpose: &str) -> Result<(), Refused> {
        let mut state = self.accepted.state.lock();
        let input = Input::Streams(self.number, node.clone(), purpose.to_owned());
        let reason = self.accepted.step(&mut state, input, self.number);
        reason.map_or(Ok(()), |reason| Err(reason.gives_way()))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.accepted.state.lock();
        state.closing.remove(&self.number);
        self.accepted.step(&mut state, Input::Ended(self.number), 0);
    }
}
