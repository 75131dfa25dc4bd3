//! The calls of the driver to the stores and over the links. Each is a task of its own, and its
//! result comes back as an input.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_base::guard::Guarded;
use antiphon_base::task;
use antiphon_persistence::store::{Coordination, RowVersion, Stores};
use tokio::sync::mpsc;

use super::control::Control;
use super::core::Input;
use crate::NodeId;
use crate::gate::Gate;
use crate::lease::LeaseRow;
use crate::membership::{MemberRow, Outcome, Purpose};
use crate::node::faults::{Faults, READING_A_PEER};
use crate::node::places::{self, limited};
use crate::node::probe::PROBE;
use crate::node::settings::NodeSettings;

/// The calls of one node.
pub(in crate::node) struct Calls {
    pub(in crate::node) id: NodeId,
    pub(in crate::node) settings: NodeSettings,
    /// The stores of the own place.
    pub(in crate::node) stores: Stores,
    /// The stores of the other places.
    pub(in crate::node) peers: BTreeMap<Arc<str>, Stores>,
    pub(in crate::node) gate: Gate,
    pub(in crate::node) faults: Arc<Faults>,
    pub(in crate::node) control: mpsc::Sender<Control>,
}

impl Calls {
    /// Starts a call. Its result comes back as an input, or `lost` when the store or the link
    /// panics, so that an input always comes.
    fn call(
        &self,
        name: &'static str,
        lost: Input,
        call: impl Future<Output = Input> + Send + 'static,
    ) {
        let control = self.control.clone();
        let call = Guarded::new(name, self.id.to_string(), Box::pin(call));
        task::spawn(name, async move {
            let result = call.await.unwrap_or(lost);
            // a node that has ended needs no result
            let _ = control.send(Control::Input(Box::new(result))).await;
        });
    }

    pub(super) fn scan(&self, changes: u64) {
        let store = self.stores.coordination.clone();
        let (limit, faults) = (self.settings.store_timeout, self.faults.clone());
        self.call("scan", Input::Scanned(None, changes), async move {
            let view = limited(limit, "reading the members", places::read(&*store)).await;
            Input::Scanned(faults.own("reading the members", view), changes)
        });
    }

    pub(super) fn scan_place(&self, place: Arc<str>) {
        let store: Arc<dyn Coordination> = self.peers[&place].coordination.clone();
        let (limit, faults) = (self.settings.store_timeout, self.faults.clone());
        self.call("scan peer", Input::PlaceScanned(place.clone(), None), async move {
            let view = limited(limit, READING_A_PEER, places::read(&*store)).await;
            let view = faults.of(READING_A_PEER, &place, view);
            Input::PlaceScanned(place, view)
        });
    }

    pub(super) fn change(
        &self,
        id: NodeId,
        purpose: Purpose,
        version: RowVersion,
        row: Option<Box<MemberRow>>,
    ) {
        let store = self.stores.coordination.clone();
        let (limit, faults) = (self.settings.store_timeout, self.faults.clone());
        let lost = Input::Changed(id.clone(), purpose, Outcome::Failed);
        self.call("change member", lost, async move {
            let changed = places::change_member(&*store, &id, Some(version), row.as_deref());
            let changed = limited(limit, "changing a member", changed).await;
            let outcome = faults.own("changing a member", changed).unwrap_or(Outcome::Failed);
            Input::Changed(id, purpose, outcome)
        });
    }

    pub(super) fn seal(&self, id: NodeId) {
        let journal = self.stores.journal.clone();
        let (limit, faults) = (self.settings.store_timeout, self.faults.clone());
        self.call("seal", Input::Sealed(id.clone(), false), async move {
            let sealed = limited(limit, "sealing", journal.seal(&id.writer())).await;
            let done = faults.own("sealing", sealed).is_some();
            tracing::info!(%id, done, "writer of a dead node sealed");
            Input::Sealed(id, done)
        });
    }

    pub(super) fn probe(&self, id: NodeId) {
        let timeout = self.settings.probe_timeout;
        let asked = self.gate.ask(&id, PROBE, bytes::Bytes::new(), timeout);
        self.call("probe", Input::Probed(id.clone(), false), async move {
            let answered = asked.await.is_ok();
            Input::Probed(id, answered)
        });
    }

    pub(super) fn change_lease(&self, version: Option<RowVersion>, row: LeaseRow) {
        let store = self.stores.coordination.clone();
        let (limit, faults) = (self.settings.store_timeout, self.faults.clone());
        self.call("lease", Input::LeaseChanged(None), async move {
            let changed = places::change_lease(&*store, version, &row);
            let changed = limited(limit, "changing the lease", changed).await;
            Input::LeaseChanged(faults.own("changing the lease", changed))
        });
    }
}
