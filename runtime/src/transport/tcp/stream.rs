//! A connection after the hello: frames with their length in front, both ways.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{fmt, io};

use antiphon_base::task;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::endpoints::{Current, Endpoint};
use super::settings::TcpSettings;
use crate::NodeId;
use crate::transport::{FRAME_BYTES_MAX, TransportHandler};

/// Bytes that are gathered into one write while more frames wait.
const WRITE_BYTES_TARGET: usize = 256 * 1024;
/// Bytes that are reserved before the first byte of a frame has arrived.
const FRAME_BYTES_FIRST: usize = 64 * 1024;

/// The end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// A frame was over the limit.
    LongFrame,
    /// The connection broke, or was closed.
    Other,
}

/// Runs a connection to its end, as soon as the earlier connection of the node has ended.
pub(super) async fn run<R, W>(
    (reader, writer): (R, W),
    id: &NodeId,
    endpoint: &Endpoint,
    handler: Arc<dyn TransportHandler>,
    settings: &TcpSettings,
) -> Ended
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    // a newer connection takes the place of an older one
    endpoint.close();
    let _turn = endpoint.turn.clone().lock_owned().await;
    let (frames, queue) = mpsc::channel(settings.queue_frames_max);
    let (close, mut closed) = watch::channel(false);
    let queued = Arc::new(AtomicUsize::new(0));
    if !endpoint.set(Current { frames, close, queued: queued.clone() }) {
        return Ended::Other;
    }
    handler.up(id);
    let writing = task::spawn("tcp write", write_all(writer, queue, queued));
    let _running = Running { id, endpoint, handler: &*handler, writing };
    let rate = settings.strangers_bytes_per_second_max;
    let reading = read_all(reader, (id, endpoint), &*handler, rate);
    let ended = tokio::select! {
        ended = reading => ended,
        _ = closed.wait_for(|closed| *closed) => Ok(()),
        _ = writing_ended(endpoint) => Ok(()),
    };
    let Err(error) = ended else { return Ended::Other };
    tracing::debug!(node = %id, %error, "connection ended");
    let is_long = error.get_ref().is_some_and(|why| why.is::<LongFrame>());
    if is_long { Ended::LongFrame } else { Ended::Other }
}

/// A frame that is longer than all frames of nodes.
#[derive(Debug)]
struct LongFrame(usize);

impl fmt::Display for LongFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "frame: expected at most {FRAME_BYTES_MAX} bytes, actual {}", self.0)
    }
}

impl std::error::Error for LongFrame {}

/// A connection that runs. Its end is always reported, also after a panic or when its task is
/// aborted; the turn goes to the next connection after that.
struct Running<'a> {
    id: &'a NodeId,
    endpoint: &'a Endpoint,
    handler: &'a dyn TransportHandler,
    writing: JoinHandle<()>,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.writing.abort();
        self.endpoint.clear();
        self.handler.down(self.id);
    }
}

/// Waits until the writer has dropped its queue, because the connection broke.
async fn writing_ended(endpoint: &Endpoint) {
    if let Some(outgoing) = endpoint.outgoing() {
        outgoing.frames.closed().await;
    }
}

async fn read_all(
    reader: impl AsyncRead + Unpin,
    (id, endpoint): (&NodeId, &Endpoint),
    handler: &dyn TransportHandler,
    strangers_rate: usize,
) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(64 * 1024, reader);
    loop {
        let length = reader.read_u32_le().await? as usize;
        if length > FRAME_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, LongFrame(length)));
        }
        handler.frame(id, read_frame(&mut reader, length).await?);
        if !endpoint.is_wanted() {
            tokio::time::sleep(time_of(length, strangers_rate)).await;
        }
    }
}

/// The time that a node which is no member has to leave between a frame and the next one: the
/// processor belongs to members.
fn time_of(length: usize, bytes_per_second: usize) -> Duration {
    Duration::from_micros(length as u64 * 1_000_000 / bytes_per_second as u64)
}

/// Reads a frame. Memory is taken as the bytes come: a length alone costs at most
/// `FRAME_BYTES_FIRST`, which holds most frames.
async fn read_frame(reader: &mut (impl AsyncRead + Unpin), length: usize) -> io::Result<Bytes> {
    let mut frame = BytesMut::with_capacity(length.min(FRAME_BYTES_FIRST));
    let mut bytes = reader.take(length as u64);
    while frame.len() < length {
        if bytes.read_buf(&mut frame).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(frame.freeze())
}

async fn write_all(
    mut writer: impl AsyncWrite + Unpin,
    mut queue: mpsc::Receiver<Bytes>,
    queued: Arc<AtomicUsize>,
) {
    let mut buffer = Vec::with_capacity(64 * 1024);
    while let Some(frame) = queue.recv().await {
        buffer.clear();
        put(&mut buffer, &frame);
        let mut taken = frame.len();
        while buffer.len() < WRITE_BYTES_TARGET {
            let Ok(frame) = queue.try_recv() else { break };
            put(&mut buffer, &frame);
            taken += frame.len();
        }
        queued.fetch_sub(taken, Ordering::AcqRel);
        // an encrypted stream may keep bytes until it is flushed
        if writer.write_all(&buffer).await.is_err() || writer.flush().await.is_err() {
            return;
        }
    }
}

fn put(buffer: &mut Vec<u8>, frame: &[u8]) {
    let length = u32::try_from(frame.len()).expect("frames are limited");
    buffer.extend_from_slice(&length.to_le_bytes());
    buffer.extend_from_slice(frame);
}
