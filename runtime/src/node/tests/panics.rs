//! Stores that panic while sessions are read and written.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use antiphon_base::time::SystemClock;
use antiphon_persistence::memory::{Call, Fault, FaultyStores, MemoryStores};
use async_trait::async_trait;

use crate::node::continuity::SESSIONS;
use crate::node::{Liveness, Node, NodeParts, NodeSettings, PeerPlace};
use crate::transport::memory::MemoryNetwork;
use crate::{Metrics, NodeId, Result};

/// Panics at this number of calls for the table of sessions.
struct Fragile(AtomicU32);

#[async_trait]
impl Fault for Fragile {
    async fn before(&self, call: Call<'_>) -> Result<()> {
        if let Call::Read(SESSIONS, _) | Call::CompareAndSet(SESSIONS, ..) = call {
            let left = self
                .0
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            assert!(left.is_err(), "the test wants it");
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_is_opened_and_witnesses_are_read_although_both_stores_panic_first() {
    let fragile = [Arc::new(Fragile(AtomicU32::new(3))), Arc::new(Fragile(AtomicU32::new(3)))];
    let stores = [MemoryStores::new(), MemoryStores::new()];
    let behind =
        |index: usize| FaultyStores::behind(fragile[index].clone(), stores[index].stores());
    let id = NodeId::new("a", 1).unwrap();
    let parts = NodeParts {
        clock: Arc::new(SystemClock),
        stores: behind(0),
        transport: MemoryNetwork::new(1).transport(&id),
        address: id.to_string(),
        http_address: None,
        peers: vec![PeerPlace { place: "B".into(), stores: behind(1) }],
        incarnation: 1,
        metrics: Arc::new(Metrics::new()),
    };
    let settings = NodeSettings { name: "a".into(), place: "A".into(), ..NodeSettings::default() };
    let node = Node::start(settings, parts).await.unwrap();
    let mut continuity = node.continuity();
    let is_read = continuity.wait_for(|state| {
        state.session() > 0
            && state.doubt("B").is_none_or(|doubt| !doubt.unread)
            && state.unreachable("B").is_none()
    });
    let is_read = tokio::time::timeout(Duration::from_secs(120), is_read).await;
    assert!(is_read.is_ok_and(|seen| seen.is_ok()), "the session is known");
    let left = fragile.each_ref().map(|fragile| fragile.0.load(Ordering::Relaxed));
    assert_eq!(left, [0, 0], "both stores have panicked");
    assert!(matches!(*node.liveness().borrow(), Liveness::Live));
}
