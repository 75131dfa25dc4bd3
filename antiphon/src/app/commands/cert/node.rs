//! The names of a node in its certificate.

use crate::prelude::*;
use crate::runtime::NodeId;

/// A node that gets a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertNode {
    /// The place, `node.place`.
    pub place: String,
    /// The name, `node.name`.
    pub name: String,
    /// The names and IP addresses by which clients address its HTTP interface; none for a
    /// certificate of links only.
    pub hosts: Vec<String>,
}

impl CertNode {
    /// Reads the argument `PLACE/NAME` or `PLACE/NAME@HOST,HOST`.
    ///
    /// # Errors
    /// `Rejected`, with what was expected.
    pub(super) fn parse(node: &str) -> Result<Self> {
        let refused = |why: &str| {
            Error::rejected(format!("{node:?}: expected PLACE/NAME or PLACE/NAME@HOST,HOST: {why}"))
        };
        let (place, rest) = node.split_once('/').ok_or_else(|| refused("there is no `/`"))?;
        let (name, hosts) = match rest.split_once('@') {
            Some((name, hosts)) => (name, hosts.split(',').map(str::to_owned).collect()),
            None => (rest, Vec::new()),
        };
        ReplicaId::new(place).map_err(|error| refused(&error.to_string()))?;
        NodeId::new(name, 1).map_err(|error| refused(&error.to_string()))?;
        if name.contains('/') || name == "ca" || name.starts_with('.') {
            return Err(refused("the name becomes the name of a file"));
        }
        if hosts.iter().any(|host| host.is_empty() || host.contains(['/', '@'])) {
            return Err(refused("a host is a name or an IP address, without a port"));
        }
        Ok(Self { place: place.to_owned(), name: name.to_owned(), hosts })
    }
}
