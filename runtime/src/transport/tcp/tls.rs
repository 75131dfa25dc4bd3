//! Certificates of links: who a node is, and whom it believes.
//!
//! Both sides of a connection show a certificate. A certificate belongs to a node when an authority
//! of `ca_file` has signed it, it is valid now, and its subject alternative names have the URI of
//! the node, `antiphon://CLUSTER/PLACE/NAME`. Host names play no part: nodes move between hosts.
//!
//! The files are read again when they change. A change that cannot be used, such as a key that does
//! not belong to the new certificate yet, leaves the old certificate in use, and is logged.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::text::foreign;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::hello::Side;
use super::refusal::{Reason, Refused, explained};
use super::settings::{LinkTls, TcpSettings};
use crate::certificates::{Pem, Watched, now, uris};
use crate::{Error, NodeId, Result};

/// The files that the table `links.tls` names.
const FILES: Pem = Pem("links.tls");

/// Characters of a name that stand in a URI as they are.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The URI in the certificate of a node.
///
/// ```
/// use antiphon_runtime::transport::tcp::certificate_name;
///
/// assert_eq!(certificate_name("shop", "DC A", "a-1"), "antiphon://shop/DC%20A/a-1");
/// ```
pub fn certificate_name(cluster: &str, place: &str, node: &str) -> String {
    let plain = |text| utf8_percent_encode(text, PLAIN);
    format!("antiphon://{}/{}/{}", plain(cluster), plain(place), plain(node))
}

/// The certificates of a node, as its files have them now.
pub(super) struct Credentials {
    files: LinkTls,
    /// The name that the certificate of this node must have.
    name: String,
    current: Watched<Loaded>,
}

/// The certificates that new connections use.
#[derive(Clone)]
pub(super) struct Loaded {
    pub(super) client: Arc<ClientConfig>,
    pub(super) server: Arc<ServerConfig>,
    /// End of the validity of the own certificate or of an authority between it and the root,
    /// whichever is first: time since 1970.
    pub(super) expires: Duration,
}

impl TcpSettings {
    /// Reads the certificates as the start of the node `name` will. Without `tls` there is nothing
    /// to check.
    ///
    /// # Errors
    /// `Rejected`, naming the setting, the file and what was expected.
    pub fn check_certificates(&self, name: &str) -> Result<()> {
        Credentials::of(self, name).map(drop)
    }
}

impl Credentials {
    /// The certificates of the node `name`. `None` when the settings have none.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub(super) fn of(settings: &TcpSettings, name: &str) -> Result<Option<Self>> {
        let name = certificate_name(&settings.cluster_name, &settings.place, name);
        settings.tls.as_ref().map(|files| Self::read(files, name, now())).transpose()
    }

    /// Reads the files. `now` is the time since 1970.
    ///
    /// # Errors
    /// `Rejected`, naming the setting, the file and what was expected.
    pub(super) fn read(files: &LinkTls, name: String, now: Duration) -> Result<Self> {
        let watched = [&files.ca_file, &files.cert_file, &files.key_file].map(Clone::clone);
        let current = Watched::read(watched.to_vec(), || load(files, &name, now))?;
        Ok(Self { files: files.clone(), name, current })
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
        self.current.refresh(|| load(&self.files, &self.name, now))
    }
}

fn load(files: &LinkTls, name: &str, now: Duration) -> Result<Loaded> {
    let roots = Arc::new(FILES.roots(&files.ca_file)?);
    let chain = FILES.certificates("cert_file", &files.cert_file)?;
    let key = FILES.key(&files.key_file)?;
    let expires = check_own(files, &chain, &roots, name, now)?;
    let provider = Arc::new(ring::default_provider());
    let bug = |error: rustls::Error| Error::bug(format!("TLS: {error}"));
    let wrong_key = |error: rustls::Error| {
        FILES.bad("key_file", &files.key_file, "the private key of the certificate", &error)
    };
    let versions = [&rustls::version::TLS13];
    let verifier = Arc::new(Verifier { roots: roots.clone(), provider: provider.clone() });
    let mut client = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .map_err(bug)?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_auth_cert(chain.clone(), key.clone_key())
        .map_err(wrong_key)?;
    // a resumed session would go on with a certificate that has expired meanwhile
    client.resumption = Resumption::disabled();
    let clients = WebPkiClientVerifier::builder_with_provider(roots, provider.clone())
        .build()
        .map_err(|error| FILES.bad("ca_file", &files.ca_file, "an authority", &error))?;
    let verified =
        clients.verify_client_cert(&chain[0], &chain[1..], UnixTime::since_unix_epoch(now));
    verified.map_err(|error| {
        FILES.bad(
            "cert_file",
            &files.cert_file,
            "a certificate for both sides of a connection",
            &error,
        )
    })?;
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions)
        .map_err(bug)?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .map_err(wrong_key)?;
    server.send_tls13_tickets = 0;
    server.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Loaded { client: Arc::new(client), server: Arc::new(server), expires })
}

