//! The task that steps membership, failure detector and lease, which hold the rules. It never waits
//! for a store or a link: results come back as inputs (`calls`).

mod calls;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use antiphon_persistence::store::{RowVersion, Stores};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::faults::Faults;
use super::hosted::HostedCell;
use super::liveness::LivenessCell;
use super::measures::DriverMetrics;
use super::places::PlaceView;
use super::{NODE_LEFT, NodeParts, NodeSettings};
use crate::NodeId;
use crate::failure_detector::{self as detector, FailureDetector};
use crate::gate::Gate;
use crate::lease::{self, LeaseCore, LeaseState, VersionedLease};
use crate::membership::{
    self, Member, MemberRow, MemberState, Membership, MembershipCore, Outcome, Purpose, Verdict,
};

/// An input of the driver.
pub(super) enum Control {
    /// The table, and the number of changes of the lease that had ended when the read began.
    Scanned(Option<PlaceView>, u64),
    PeerScanned(Arc<str>, Option<PlaceView>),
    Changed(NodeId, Purpose, Outcome),
    Probed(NodeId, bool),
    Sealed(NodeId, bool),
    LeaseChanged(Option<VersionedLease>),
    /// Show that the node leaves.
    Leaving,
    /// Give the lease back; answered afterwards.
    Release(oneshot::Sender<()>),
    /// The own writer is sealed: make the row say so; answered afterwards.
    End(oneshot::Sender<()>),
}

pub(super) struct DriverParts {
    pub(super) id: NodeId,
    pub(super) settings: NodeSettings,
    pub(super) parts: NodeParts,
    pub(super) peers: BTreeMap<Arc<str>, Stores>,
    pub(super) gate: Gate,
    pub(super) liveness: Arc<LivenessCell>,
    pub(super) members: watch::Sender<Arc<Membership>>,
    pub(super) leases: watch::Sender<LeaseState>,
    pub(super) control: mpsc::Sender<Control>,
    pub(super) hosted: Arc<HostedCell>,
    pub(super) faults: Arc<Faults>,
    pub(super) joined: (MemberRow, u64),
    pub(super) joined_at: Instant,
}

struct Peer {
    members: Vec<Member>,
    lease: VersionedLease,
    scan_at: Option<Instant>,
    scanning: bool,
}

pub(super) struct Driver {
    env: DriverParts,
    membership: MembershipCore,
    detector: FailureDetector,
    lease: LeaseCore,
    peers: BTreeMap<Arc<str>, Peer>,
    connected: BTreeSet<NodeId>,
    released: Option<oneshot::Sender<()>>,
    ended: Option<oneshot::Sender<()>>,
    /// A verdict that waits until the lease has learned the row that it is about.
    condemned: Option<(Verdict, Option<RowVersion>)>,
    metrics: DriverMetrics,
}

impl Driver {
    pub(super) fn new(env: DriverParts) -> Self {
        let settings = &env.settings;
        let (row, version) = env.joined.clone();
        let membership = MembershipCore::new(env.joined_at, settings.membership(), row, version);
        let detector = FailureDetector::new(env.id.clone(), settings.detector());
        let lease = LeaseCore::new(env.id.clone(), settings.retry_delay_max);
        let peer = || Peer { members: Vec::new(), lease: None, scan_at: None, scanning: false };
        Self {
            membership,
            detector,
            lease,
            peers: env.peers.keys().map(|place| (place.clone(), peer())).collect(),
            connected: BTreeSet::new(),
            released: None,
            ended: None,
            condemned: None,
            metrics: DriverMetrics::new(&env.parts.metrics),
            env,
        }
    }

    pub(super) async fn run(mut self, mut inputs: mpsc::Receiver<Control>) {
        let tick = self.env.settings.tick_interval;
        self.tick();
        loop {
            let input = tokio::select! {
                biased;
                input = inputs.recv() => input,
                () = tokio::time::sleep(tick) => None,
            };
            if self.env.liveness.is_fenced() {
                self.member(membership::Input::Stop);
            }
            match input {
                Some(input) => self.take(input),
                None => self.tick(),
            }
            if self.membership.is_over() {
                self.answer_leaving();
            }
            let now = self.now();
            self.env.liveness.renewed(now, self.membership.live_until());
            self.metrics.live.set(i64::from(self.env.liveness.is_live(now)));
        }
    }

