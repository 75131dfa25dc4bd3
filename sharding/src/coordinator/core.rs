//! The rules of the coordinator: a pure core. The choice of homes is in `allocation`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::backoff::{Backoff, Retry};
use antiphon_persistence::identity::ReplicaId;
use antiphon_persistence::store::FencingToken;
use antiphon_runtime::{Member, MemberState, Membership, NodeId};
use tokio::time::Instant;

use super::allocation::{Allocation, Candidates, Move, Planned};
use super::{Home, Homes, HomesVersion, MoveId};
use crate::{Roles, ShardId, roles};

/// Hosts that the coordinator remembers. At this number it forgets the hosts that are not members.
const HOSTS_MAX: usize = 1024;

/// Limits of the coordinator.
#[derive(Debug, Clone)]
pub struct CoordinatorSettings {
    /// Time to wait for nodes to make themselves known before the nodes known so far get shards.
    pub join_wait: Duration,
    /// Time between two searches for nodes with too many shards.
    pub rebalance_interval: Duration,
    /// Most shards that move for balance at the same time.
    pub rebalance_moves_max: usize,
    /// Longest wait before a failed read or write is repeated.
    pub retry_delay_max: Duration,
}

/// A fact for the coordinator.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// The lease that this node holds; `None` when it holds none.
    Lease(Option<FencingToken>),
    /// The members that are known now.
    Members(Arc<Membership>),
    /// The homes as the store has them; `None` when the store could not be read.
    Loaded(FencingToken, Option<BTreeMap<ShardId, NodeId>>),
    /// The node hosts entities of the type.
    Host(NodeId),
    /// The shard has stopped at its old home, as this node says.
    ShardStopped(ShardId, MoveId, NodeId),
    /// The write has ended.
    Written(FencingToken, WriteOutcome),
    /// Time has passed.
    Tick,
}

/// The outcome of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteOutcome {
    /// The write is in the store.
    Applied,
    /// The write was refused: a newer coordinator has raised the token.
    Refused,
    /// The write is in the store, or may still get there, or has failed.
    Unknown,
}

/// A request of the coordinator.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Raise the table's token to this one, then read the table, and answer with `Loaded`.
    Load(FencingToken),
    /// Write these homes under the token, and answer with `Written`.
    Write(FencingToken, BTreeMap<ShardId, NodeId>),
    /// Send the homes to all regions.
    Publish(Homes),
    /// Count a report of this node, which is not the home of the shard that it reports.
    Refuse(NodeId),
}

#[derive(Debug)]
struct Active {
    token: FencingToken,
    change: u64,
    since: Instant,
    rebalance_at: Instant,
    homes: BTreeMap<ShardId, NodeId>,
    /// The homes of shards that this coordinator does not know. They are told and never changed:
    /// nodes with other replicas may have these shards.
    strange: BTreeMap<ShardId, NodeId>,
    moves: BTreeMap<ShardId, Move>,
    hosts: BTreeSet<NodeId>,
    /// Homes that must be in the store before anything else is decided.
    writing: Option<BTreeMap<ShardId, NodeId>>,
    under_way: bool,
    retry: Retry,
}

#[derive(Debug)]
enum State {
    /// Another node holds the lease.
    Idle,
    /// The homes are being read.
    Loading { token: FencingToken, under_way: bool, retry: Retry },
    /// The coordinator decides.
    Active(Box<Active>),
}

/// The coordinator of one entity type in one place.
///
/// Invariants: a home is published only after it was written; a shard gets another home only when
/// its old home has stopped it, or is dead and sealed.
#[derive(Debug)]
pub struct CoordinatorCore {
    entity_type: Arc<str>,
    place: Arc<str>,
    shards: Vec<ShardId>,
    roles: Roles,
    /// The replicas of the shards.
    replicas: BTreeSet<ReplicaId>,
    /// Replicas that a living member has at another place.
    contested: BTreeSet<ReplicaId>,
    settings: CoordinatorSettings,
    members: Arc<Membership>,
    state: State,
    /// Tokens of the writes that were under way when this node lost the lease. Homes are not read
    /// under such a token before its write has ended: it could take effect after the read.
    abandoned: Vec<FencingToken>,
    /// Newest version that was published: regions ignore lower ones.
    told: HomesVersion,
}

impl CoordinatorCore {
    /// The coordinator of these shards, whose replicas need these roles.
    pub fn new(
        entity_type: Arc<str>,
        place: Arc<str>,
        shards: Vec<ShardId>,
        roles: Roles,
        settings: CoordinatorSettings,
    ) -> Self {
        let replicas = shards.iter().map(|shard| shard.replica.clone()).collect();
        Self {
            entity_type,
            place,
            shards,
            roles,
            replicas,
            contested: BTreeSet::new(),
            settings,
            members: Arc::default(),
            state: State::Idle,
            abandoned: Vec::new(),
            told: HomesVersion::default(),
        }
    }

