//! Files of certificates: how they are read, until when they are valid, and when they have changed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use antiphon_base::time::{Clock, SystemClock};
use parking_lot::Mutex;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::{Error, Result};

/// The reader of the files that one table of the settings names, such as `links.tls`.
#[derive(Clone, Copy)]
pub(crate) struct Pem(pub(crate) &'static str);

impl Pem {
    /// The error for the file of the setting `name`: `Rejected`.
    pub(crate) fn bad(
        self,
        name: &str,
        file: &Path,
        expected: &str,
        error: &dyn std::fmt::Display,
    ) -> Error {
        let (table, file) = (self.0, file.display());
        Error::rejected(format!("`{table}.{name}`: expected {expected}, actual {file}: {error}"))
    }

    /// The authorities in the file of the setting `ca_file`.
    pub(crate) fn roots(self, file: &Path) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        for authority in self.certificates("ca_file", file)? {
            let added = roots.add(authority);
            added.map_err(|error| {
                self.bad("ca_file", file, "certificates of authorities", &error)
            })?;
        }
        Ok(roots)
    }

    /// The certificates in a file, at least one.
    pub(crate) fn certificates(
        self,
        name: &str,
        file: &Path,
    ) -> Result<Vec<CertificateDer<'static>>> {
        let read =
            |error: &dyn std::fmt::Display| self.bad(name, file, "certificates as PEM", error);
        let found: Vec<_> = CertificateDer::pem_file_iter(file)
            .map_err(|error| read(&error))?
            .collect::<std::result::Result<_, _>>()
            .map_err(|error| read(&error))?;
        if found.is_empty() { Err(read(&"it has none")) } else { Ok(found) }
    }

    /// The private key in the file of the setting `key_file`.
    pub(crate) fn key(self, file: &Path) -> Result<PrivateKeyDer<'static>> {
        PrivateKeyDer::from_pem_file(file)
            .map_err(|error| self.bad("key_file", file, "a private key as PEM", &error))
    }

    /// The end of the validity of a certificate and those of its authorities, whichever is first.
    /// All times are since 1970.
    ///
    /// # Errors
    /// `Rejected` when one of the certificates is not valid now.
    pub(crate) fn valid_until(
        self,
        file: &Path,
        chain: &[CertificateDer<'static>],
        now: Duration,
    ) -> Result<Duration> {
        let bad = |expected: &str, error: &dyn std::fmt::Display| {
            self.bad("cert_file", file, expected, error)
        };
        let (mut expires, now_seconds) = (Duration::MAX, now.as_secs());
        for certificate in chain {
            let (_, parsed) = X509Certificate::from_der(certificate)
                .map_err(|error| bad("certificates as PEM", &error))?;
            let validity = parsed.validity();
            let seconds = |time: i64| u64::try_from(time).unwrap_or_default();
            if now_seconds < seconds(validity.not_before.timestamp()) {
                let error = format!("it is valid from {} on only", validity.not_before);
                return Err(bad("a certificate that is valid now", &error));
            }
            let end = seconds(validity.not_after.timestamp());
            if now_seconds > end {
                let error = format!("it was valid until {}", validity.not_after);
                return Err(bad("a certificate that is valid now", &error));
            }
            expires = expires.min(Duration::from_secs(end));
        }
        Ok(expires)
    }
}

/// The time since 1970.
pub(crate) fn now() -> Duration {
    Duration::from_micros(SystemClock.wall().as_micros())
}

/// The URIs among the names of a certificate.
pub(crate) fn uris(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let Ok(Some(names)) = parsed.subject_alternative_name() else { return Vec::new() };
    let uris = names.value.general_names.iter().filter_map(|name| {
        let GeneralName::URI(uri) = name else { return None };
        Some((*uri).to_owned())
    });
    uris.collect()
}

/// The names by which a client is known: the URIs of its certificate, or else the common name of
/// its subject.
pub(crate) fn client_names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let uris = uris(certificate);
    if !uris.is_empty() {
        return uris;
    }
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let names = parsed.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    names.map(str::to_owned).collect()
}

/// A value that is made from files, and made anew when they change.
pub(crate) struct Watched<T> {
    files: Vec<PathBuf>,
    current: Mutex<Current<T>>,
}

struct Current<T> {
    stamps: Vec<Stamp>,
    value: T,
}

/// Time of change, length and inode of a file: a file that is put in its place has another inode.
type Stamp = Option<(SystemTime, u64, u64)>;

impl<T: Clone> Watched<T> {
    /// Makes the value for the first time.
    ///
    /// # Errors
    /// The error of `load`.
    pub(crate) fn read(files: Vec<PathBuf>, load: impl FnOnce() -> Result<T>) -> Result<Self> {
        let stamps = stamps(&files);
        let current = Mutex::new(Current { stamps, value: load()? });
        Ok(Self { files, current })
    }

    /// The newest value that could be made.
    pub(crate) fn current(&self) -> T {
        self.current.lock().value.clone()
    }

    /// Makes the value again if a file has changed. Returns whether there is a new one. Blocks
    /// while it reads.
    ///
    /// # Errors
    /// The error of `load`. The old value stays, and the next call tries again.
    pub(crate) fn refresh(&self, load: impl FnOnce() -> Result<T>) -> Result<bool> {
        let stamps = stamps(&self.files);
        if stamps == self.current.lock().stamps {
            return Ok(false);
        }
        let value = load()?;
        *self.current.lock() = Current { stamps, value };
        Ok(true)
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |file: &PathBuf| {
        let found = fs::metadata(file).ok()?;
        Some((found.modified().ok()?, found.len(), found.ino()))
    };
    files.iter().map(stamp).collect()
}
