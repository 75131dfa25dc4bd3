//! The places of the demo: the nodes' HTTP addresses, and the journals.

use antiphon::Journal;
use antiphon::persistence::store::Registry;
use antiphon::prelude::*;

use antiphon::app::client::{Access, Client};
use antiphon::app::cluster::LocalCluster;
use antiphon::app::config::ConfigFile;

/// A node.
#[derive(Debug, Clone)]
pub(super) struct PlaceNode {
    pub(super) name: String,
    pub(super) replica: String,
    pub(super) http: String,
    pub(super) is_running: bool,
}

/// All places.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub(super) nodes: Vec<PlaceNode>,
    /// By replica.
    pub(super) journals: Vec<(String, Journal)>,
    /// The token and the certificates for the nodes.
    pub(super) access: Access,
}

impl Places {
    /// The places of a cluster on this machine, in their present state.
    ///
    /// # Errors
    /// The errors of [`LocalCluster::journal`].
    pub(super) fn of(cluster: &LocalCluster, replicas: &[String]) -> Result<Self> {
        let nodes = cluster.nodes().iter().map(|node| PlaceNode {
            name: node.name.clone(),
            replica: node.replica.clone(),
            http: node.http.clone(),
            is_running: node.is_running(),
        });
        let journals =
            replicas.iter().map(|replica| Ok((replica.clone(), cluster.journal(replica)?)));
        let journals = journals.collect::<Result<_>>()?;
        Ok(Self { nodes: nodes.collect(), journals, access: Access::default() })
    }

    /// The places of a running cluster: for each place the configuration of its nodes, and their
    /// HTTP addresses, `FILE=HOST:PORT,HOST:PORT`.
    ///
    /// # Errors
    /// `Rejected`, naming the argument or the configuration.
    pub(super) fn attach(places: &[String], access: Access, stores: &Registry) -> Result<Self> {
        let (mut nodes, mut journals) = (Vec::new(), Vec::new());
        for place in places {
            let Some((file, addresses)) = place.split_once('=').filter(|(_, all)| !all.is_empty())
            else {
                return Err(Error::rejected(format!(
                    "`--attach`: expected FILE=HOST:PORT,HOST:PORT, actual {place:?}"
                )));
            };
            let config = ConfigFile::new(file, stores.clone()).load()?;
            let replica = config.node.place.clone();
            for http in addresses.split(',') {
                access.check(http)?;
                nodes.push(PlaceNode {
                    name: http.to_owned(),
                    replica: replica.clone(),
                    http: http.to_owned(),
                    is_running: true,
                });
            }
            journals.push((replica, config.own_journal()?));
        }
        Ok(Self { nodes, journals, access })
    }

    /// A client of a node.
    pub(super) fn client(&self, node: &PlaceNode) -> Client {
        Client::new(node.http.clone()).with_access(self.access.clone())
    }

    /// The names of the places.
    pub(super) fn replicas(&self) -> impl Iterator<Item = &String> {
        self.journals.iter().map(|(replica, _)| replica)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_its_configuration_and_its_addresses() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "journal = 'a.db'\n[node]\nplace = 'DC-X'").unwrap();
        let argument = format!("{}=x1:8080,x2:8080", file.path().display());

        let places = Places::attach(&[argument], Access::default(), &antiphon::stores()).unwrap();

        let nodes: Vec<(&str, &str)> =
            places.nodes.iter().map(|node| (&*node.replica, &*node.http)).collect();
        assert_eq!(nodes, [("DC-X", "x1:8080"), ("DC-X", "x2:8080")]);
        assert_eq!(places.replicas().collect::<Vec<_>>(), ["DC-X"]);
    }

    #[test]
    fn a_place_without_addresses_is_refused_with_what_was_expected() {
        for argument in ["a.toml", "a.toml="] {
            let message =
                Places::attach(&[argument.to_owned()], Access::default(), &antiphon::stores())
                    .unwrap_err()
                    .to_string();
            assert!(message.contains("FILE=HOST:PORT") && message.contains(argument), "{message}");
        }
    }
}
