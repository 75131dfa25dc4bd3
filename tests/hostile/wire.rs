//! The protocol of links, as a program speaks it that may lie: see the tables of `tcp::hello`,
//! `gate::link::record` and `wire::command` in the code of the nodes.

use std::io;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The cookie of the nodes without certificates.
pub(crate) const COOKIE: &str = "a cookie that the liar knows";
/// Limit of the bytes of a frame.
pub(crate) const FRAME_BYTES_MAX: usize = 256 * 1024;

pub(crate) const TELL: u8 = 1;
pub(crate) const ASK: u8 = 2;
pub(crate) const ANSWER: u8 = 3;
pub(crate) const FAILURE: u8 = 4;
/// More parts of the message follow.
pub(crate) const PART: u8 = 0x40;
/// The last part of a message.
pub(crate) const LAST: u8 = 0x80;

/// The services of commands and of the rest of sharding.
pub(crate) const COMMANDS: u16 = 16;
pub(crate) const SHARDING: u16 = 17;

/// The hello of a node.
pub(crate) fn hello(nonce: [u8; 16], id: &str) -> Vec<u8> {
    let mut hello = b"ANTIPHON\x03\x00".to_vec();
    hello.extend_from_slice(&nonce);
    let texts = ["antiphon", "DC-A", id];
    for text in texts {
        hello.extend_from_slice(&u16::try_from(text.len()).expect("a short text").to_le_bytes());
    }
    texts.iter().for_each(|text| hello.extend_from_slice(text.as_bytes()));
    hello
}

/// Reads the hello of the other side.
pub(crate) async fn read_hello(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut hello = vec![0; 32];
    stream.read_exact(&mut hello).await?;
    let length = |at: usize| usize::from(u16::from_le_bytes([hello[at], hello[at + 1]]));
    let mut texts = vec![0; length(26) + length(28) + length(30)];
    stream.read_exact(&mut texts).await?;
    hello.extend(texts);
    Ok(hello)
}

/// The proof of the dialling side.
pub(crate) fn proof(own: &[u8], other: &[u8]) -> Vec<u8> {
    let mut proof = Hmac::<Sha256>::new_from_slice(COOKIE.as_bytes()).expect("a key of any length");
    for bytes in [&[1], own, other] {
        proof.update(bytes);
    }
    proof.finalize().into_bytes().to_vec()
}

/// A connection that was greeted.
pub(crate) struct Liar {
    pub(crate) stream: TcpStream,
    next: u64,
}

impl Liar {
    /// Connects under a name of its own.
    pub(crate) async fn connect(address: &str, name: &str) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address).await?;
        let own = hello(*b"sixteen bytes ..", &format!("{name}@1"));
        stream.write_all(&own).await?;
        let other = read_hello(&mut stream).await?;
        stream.write_all(&proof(&own, &other)).await?;
        let mut answer = [0; 32];
        stream.read_exact(&mut answer).await?;
        let refused = || io::Error::other("refused");
        if answer == [0; 32] { Err(refused()) } else { Ok(Self { stream, next: 0 }) }
    }

    /// Sends bytes with their length in front.
    pub(crate) async fn frame(&mut self, frame: &[u8]) -> io::Result<()> {
        let length = u32::try_from(frame.len()).expect("a frame");
        self.stream.write_all(&length.to_le_bytes()).await?;
        self.stream.write_all(frame).await
    }

    /// Sends a record in the next frame.
    pub(crate) async fn record(&mut self, record: &[u8]) -> io::Result<()> {
        let frame = frame(self.next, record);
        self.next += 1;
        self.frame(&frame).await
    }

    /// Waits for the end of the connection, whatever the other side sends before.
    pub(crate) async fn ended(&mut self) {
        let mut bytes = vec![0; 4096];
        while self.stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
    }

    /// Sends a message in as many parts as it takes, and waits for a frame with an answer.
    pub(crate) async fn ask(&mut self, service: u16, payload: &[u8]) -> io::Result<()> {
        let mut parts = payload.chunks(60_000).peekable();
        while let Some(part) = parts.next() {
            let mark = if parts.peek().is_some() { PART } else { LAST };
            self.record(&record(ASK | mark, service, 7, part)).await?;
        }
        loop {
            let mut frame = vec![0; self.stream.read_u32_le().await? as usize];
            self.stream.read_exact(&mut frame).await?;
            let is_data = frame[0] == 1;
            let kind = frame.get(33).copied().unwrap_or_default() & 0x3f;
            if is_data && (kind == ANSWER || kind == FAILURE) {
                return Ok(());
            }
        }
    }
}

/// A data frame of the first stream.
pub(crate) fn frame(number: u64, records: &[u8]) -> Vec<u8> {
    let mut frame = vec![1];
    for number in [1, number, 0, 0] {
        frame.extend_from_slice(&number.to_le_bytes());
    }
    frame.extend_from_slice(records);
    frame
}

/// A record.
pub(crate) fn record(kind: u8, service: u16, correlation: u64, payload: &[u8]) -> Vec<u8> {
    let mut record = vec![kind];
    record.extend_from_slice(&service.to_le_bytes());
    record.extend_from_slice(&correlation.to_le_bytes());
    record.extend_from_slice(&u32::try_from(payload.len()).expect("a payload").to_le_bytes());
    record.extend_from_slice(payload);
    record
}

/// A command with its address, and a number of places for answers.
pub(crate) fn command(entity_type: &str, replies: u32, command: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    bytes.extend_from_slice(&replies.to_le_bytes());
    bytes.extend_from_slice(&5000u32.to_le_bytes());
    let texts = [entity_type, "attacked", "DC-A"];
    for text in texts {
        bytes.extend_from_slice(&u16::try_from(text.len()).expect("a short text").to_le_bytes());
    }
    texts.iter().for_each(|text| bytes.extend_from_slice(text.as_bytes()));
    bytes.extend_from_slice(command);
    bytes
}
