//! Encrypted connections to the server.

use std::path::Path;
use std::sync::Arc;

use antiphon_base::{Error, Result};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, crypto};

use super::Tls;

impl Tls {
    /// Reads the files, as a connection does.
    ///
    /// # Errors
    /// `Rejected`, naming the setting, the file and its expected content.
    pub fn check_files(&self) -> Result<()> {
        config(self).map(|_| ())
    }
}

/// The driver's TLS configuration.
pub(super) fn config(tls: &Tls) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for authority in certificates("tls.ca_file", &tls.ca_file)? {
        let added = roots.add(authority);
        added.map_err(|error| bad("tls.ca_file", &tls.ca_file, "a certificate", &error))?;
    }
    // the process may have several providers, so the provider is named here
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::bug(format!("TLS: {error}")))?
        .with_root_certificates(roots);
    let (Some(cert_file), Some(key_file)) = (&tls.cert_file, &tls.key_file) else {
        return Ok(Arc::new(builder.with_no_client_auth()));
    };
    let chain = certificates("tls.cert_file", cert_file)?;
    let key = PrivateKeyDer::from_pem_file(key_file)
        .map_err(|error| bad("tls.key_file", key_file, "a private key as PEM", &error))?;
    let config = builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| bad("tls.key_file", key_file, "the key of the certificate", &error))?;
    Ok(Arc::new(config))
}

fn certificates(name: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = |error: &dyn std::fmt::Display| bad(name, file, "certificates as PEM", error);
    let found: Vec<_> = CertificateDer::pem_file_iter(file)
        .map_err(|error| read(&error))?
        .collect::<std::result::Result<_, _>>()
        .map_err(|error| read(&error))?;
    if found.is_empty() { Err(read(&"it has none")) } else { Ok(found) }
}

fn bad(name: &str, file: &Path, expected: &str, error: &dyn std::fmt::Display) -> Error {
    Error::rejected(format!("`{name}`: expected {expected}, actual {}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_has_no_certificates_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let tls = Tls { ca_file: file.clone(), cert_file: None, key_file: None };
        let message = config(&tls).unwrap_err().to_string();
        assert!(message.starts_with("`tls.ca_file`: expected certificates as PEM"), "{message}");
        assert!(message.contains("ca.pem"), "{message}");

        std::fs::write(&file, "no certificate").unwrap();
        let message = config(&tls).unwrap_err().to_string();
        assert!(message.ends_with("it has none"), "{message}");
    }
}
