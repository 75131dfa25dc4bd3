//! TLS of the HTTP interface: the certificate of the server, and those of its clients.
//!
//! TLS is 1.3, as on links. The files are read again when they change; a change that cannot be used
//! leaves the old certificate in use. Host names are checked by the clients, as browsers do.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, ServerConfig};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::certificates::{Pem, Watched, client_names};
use crate::{Error, Result};

/// The files that the table `http.tls` names.
const FILES: Pem = Pem("http.tls");
/// The files that the arguments of a client name.
const CLIENT_FILES: Pem = Pem("client");
/// The protocol inside TLS.
const HTTP_1_1: &[u8] = b"http/1.1";
/// The first byte of a connection with TLS.
const TLS_HANDSHAKE: u8 = 22;
/// Most bytes that are read of a client that speaks plain HTTP, so that it reads the answer.
const PLAIN_BYTES_MAX: usize = 16 * 1024;

/// The files with the certificates of the HTTP interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpTls {
    /// PEM file with the certificate of this node for the names by which clients address it, and
    /// the certificates of its authorities below the root.
    pub cert_file: PathBuf,
    /// PEM file with the private key of the certificate.
    pub key_file: PathBuf,
    /// PEM file with the authorities whose client certificates are believed. Without it, clients
    /// show tokens only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// The certificates of the server, as its files have them now.
pub(super) struct ServerTls {
    files: HttpTls,
    current: Watched<Loaded>,
}

/// The certificates that new connections use.
#[derive(Clone)]
pub(super) struct Loaded {
    server: Arc<ServerConfig>,
    /// End of the validity of the own certificate: time since 1970.
    pub(super) expires: Duration,
}

impl ServerTls {
    /// Reads the files. `now` is the time since 1970.
    ///
    /// # Errors
    /// `Rejected`, naming the setting, the file and what was expected.
    pub(super) fn read(files: &HttpTls, now: Duration) -> Result<Self> {
        let mut watched = vec![files.cert_file.clone(), files.key_file.clone()];
        watched.extend(files.ca_file.clone());
        let current = Watched::read(watched, || load(files, now))?;
        Ok(Self { files: files.clone(), current })
    }

    pub(super) fn current(&self) -> Loaded {
        self.current.current()
    }

    /// Reads the files again if they have changed. Returns whether new certificates are in use.
    /// Blocks while it reads.
    ///
    /// # Errors
    /// As [`Self::read`]; the old certificates stay in use.
    pub(super) fn refresh(&self, now: Duration) -> Result<bool> {
        self.current.refresh(|| load(&self.files, now))
    }
}

fn load(files: &HttpTls, now: Duration) -> Result<Loaded> {
    let chain = FILES.certificates("cert_file", &files.cert_file)?;
    let key = FILES.key(&files.key_file)?;
    let expires = FILES.valid_until(&files.cert_file, &chain, now)?;
    let provider = Arc::new(ring::default_provider());
    let bug = |error: rustls::Error| Error::bug(format!("TLS: {error}"));
    let versions = [&rustls::version::TLS13];
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .map_err(bug)?;
    let builder = match &files.ca_file {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let roots = Arc::new(FILES.roots(file)?);
            let clients = WebPkiClientVerifier::builder_with_provider(roots, provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| FILES.bad("ca_file", file, "an authority", &error))?;
            builder.with_client_cert_verifier(clients)
        }
    };
    let mut server = builder.with_single_cert(chain, key).map_err(|error| {
        FILES.bad("key_file", &files.key_file, "the private key of the certificate", &error)
    })?;
    server.alpn_protocols = vec![HTTP_1_1.to_vec()];
    // a resumed session would go on with a client certificate that has expired meanwhile
    server.send_tls13_tickets = 0;
    server.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Loaded { server: Arc::new(server), expires })
}

/// The reason why a connection was closed before its first request.
#[derive(Debug)]
pub(super) enum Refused {
    /// The client speaks plain HTTP, and got an answer that says so.
    Plain,
    /// The client shows a certificate that is not believed, does not believe the certificate of
    /// this node, or does not speak TLS 1.3.
    Tls(io::Error),
}

/// Encrypts a connection. Returns it with the names in the certificate of the client, none without
/// a certificate.
///
/// # Errors
/// The reason for which the connection has no request.
pub(super) async fn secure(
    mut stream: TcpStream,
    loaded: Loaded,
) -> std::result::Result<(TlsStream<TcpStream>, Vec<String>), Refused> {
    let mut first = [0];
    let peeked = stream.peek(&mut first).await.map_err(Refused::Tls)?;
    if peeked == 1 && first[0] != TLS_HANDSHAKE && first[0].is_ascii_alphabetic() {
        tell_plain(&mut stream).await;
        return Err(Refused::Plain);
    }
    let stream = TlsAcceptor::from(loaded.server).accept(stream).await.map_err(Refused::Tls)?;
    let certificates = stream.get_ref().1.peer_certificates();
    let names = certificates.and_then(<[_]>::first).map(client_names).unwrap_or_default();
    Ok((stream, names))
}

/// Tells a client that speaks plain HTTP that this port does not.
async fn tell_plain(stream: &mut TcpStream) {
    let body = "{\n  \"error\": \"this port speaks HTTPS only\",\n  \"without_effect\": true\n}\n";
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    // unread bytes would end the connection before the client reads the answer
    let mut sent = vec![0; PLAIN_BYTES_MAX];
    let _ = stream.try_read(&mut sent);
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

/// The certificates that a client of the HTTP interface uses.
#[derive(Clone)]
pub struct HttpsClient {
    config: Arc<ClientConfig>,
}

impl std::fmt::Debug for HttpsClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HttpsClient")
    }
}

impl HttpsClient {
    /// Reads the authorities that the client believes, and its own certificate with the key, if it
    /// has one.
    ///
    /// # Errors
    /// `Rejected`, naming the file and what was expected.
    pub fn read(ca_file: &Path, own: Option<(&Path, &Path)>) -> Result<Self> {
        let roots = CLIENT_FILES.roots(ca_file)?;
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| Error::bug(format!("TLS: {error}")))?
            .with_root_certificates(roots);
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some((cert_file, key_file)) => {
                let chain = CLIENT_FILES.certificates("cert_file", cert_file)?;
                let key = CLIENT_FILES.key(key_file)?;
                builder.with_client_auth_cert(chain, key).map_err(|error| {
                    let expected = "the private key of the certificate";
                    CLIENT_FILES.bad("key_file", key_file, expected, &error)
                })?
            }
        };
        config.alpn_protocols = vec![HTTP_1_1.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config) })
    }

    /// Encrypts a connection to `host`, a name or an IP address without a port.
    ///
    /// Cancellation: the connection is closed.
    ///
    /// # Errors
    /// `Rejected` when the host is none; `Unavailable` when the server shows no certificate for it
    /// that an authority has signed.
    pub async fn connect(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> Result<impl AsyncRead + AsyncWrite + Unpin + Send + 'static> {
        let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(name)
            .map_err(|error| Error::rejected(format!("the host {host:?}: {error}")))?;
        let connected = TlsConnector::from(self.config.clone()).connect(name, stream).await;
        connected.map_err(|error| Error::unavailable(format!("TLS with {host}: {error}")))
    }
}
