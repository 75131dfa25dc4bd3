//! A place on a server as a journal of any kind: the door for programs that take every store.

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::Result;
use antiphon_persistence::store::{
    Backend, Count, FeedRelay, OpenBackend, Role, StatementCounts, Stores,
};
use antiphon_persistence::verify::Report;
use async_trait::async_trait;
use bytes::Bytes;

use crate::cql::{self, Applied};
use crate::kind::KIND;
use crate::{CassandraSettings, CassandraStores};

#[async_trait]
impl Backend for CassandraSettings {
    fn kind(&self) -> &'static str {
        KIND
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
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.server.tls {
            tls.check_files()?;
        }
        Ok(())
    }

    fn schema(&self) -> Result<Vec<String>> {
        cql::show(&self.server)
    }

    async fn apply_schema(&self) -> Result<Vec<String>> {
        let (server, mut report) = (&self.server, Vec::new());
        let Applied { schema, weakness } = cql::apply(server).await?;
        let (keyspace, there) = (&server.keyspace, schema.partition_events_max);
        report.push(format!(
            "keyspace `{keyspace}` is as it should be, with {there} events in a partition"
        ));
        let wanted = server.partition_events_max;
        if there != wanted {
            report.push(format!(
                "`partition_events_max` is {wanted} in the configuration and stays {there}: it is fixed when the tables are made"
            ));
        }
        report.extend(weakness.map(|weakness| format!("warning: {weakness}")));
        Ok(report)
    }

    fn with_feed_age(&self, age_max: Duration) -> Option<Arc<dyn Backend>> {
        let feed_poll_interval = self.feed_poll_interval.min(age_max);
        Some(Arc::new(Self { feed_poll_interval, ..self.clone() }))
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

    fn follow_through(&self, relay: Arc<dyn FeedRelay>) {
        self.relay_through(relay);
    }

    async fn answer(&self, question: &[u8]) -> Result<Bytes> {
        self.lane_news(question).await
    }

    async fn verify(&self) -> Result<Report> {
        Self::verify(self).await
    }
}
