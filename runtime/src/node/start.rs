//! The start of a node: it checks that the store is the right one, that the name is free and the
//! writer open, and joins.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use antiphon_base::ErrorKind;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use super::cluster_row::ClusterRow;
use super::continuity::{Continuity, FollowParts, follow};
use super::driver::{Calls, Driver, DriverParts};
use super::faults::Faults;
use super::handle::{Inner, Node};
use super::hosted::HostedCell;
use super::liveness::LivenessCell;
use super::measures::DriverMetrics;
use super::namesake;
use super::parts::NodeParts;
use super::peer_stores::PeerStores;
use super::places::{self, limited};
use super::probe::answer_probes;
use super::reach::{self, ReachParts};
use super::settings::NodeSettings;
use super::tasks::Tasks;
use crate::gate::Gate;
use crate::lease::LeaseState;
use crate::membership::{MemberRow, MemberState, Membership, Outcome};
use crate::{Error, NodeId, Result};

type Peers = BTreeMap<Arc<str>, PeerStores>;

impl Node {
    /// Joins the members table of its place, opens its journal writer and connects to the nodes of
    /// all places. The node is up when this returns: every member of its place has answered it.
    ///
    /// Cancellation: a call that is dropped ends the node, as [`Self::crash`] does. An earlier
    /// incarnation may be dead and not sealed then; the holder of the lease seals it.
    ///
    ///
    /// An earlier incarnation of the same name that is still in the table is watched for
    /// `renew_timeout` and a tenth, and then sealed.
    ///
    /// # Errors
    /// `Rejected` when a setting is wrong, a live node has the same name, or the store belongs to
    /// another cluster; `Unavailable` when the store, or a member of the place, could not be
    /// reached within `join_timeout`: this incarnation is over, and another one may try.
    pub async fn start(settings: NodeSettings, parts: NodeParts) -> Result<Self> {
        settings.validate()?;
        let id = NodeId::new(&settings.name, parts.incarnation)?;
        let peers = check_peers(&settings, &parts).await?;
        let own = ClusterRow::of(&settings, &settings.place);
        let claimed = own.claim(&*parts.stores.coordination);
        limited(settings.store_timeout, "checking the cluster", claimed).await?;
        namesake::wait_out(&settings, &parts).await?;

        let writer = id.writer();
        let opened = parts.stores.journal.open_writer(&writer);
        limited(settings.store_timeout, "opening the writer", opened).await?;
        let joined_at = parts.clock.now();
        let row = own_row(&id, &settings, &parts);
        let coordination = &*parts.stores.coordination;
        let joined = places::change_member(coordination, &id, None, Some(&row));
        let version = match limited(settings.store_timeout, "joining", joined).await? {
            Outcome::Applied(version) => version,
            Outcome::Conflict(_) | Outcome::Failed => {
                return Err(Error::rejected(format!(
                    "`{id}` is in the members table already: expected an incarnation that was never used"
                )));
            }
        };
        let node = Starting(Some(run(id, settings, parts, peers, (row, version), joined_at)));
        node.up().await
    }
}

/// A node that is not up yet; it ends when it is dropped.
struct Starting(Option<Node>);

impl Starting {
    async fn up(mut self) -> Result<Node> {
        let node = self.0.as_ref().expect("until the end of this call");
        let (mut members, fenced) = (node.members(), node.fenced());
        let is_up = |members: &Arc<Membership>| {
            members.get(node.id()).is_some_and(|own| own.state > MemberState::Joining)
        };
        tokio::select! {
            biased;
            reason = fenced => return Err(Error::unavailable(reason)),
            up = members.wait_for(is_up) => {
                drop(up.map_err(|_| Error::bug("the driver of the node ended"))?);
            }
        }
        Ok(self.0.take().expect("taken once"))
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(node) = self.0.take() {
            node.crash();
        }
    }
}

/// The channels between the tasks of a node: the ends that the tasks have.
struct Ends {
    members: watch::Sender<Arc<Membership>>,
    leases: watch::Sender<LeaseState>,
    state: watch::Sender<Arc<Continuity>>,
    suspicions: mpsc::Receiver<()>,
}

