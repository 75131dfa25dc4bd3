//! The greeting of a connection: its encryption, then the hello of both sides.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

use super::hello::{self, Greeted, Side};
use super::refusal::{Reason, Refused};
use super::settings::TcpSettings;
use super::socket::tune;
use super::tls::{self, Credentials};
use crate::{Error, NodeId};

/// This side of all connections.
pub(super) struct Greeter<'a> {
    pub(super) me: &'a NodeId,
    pub(super) settings: &'a TcpSettings,
    /// `None` for connections without TLS.
    pub(super) credentials: Option<&'a Credentials>,
}

/// A connection whose other side is known.
pub(super) enum Secured {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Greeter<'_> {
    /// Greets the other side of a connection within `handshake_timeout`. A side that dials a stream
    /// names its purpose. `claimed` is set to the id that the other side claims, also when it is
    /// refused.
    pub(super) async fn greet(
        &self,
        stream: TcpStream,
        side: (Side, Option<&str>),
        claimed: &mut Option<NodeId>,
    ) -> Result<(Greeted, Secured), Refused> {
        tune(&stream, self.settings.user_timeout);
        let limit = self.settings.handshake_timeout;
        let greeting = self.secure_and_greet(stream, side, claimed);
        tokio::time::timeout(limit, greeting).await.unwrap_or_else(|_| {
            let why = format!("no hello within {limit:?} (`handshake_timeout`)");
            Err(Refused(Reason::Timeout, Error::timeout(why)))
        })
    }

    /// Encrypts the connection if this node has certificates, and greets. Returns the other side,
    /// which certificates prove.
    async fn secure_and_greet(
        &self,
        mut stream: TcpStream,
        side: (Side, Option<&str>),
        claimed: &mut Option<NodeId>,
    ) -> Result<(Greeted, Secured), Refused> {
        let Self { me, settings, credentials } = self;
        let Some(credentials) = credentials else {
            let greeted = hello::greet(&mut stream, me, side, settings, claimed).await?;
            return Ok((greeted, Secured::Plain(stream)));
        };
        let mut stream = tls::secure(stream, side.0, &credentials.current()).await?;
        let greeted = hello::greet(&mut stream, me, side, settings, claimed).await?;
        let certificates = stream.get_ref().1.peer_certificates();
        tls::check_name(certificates, &settings.cluster_name, &greeted.place, &greeted.id)?;
        Ok((greeted, Secured::Tls(Box::new(stream))))
    }
}

impl Secured {
    /// Reads one byte.
    pub(super) async fn read_u8(&mut self) -> std::io::Result<u8> {
        match self {
            Self::Plain(stream) => stream.read_u8().await,
            Self::Tls(stream) => stream.read_u8().await,
        }
    }

    /// Writes one byte.
    pub(super) async fn write_u8(&mut self, byte: u8) -> std::io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_u8(byte).await,
            Self::Tls(stream) => {
                stream.write_u8(byte).await?;
                // an encrypted stream may keep bytes until it is flushed
                stream.flush().await
            }
        }
    }
}
