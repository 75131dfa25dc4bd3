//! The calls of the driver to the stores and over the links. Each is a task of its own, and its
//! result comes back as an input.

use std::sync::Arc;

use antiphon_base::guard::Guarded;
use antiphon_base::task;
use antiphon_persistence::store::{Coordination, RowVersion};
use tokio::time::Instant;

use super::{Control, Driver};
use crate::NodeId;
use crate::lease::LeaseRow;
use crate::membership::{MemberRow, Outcome, Purpose};
use crate::node::faults::READING_A_PEER;
use crate::node::places::{self, limited};
use crate::node::start::PROBE;

impl Driver {
    /// Starts a call. Its result comes back as an input, or `lost` when the store or the link
    /// panics, so that an input always comes.
    fn call(
        &self,
        name: &'static str,
        lost: Control,
        call: impl Future<Output = Control> + Send + 'static,
    ) {
        let control = self.env.control.clone();
        let call = Guarded::new(name, self.env.id.to_string(), Box::pin(call));
        task::spawn(name, async move {
            let result = call.await.unwrap_or(lost);
            // a node that has ended needs no result
            let _ = control.send(result).await;
        });
    }

    pub(super) fn scan(&self) {
        let store = self.env.parts.stores.coordination.clone();
        let limit = self.env.settings.store_timeout;
        let (changes, faults) = (self.lease.changes(), self.env.faults.clone());
        self.call("scan", Control::Scanned(None, changes), async move {
            let view = limited(limit, "reading the members", places::read(&*store)).await;
            Control::Scanned(faults.own("reading the members", view), changes)
        });
    }

    pub(super) fn scan_peer(&mut self, now: Instant, place: &Arc<str>) {
        let store: Arc<dyn Coordination> = self.env.peers[place].coordination.clone();
        let limit = self.env.settings.store_timeout;
        let peer = self.peers.get_mut(place).expect("one for each place");
        (peer.scanning, peer.scan_at) = (true, Some(now + self.env.settings.peer_scan_interval));
        let (place, faults) = (place.clone(), self.env.faults.clone());
        self.call("scan peer", Control::PeerScanned(place.clone(), None), async move {
            let view = limited(limit, READING_A_PEER, places::read(&*store)).await;
            let view = faults.of(READING_A_PEER, &place, view);
            Control::PeerScanned(place, view)
        });
    }

    pub(super) fn change(
        &self,
        id: NodeId,
        purpose: Purpose,
        version: u64,
        row: Option<Box<MemberRow>>,
    ) {
        let store = self.env.parts.stores.coordination.clone();
        let limit = self.env.settings.store_timeout;
        let faults = self.env.faults.clone();
        let lost = Control::Changed(id.clone(), purpose, Outcome::Failed);
        self.call("change member", lost, async move {
            let changed = places::change_member(&*store, &id, Some(version), row.as_deref());
            let changed = limited(limit, "changing a member", changed).await;
            let outcome = faults.own("changing a member", changed).unwrap_or(Outcome::Failed);
            Control::Changed(id, purpose, outcome)
        });
    }

    pub(super) fn seal(&self, id: NodeId) {
        let journal = self.env.parts.stores.journal.clone();
        let limit = self.env.settings.store_timeout;
        let faults = self.env.faults.clone();
        self.call("seal", Control::Sealed(id.clone(), false), async move {
            let sealed = limited(limit, "sealing", journal.seal(&id.writer())).await;
            let done = faults.own("sealing", sealed).is_some();
            tracing::info!(%id, done, "writer of a dead node sealed");
            Control::Sealed(id, done)
        });
    }

    pub(super) fn probe(&self, id: NodeId) {
        let timeout = self.env.settings.probe_timeout;
        let asked = self.env.gate.ask(&id, PROBE, bytes::Bytes::new(), timeout);
        self.call("probe", Control::Probed(id.clone(), false), async move {
            let answered = asked.await.is_ok();
            Control::Probed(id, answered)
        });
    }

    pub(super) fn change_lease(&self, version: Option<RowVersion>, row: LeaseRow) {
        let store = self.env.parts.stores.coordination.clone();
        let limit = self.env.settings.store_timeout;
        let faults = self.env.faults.clone();
        self.call("lease", Control::LeaseChanged(None), async move {
            let changed = places::change_lease(&*store, version, &row);
            let changed = limited(limit, "changing the lease", changed).await;
            Control::LeaseChanged(faults.own("changing the lease", changed))
        });
    }
}
