//! Connections that can be reset and frozen.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

/// All connections of a server.
#[derive(Clone, Default)]
pub(crate) struct Connections {
    shared: Arc<All>,
}

#[derive(Default)]
struct All {
    frozen: AtomicBool,
    open: Mutex<Vec<Weak<One>>>,
}

#[derive(Default)]
struct One {
    reset: AtomicBool,
    /// The wakers of the connection's reader and writer.
    wakers: Mutex<[Option<Waker>; 2]>,
}

/// A handle with which a request can reset its connection.
#[derive(Clone)]
pub(crate) struct ConnectionHandle(Arc<One>);

/// A connection that can be reset and frozen.
pub(crate) struct ServerIo<T> {
    inner: T,
    one: Arc<One>,
    all: Arc<All>,
}

const READER: usize = 0;
const WRITER: usize = 1;

impl Connections {
    /// Wraps a connection, so that it can be reset and frozen.
    pub(crate) fn control<T>(&self, inner: T) -> ServerIo<T> {
        let one = Arc::new(One::default());
        let mut open = self.shared.open.lock();
        open.retain(|connection| connection.strong_count() > 0);
        open.push(Arc::downgrade(&one));
        ServerIo { inner, one, all: Arc::clone(&self.shared) }
    }

    pub(crate) fn reset(&self) {
        self.each(One::reset);
    }

    pub(crate) fn freeze(&self, on: bool) {
        self.shared.frozen.store(on, Ordering::SeqCst);
        self.each(One::wake);
    }

    fn each(&self, act: impl Fn(&One)) {
        let open = self.shared.open.lock().clone();
        open.iter().filter_map(Weak::upgrade).for_each(|connection| act(&connection));
    }
}

impl ConnectionHandle {
    pub(crate) fn reset(&self) {
        self.0.reset();
    }
}

impl One {
    fn reset(&self) {
        self.reset.store(true, Ordering::SeqCst);
        self.wake();
    }

    fn wake(&self) {
        let mut wakers = self.wakers.lock();
        wakers.iter_mut().filter_map(Option::take).for_each(Waker::wake);
    }

    fn wait(&self, side: usize, cx: &Context<'_>) {
        let mut wakers = self.wakers.lock();
        if !wakers[side].as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            wakers[side] = Some(cx.waker().clone());
        }
    }
}

impl<T> ServerIo<T> {
    /// The result forced by a reset or a freeze; none when neither is on.
    fn controlled<R>(&self, side: usize, cx: &Context<'_>) -> Option<Poll<io::Result<R>>> {
        // registered first, so that a change after this point wakes the task
        self.one.wait(side, cx);
        if self.one.reset.load(Ordering::SeqCst) {
            return Some(Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())));
        }
        self.all.frozen.load(Ordering::SeqCst).then_some(Poll::Pending)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for ServerIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.controlled(READER, cx) {
            Some(said) => said,
            None => Pin::new(&mut self.inner).poll_read(cx, buffer),
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for ServerIo<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.controlled(WRITER, cx) {
            Some(said) => said,
            None => Pin::new(&mut self.inner).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.controlled(WRITER, cx) {
            Some(said) => said,
            None => Pin::new(&mut self.inner).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.controlled(WRITER, cx) {
            Some(said) => said,
            None => Pin::new(&mut self.inner).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<T> Connected for ServerIo<T> {
    type ConnectInfo = ConnectionHandle;

    fn connect_info(&self) -> ConnectionHandle {
        ConnectionHandle(Arc::clone(&self.one))
    }
}
