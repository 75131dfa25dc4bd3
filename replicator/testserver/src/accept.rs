//! Accepts connections: without delay, with TLS if asked, controlled by the faults.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use antiphon_eventstore::{Error, ErrorKind, Result};
use futures::{Stream, StreamExt, stream};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::io::{Connections, ServerIo};
use crate::settings::TlsFiles;

/// A connection, with or without TLS.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

type Incoming = Pin<Box<dyn Stream<Item = io::Result<ServerIo<Box<dyn Io>>>> + Send>>;

/// Timeout of a TLS handshake.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// Largest number of simultaneous handshakes.
const HANDSHAKES_MAX: usize = 64;

/// The accepted connections of a listener.
pub(crate) fn incoming(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    connections: Connections,
) -> Incoming {
    let accepted = stream::unfold(listener, |listener| async {
        let accepted = listener.accept().await.map(|(stream, _)| stream);
        Some((accepted, listener))
    });
    let ready = accepted.map(move |accepted| {
        let (acceptor, connections) = (acceptor.clone(), connections.clone());
        async move {
            let io = secured(accepted?, acceptor).await?;
            Ok(connections.control(io))
        }
    });
    Box::pin(ready.buffer_unordered(HANDSHAKES_MAX))
}

async fn secured(stream: TcpStream, acceptor: Option<TlsAcceptor>) -> io::Result<Box<dyn Io>> {
    stream.set_nodelay(true)?;
    let Some(acceptor) = acceptor else { return Ok(Box::new(stream)) };
    let secured = tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await;
    Ok(Box::new(secured.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??))
}

/// TLS with a certificate and a key from files.
pub(crate) fn acceptor(files: &TlsFiles) -> Result<TlsAcceptor> {
    let unusable = |path: &str, error: String| {
        Error::new(ErrorKind::Rejected, format!("`tls`: cannot use `{path}`: {error}"))
    };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| unusable(&files.certificate, error.to_string()))?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| unusable(&files.key, error.to_string()))?;
    let mut config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(&files.key, error.to_string()))?
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .map_err(|error| unusable(&files.key, error.to_string()))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
