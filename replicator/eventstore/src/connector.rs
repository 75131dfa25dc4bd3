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

/// The byte stream of a connection: TCP, or TLS over it.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Connects to one node and ignores the URI.
#[derive(Clone)]
pub(crate) struct Connector {
    node: NodeAddress,
    tls: Option<Arc<ClientConfig>>,
    timeout: Duration,
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
    ) -> Self {
        Self { node, tls, timeout }
    }

    async fn connect(self) -> Result<TokioIo<Box<dyn Io>>, ConnectFailed> {
        let Self { node, tls, timeout } = self;
        let connected =
            tokio::time::timeout(timeout, open(&node, tls)).await.unwrap_or_else(|_| {
                let text = format!("no connection within {timeout:?} (setting `connect_timeout`)");
                Err(io::Error::new(io::ErrorKind::TimedOut, text))
            });
        connected.map(TokioIo::new).map_err(|error| ConnectFailed { node, error })
    }
}

async fn open(node: &NodeAddress, tls: Option<Arc<ClientConfig>>) -> io::Result<Box<dyn Io>> {
    let tcp = TcpStream::connect((node.host.as_str(), node.port)).await?;
    // otherwise small appends wait for a delayed acknowledgement, 40 ms each
    tcp.set_nodelay(true)?;
    let Some(tls) = tls else { return Ok(Box::new(tcp)) };
    let name = ServerName::try_from(node.host.clone()).map_err(io::Error::other)?;
    let stream = tokio_rustls::TlsConnector::from(tls).connect(name, tcp).await?;
    Ok(Box::new(stream))
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
