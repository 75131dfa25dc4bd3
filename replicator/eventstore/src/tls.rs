//! The TLS side of a connection: the trusted authorities, and the option to verify nothing.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::connection_string::ConnectionString;
use crate::error::{Error, ErrorKind, Result};

/// The TLS configuration of a connection string; none without TLS.
pub(crate) fn config(connection: &ConnectionString) -> Result<Option<Arc<ClientConfig>>> {
    if !connection.tls {
        return Ok(None);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(ErrorKind::Bug, "TLS cannot be set up").with_source(error))?;
    let builder = if connection.tls_verify_cert {
        builder.with_root_certificates(roots(connection.tls_ca_file.as_deref())?)
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider)))
    };
    let mut config = match (&connection.user_cert_file, &connection.user_key_file) {
        (Some(cert), Some(key)) => {
            let key =
                PrivateKeyDer::from_pem_file(key).map_err(|e| unreadable("userKeyFile", key, e))?;
            builder.with_client_auth_cert(certificates("userCertFile", cert)?, key).map_err(
                |error| {
                    Error::rejected(format!("`userCertFile` `{cert}` does not fit `userKeyFile`"))
                        .with_source(error)
                },
            )?
        }
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Some(Arc::new(config)))
}

fn roots(ca_file: Option<&str>) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca_file {
        for certificate in certificates("tlsCaFile", path)? {
            roots.add(certificate).map_err(|error| unreadable("tlsCaFile", path, error))?;
        }
        return Ok(roots);
    }
    let native = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(native.certs);
    if added == 0 {
        return Err(Error::rejected(
            "the machine has no certificates of authorities: install them, or name a file in \
             `tlsCaFile` of the connection string",
        ));
    }
    Ok(roots)
}

fn certificates(name: &str, path: &str) -> Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(name, path, error))?;
    if found.is_empty() {
        return Err(Error::rejected(format!(
            "`{name}`: expected certificates in PEM form, actual none in `{path}`"
        )));
    }
    Ok(found)
}

fn unreadable(
    name: &str,
    path: &str,
    error: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::rejected(format!("`{name}`: cannot use `{path}`: {error}")).with_source(error)
}

/// Trusts any certificate, for `tlsVerifyCert=false`. Still checks the signatures of the handshake.
struct Unverified(Arc<CryptoProvider>);

impl fmt::Debug for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unverified")
    }
}

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
