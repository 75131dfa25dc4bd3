//! The rules that join membership, failure detector and lease of a node to one whole: the result of
//! each is an input of the others. It also decides when other places are read, and which nodes this
//! one is connected to.
//!
//! ```text
//!   rows of the table --> membership --> members, links, lease
//!   answers of probes --> detector ----> membership
//!   row of the lease ---> lease -------> membership (holder, verdicts)
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::Timestamp;
use antiphon_persistence::store::{FencingToken, RowVersion};
use tokio::time::Instant;

use super::place::PlaceReads;
use crate::NodeId;
use crate::failure_detector::{self as detector, FailureDetector};
use crate::lease::{self, LeaseCore, LeaseRow, LeaseState, VersionedLease};
use crate::membership::{
    self, Member, MemberReplicas, MemberRow, MemberState, Membership, MembershipCore, Outcome,
    Purpose, Verdict,
};
use crate::node::places::PlaceView;
use crate::node::settings::NodeSettings;

/// A fact for the core.
#[derive(Debug)]
pub(crate) enum Input {
    /// Time has passed. The values are the time of day, the number of hosted shards, and the
    /// replicas of the entity types of this node.
    Tick(Timestamp, u32, Arc<MemberReplicas>),
    /// The table, and the number of changes of the lease that had ended when the read began.
    Scanned(Option<PlaceView>, u64),
    /// The table of another place; `None` when it could not be read.
    PlaceScanned(Arc<str>, Option<PlaceView>),
    /// A change of a row has ended.
    Changed(NodeId, Purpose, Outcome),
    /// A probe has ended; true when it was answered.
    Probed(NodeId, bool),
    /// A seal has ended; true when the writer is sealed.
    Sealed(NodeId, bool),
    /// A change of the lease has ended: the row after it, or `None` when the outcome is unknown.
    LeaseChanged(Option<VersionedLease>),
    /// A message names a node or a lease that this node does not know: read the tables of all
    /// places soon.
    Look,
    /// Show that the node leaves.
    Leaving,
    /// Give the lease back.
    Release,
    /// The own writer is sealed: make the row say so.
    End,
    /// The node was fenced for a reason outside of membership.
    Stop,
}

/// A request of the core.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect {
    /// Read the lease and the table of the own place; answered by `Scanned` with this number.
    Scan(u64),
    /// Read the table of another place; answered by `PlaceScanned`.
    ScanPlace(Arc<str>),
    /// Change a row that has this version; answered by `Changed`.
    Change(NodeId, Purpose, RowVersion, Option<Box<MemberRow>>),
    /// Seal the writer of the node; answered by `Sealed`.
    Seal(NodeId),
    /// Probe the node; answered by `Probed`.
    Probe(NodeId),
    /// Change the row of the lease; answered by `LeaseChanged`.
    ChangeLease(Option<RowVersion>, LeaseRow),
    /// The members of all places, as they are now.
    Members(Membership),
    /// The leases of all places, as they are now.
    Leases(LeaseState),
    /// Keep a link to the node of this place at this address.
    Connect(NodeId, String, Arc<str>),
    /// End the link to the node.
    Disconnect(NodeId),
    /// Log that a member has to give way.
    Condemned(Verdict),
    /// Log that a member does not answer its probes (true), or answers again or is gone (false).
    Suspected(NodeId, bool),
    /// Answer nothing any more, for this reason.
    Retire(String),
    /// The node is out for ever, for this reason.
    Fenced(String),
    /// The own row says dead and sealed.
    Ended,
    /// The lease was given back, or is another node's.
    Released,
}

/// The reads of all tables because of messages that name something unknown: whoever sends such
/// messages causes one read in `interval` at most.
#[derive(Debug)]
struct Looks {
    interval: Duration,
    is_wanted: bool,
    last: Option<Instant>,
}

impl Looks {
    /// Returns whether a wanted look is due now; it counts as done then.
    fn is_due(&mut self, now: Instant) -> bool {
        let is_early = self.last.is_some_and(|last| now < last + self.interval);
        if !self.is_wanted || is_early {
            return false;
        }
        (self.is_wanted, self.last) = (false, Some(now));
        true
    }
}

/// The node as a member of its place.
#[derive(Debug)]
pub(crate) struct NodeCore {
    me: NodeId,
    place: Arc<str>,
    membership: MembershipCore,
    detector: FailureDetector,
    lease: LeaseCore,
    places: PlaceReads,
    looks: Looks,
    /// The nodes that this one keeps links to, each with its place and its address.
    connected: BTreeMap<NodeId, (Arc<str>, String)>,
    /// A verdict that waits until the lease has learned the row that it is about.
    condemned: Option<(Verdict, Option<RowVersion>)>,
    releasing: bool,
}

