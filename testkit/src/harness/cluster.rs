//! The nodes of a run: started, crashed, restarted.

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_base::{Result, task};
use antiphon_persistence::identity::ReplicaId;
use antiphon_persistence::store::Stores;
use antiphon_runtime::transport::memory::MemoryNetwork;
use antiphon_runtime::{ErrorKind, Metrics, Node, NodeId, NodeParts, NodeSettings, PeerPlace};
use antiphon_sharding::ShardingSettings;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::clock::SkewedClock;
use super::form::Form;
use super::place::{Model, PlaceStores};
use super::stores::{Audit, FaultyStores};
use super::user_code::{Starter, UserCode};

pub const SHARDS: u32 = 4;

/// A running node.
pub struct Running<U: UserCode> {
    pub node: Node,
    /// The entity types of the application.
    pub sharding: U::Started,
    pub stores: Vec<FaultyStores>,
    pub clock: Arc<SkewedClock>,
}

/// A node of the run, up or not.
pub struct Member<U: UserCode> {
    pub name: String,
    pub place: usize,
    /// The number of the node in its place.
    number: usize,
    /// True for a node that ignores roles from its next start on, as earlier versions do.
    pub ignores_roles: bool,
    /// The id of its last start, also while that is under way.
    pub id: Option<NodeId>,
    pub running: Option<Running<U>>,
    starting: Option<oneshot::Receiver<Result<Option<Running<U>>>>>,
}

/// All places.
pub struct Cluster<U: UserCode> {
    pub network: MemoryNetwork,
    pub places: Vec<(String, Box<dyn PlaceStores>)>,
    pub audits: Vec<Arc<Mutex<Audit>>>,
    pub members: Vec<Member<U>>,
    pub form: Form,
    /// The application.
    pub user: U,
    /// Paused nodes, and the end of each pause.
    pauses: Vec<(Instant, NodeId)>,
    settings: ShardingSettings,
    seed: u64,
    incarnations: u64,
    start: Instant,
}

impl<U: UserCode> Cluster<U> {
    /// A cluster without a running node; `nodes_per_place` has the number of nodes of each place
    /// of the form.
    pub fn new(
        seed: u64,
        start: Instant,
        form: Form,
        nodes_per_place: &[usize],
        model: Model,
        settings: ShardingSettings,
        user: U,
    ) -> Self {
        let mut members = Vec::new();
        let places = form.places.clone();
        for (place, name) in places.iter().enumerate() {
            for number in 0..nodes_per_place[place] {
                members.push(Member {
                    name: format!("{}{number}", name.to_lowercase()),
                    place,
                    number,
                    ignores_roles: false,
                    id: None,
                    running: None,
                    starting: None,
                });
            }
        }
        Self {
            network: MemoryNetwork::new(seed),
            places: places.iter().map(|name| (name.clone(), model())).collect(),
            audits: places.iter().map(|_| Arc::default()).collect(),
            members,
            form,
            user,
            pauses: Vec::new(),
            settings,
            seed,
            incarnations: 0,
            start,
        }
    }

    pub fn replicas(&self) -> Vec<ReplicaId> {
        self.form.replicas()
    }

    fn faulty(&mut self, place: usize) -> FaultyStores {
        self.incarnations += 1;
        let seed = self.seed.wrapping_mul(1_000_003).wrapping_add(self.incarnations);
        FaultyStores::new(self.places[place].1.session(seed), seed, self.audits[place].clone())
    }

    /// Begins to start a node; [`Self::collect`] takes the node when it has started.
    pub fn begin_start(&mut self, index: usize) {
        let member = &self.members[index];
        if member.running.is_some() || member.starting.is_some() {
            return;
        }
        let (name, place, number) = (member.name.clone(), member.place, member.number);
        let own = self.faulty(place);
        let mut stores = vec![own.clone()];
        let mut peers = Vec::new();
        for other in 0..self.places.len() {
            if other != place {
                let faulty = self.faulty(other);
                peers.push(PeerPlace {
                    place: self.places[other].0.clone(),
                    stores: faulty.stores(),
                });
                stores.push(faulty);
            }
        }
        self.incarnations += 1;
        let id = NodeId::new(&name, self.incarnations).expect("a name");
        self.members[index].id = Some(id.clone());
        let clock = Arc::new(SkewedClock::new(self.start));
        let mut settings = NodeSettings {
            name,
            place: self.places[place].0.clone(),
            shard_count: SHARDS,
            ..NodeSettings::default()
        };
        self.form.set_roles(number, &mut settings);
        let parts = NodeParts {
            clock: clock.clone(),
            stores: own.stores(),
            transport: self.network.transport(&id),
            address: id.to_string(),
            http_address: None,
            peers,
            incarnation: self.incarnations,
            metrics: Arc::new(Metrics::new()),
        };
        let starter =
            self.user.starter(&self.form, &self.settings, self.members[index].ignores_roles);
        let (done, started) = oneshot::channel();
        task::spawn("simulated start", async move {
            let started = start::<U>(settings, parts, starter).await;
            let running = |(node, sharding)| Running { node, sharding, stores, clock };
            let _ = done.send(started.map(|started| started.map(running)));
        });
        self.members[index].starting = Some(started);
    }

