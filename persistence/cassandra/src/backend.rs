//! A place on a server as a journal of any kind: the door for programs that take every store.

use std::sync::Arc;

use antiphon_base::{Error, Result};
use antiphon_persistence::store::{Backend, Count, OpenBackend, Role, StatementCounts, Stores};
use antiphon_persistence::verify::Report;
use async_trait::async_trait;

use crate::{CassandraSettings, CassandraStores};

#[async_trait]
impl Backend for CassandraSettings {
    fn kind(&self) -> &'static str {
        "cassandra"
    }

    fn name(&self) -> String {
        format!("{}/{}", self.server.keyspace, self.server.place)
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn check(&self, role: Role) -> Result<()> {
        self.validate()?;
        self.role.check(self.kind(), role)?;
        let files = self.server.tls.as_ref().map(|tls| {
            let (cert, key) = (tls.cert_file.as_ref(), tls.key_file.as_ref());
            [("ca_file", Some(&tls.ca_file)), ("cert_file", cert), ("key_file", key)]
        });
        for (name, file) in files.into_iter().flatten() {
            if let Some(file) = file.filter(|file| !file.is_file()) {
                return Err(Error::rejected(format!(
                    "`{name}`: expected a file that is there, actual {file:?}"
                )));
            }
        }
        Ok(())
    }

    async fn open(&self, role: Role) -> Result<Arc<dyn OpenBackend>> {
        self.role.check(self.kind(), role)?;
        let settings = Self { role, ..self.clone() };
        Ok(Arc::new(Box::pin(CassandraStores::open(settings)).await?))
    }
}

#[async_trait]
impl OpenBackend for CassandraStores {
    fn stores(&self) -> Stores {
        Self::stores(self)
    }

    fn trouble(&self) -> Option<String> {
        Self::trouble(self)
    }

    fn counts(&self) -> Vec<Count> {
        self.stats().named()
    }

    fn statements(&self) -> Vec<StatementCounts> {
        Self::statements(self)
    }

    async fn verify(&self) -> Result<Report> {
        Self::verify(self).await
    }
}