fn run(
    id: NodeId,
    settings: NodeSettings,
    parts: NodeParts,
    peers: Peers,
    joined: (MemberRow, u64),
    joined_at: Instant,
) -> Node {
    let gate = Gate::start(
        id.clone(),
        parts.transport.clone(),
        settings.gate.clone(),
        parts.clock.clone(),
        &parts.metrics,
    );
    answer_probes(&gate);
    let peer_stores: BTreeMap<_, _> =
        peers.iter().map(|(place, peer)| (place.clone(), peer.stores())).collect();
    let (members, members_seen) = watch::channel(Arc::new(Membership::default()));
    let (leases, leases_seen) = watch::channel(LeaseState::default());
    let (state, continuity_seen) = watch::channel(Arc::new(Continuity::default()));
    let (suspicions, suspected) = mpsc::channel(1);
    // at most a few results of each kind are under way at once
    let (control, inputs) = mpsc::channel(1024);
    let ends = Ends { members, leases, state, suspicions: suspected };
    let faults =
        Arc::new(Faults::new(&settings.place, settings.fault_log_interval, parts.clock.clone()));
    let node = Node {
        inner: Arc::new(Inner {
            writer: id.writer(),
            id,
            peers: peer_stores,
            checked_peers: peers.into_values().collect(),
            gate,
            members: members_seen,
            leases: leases_seen,
            continuity: continuity_seen,
            suspicions,
            looks: Arc::new(Notify::new()),
            liveness: Arc::new(LivenessCell::new(joined_at + settings.renew_timeout)),
            control,
            hosted: Arc::new(HostedCell::default()),
            tasks: Tasks::new(),
            runtime: tokio::runtime::Handle::current(),
            shutdown: Mutex::default(),
            crash: Mutex::default(),
            extensions: Mutex::default(),
            leaving: AtomicBool::new(false),
            reach: Arc::default(),
            settings,
            parts,
        }),
    };
    let driver = driver(&node.inner, &faults, &ends, (joined, joined_at));
    node.spawn_vital("node", driver.run(inputs));
    node.spawn_vital("reach", reach::watch(reach_parts(&node.inner, faults)));
    // it reads the stores of other places, whose panic must not end this node
    node.spawn("continuity", follow(follow_parts(&node.inner, ends)));
    node
}

fn driver(
    node: &Inner,
    faults: &Arc<Faults>,
    ends: &Ends,
    (joined, joined_at): ((MemberRow, u64), Instant),
) -> Driver {
    Driver::new(DriverParts {
        clock: node.parts.clock.clone(),
        calls: Calls {
            id: node.id.clone(),
            settings: node.settings.clone(),
            stores: node.parts.stores.clone(),
            peers: node.peers.clone(),
            gate: node.gate.clone(),
            faults: faults.clone(),
            control: node.control.clone(),
        },
        metrics: DriverMetrics::new(&node.parts.metrics),
        liveness: node.liveness.clone(),
        members: ends.members.clone(),
        leases: ends.leases.clone(),
        hosted: node.hosted.clone(),
        looks: node.looks.clone(),
        joined,
        joined_at,
    })
}

fn reach_parts(node: &Inner, faults: Arc<Faults>) -> ReachParts {
    ReachParts {
        clock: node.parts.clock.clone(),
        gate: node.gate.clone(),
        members: node.members.clone(),
        places: node.peers.keys().cloned().collect(),
        faults,
        reach: node.reach.clone(),
        gauges: node.parts.metrics.gauges_of("antiphon_place_reached"),
    }
}

fn follow_parts(node: &Inner, ends: Ends) -> FollowParts {
    FollowParts {
        id: node.id.clone(),
        settings: node.settings.clone(),
        clock: node.parts.clock.clone(),
        own: node.parts.stores.clone(),
        peers: node.peers.clone(),
        state: ends.state,
        suspicions: ends.suspicions,
        doubts: node.parts.metrics.gauges_of("antiphon_journal_doubt"),
    }
}

fn own_row(id: &NodeId, settings: &NodeSettings, parts: &NodeParts) -> MemberRow {
    let mut roles = settings.roles.clone();
    roles.sort();
    roles.dedup();
    MemberRow {
        id: id.clone(),
        place: settings.place.clone(),
        roles,
        proxy_only: settings.proxy_only,
        replicas: Arc::default(),
        address: parts.address.clone(),
        http_address: parts.http_address.clone(),
        state: MemberState::Joining,
        sealed: false,
        renewals: 0,
        unreachable: Vec::new(),
        hosted: 0,
        ended_why: String::new(),
        ended_micros: 0,
    }
}

/// The stores of the other places. A reachable store that belongs elsewhere is refused now; the
/// others are checked when they can be reached.
async fn check_peers(settings: &NodeSettings, parts: &NodeParts) -> Result<Peers> {
    let refused = parts.metrics.gauges_of("antiphon_peer_journal_refused");
    let mut peers = Peers::new();
    for peer in &parts.peers {
        if peer.place == settings.place || peers.contains_key(peer.place.as_str()) {
            return Err(Error::rejected(format!(
                "`peers`: expected other places, each once, actual {:?}, which is there already",
                peer.place
            )));
        }
        let place: Arc<str> = peer.place.as_str().into();
        let expected = ClusterRow::of(settings, &place);
        let stores = PeerStores::new(place.clone(), expected, peer.stores.clone(), refused.clone());
        peers.insert(place, stores);
    }
    for peer in peers.values() {
        let checked = limited(settings.store_timeout, "checking a peer", peer.certain()).await;
        if let Err(error) = checked
            && error.kind() == ErrorKind::Rejected
        {
            return Err(error);
        }
    }
    Ok(peers)
}
