//! The start of a node: it checks that the store is the right one, that the name is free and the
//! writer open, and joins.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use antiphon_base::ErrorKind;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::cluster_row::ClusterRow;
use super::continuity::{Continuity, FollowParts, follow};
use super::driver::{Driver, DriverParts};
use super::faults::Faults;
use super::hosted::HostedCell;
use super::liveness::LivenessCell;
use super::peer_stores::PeerStores;
use super::places::{self, limited};
use super::tasks::Tasks;
use super::{Inner, Node, NodeParts, NodeSettings, reach};
use crate::gate::{Gate, Responder, ServiceId};
use crate::lease::LeaseState;
use crate::membership::{MemberRow, MemberState, Membership, Outcome, Versioned};
use crate::{Error, NodeId, Result};

/// Probes of the failure detector; the gate itself answers them.
pub(super) const PROBE: ServiceId = ServiceId(1);

type Peers = BTreeMap<Arc<str>, PeerStores>;

pub(super) async fn start(settings: NodeSettings, parts: NodeParts) -> Result<Node> {
    settings.validate()?;
    let id = NodeId::new(&settings.name, parts.incarnation)?;
    let peers = check_peers(&settings, &parts).await?;
    let own = ClusterRow::of(&settings, &settings.place);
    let claimed = own.claim(&*parts.stores.coordination);
    limited(settings.store_timeout, "checking the cluster", claimed).await?;
    wait_out_namesakes(&settings, &parts).await?;

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

fn run(
    id: NodeId,
    settings: NodeSettings,
    parts: NodeParts,
    peers: Peers,
    joined: (MemberRow, u64),
    joined_at: tokio::time::Instant,
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
    let liveness = Arc::new(LivenessCell::new(joined_at + settings.renew_timeout));
    // at most a few results of each kind are under way at once
    let (control, inputs) = mpsc::channel(1024);
    let hosted = Arc::new(HostedCell::default());
    let faults =
        Arc::new(Faults::new(&settings.place, settings.fault_log_interval, parts.clock.clone()));
    let driver = Driver::new(DriverParts {
        id: id.clone(),
        settings: settings.clone(),
        parts: parts.clone(),
        peers: peer_stores.clone(),
        gate: gate.clone(),
        liveness: liveness.clone(),
        members,
        leases,
        control: control.clone(),
        hosted: hosted.clone(),
        faults: faults.clone(),
        joined,
        joined_at,
    });
    let (follow_parts, continuity_seen, suspicions) =
        continuity(&id, &settings, &parts, &peer_stores);
    let node = Node {
        inner: Arc::new(Inner {
            writer: id.writer(),
            id,
            settings,
            parts,
            peers: peer_stores,
            checked_peers: peers.into_values().collect(),
            gate,
            members: members_seen,
            leases: leases_seen,
            continuity: continuity_seen,
            suspicions,
            liveness,
            control,
            hosted,
            tasks: Tasks::new(),
            runtime: tokio::runtime::Handle::current(),
            shutdown: Mutex::default(),
            crash: Mutex::default(),
            extensions: Mutex::default(),
            leaving: AtomicBool::new(false),
            reach: Mutex::default(),
            faults,
        }),
    };
    node.spawn("node", driver.run(inputs));
    node.spawn("reach", reach::watch(Arc::downgrade(&node.inner)));
    node.spawn("continuity", follow(follow_parts));
    node
}

fn answer_probes(gate: &Gate) {
    gate.register(
        PROBE,
        Arc::new(|_: &NodeId, _: bytes::Bytes, responder: Option<Responder>| {
            if let Some(responder) = responder {
                responder.reply(bytes::Bytes::new());
            }
        }),
    );
}

fn continuity(
    id: &NodeId,
    settings: &NodeSettings,
    parts: &NodeParts,
    peers: &BTreeMap<Arc<str>, antiphon_persistence::store::Stores>,
) -> (FollowParts, watch::Receiver<Arc<Continuity>>, mpsc::Sender<()>) {
    let (state, seen) = watch::channel(Arc::new(Continuity::default()));
    let (suspicions, suspected) = mpsc::channel(1);
    let follow_parts = FollowParts {
        id: id.clone(),
        settings: settings.clone(),
        clock: parts.clock.clone(),
        own: parts.stores.clone(),
        peers: peers.clone(),
        state,
        suspicions: suspected,
        doubts: parts.metrics.gauges(
            "antiphon_journal_doubt",
            "Whether another place may have events that the journal of this one has lost: 0 no, 1 maybe, 2 yes",
            &["place"],
        ),
    };
    (follow_parts, seen, suspicions)
}

fn own_row(id: &NodeId, settings: &NodeSettings, parts: &NodeParts) -> MemberRow {
    let mut roles = settings.roles.clone();
    roles.sort();
    MemberRow {
        id: id.clone(),
        place: settings.place.clone(),
        roles,
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
    let refused = parts.metrics.gauges(
        "antiphon_peer_journal_refused",
        "Whether the journal of a peer belongs elsewhere, so that nothing is taken from it",
        &["place"],
    );
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

/// Watches an earlier incarnation of this name for `renew_timeout` and a tenth. If it renews its
/// row it lives, and this node must not start. If not, it is made dead and sealed, which is safe
/// then.
async fn wait_out_namesakes(settings: &NodeSettings, parts: &NodeParts) -> Result<()> {
    let read = || async {
        let view = places::read(&*parts.stores.coordination);
        let members = limited(settings.store_timeout, "reading the members", view).await?.members;
        let alive =
            |(_, row): &Versioned| row.id.name() == settings.name && row.state != MemberState::Dead;
        Ok::<_, Error>(members.into_iter().filter(alive).collect::<Vec<_>>())
    };
    let first = read().await?;
    if first.is_empty() {
        return Ok(());
    }
    let until = parts.clock.now() + settings.renew_timeout + settings.renew_timeout / 10;
    let mut now = first.clone();
    while parts.clock.now() < until && !now.is_empty() {
        tokio::time::sleep(settings.tick_interval.max(settings.renew_timeout / 20)).await;
        now = read().await?;
        for (_, row) in &now {
            let before = first.iter().find(|(_, before)| before.id == row.id);
            if before.is_none_or(|(_, before)| before.renewals != row.renewals) {
                return Err(name_in_use(settings, &row.id));
            }
        }
    }
    for (version, row) in now {
        end_namesake(settings, parts, version, row).await?;
    }
    Ok(())
}

fn name_in_use(settings: &NodeSettings, id: &NodeId) -> Error {
    Error::rejected(format!(
        "node name {:?} is used by `{id}`, which renewed its row just now: expected a name that no live node of the place has",
        settings.name
    ))
}

async fn end_namesake(
    settings: &NodeSettings,
    parts: &NodeParts,
    version: u64,
    mut row: MemberRow,
) -> Result<()> {
    let id = row.id.clone();
    tracing::info!(%id, "an earlier incarnation is sealed");
    let store = &*parts.stores.coordination;
    row.state = MemberState::Dead;
    row.ended_why = "by the next incarnation of its name: it did not renew its row".into();
    let changed = places::change_member(store, &id, Some(version), Some(&row));
    let changed = limited(settings.store_timeout, "ending an earlier incarnation", changed).await?;
    let version = match changed {
        Outcome::Applied(version) => version,
        // the earlier incarnation was frozen, and woke at the last moment
        Outcome::Conflict(Some((_, row))) if row.state != MemberState::Dead => {
            return Err(name_in_use(settings, &row.id));
        }
        // another node was faster: the lease holder seals it
        Outcome::Conflict(_) => return Ok(()),
        Outcome::Failed => return Err(Error::bug("a change has failed without an error")),
    };
    let writer = id.writer();
    let sealed = parts.stores.journal.seal(&writer);
    limited(settings.store_timeout, "sealing an earlier incarnation", sealed).await?;
    (row.sealed, row.ended_micros) = (true, parts.clock.wall().as_micros());
    let changed = places::change_member(store, &id, Some(version), Some(&row));
    limited(settings.store_timeout, "ending an earlier incarnation", changed).await?;
    Ok(())
}
