//! The streams of a transport: who takes them, and those that are open.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use antiphon_base::task;
use parking_lot::Mutex;
use tokio::net::TcpStream;

use super::accepted::Seat;
use super::greeting::Secured;
use super::hello::{Greeted, Side};
use super::refusal::{Reason, Refused};
use super::socket;
use super::transport::TcpTransport;
use crate::transport::{Stream, StreamAcceptor, StreamEnd, TransportHandler};
use crate::{Error, NodeId, Result};

/// The first byte of a stream, of the side that takes it: the greeting is over before that side
/// looks at the purpose.
const TAKEN: u8 = 1;

/// The streams of a transport.
#[derive(Default)]
pub(super) struct Streams {
    state: Mutex<State>,
    handler: OnceLock<Arc<dyn TransportHandler>>,
}

#[derive(Default)]
struct State {
    acceptors: BTreeMap<&'static str, StreamAcceptor>,
    open: BTreeMap<u64, Open>,
    last: u64,
    has_stopped: bool,
}

struct Open {
    node: NodeId,
    place: String,
    purpose: String,
    end: StreamEnd,
}

/// A stream that is open, forgotten at its end.
pub(super) struct Running {
    streams: Arc<Streams>,
    number: u64,
    end: StreamEnd,
}

impl Streams {
    /// Reports to the handler from now on.
    pub(super) fn report_to(&self, handler: Arc<dyn TransportHandler>) {
        let _ = self.handler.set(handler);
    }

    /// Sets who takes streams of a purpose; without anybody, those that are open end.
    pub(super) fn accept(&self, purpose: &'static str, acceptor: Option<StreamAcceptor>) {
        let mut state = self.state.lock();
        match acceptor {
            Some(acceptor) => drop(state.acceptors.insert(purpose, acceptor)),
            None => {
                state.acceptors.remove(purpose);
                state.end_if(|open| open.purpose == purpose);
            }
        }
    }

    fn acceptor(&self, purpose: &str) -> Option<StreamAcceptor> {
        self.state.lock().acceptors.get(purpose).cloned()
    }

    /// Ends the streams of a node.
    pub(super) fn end_of(&self, node: &NodeId) {
        self.state.lock().end_if(|open| open.node == *node);
    }

    /// Ends the streams of a node whose greeting has named another place.
    pub(super) fn expect_place(&self, node: &NodeId, place: &str) {
        self.state.lock().end_if(|open| open.node == *node && open.place != place);
    }

    /// Ends all streams, for good.
    pub(super) fn stop(&self) {
        let mut state = self.state.lock();
        state.has_stopped = true;
        state.acceptors.clear();
        state.end_if(|_| true);
    }

    fn begin(self: &Arc<Self>, stream: &Stream, place: String, purpose: &str) -> Running {
        let mut state = self.state.lock();
        state.last += 1;
        let (number, end) = (state.last, stream.end());
        if state.has_stopped {
            end.end();
        }
        let (node, purpose) = (stream.node().clone(), purpose.to_owned());
        state.open.insert(number, Open { node, place, purpose, end: end.clone() });
        drop(state);
        self.report(true);
        Running { streams: self.clone(), number, end }
    }

    fn report(&self, begun: bool) {
        if let Some(handler) = self.handler.get() {
            handler.stream(begun);
        }
    }
}

impl State {
    fn end_if(&self, is_meant: impl Fn(&Open) -> bool) {
        self.open.values().filter(|open| is_meant(open)).for_each(|open| open.end.end());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end.end();
        self.streams.state.lock().open.remove(&self.number);
        self.streams.report(false);
    }
}