    fn now(&self) -> Instant {
        self.env.parts.clock.now()
    }

    fn tick(&mut self) {
        self.member(membership::Input::Hosted(self.env.hosted.sum()));
        self.member(membership::Input::Tick(self.env.parts.clock.wall()));
        self.detect(detector::Input::Tick);
        let now = self.now();
        let due: Vec<Arc<str>> = self
            .peers
            .iter()
            .filter(|(_, peer)| !peer.scanning && peer.scan_at.is_none_or(|at| now >= at))
            .map(|(place, _)| place.clone())
            .collect();
        for place in due {
            self.scan_peer(now, &place);
        }
    }

    fn take(&mut self, input: Control) {
        match input {
            Control::Scanned(view, changes) => self.scanned(view, changes),
            Control::PeerScanned(place, view) => self.peer_scanned(&place, view),
            Control::Changed(id, purpose, outcome) => {
                let done = match &outcome {
                    Outcome::Applied(_) => "applied",
                    Outcome::Conflict(_) => "conflict",
                    Outcome::Failed => "failed",
                };
                let what = format!("{purpose:?}").to_lowercase();
                self.metrics.changes.with_label_values(&[what.as_str(), done]).inc();
                self.member(membership::Input::Changed(id, purpose, outcome));
            }
            Control::Probed(id, answered) => {
                if !answered {
                    self.metrics.probes_missed.with_label_values(&[id.name()]).inc();
                }
                self.detect(detector::Input::Probed(id, answered));
            }
            Control::Sealed(id, done) => self.member(membership::Input::SealDone(id, done)),
            Control::LeaseChanged(row) => self.lease_input(lease::Input::Changed(row)),
            Control::Leaving => {
                self.member(membership::Input::Leave);
            }
            Control::Release(done) => {
                self.released = Some(done);
                self.lease_input(lease::Input::Release);
            }
            Control::End(done) => {
                self.ended = Some(done);
                self.member(membership::Input::End);
            }
        }
    }

    /// Answers the calls that end this node and would wait for ever.
    fn answer_leaving(&mut self) {
        for done in [self.released.take(), self.ended.take()].into_iter().flatten() {
            let _ = done.send(());
        }
    }

    fn scanned(&mut self, view: Option<PlaceView>, changes: u64) {
        let Some(PlaceView { members, lease }) = view else {
            self.member(membership::Input::Scanned(None));
            return self.publish();
        };
        // the row of the lease was read before the table: its verdicts are older, and its holder is
        // among the members
        if self.lease.is_current(changes) {
            self.member(membership::Input::Verdicts(lease::verdicts(&lease)));
        }
        self.member(membership::Input::Scanned(Some(members)));
        self.publish();
        self.lease_input(lease::Input::Read(lease, changes));
        if let Some((verdict, version)) = self.condemned.take() {
            self.lease_input(lease::Input::Condemn(verdict, version));
        }
    }

    fn member(&mut self, input: membership::Input) {
        let effects = self.membership.step(self.now(), input);
        for effect in effects {
            match effect {
                membership::Effect::Scan => self.scan(),
                membership::Effect::Change(id, purpose, version, row) => {
                    self.change(id, purpose, version, row);
                }
                membership::Effect::Condemn(verdict, version) => {
                    tracing::warn!(id = %verdict.id, why = verdict.why, "a member has to give way");
                    self.condemned = Some((verdict, version));
                }
                membership::Effect::Seal(id) => self.seal(id),
                membership::Effect::Publish => self.publish(),
                membership::Effect::Retire(reason) => {
                    tracing::error!(%reason, "this node gives way");
                    self.env.liveness.close();
                }
                membership::Effect::Fenced(reason) => {
                    tracing::error!(%reason, "this node is out");
                    self.env.liveness.declared_dead(&reason);
                    self.answer_leaving();
                }
                membership::Effect::Ended => {
                    self.env.liveness.fence(NODE_LEFT);
                    self.answer_leaving();
                }
            }
        }
    }