    /// Takes the nodes that have started; starts that failed begin anew.
    pub fn collect(&mut self) {
        for index in 0..self.members.len() {
            let Some(starting) = &mut self.members[index].starting else { continue };
            match starting.try_recv() {
                Err(oneshot::error::TryRecvError::Empty) => {}
                Ok(Ok(Some(running))) => {
                    self.members[index].starting = None;
                    self.members[index].running = Some(running);
                }
                Ok(Err(error)) => {
                    self.members[index].starting = None;
                    self.user.refused(&self.members[index].name, error);
                }
                Ok(Ok(None)) | Err(oneshot::error::TryRecvError::Closed) => {
                    self.members[index].starting = None;
                    self.begin_start(index);
                }
            }
        }
    }

    /// Returns whether a node of the place is starting, or any node is paused: calls of such a node
    /// may take effect after it was killed.
    pub fn is_unsettled(&self, place: usize) -> bool {
        !self.pauses.is_empty()
            || self.members.iter().any(|member| member.place == place && member.starting.is_some())
    }

    /// Kills a node without any farewell to the others.
    pub fn crash(&mut self, index: usize) {
        if let Some(running) = self.members[index].running.take() {
            self.network.crash(running.node.id());
            running.node.crash();
        }
    }

    /// Pauses a node: for `lasts` it receives no frame, sends no frame, and its stores do not
    /// answer.
    pub fn pause(&mut self, index: usize, lasts: Duration) {
        let Some(running) = &self.members[index].running else { return };
        let until = SystemClock.now() + lasts;
        for stores in &running.stores {
            stores.stand_still(until);
        }
        self.network.isolate(running.node.id());
        self.pauses.push((until, running.node.id().clone()));
    }

    /// Ends the pauses whose time is over.
    pub fn end_pauses(&mut self) {
        let now = SystemClock.now();
        let ended: Vec<NodeId> =
            self.pauses.extract_if(.., |(until, _)| *until <= now).map(|(_, id)| id).collect();
        let all: Vec<NodeId> =
            self.running().map(|(_, running)| running.node.id().clone()).collect();
        for id in ended {
            for other in all.iter().filter(|other| **other != id) {
                self.network.heal(&id, other);
            }
        }
    }

    /// Ends all pauses.
    pub fn end_all_pauses(&mut self) {
        self.pauses.clear();
        for (_, running) in self.running() {
            for stores in &running.stores {
                stores.stand_still(SystemClock.now());
            }
        }
    }

    /// Ends the nodes that were declared dead, as their processes would end, and starts them again.
    pub fn restart_fenced(&mut self) {
        for index in 0..self.members.len() {
            let is_fenced = self.members[index].running.as_ref().is_some_and(|running| {
                matches!(
                    *running.node.liveness().borrow(),
                    antiphon_runtime::node::Liveness::Fenced(_)
                )
            });
            if is_fenced {
                self.crash(index);
                self.begin_start(index);
            }
        }
    }

    pub fn running(&self) -> impl Iterator<Item = (&Member<U>, &Running<U>)> {
        self.members.iter().filter_map(|member| Some((member, member.running.as_ref()?)))
    }

    /// The stores of a place, without faults.
    pub fn stores(&self, place: usize) -> Stores {
        self.places[place].1.stores()
    }
}

/// Starts a node with its entity types. `None`: its store failed all the time, and another attempt
/// may succeed.
async fn start<U: UserCode>(
    settings: NodeSettings,
    parts: NodeParts,
    starter: Starter<U::Started>,
) -> Result<Option<(Node, U::Started)>> {
    let node = match Node::start(settings, parts).await {
        Ok(node) => node,
        Err(error) => {
            tracing::debug!(%error, "a simulated node does not start");
            tokio::time::sleep(Duration::from_millis(300)).await;
            return Ok(None);
        }
    };
    match starter(node.clone()).await {
        Ok(started) => Ok(Some((node, started))),
        Err(error) => {
            node.crash();
            if error.kind() == ErrorKind::Unavailable { Ok(None) } else { Err(error) }
        }
    }
}