/// Checks the own certificate as the other nodes will, and returns when it expires.
fn check_own(
    files: &LinkTls,
    chain: &[CertificateDer<'static>],
    roots: &RootCertStore,
    name: &str,
    now: Duration,
) -> Result<Duration> {
    let file = &files.cert_file;
    let bad = |expected: &str, error: &dyn std::fmt::Display| {
        FILES.bad("cert_file", file, expected, error)
    };
    let expires = FILES.valid_until(file, chain, now)?;
    let names = uris(&chain[0]);
    if !names.iter().any(|other| other == name) {
        let error = format!("its names are {names:?}: `antiphon cert` makes certificates of nodes");
        return Err(bad(&format!("a certificate with the name {name:?}"), &error));
    }
    let own =
        ParsedCertificate::try_from(&chain[0]).map_err(|error| bad("a certificate", &error))?;
    let signed = rustls::client::verify_server_cert_signed_by_trust_anchor(
        &own,
        roots,
        &chain[1..],
        UnixTime::since_unix_epoch(now),
        ring::default_provider().signature_verification_algorithms.all,
    );
    signed
        .map_err(|error| bad("a certificate that an authority in `ca_file` has signed", &error))?;
    Ok(expires)
}

/// Returns the URIs among the names of the certificate in a file, as [`certificate_name`] makes
/// them.
///
/// # Errors
/// `Rejected`, naming the file, when it holds no certificate.
pub fn certificate_names(file: &Path) -> Result<Vec<String>> {
    Ok(uris(&FILES.certificates("cert_file", file)?[0]))
}

/// Encrypts a connection. The other side shows a certificate that is valid now; its name is not
/// checked yet.
///
/// # Errors
/// `Rejected` when the other side shows no such certificate, or refuses the certificate of this
/// node; `Unavailable` when the connection breaks.
pub(super) async fn secure(
    stream: TcpStream,
    side: Side,
    loaded: &Loaded,
) -> Result<TlsStream<TcpStream>, Refused> {
    let secured = match side {
        Side::Dials => {
            // a server that has one certificate does not look at the name
            let name = ServerName::try_from("antiphon")
                .map_err(|error| Refused(Reason::Fault, Error::bug(error.to_string())))?;
            let connecting = TlsConnector::from(loaded.client.clone()).connect(name, stream);
            connecting.await.map(TlsStream::Client)
        }
        Side::Accepts => {
            let accepting = TlsAcceptor::from(loaded.server.clone()).accept(stream);
            accepting.await.map(TlsStream::Server)
        }
    };
    secured.map_err(explained)
}

/// Checks that the certificate of the other side, which is valid, is that of a node.
///
/// # Errors
/// `Rejected`, with the expected name and the names of the certificate.
pub(super) fn check_name(
    certificates: Option<&[CertificateDer<'_>]>,
    cluster: &str,
    place: &str,
    id: &NodeId,
) -> Result<(), Refused> {
    let expected = certificate_name(cluster, place, id.name());
    let names = certificates.and_then(<[_]>::first).map(uris).unwrap_or_default();
    if names.contains(&expected) {
        return Ok(());
    }
    Err(Refused::rejected(
        Reason::Certificate,
        format!(
            "`links.tls`: expected a certificate with the name {expected:?} from `{}`, actual the names \"{}\"",
            foreign(&id.to_string()),
            foreign(&names.join(", "))
        ),
    ))
}

/// Believes certificates of nodes that an authority has signed, whatever the host.
#[derive(Debug)]
struct Verifier {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        rustls::client::verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        // the name is that of a node, and is checked with the hello
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        // connections are of TLS 1.3 only
        Err(rustls::Error::General("TLS 1.2 is not used".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
