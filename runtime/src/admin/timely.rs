//! A connection whose client must take the bytes that are written.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A connection that ends when its client takes nothing for some time.
pub(super) struct TimelyStream<S> {
    stream: S,
    limit: Duration,
    /// Runs while the client takes nothing.
    late: Option<Pin<Box<Sleep>>>,
}

impl<S> TimelyStream<S> {
    pub(super) fn new(stream: S, limit: Duration) -> Self {
        Self { stream, limit, late: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimelyStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S> TimelyStream<S> {
    fn timely<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.late = None;
            return written;
        }
        let limit = self.limit;
        let late = self.late.get_or_insert_with(|| Box::pin(sleep(limit)));
        std::task::ready!(late.as_mut().poll(context));
        let why = format!("the client took no byte of its answer for {limit:?}");
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimelyStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.timely(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.timely(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.stream).poll_shutdown(context);
        self.timely(context, ended)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    /// A client that takes nothing: neither bytes nor the end.
    struct Deaf;

    impl AsyncWrite for Deaf {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_neither_bytes_nor_the_end_is_given_up() {
        let stream = || TimelyStream::new(Deaf, Duration::from_secs(5));
        let is_late = |done: io::Result<()>| done.unwrap_err().kind() == io::ErrorKind::TimedOut;
        let waits = Duration::from_secs(60);
        let (mut one, mut two, mut three) = (stream(), stream(), stream());
        assert!(is_late(tokio::time::timeout(waits, one.shutdown()).await.expect("an end")));
        assert!(is_late(tokio::time::timeout(waits, two.flush()).await.expect("an end")));
        assert!(is_late(tokio::time::timeout(waits, three.write_all(b"x")).await.expect("an end")));
    }
}
