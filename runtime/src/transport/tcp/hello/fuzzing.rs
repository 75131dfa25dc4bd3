//! The greeting with a stranger, for the fuzzing in `fuzz`.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use antiphon_base::fuzzing::{Bounds, Check, Decoder};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Hello, PROOF_BYTES, Side, greet, hello, read_hello};
use crate::NodeId;
use crate::transport::tcp::TcpSettings;

/// The first bytes of a connection.
pub const GREETING: &[Decoder] = &[
    Decoder {
        name: "hello",
        decode: read,
        seeds: || {
            let hello = |purpose| hello(&[7; 16], ["antiphon", "A", "a@1"], purpose);
            vec![hello(None), hello(Some("actors"))]
        },
        bounds: Bounds::new(16 * 1024, 8),
    },
    Decoder {
        name: "greeting",
        decode: greeting,
        seeds: || {
            let stranger = hello(&[7; 16], ["antiphon", "B", "b@1"], None);
            vec![[stranger.as_slice(), &[1; PROOF_BYTES]].concat()]
        },
        bounds: Bounds::new(16 * 1024, 8),
    },
];

/// A connection on which these bytes arrive, and nothing after them.
struct Stranger<'a>(&'a [u8]);

impl AsyncRead for Stranger<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (now, rest) = self.0.split_at(self.0.len().min(into.remaining()));
        into.put_slice(now);
        self.0 = rest;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stranger<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Runs a future that never waits.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("a stranger never lets wait"),
    }
}

fn read(bytes: &[u8]) -> Option<Check> {
    let mut stranger = Stranger(bytes);
    let Hello { bytes: read, cluster, place, id, purpose } =
        at_once(read_hello(&mut stranger, Side::Accepts, false)).ok()?;
    assert_eq!(read, bytes[..bytes.len() - stranger.0.len()], "the bytes of the hello");
    Some(Box::new(move || {
        let nonce = read[10..26].try_into().expect("16 bytes");
        assert_eq!(
            hello(&nonce, [&cluster, &place, &id], purpose.as_deref()),
            read,
            "a hello has one form"
        );
    }))
}

/// Greets a stranger as both sides: without the cookie, nobody is greeted.
fn greeting(bytes: &[u8]) -> Option<Check> {
    let settings = TcpSettings { cookie: "secret".into(), ..TcpSettings::default() };
    let me = NodeId::new("a", 1).ok()?;
    let mut claimed = None;
    for side in [Side::Dials, Side::Accepts] {
        let mut stranger = Stranger(bytes);
        let greeted = at_once(greet(&mut stranger, &me, (side, None), &settings, &mut claimed));
        assert!(greeted.is_err(), "a stranger without the cookie was greeted as {greeted:?}");
    }
    claimed.map(antiphon_base::fuzzing::nothing_more)
}
