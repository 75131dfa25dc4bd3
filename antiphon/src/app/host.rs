//! The node of an application, for its own code.

use std::any::{TypeId, type_name};
use std::sync::Arc;

use super::config::{Config, Section, Sections};
use super::types::Shardings;
use crate::persistence::entity::EventSourced;
use crate::prelude::*;
use crate::runtime::Metrics;

/// The things that are known before a node joins, for [`App::entity_with`].
///
/// [`App::entity_with`]: super::App::entity_with
#[derive(Clone)]
pub struct Setup {
    pub(super) replicas: Vec<ReplicaId>,
    pub(super) sections: Arc<Sections>,
}

impl Setup {
    pub(super) fn new(config: &Config) -> Result<Self> {
        Ok(Self { replicas: config.replicas()?, sections: Arc::new(config.sections()?) })
    }

    /// The replicas of the configuration, sorted: those of `replicas`, or one at the own place and
    /// one at each of its peers.
    pub fn replicas(&self) -> &[ReplicaId] {
        &self.replicas
    }

    /// The settings of the application.
    ///
    /// # Errors
    /// `Bug` when the application has declared no section of this type.
    pub fn section<S: Section>(&self) -> Result<Arc<S>> {
        let found = self.sections.get(&TypeId::of::<S>()).cloned();
        found.and_then(|found| found.downcast().ok()).ok_or_else(|| {
            let name = type_name::<S>();
            Error::bug(format!("no section of `{name}`: declare it with `App::section`"))
        })
    }
}

/// A running node with its entities, for the routes and commands of the application.
#[derive(Clone)]
pub struct Host {
    pub(super) node: Node,
    pub(super) setup: Setup,
    pub(super) shardings: Arc<Shardings>,
}

impl Host {
    /// The node.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// The registry of the node's metrics, for metrics of the application. `/metrics` has them too.
    pub fn metrics(&self) -> &Metrics {
        self.node().metrics()
    }

    /// The entities of a type.
    ///
    /// # Errors
    /// `Bug` when the application has declared no entity with this behaviour.
    pub fn entities<E: EventSourced>(&self) -> Result<Arc<ReplicatedSharding<E>>> {
        let found = self.shardings.get(&TypeId::of::<E>()).cloned();
        found.and_then(|found| found.downcast().ok()).ok_or_else(|| {
            let name = type_name::<E>();
            Error::bug(format!("no entities of `{name}`: declare them with `App::entity`"))
        })
    }

    /// The settings of the application.
    ///
    /// # Errors
    /// `Bug` when the application has declared no section of this type.
    pub fn section<S: Section>(&self) -> Result<Arc<S>> {
        self.setup.section()
    }
}