impl NodeCore {
    /// Begins with the own row, which was written at `now`, and the names of the other places.
    pub(crate) fn new(
        now: Instant,
        settings: &NodeSettings,
        (row, version): (MemberRow, RowVersion),
        places: impl IntoIterator<Item = Arc<str>>,
    ) -> Self {
        let me = row.id.clone();
        Self {
            place: settings.place.as_str().into(),
            detector: FailureDetector::new(me.clone(), settings.detector()),
            lease: LeaseCore::new(me.clone(), settings.retry_delay_max, settings.renew_timeout * 2),
            membership: MembershipCore::new(now, settings.membership(), row, version),
            places: PlaceReads::new(settings.peer_scan_interval, places),
            looks: Looks { interval: settings.scan_interval / 2, is_wanted: false, last: None },
            connected: BTreeMap::new(),
            condemned: None,
            releasing: false,
            me,
        }
    }

    /// The end of the time in which this node may answer.
    pub(crate) fn live_until(&self) -> Instant {
        self.membership.live_until()
    }

    /// True when this node is out for ever.
    pub(crate) fn is_over(&self) -> bool {
        self.membership.is_over()
    }

    /// The token, if this node holds the lease as far as it knows.
    pub(crate) fn held(&self) -> Option<FencingToken> {
        self.lease.held()
    }

    /// Advances by one input.
    pub(crate) fn step(&mut self, now: Instant, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        let out = &mut effects;
        match input {
            Input::Tick(wall, hosted, replicas) => {
                self.member(now, membership::Input::Hosted(hosted), out);
                self.member(now, membership::Input::Replicas(replicas), out);
                self.member(now, membership::Input::Tick(wall), out);
                self.detect(now, detector::Input::Tick, out);
                self.look(now, out);
                out.extend(self.places.begin_due(now).into_iter().map(Effect::ScanPlace));
            }
            Input::Scanned(view, changes) => self.scanned(now, view, changes, out),
            Input::PlaceScanned(place, view) => {
                if self.places.read(&place, view) {
                    self.publish(now, out);
                    self.publish_leases(out);
                }
            }
            Input::Changed(id, purpose, outcome) => {
                self.member(now, membership::Input::Changed(id, purpose, outcome), out);
            }
            Input::Probed(id, answered) => {
                self.detect(now, detector::Input::Probed(id, answered), out);
            }
            Input::Sealed(id, done) => {
                self.member(now, membership::Input::SealDone(id, done), out);
            }
            Input::LeaseChanged(row) => self.lease(now, lease::Input::Changed(row), out),
            Input::Look => {
                self.looks.is_wanted = true;
                self.look(now, out);
                out.extend(self.places.begin_due(now).into_iter().map(Effect::ScanPlace));
            }
            Input::Leaving => self.member(now, membership::Input::Leave, out),
            Input::Release => {
                self.releasing = true;
                self.lease(now, lease::Input::Release, out);
            }
            Input::End => self.member(now, membership::Input::End, out),
            Input::Stop => self.member(now, membership::Input::Stop, out),
        }
        self.check();
        effects
    }

    /// Reads the tables of all places at once, if that is wanted and its time has come.
    fn look(&mut self, now: Instant, out: &mut Vec<Effect>) {
        if self.looks.is_due(now) {
            self.places.look();
            self.member(now, membership::Input::Look, out);
        }
    }

    fn scanned(
        &mut self,
        now: Instant,
        view: Option<PlaceView>,
        changes: u64,
        out: &mut Vec<Effect>,
    ) {
        let Some(PlaceView { members, lease }) = view else {
            self.member(now, membership::Input::Scanned(None), out);
            return self.publish(now, out);
        };
        // the row of the lease was read before the table: its verdicts are older, and its holder is
        // among the members
        if self.lease.is_current(changes) {
            self.member(now, membership::Input::Verdicts(lease::verdicts(&lease)), out);
        }
        self.member(now, membership::Input::Scanned(Some(members)), out);
        self.publish(now, out);
        self.lease(now, lease::Input::Read(lease, changes), out);
        if let Some((verdict, version)) = self.condemned.take() {
            self.lease(now, lease::Input::Condemn(verdict, version), out);
        }
    }

