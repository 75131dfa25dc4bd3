//! The reasons why a connection is refused, and the errors of TLS in the words of the settings.

use std::io;

use rustls::CertificateError;

use crate::Error;

/// The reason why a connection is refused, or gives way to another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// Too many connections of one address greet.
    AddressFull,
    /// The other side shows a certificate of another node.
    Certificate,
    /// The other side closed the connection.
    Closed,
    /// The other side belongs to another cluster.
    Cluster,
    /// Too many nodes are connected.
    ConnectionsFull,
    /// The other side does not know the cookie.
    Cookie,
    /// A fault of this node.
    Fault,
    /// A frame is longer than every frame of a node.
    Frame,
    /// Too many connections greet.
    GreetingFull,
    /// The process has no file descriptor left.
    NoDescriptor,
    /// The node was declared dead, has left, or is another one than was dialled.
    NoMember,
    /// The bytes are no hello of a node.
    NotANode,
    /// The other side claims the id of this node.
    OwnId,
    /// A newer connection of the same node takes its place.
    Replaced,
    /// The node is no member, and takes no bytes.
    Stalled,
    /// Too many nodes are connected that are no members.
    StrangersFull,
    /// A stream that this node does not take: of another purpose, or of a node with a larger id.
    Stream,
    /// Too many streams are open.
    StreamsFull,
    /// The greeting took too long.
    Timeout,
    /// The other side does not speak TLS, or an authority that signed its certificate is unknown.
    Tls,
    /// The other side speaks another version of the protocol.
    Version,
}

impl Reason {
    /// A short constant text for metrics.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::AddressFull => "address_full",
            Self::Certificate => "certificate",
            Self::Closed => "closed",
            Self::Cluster => "cluster",
            Self::ConnectionsFull => "connections_full",
            Self::Cookie => "cookie",
            Self::Fault => "fault",
            Self::Frame => "frame",
            Self::GreetingFull => "greeting_full",
            Self::NoDescriptor => "no_descriptor",
            Self::NoMember => "no_member",
            Self::NotANode => "not_a_node",
            Self::OwnId => "own_id",
            Self::Replaced => "replaced",
            Self::Stalled => "stalled",
            Self::StrangersFull => "strangers_full",
            Self::Stream => "stream",
            Self::StreamsFull => "streams_full",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
            Self::Version => "version",
        }
    }

    /// The refusal of a connection that gives way to another one.
    pub(super) fn gives_way(self) -> Refused {
        Refused(self, Error::unavailable(format!("it gives way to others: {}", self.text())))
    }
}

/// A connection that is refused: the reason, and the error in words.
#[derive(Debug)]
pub(super) struct Refused(pub(super) Reason, pub(super) Error);

impl Refused {
    pub(super) fn rejected(reason: Reason, why: impl Into<String>) -> Self {
        Self(reason, Error::rejected(why))
    }
}

impl From<Refused> for Error {
    fn from(Refused(_, error): Refused) -> Self {
        error
    }
}

/// The refusal for an error of a connection that greets.
pub(super) fn explained(error: io::Error) -> Refused {
    let is_tls = error.get_ref().is_some_and(|cause| cause.is::<rustls::Error>());
    let reason = if is_tls { Reason::Tls } else { Reason::Closed };
    Refused(reason, in_words(error))
}

/// The error of a connection, in the words of the settings.
fn in_words(error: io::Error) -> Error {
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