    fn detect(&mut self, input: detector::Input) {
        let effects = self.detector.step(self.now(), input);
        for effect in effects {
            match effect {
                detector::Effect::Probe(id) => self.probe(id),
                detector::Effect::Reached(id) => self.member(membership::Input::Reached(id)),
                detector::Effect::Suspect(id, on) => {
                    if on {
                        tracing::warn!(%id, "a member of the place does not answer probes");
                    } else {
                        tracing::info!(%id, "a member that did not answer probes does, or is gone");
                    }
                    self.member(membership::Input::Suspect(id, on));
                }
            }
        }
    }

    fn lease_input(&mut self, input: lease::Input) {
        let effects = self.lease.step(self.now(), input);
        for effect in effects {
            match effect {
                lease::Effect::Change(version, row) => self.change_lease(version, row),
                lease::Effect::Publish => {}
            }
        }
        let held = self.lease.held();
        self.metrics.token.set(held.map_or(0, |token| i64::try_from(token.0).unwrap_or(i64::MAX)));
        self.member(membership::Input::Lease(held.is_some()));
        if let Some(verdicts) = self.lease.verdicts() {
            self.member(membership::Input::Verdicts(verdicts));
        }
        self.publish_leases();
        let is_mine =
            self.lease.holder().is_some_and(|lease| lease.holder.as_ref() == Some(&self.env.id));
        if !is_mine && let Some(done) = self.released.take() {
            let _ = done.send(());
        }
    }

    fn publish_leases(&self) {
        let mut state = LeaseState { held: self.lease.held(), holders: BTreeMap::new() };
        if let Some(holder) = self.lease.holder() {
            state.holders.insert(self.env.settings.place.as_str().into(), holder);
        }
        for (place, peer) in &self.peers {
            if let Some((_, row)) = &peer.lease {
                let token = antiphon_persistence::store::FencingToken(row.token);
                let holder = lease::LeaseHolder { holder: row.holder.clone(), token };
                state.holders.insert(place.clone(), holder);
            }
        }
        self.env.leases.send_if_modified(|before| {
            let changed = *before != state;
            *before = state;
            changed
        });
    }

    fn publish(&mut self) {
        let view = self.membership.view();
        let own: Vec<Member> = view.all().cloned().collect();
        let alive = |member: &&Member| member.state != MemberState::Dead;
        let of_place: Vec<NodeId> = own.iter().filter(alive).map(|m| m.id.clone()).collect();
        let wanted = self.membership.to_probe();
        self.detect(detector::Input::Members(of_place, wanted));
        let others = self.peers.values().flat_map(|peer| peer.members.iter().cloned());
        let members = Membership::new(own.into_iter().chain(others))
            .with_unreachable(view.unreachable().cloned());
        self.connect(&members);
        self.metrics.count(&members);
        let may_take =
            self.membership.state() == MemberState::Up && self.env.liveness.is_live(self.now());
        let own_place = members.in_place(&self.env.settings.place).cloned();
        let own_place = Membership::new(own_place);
        self.env.members.send_if_modified(|before| {
            let changed = **before != members;
            *before = Arc::new(members);
            changed
        });
        self.lease_input(lease::Input::Members(own_place, may_take));
    }

    fn peer_scanned(&mut self, place: &Arc<str>, view: Option<PlaceView>) {
        let Some(peer) = self.peers.get_mut(place) else { return };
        peer.scanning = false;
        // the last known members stay while the place cannot be read
        let Some(view) = view else { return };
        peer.members = view.members.iter().map(|(_, row)| row.member()).collect();
        peer.lease = view.lease;
        self.publish();
        self.publish_leases();
    }

    fn connect(&mut self, members: &Membership) {
        let wanted: BTreeSet<NodeId> = members
            .all()
            .filter(|member| member.state != MemberState::Dead && member.id != self.env.id)
            .map(|member| member.id.clone())
            .collect();
        for id in self.connected.difference(&wanted) {
            self.env.gate.disconnect(id);
        }
        for id in wanted.difference(&self.connected) {
            let member = members.get(id).expect("taken from there");
            self.env.gate.connect(id, &member.address);
        }
        self.connected = wanted;
    }
}