impl TcpTransport {
    /// Opens a stream to a member.
    pub(super) async fn dial_stream(
        &self,
        node: &NodeId,
        address: &str,
        purpose: &'static str,
    ) -> Result<Stream> {
        if self.id() >= node {
            let why = format!("a stream to `{node}`: the node with the smaller id opens it");
            return Err(Error::rejected(why));
        }
        self.expect_member(node)?;
        let connection = socket::connect(address, self.handshake_timeout()).await?;
        let (greeted, connection) = self.greeted_stream(connection, node, purpose).await?;
        // it may have gone while the sides greeted
        self.expect_member(node)?;
        let stream = stream_of(node.clone(), connection);
        let running = self.streams().begin(&stream, greeted.place, purpose);
        // its end may have been called for before it was known
        self.expect_member(node)?;
        task::spawn("tcp stream", async move { running.end.ended().await });
        Ok(stream)
    }

    async fn greeted_stream(
        &self,
        connection: TcpStream,
        node: &NodeId,
        purpose: &'static str,
    ) -> Result<(Greeted, Secured)> {
        let side = (Side::Dials, Some(purpose));
        let dialled = self.greeter().greet(connection, side, &mut None).await;
        let (greeted, mut connection) = dialled.map_err(|Refused(reason, error)| {
            if reason == Reason::Closed { not_taken(node, purpose, error) } else { error }
        })?;
        if greeted.id != *node {
            let why = format!("`{}` answers at the address of `{node}`", greeted.id);
            return Err(Error::unavailable(why));
        }
        self.may_connect(&greeted)?;
        let limit = self.handshake_timeout();
        let taken = tokio::time::timeout(limit, connection.read_u8()).await;
        let taken = taken.map_err(|_| {
            let why = format!("`{node}` has not taken a stream for {purpose} within {limit:?}");
            Error::timeout(why)
        })?;
        taken.map_err(|error| {
            not_taken(node, purpose, Error::unavailable("the connection ended").with_source(error))
        })?;
        Ok((greeted, connection))
    }

    /// Hands an accepted stream to who takes it, and waits for its end.
    pub(super) async fn run_stream(
        &self,
        greeted: Greeted,
        purpose: &str,
        mut connection: Secured,
        seat: &Seat,
    ) -> std::result::Result<(), Refused> {
        let id = greeted.id.clone();
        let refused = |reason, error| {
            self.count(Some(seat), reason);
            Err(Refused(reason, error))
        };
        if id >= *self.id() {
            let why = format!("a stream of `{id}`: the node with the smaller id opens it");
            return refused(Reason::Stream, Error::rejected(why));
        }
        let known = self.may_connect(&greeted).and_then(|()| self.expect_member(&id));
        if let Err(error) = known {
            return refused(Reason::NoMember, error);
        }
        let Some(acceptor) = self.streams().acceptor(purpose) else {
            let purpose = antiphon_base::text::foreign(purpose);
            let why = format!("a stream of `{id}` for `{purpose}`: this node takes none");
            return refused(Reason::Stream, Error::rejected(why));
        };
        seat.streams(&id, purpose)?;
        let said = connection.write_u8(TAKEN).await;
        said.map_err(|error| Refused(Reason::Closed, Error::unavailable(error.to_string())))?;
        let stream = stream_of(id.clone(), connection);
        // its drop ends the stream, also when this connection gives way to another
        let running = self.streams().begin(&stream, greeted.place, purpose);
        // its end may have been called for before it was known
        if let Err(error) = self.expect_member(&id) {
            return refused(Reason::NoMember, error);
        }
        acceptor(stream);
        running.end.ended().await;
        Ok(())
    }
}

fn not_taken(node: &NodeId, purpose: &str, error: Error) -> Error {
    Error::unavailable(format!(
        "`{node}` takes no stream for {purpose}: it has none of this purpose, is of an earlier version, or does not know this node yet"
    ))
    .with_source(error)
}

fn stream_of(node: NodeId, connection: Secured) -> Stream {
    match connection {
        Secured::Plain(stream) => {
            let (reader, writer) = stream.into_split();
            Stream::new(node, Box::new(reader), Box::new(writer))
        }
        Secured::Tls(stream) => {
            let (reader, writer) = tokio::io::split(*stream);
            Stream::new(node, Box::new(reader), Box::new(writer))
        }
    }
}
