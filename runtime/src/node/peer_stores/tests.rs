//! Stores that are the right ones, the wrong ones, and replaced ones.

use std::sync::atomic::{AtomicU64, Ordering};

use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::memory::MemoryStores;
use antiphon_persistence::store::{
    CasOutcome, Coordination, FencedOutcome, FencingToken, Row, RowVersion, TableRows,
};
use async_trait::async_trait;
use bytes::Bytes;

use super::*;
use crate::metrics::Metrics;
use crate::node::NodeSettings;

/// Two stores, of which one is behind the handle; like a file that is replaced.
struct Replaced {
    stores: [MemoryStores; 2],
    replacements: AtomicU64,
}

impl Replaced {
    fn now(&self) -> &MemoryStores {
        let index = usize::try_from(self.replacements.load(Ordering::SeqCst)).unwrap();
        &self.stores[index]
    }
}

#[async_trait]
impl Coordination for Replaced {
    fn replacements(&self) -> u64 {
        self.replacements.load(Ordering::SeqCst)
    }

    async fn scan(&self, table: &str) -> Result<TableRows> {
        self.now().scan(table).await
    }

    async fn read(&self, table: &str, key: &str) -> Result<Option<Row>> {
        Coordination::read(self.now(), table, key).await
    }

    async fn compare_and_set(
        &self,
        table: &str,
        key: &str,
        expected: Option<RowVersion>,
        value: Option<Bytes>,
    ) -> Result<CasOutcome> {
        self.now().compare_and_set(table, key, expected, value).await
    }

    async fn raise_token(&self, table: &str, token: FencingToken) -> Result<FencingToken> {
        self.now().raise_token(table, token).await
    }

    async fn put_fenced(
        &self,
        table: &str,
        token: FencingToken,
        rows: &[(Arc<str>, Option<Bytes>)],
    ) -> Result<FencedOutcome> {
        self.now().put_fenced(table, token, rows).await
    }
}

fn row(cluster: &str, place: &str, shard_count: u32) -> ClusterRow {
    let settings =
        NodeSettings { cluster_name: cluster.into(), shard_count, ..NodeSettings::default() };
    ClusterRow::of(&settings, place)
}

fn peer(stores: Stores) -> PeerStores {
    let refused = Metrics::new().gauges("antiphon_refused", "refused", &["place"]);
    PeerStores::new("B".into(), row("c", "B", 64), stores, refused)
}

#[tokio::test]
async fn nothing_is_taken_from_a_store_of_another_cluster_place_or_shard_count() {
    for (stored, setting) in [
        (row("x", "B", 64), "`cluster_name`"),
        (row("c", "A", 64), "`place`"),
        (row("c", "B", 32), "`shard_count`"),
    ] {
        let stores = MemoryStores::new().stores();
        stored.claim(&*stores.coordination).await.unwrap();
        let peer = peer(stores);

        let error = peer.stores().coordination.scan("members").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected);
        assert!(error.to_string().contains(setting), "{error}");
        let id = PersistenceId::parse("cart|1|B").unwrap();
        assert!(peer.stores().journal.highest(&id).await.is_err());
        assert!(peer.refusal().unwrap().contains(setting));
    }
}

#[tokio::test]
async fn an_empty_store_is_read_until_somebody_else_uses_it() {
    let stores = MemoryStores::new().stores();
    let peer = peer(stores.clone());
    peer.stores().coordination.scan("members").await.unwrap();
    assert_eq!(peer.refusal(), None);

    let call = async {
        row("c", "A", 64).claim(&*stores.coordination).await?;
        Ok(7)
    };
    assert_eq!(peer.ask(call).await.unwrap_err().kind(), ErrorKind::Rejected);
    assert!(peer.refusal().is_some());
}

#[tokio::test]
async fn a_store_that_is_replaced_is_checked_again() {
    let replaced = Arc::new(Replaced {
        stores: [MemoryStores::new(), MemoryStores::new()],
        replacements: AtomicU64::new(0),
    });
    row("c", "B", 64).claim(&replaced.stores[0]).await.unwrap();
    row("c", "A", 64).claim(&replaced.stores[1]).await.unwrap();
    let stores = Stores { coordination: replaced.clone(), ..MemoryStores::new().stores() };
    let peer = peer(stores);
    peer.stores().coordination.scan("members").await.unwrap();

    replaced.replacements.store(1, Ordering::SeqCst);
    let error = peer.stores().coordination.scan("members").await.unwrap_err();
    assert!(error.to_string().contains("`place`"), "{error}");
    assert!(peer.refusal().is_some());
}

#[tokio::test]
async fn an_answer_of_a_store_that_was_replaced_meanwhile_is_not_taken() {
    let replaced = Arc::new(Replaced {
        stores: [MemoryStores::new(), MemoryStores::new()],
        replacements: AtomicU64::new(0),
    });
    row("c", "B", 64).claim(&replaced.stores[0]).await.unwrap();
    let stores = Stores { coordination: replaced.clone(), ..MemoryStores::new().stores() };
    let peer = peer(stores);

    let call = async {
        replaced.replacements.store(1, Ordering::SeqCst);
        Ok(7)
    };
    assert_eq!(peer.ask(call).await.unwrap_err().kind(), ErrorKind::Unavailable);
}