    /// Advances the coordinator by one input.
    pub fn step(&mut self, now: Instant, input: Input) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Lease(lease) => self.lease(lease, &mut effects),
            Input::Members(members) => {
                self.members = members;
                self.contested = self.contested();
            }
            Input::Loaded(token, homes) => self.loaded(now, token, homes),
            Input::Host(node) => {
                if let State::Active(active) = &mut self.state {
                    if active.hosts.len() >= HOSTS_MAX {
                        // strangers must not fill the memory with their names
                        active.hosts.retain(|host| self.members.get(host).is_some());
                    }
                    active.hosts.insert(node);
                }
            }
            Input::ShardStopped(shard, id, from) => self.stopped(&shard, id, from, &mut effects),
            Input::Written(token, outcome) => self.written(now, token, outcome, &mut effects),
            Input::Tick => self.tick(now, &mut effects),
        }
        self.plan(now, &mut effects);
        if let State::Active(active) = &self.state {
            self.told = self.told.max(active.version());
        }
        self.check();
        effects
    }

    /// The homes as regions may know them; `None` while this node is not the active coordinator.
    pub fn homes(&self) -> Option<Homes> {
        match &self.state {
            State::Active(active) => Some(active.told()),
            State::Idle | State::Loading { .. } => None,
        }
    }

    fn contested(&self) -> BTreeSet<ReplicaId> {
        let living: Vec<_> =
            self.members.all().filter(|member| member.state != MemberState::Dead).collect();
        let is_elsewhere = |replica: &&ReplicaId| {
            living.iter().any(|member| {
                let place = roles::place_at(member, &self.entity_type, replica).flatten();
                place.is_some_and(|place| *place != self.place)
            })
        };
        self.replicas.iter().filter(is_elsewhere).cloned().collect()
    }

    fn lease(&mut self, lease: Option<FencingToken>, effects: &mut Vec<Effect>) {
        let current = match &self.state {
            State::Idle => None,
            State::Loading { token, .. } => Some(*token),
            State::Active(active) => Some(active.token),
        };
        if current == lease {
            return;
        }
        if let State::Active(active) = &self.state
            && active.under_way
        {
            self.abandoned.push(active.token);
        }
        match lease {
            None => self.state = State::Idle,
            Some(token) => {
                let under_way = !self.abandoned.contains(&token);
                self.state = State::Loading { token, under_way, retry: Retry::default() };
                effects.extend(under_way.then_some(Effect::Load(token)));
            }
        }
    }

    fn loaded(
        &mut self,
        now: Instant,
        token: FencingToken,
        homes: Option<BTreeMap<ShardId, NodeId>>,
    ) {
        let State::Loading { token: current, under_way, retry } = &mut self.state else { return };
        if *current != token {
            return;
        }
        *under_way = false;
        let Some(homes) = homes else {
            return retry.failed(now, Backoff::up_to(self.settings.retry_delay_max), &self.place);
        };
        // the same lease again: regions know the homes that were published under it before
        let change = if self.told.token == token.0 { self.told.change + 1 } else { 1 };
        let known: BTreeSet<&ShardId> = self.shards.iter().collect();
        let (homes, strange) = homes.into_iter().partition(|(shard, _)| known.contains(shard));
        self.state = State::Active(Box::new(Active {
            token,
            change,
            since: now,
            rebalance_at: now + self.settings.rebalance_interval,
            homes,
            strange,
            moves: BTreeMap::new(),
            hosts: BTreeSet::new(),
            writing: None,
            under_way: false,
            retry: Retry::default(),
        }));
    }

    fn stopped(&mut self, shard: &ShardId, id: MoveId, from: NodeId, effects: &mut Vec<Effect>) {
        let State::Active(active) = &mut self.state else { return };
        // a late report about an earlier move says nothing about this one
        let Some(going) = active.moves.get_mut(shard).filter(|going| going.id == id) else {
            return;
        };
        if active.homes.get(shard) == Some(&from) {
            going.has_stopped = true;
        } else {
            effects.push(Effect::Refuse(from));
        }
    }

    fn written(
        &mut self,
        now: Instant,
        token: FencingToken,
        outcome: WriteOutcome,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(index) = self.abandoned.iter().position(|abandoned| *abandoned == token) {
            self.abandoned.swap_remove(index);
            return;
        }
        let State::Active(active) = &mut self.state else {
            panic!("a write under {token:?} ended that was not under way");
        };
        assert!(
            active.token == token && active.under_way,
            "a write under {token:?} ended that was not under way"
        );
        active.under_way = false;
        match outcome {
            // the same write is repeated
            WriteOutcome::Unknown => {
                active.retry.failed(
                    now,
                    Backoff::up_to(self.settings.retry_delay_max),
                    &self.place,
                );
            }
            WriteOutcome::Refused => self.state = State::Idle,
            WriteOutcome::Applied => {
                active.retry.reset();
                let written = active.writing.take().expect("it was under way");
                for shard in written.keys() {
                    active.moves.remove(shard);
                }
                active.homes.extend(written);
                active.change += 1;
                effects.push(Effect::Publish(active.told()));
            }
        }
    }

    fn tick(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        match &mut self.state {
            State::Idle => {}
            State::Loading { token, under_way, retry } => {
                if !*under_way && retry.is_due(now) && !self.abandoned.contains(token) {
                    *under_way = true;
                    effects.push(Effect::Load(*token));
                }
            }
            State::Active(active) => {
                if let Some(writing) = &active.writing
                    && !active.under_way
                    && active.retry.is_due(now)
                {
                    active.under_way = true;
                    effects.push(Effect::Write(active.token, writing.clone()));
                }
            }
        }
    }

    /// Decides everything that can be decided now: homes to write, or shards to move.
    fn plan(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        let State::Active(active) = &mut self.state else { return };
        if active.writing.is_some() {
            return;
        }
        let up: Vec<&Member> = self.members.up_in(&self.place).collect();
        let (entity_type, roles) = (&*self.entity_type, &self.roles);
        let fits = |member: &Member| {
            self.replicas.iter().any(|replica| roles.fits(entity_type, replica, member))
        };
        let mut hosts = up.iter().filter(|member| fits(member));
        let all_known = hosts.all(|member| active.hosts.contains(&member.id));
        let waited = now.duration_since(active.since) >= self.settings.join_wait;
        if !(all_known || waited) {
            return;
        }
        let of = |replica| {
            let can = |member: &&&Member| {
                active.hosts.contains(&member.id) && roles.fits(entity_type, replica, member)
            };
            (replica, up.iter().filter(can).map(|member| &member.id).collect())
        };
        let candidates: Candidates<'_> = self.replicas.iter().map(of).collect();
        let allocation = Allocation {
            homes: &active.homes,
            moves: &active.moves,
            members: &self.members,
            entity_type,
            roles,
            contested: &self.contested,
            candidates: &candidates,
        };
        let homeless = allocation.homeless(&self.shards);
        if !homeless.is_empty() {
            let written = allocation.assign(&homeless);
            effects.push(Effect::Write(active.token, written.clone()));
            (active.writing, active.under_way) = (Some(written), true);
            return;
        }
        let in_vain = allocation.in_vain();
        if !in_vain.is_empty() {
            for shard in in_vain {
                active.moves.remove(&shard);
            }
            active.change += 1;
            effects.push(Effect::Publish(active.told()));
            return;
        }
        let any = |shard| (shard, None);
        let mut moving: Planned = allocation.leaving().into_iter().map(any).collect();
        if moving.is_empty() && now >= active.rebalance_at {
            active.rebalance_at = now + self.settings.rebalance_interval;
            let moves_max = self.settings.rebalance_moves_max;
            moving = allocation.misplaced(moves_max).into_iter().map(any).collect();
            if moving.is_empty() {
                moving = allocation.unbalanced(moves_max);
            }
            if moving.is_empty() {
                moving = allocation.crowded(moves_max);
            }
        }
        if !moving.is_empty() {
            active.change += 1;
            let id = active.version();
            for (shard, to) in moving {
                active.moves.insert(shard, Move { id, has_stopped: false, to });
            }
            effects.push(Effect::Publish(active.told()));
        }
    }

    /// Panics when an invariant is broken.
    fn check(&self) {
        let State::Active(active) = &self.state else { return };
        for shard in active.moves.keys() {
            assert!(active.homes.contains_key(shard), "{shard} moves and has no home");
        }
        assert!(!active.under_way || active.writing.is_some(), "nothing is being written");
    }
}

impl Active {
    fn version(&self) -> HomesVersion {
        HomesVersion { token: self.token.0, change: self.change }
    }

    fn told(&self) -> Homes {
        let home = |shard: &ShardId, node: &NodeId| match self.moves.get(shard) {
            Some(going) => Home::Moving(node.clone(), going.id),
            None => Home::At(node.clone()),
        };
        let homes = self.homes.iter().chain(&self.strange);
        let homes = homes.map(|(shard, node)| (shard.clone(), home(shard, node)));
        Homes { version: self.version(), homes: homes.collect() }
    }
}
