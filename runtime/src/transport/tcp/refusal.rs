//! The errors of TLS, in the words of the settings.

use std::io;

use rustls::CertificateError;

use crate::Error;

/// The error of a connection, in the words of the settings.
pub(super) fn explained(error: io::Error) -> Error {
    let Some(cause) = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>())
    else {
        return Error::unavailable("the other side closed the connection").with_source(error);
    };
    let why = if let rustls::Error::AlertReceived(alert) = cause {
        format!("the other side refuses the certificate of this node: {alert:?}")
    } else {
        known(cause).map_or_else(|| cause.to_string(), str::to_owned)
    };
    Error::rejected(format!("`links.tls`: {why}")).with_source(error)
}

/// The frequent faults, in the words of the settings.
fn known(error: &rustls::Error) -> Option<&'static str> {
    use CertificateError::{
        BadSignature, Expired, ExpiredContext, NotValidYet, NotValidYetContext, UnknownIssuer,
    };
    use rustls::Error::{InvalidCertificate, InvalidMessage, NoCertificatesPresented};

    // an authority with the same name and another key makes a bad signature
    if matches!(error, InvalidCertificate(UnknownIssuer | BadSignature)) {
        return Some("no authority in `ca_file` has signed the certificate of the other side");
    }
    if matches!(error, InvalidCertificate(Expired | ExpiredContext { .. })) {
        return Some(
            "the certificate of the other side has expired, or the clock of this machine is ahead",
        );
    }
    if matches!(error, InvalidCertificate(NotValidYet | NotValidYetContext { .. })) {
        return Some(
            "the certificate of the other side is not valid yet, or the clock of this machine is behind",
        );
    }
    if matches!(error, NoCertificatesPresented) {
        return Some("the other side shows no certificate");
    }
    matches!(error, InvalidMessage(_)).then_some("the other side does not speak TLS")
}
