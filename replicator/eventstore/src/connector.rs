//! Opens connections: TCP without delay, then TLS if asked, within a timeout.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tower_service::Service;

use crate::address::NodeAddress;
use crate::greeting::{Complaints, Plain};

/// The byte stream of a connection: TCP, or TLS over it.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Connects to one node and ignores the URI.
#[derive(Clone)]
pub(crate) struct Connector {
    node: NodeAddress,
    tls: Option<Arc<ClientConfig>>,
    timeout: Duration,
    /// The faults of servers on connections without TLS.
    complaints: Complaints,
}

/// The connection could not be opened, so nothing was sent.
#[derive(Debug)]
pub(crate) struct ConnectFailed {
    node: NodeAddress,
    error: io::Error,
}

impl Connector {
    pub(crate) fn new(
        node: NodeAddress,
        tls: Option<Arc<ClientConfig>>,
        timeout: Duration,
        complaints: Complaints,
    ) -> Self {
        Self { node, tls, timeout, complaints }
    }

    async fn connect(self) -> Result<TokioIo<Box<dyn Io>>, ConnectFailed> {
        let Self { node, tls, timeout, complaints } = self;
        let connected = tokio::time::timeout(timeout, open(&node, tls, complaints))
            .await
            .unwrap_or_else(|_| {
                let text = format!("no connection within {timeout:?} (setting `connect_timeout`)");
                Err(io::Error::new(io::ErrorKind::TimedOut, text))
            });
        connected.map(TokioIo::new).map_err(|error| ConnectFailed { node, error })
    }
}

async fn open(
    node: &NodeAddress,
    tls: Option<Arc<ClientConfig>>,
    complaints: Complaints,
) -> io::Result<Box<dyn Io>> {
    let tcp = TcpStream::connect((node.host.as_str(), node.port)).await?;
    // otherwise small appends wait for a delayed acknowledgement, 40 ms each
    tcp.set_nodelay(true)?;
    let Some(tls) = tls else { return Ok(Box::new(Plain::new(tcp, complaints))) };
    let name = ServerName::try_from(node.host.clone()).map_err(io::Error::other)?;
    let stream =
        tokio_rustls::TlsConnector::from(tls).connect(name, tcp).await.map_err(explained)?;
    Ok(Box::new(stream))
}

/// The error of a handshake, with what to write in the connection string.
fn explained(error: io::Error) -> io::Error {
    use rustls::CertificateError as Wrong;
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let is_end = matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
    );
    let hint = match cause {
        Some(rustls::Error::InvalidMessage(_)) => {
            "the server does not speak TLS: write `tls=false` in the connection string"
        }
        Some(rustls::Error::InvalidCertificate(Wrong::UnknownIssuer | Wrong::BadSignature)) => {
            "the authority of the server's certificate is not trusted: name its file in `tlsCaFile`, \
             or write `tlsVerifyCert=false`"
        }
        Some(rustls::Error::InvalidCertificate(
            Wrong::NotValidForName | Wrong::NotValidForNameContext { .. },
        )) => "the server's certificate is for another name than the host of the connection string",
        None if is_end => {
            "the server ended the TLS handshake; a server that does not speak TLS does so: then write \
             `tls=false` in the connection string"
        }
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{error}: {hint}"))
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Io>>;
    type Error = ConnectFailed;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        Box::pin(self.clone().connect())
    }
}

impl fmt::Display for ConnectFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot connect to `{}`: {}", self.node, self.error)
    }
}

impl StdError for ConnectFailed {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.error)
    }
}
