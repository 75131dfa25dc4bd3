//! The stream of the runtime as ractor_cluster wants it: halves that never let it wait.
//!
//! ractor_cluster's writer takes all that it has in its queue at once and waits until it is
//! written, and meanwhile its queue grows without a bound. So the bytes are always taken, into
//! [`Outbound`], which has a bound. They are written at once when the connection takes them, and
//! by a task of their own (`pump`) otherwise.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use antiphon_base::task;
use antiphon_runtime::NodeId;
use antiphon_runtime::transport::{Stream, StreamReader, StreamWriter};
use parking_lot::Mutex;
use ractor_cluster::NetworkStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::outbound::{Dropped, Limits, Outbound, Overflow};
use crate::metrics::SessionMetrics;

/// The stream as an external one of ractor_cluster.
pub(super) fn external(
    me: &NodeId,
    stream: Stream,
    limits: Limits,
    metrics: &SessionMetrics,
) -> NetworkStream {
    let (peer_label, local_label) = (stream.node().to_string(), me.to_string());
    let other = stream.node().clone();
    let (reader, writer) = stream.into_split();
    let pipe = Arc::new(Mutex::new(Pipe {
        other,
        writer,
        outbound: Outbound::new(limits),
        is_dirty: false,
        failed: None,
        is_closed: false,
        pump: Waker::noop().clone(),
        dropped: 0,
        metrics: metrics.clone(),
    }));
    task::spawn("session writer", pump(pipe.clone()));
    NetworkStream::External {
        peer_label: Some(peer_label),
        local_label: Some(local_label),
        reader: Box::new(Inbound { reader, metrics: metrics.clone() }),
        writer: Box::new(Writer(pipe)),
    }
}

/// The way out to one member.
struct Pipe {
    other: NodeId,
    writer: StreamWriter,
    outbound: Outbound,
    /// Bytes were written and not flushed.
    is_dirty: bool,
    failed: Option<io::ErrorKind>,
    /// The session is gone.
    is_closed: bool,
    pump: Waker,
    /// Number of dropped messages.
    dropped: u64,
    metrics: SessionMetrics,
}

impl Pipe {
    /// Takes bytes of ractor_cluster.
    fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.check()?;
        let before = self.outbound.bytes();
        let (other, metrics, count) = (&self.other, &self.metrics, &mut self.dropped);
        let pushed = self.outbound.push(bytes, |dropped| {
            *count += 1;
            tell_dropped((other, *count), metrics, dropped);
        });
        self.metrics.queued.add(signed(self.outbound.bytes()) - signed(before));
        pushed.map_err(|overflow| {
            tell_overflow(&self.other, &self.metrics, overflow);
            self.fail(io::ErrorKind::OutOfMemory)
        })
    }

    /// Writes what the connection takes now; `context` is woken when it takes more.
    fn drive(&mut self, context: &mut Context<'_>) {
        while self.failed.is_none() && !self.outbound.front().is_empty() {
            let front = self.outbound.front();
            match Pin::new(&mut self.writer).poll_write(context, front) {
                Poll::Pending => return,
                Poll::Ready(Ok(0)) => drop(self.fail(io::ErrorKind::WriteZero)),
                Poll::Ready(Ok(count)) => {
                    self.outbound.written(count);
                    self.is_dirty = true;
                    self.metrics.queued.sub(signed(count));
                    self.metrics.bytes_sent.inc_by(count as u64);
                }
                Poll::Ready(Err(error)) => drop(self.fail(error.kind())),
            }
        }
        if self.failed.is_none() && self.is_dirty {
            match Pin::new(&mut self.writer).poll_flush(context) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.is_dirty = false,
                Poll::Ready(Err(error)) => drop(self.fail(error.kind())),
            }
        }
    }

    fn fail(&mut self, kind: io::ErrorKind) -> io::Error {
        self.failed = Some(kind);
        self.pump.wake_by_ref();
        kind.into()
    }

    fn check(&self) -> io::Result<()> {
        self.failed.map_or(Ok(()), |kind| Err(kind.into()))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.metrics.queued.sub(signed(self.outbound.bytes()));
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// Counts a dropped message, and logs the 1st, 2nd, 4th, 8th .. of a session: there may be many.
fn tell_dropped((other, count): (&NodeId, u64), metrics: &SessionMetrics, dropped: Dropped) {
    let is_told = count.is_power_of_two();
    match dropped {
        Dropped::TooLarge(bytes) => {
            metrics.dropped.with_label_values(&["too_large"]).inc();
            if !is_told {
                return;
            }
            tracing::warn!(%other, bytes, count, "a message of a plain actor is dropped: it is over `actors.frame_bytes_max`");
        }
        Dropped::Full => {
            metrics.dropped.with_label_values(&["full"]).inc();
            if !is_told {
                return;
            }
            tracing::warn!(%other, count, "messages of plain actors are dropped: `actors.queue_bytes_max` wait for the member");
        }
    }
}

fn tell_overflow(other: &NodeId, metrics: &SessionMetrics, overflow: Overflow) {
    metrics.dropped.with_label_values(&["overflow"]).inc();
    match overflow {
        Overflow::Frame(bytes) => {
            tracing::error!(%other, bytes, "a session of plain actors ends: the list of the actors of this node, or of a group, is over `actors.frame_bytes_max`");
        }
        Overflow::Queue => {
            tracing::warn!(%other, "a session of plain actors ends: the changes of groups that wait for the member are over twice `actors.queue_bytes_max`");
        }
    }
}

/// Writes what the connection did not take at once, until the session is gone or has failed.
async fn pump(pipe: Arc<Mutex<Pipe>>) {
    poll_fn(|context| {
        let mut pipe = pipe.lock();
        pipe.pump = context.waker().clone();
        pipe.drive(context);
        if pipe.is_closed || pipe.failed.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// The half to which ractor_cluster writes.
struct Writer(Arc<Mutex<Pipe>>);

impl AsyncWrite for Writer {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut pipe = self.0.lock();
        pipe.push(bytes)?;
        // the pump is woken when the connection takes more
        let pump = pipe.pump.clone();
        pipe.drive(&mut Context::from_waker(&pump));
        pipe.check()?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.lock().check())
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.lock().check())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut pipe = self.0.lock();
        pipe.is_closed = true;
        pipe.pump.wake_by_ref();
    }
}

/// The half from which ractor_cluster reads.
struct Inbound {
    reader: StreamReader,
    metrics: SessionMetrics,
}

impl AsyncRead for Inbound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.reader).poll_read(context, into);
        self.metrics.bytes_received.inc_by((into.filled().len() - before) as u64);
        read
    }
}