    fn member(&mut self, now: Instant, input: membership::Input, out: &mut Vec<Effect>) {
        for effect in self.membership.step(now, input) {
            match effect {
                membership::Effect::Scan => out.push(Effect::Scan(self.lease.changes())),
                membership::Effect::Change(id, purpose, version, row) => {
                    out.push(Effect::Change(id, purpose, version, row));
                }
                membership::Effect::Condemn(verdict, version) => {
                    out.push(Effect::Condemned(verdict.clone()));
                    self.condemned = Some((verdict, version));
                }
                membership::Effect::Seal(id) => out.push(Effect::Seal(id)),
                membership::Effect::Publish => self.publish(now, out),
                membership::Effect::Retire(reason) => out.push(Effect::Retire(reason)),
                membership::Effect::Fenced(reason) => out.push(Effect::Fenced(reason)),
                membership::Effect::Ended => out.push(Effect::Ended),
            }
        }
    }

    fn detect(&mut self, now: Instant, input: detector::Input, out: &mut Vec<Effect>) {
        for effect in self.detector.step(now, input) {
            match effect {
                detector::Effect::Probe(id) => out.push(Effect::Probe(id)),
                detector::Effect::Reached(id) => {
                    self.member(now, membership::Input::Reached(id), out);
                }
                detector::Effect::Suspect(id, on) => {
                    out.push(Effect::Suspected(id.clone(), on));
                    self.member(now, membership::Input::Suspect(id, on), out);
                }
            }
        }
    }

    fn lease(&mut self, now: Instant, input: lease::Input, out: &mut Vec<Effect>) {
        for effect in self.lease.step(now, input) {
            match effect {
                lease::Effect::Change(version, row) => out.push(Effect::ChangeLease(version, row)),
                lease::Effect::Publish => self.publish_leases(out),
            }
        }
        self.member(now, membership::Input::Lease(self.lease.held().is_some()), out);
        if let Some(verdicts) = self.lease.verdicts() {
            self.member(now, membership::Input::Verdicts(verdicts), out);
        }
        let is_mine =
            self.lease.holder().is_some_and(|lease| lease.holder.as_ref() == Some(&self.me));
        if self.releasing && !is_mine {
            self.releasing = false;
            out.push(Effect::Released);
        }
    }

    fn publish_leases(&self, out: &mut Vec<Effect>) {
        let own = self.lease.holder().map(|holder| (self.place.clone(), holder));
        let holders = own.into_iter().chain(self.places.lease_holders()).collect();
        let (held, lacking) = (self.lease.held(), self.lease.lacking().to_vec());
        out.push(Effect::Leases(LeaseState { held, holders, lacking }));
    }

    fn publish(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let view = self.membership.view();
        let is_alive = |member: &&Member| member.state != MemberState::Dead;
        let of_place: Vec<NodeId> =
            view.all().filter(is_alive).map(|member| member.id.clone()).collect();
        let wanted = self.membership.to_probe();
        self.detect(now, detector::Input::Members(of_place, wanted), out);
        // no other place can take over the id of a member that a place names already
        let is_first = |member: &&Member| match self.connected.get(&member.id) {
            Some((place, _)) => *place == member.place || !self.places.names(place, &member.id),
            None => true,
        };
        // the last one with an id counts: no other place can speak for a member of this one
        let all = self.places.members().filter(is_first).chain(view.all()).cloned();
        let members = Membership::new(all).with_unreachable(view.unreachable().cloned());
        self.connect(&members, out);
        let may_take =
            self.membership.state() == MemberState::Up && self.membership.may_answer(now);
        let own_place = Membership::new(members.in_place(&self.place).cloned());
        out.push(Effect::Members(members));
        self.lease(now, lease::Input::Members(own_place, may_take), out);
    }

    fn connect(&mut self, members: &Membership, out: &mut Vec<Effect>) {
        let wanted: BTreeMap<&NodeId, &Member> = members
            .all()
            .filter(|member| member.state != MemberState::Dead && member.id != self.me)
            .map(|member| (&member.id, member))
            .collect();
        let gone = self.connected.keys().filter(|id| !wanted.contains_key(id));
        out.extend(gone.map(|id| Effect::Disconnect(id.clone())));
        let is_known = |member: &Member| {
            let known = self.connected.get(&member.id);
            known.is_some_and(|(place, at)| *place == member.place && *at == member.address)
        };
        let new = wanted.values().filter(|member| !is_known(member));
        let connect = |member: &&Member| {
            Effect::Connect(member.id.clone(), member.address.clone(), member.place.clone())
        };
        out.extend(new.map(connect));
        let known = |(id, member): (&NodeId, &Member)| {
            (id.clone(), (member.place.clone(), member.address.clone()))
        };
        self.connected = wanted.into_iter().map(known).collect();
    }

    /// Asserts the invariants; the parts assert their own.
    pub(crate) fn check(&self) {
        assert!(!self.connected.contains_key(&self.me), "a node keeps a link to itself");
    }
}

#[cfg(test)]
mod tests;
