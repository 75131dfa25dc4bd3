//! A connection without TLS that looks at the server's first bytes: a server of another protocol is
//! told from a lost connection, so that the user reads what to write.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The fault of a server that did not answer as an event store does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Complaint {
    /// The server answered in another protocol, so it did nothing.
    Foreign(&'static str),
    /// The server ended the connection before its first byte. It may have done what it was asked.
    Silent(&'static str),
}

/// The complaint of a connection, if it has one.
pub(crate) type Complaints = Arc<Mutex<Option<Complaint>>>;

const TLS: Complaint = Complaint::Foreign(
    "the server speaks TLS: write `tls=true` in the connection string, not `tls=false`",
);
const HTTP_1: Complaint = Complaint::Foreign(
    "the server speaks HTTP/1.1 only, expected gRPC over HTTP/2: is it the port of an event store?",
);
const SILENT: Complaint = Complaint::Silent(
    "the server ended the connection without an answer; a server that speaks TLS does so: then \
     write `tls=true` in the connection string",
);

/// The complaint about the first bytes of a server; none for those of HTTP/2.
fn complaint(first: &[u8]) -> Option<Complaint> {
    match first {
        [] => Some(SILENT),
        // an alert, or a handshake, of any version
        [0x15 | 0x16, 0x03, ..] => Some(TLS),
        [b'H', b'T', b'T', b'P', ..] => Some(HTTP_1),
        _ => None,
    }
}

/// A connection without TLS.
pub(crate) struct Plain {
    tcp: TcpStream,
    has_greeted: bool,
    complaints: Complaints,
}

impl Plain {
    pub(crate) fn new(tcp: TcpStream, complaints: Complaints) -> Self {
        Self { tcp, has_greeted: false, complaints }
    }
}

impl AsyncRead for Plain {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.tcp).poll_read(context, buffer));
        if !self.has_greeted {
            self.has_greeted = true;
            let first = if read.is_ok() { &buffer.filled()[before..] } else { &[] };
            *self.complaints.lock() = complaint(first);
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Plain {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
