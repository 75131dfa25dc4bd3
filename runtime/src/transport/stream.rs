//! Byte streams between members, beside the links.
//!
//! A stream is a connection of its own: traffic on it neither delays nor reorders the frames of the
//! links. It is made like a link (the same port, certificates and cookie), and the node that opens
//! it names its purpose; the other node takes it when something there accepts that purpose.
//!
//! - The node with the smaller id opens, so that two nodes never have two streams of one purpose.
//!   A newer stream of a node and a purpose takes the place of the one before.
//! - Only members open streams, and a stream ends at once when its node is no member any more.
//! - A stream knows no messages and no limits of bytes: those are its user's.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

use crate::NodeId;

/// Most bytes of the name of a purpose.
pub const PURPOSE_BYTES_MAX: usize = 64;

/// Takes the streams of one purpose that other nodes open. The call must return soon and never
/// block; a stream that is dropped ends.
pub type StreamAcceptor = Arc<dyn Fn(Stream) + Send + Sync>;

/// A stream that is being opened.
pub type OpeningStream = Pin<Box<dyn Future<Output = crate::Result<Stream>> + Send>>;

type Reader = Box<dyn AsyncRead + Send + Unpin>;
type Writer = Box<dyn AsyncWrite + Send + Unpin>;

/// A byte stream to a member. It ends when both halves are dropped, at [`StreamEnd::end`], when the
/// connection breaks, or when the other node is no member any more.
pub struct Stream {
    node: NodeId,
    reader: StreamReader,
    writer: StreamWriter,
    end: StreamEnd,
}

impl Stream {
    /// A stream to `node` over the halves of a connection.
    pub(crate) fn new(node: NodeId, reader: Reader, writer: Writer) -> Self {
        let end = StreamEnd { ended: Arc::new(watch::Sender::new(false)) };
        let held = Arc::new(Held(end.clone()));
        let reader =
            StreamReader { inner: Some(reader), ended: Ended::of(&end), _held: held.clone() };
        let writer = StreamWriter { inner: Some(writer), ended: Ended::of(&end), _held: held };
        Self { node, reader, writer, end }
    }

    /// The member at the other end.
    pub fn node(&self) -> &NodeId {
        &self.node
    }

    /// The way to end the stream, and to see its end.
    pub fn end(&self) -> StreamEnd {
        self.end.clone()
    }

    /// The halves. After the end, the reader reads nothing more and the writer fails.
    pub fn into_split(self) -> (StreamReader, StreamWriter) {
        (self.reader, self.writer)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({})", self.node)
    }
}

/// The end of a stream. Cheap to clone.
#[derive(Debug, Clone)]
pub struct StreamEnd {
    ended: Arc<watch::Sender<bool>>,
}

impl StreamEnd {
    /// Ends the stream at once; bytes under way may be lost. Idempotent. The halves let go of the
    /// connection when they are used next, or dropped: then the other side sees the end.
    pub fn end(&self) {
        self.ended.send_replace(true);
    }

    /// Returns whether the stream has ended.
    pub fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Waits until the stream has ended.
    ///
    /// Cancellation: dropping the future changes nothing.
    pub async fn ended(&self) {
        let mut ended = self.ended.subscribe();
        // the sender lives as long as `self`
        let _ = ended.wait_for(|ended| *ended).await;
    }
}

/// Ends the stream when the last half is dropped.
struct Held(StreamEnd);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// The end of a stream, as a half polls it.
struct Ended {
    end: StreamEnd,
    waiting: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Ended {
    fn of(end: &StreamEnd) -> Self {
        let mut ended = end.ended.subscribe();
        let waiting = Box::pin(async move { drop(ended.wait_for(|ended| *ended).await) });
        Self { end: end.clone(), waiting }
    }

    /// Returns whether the stream has ended; if not, the task is woken at the end.
    fn poll(&mut self, context: &mut Context<'_>) -> bool {
        self.end.has_ended() || self.waiting.as_mut().poll(context).is_ready()
    }
}

/// The half of a stream that reads.
pub struct StreamReader {
    /// `None` after the end.
    inner: Option<Reader>,
    ended: Ended,
    _held: Arc<Held>,
}

impl AsyncRead for StreamReader {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ended.poll(context) {
            this.inner = None;
        }
        match &mut this.inner {
            Some(inner) => Pin::new(inner).poll_read(context, into),
            None => Poll::Ready(Ok(())),
        }
    }
}

/// The half of a stream that writes. Bytes may be kept until it is flushed.
pub struct StreamWriter {
    /// `None` after the end.
    inner: Option<Writer>,
    ended: Ended,
    _held: Arc<Held>,
}

impl StreamWriter {
    fn open(&mut self, context: &mut Context<'_>) -> io::Result<Pin<&mut Writer>> {
        if self.ended.poll(context) {
            self.inner = None;
        }
        let ended = || io::Error::new(io::ErrorKind::BrokenPipe, "the stream has ended");
        self.inner.as_mut().map(Pin::new).ok_or_else(ended)
    }
}

impl AsyncWrite for StreamWriter {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().open(context)?.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().open(context)?.poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().open(context)?.poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn stream() -> (Stream, tokio::io::DuplexStream) {
        let (here, there) = tokio::io::duplex(64);
        let (reader, writer) = tokio::io::split(here);
        let node = NodeId::new("b", 1).unwrap();
        (Stream::new(node, Box::new(reader), Box::new(writer)), there)
    }

    #[tokio::test]
    async fn the_end_wakes_both_halves() {
        let (stream, _there) = stream();
        let end = stream.end();
        let (mut reader, mut writer) = stream.into_split();
        // more than the connection takes: both halves wait
        let reading = async { reader.read(&mut [0; 8]).await };
        let writing = async { writer.write_all(&[0; 1000]).await };
        let ending = async {
            tokio::task::yield_now().await;
            assert!(!end.has_ended());
            end.end();
        };
        let (read, written, ()) = tokio::join!(reading, writing, ending);
        assert_eq!(read.unwrap(), 0);
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn a_stream_whose_halves_are_dropped_has_ended() {
        let (stream, mut there) = stream();
        let end = stream.end();
        let (reader, mut writer) = stream.into_split();
        drop(reader);
        writer.write_all(b"last").await.unwrap();
        assert!(!end.has_ended());
        drop(writer);
        end.ended().await;
        let mut read = Vec::new();
        there.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"last");
    }
}
