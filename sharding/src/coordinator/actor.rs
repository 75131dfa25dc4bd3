//! The coordinator's actor. Turns leases, members and requests into inputs, and runs the effects on
//! the store and the links.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_base::guard::{self, Guarded};
use antiphon_base::task;
use antiphon_persistence::store::{Coordination, FencedOutcome, FencingToken};
use antiphon_runtime::{LeaseState, Membership, Node, NodeId, Responder};
use bytes::Bytes;
use ractor::{Actor, ActorProcessingErr, ActorRef, ActorRuntime};

use super::core::WriteOutcome;
use super::{CoordinatorCore, CoordinatorSettings, Effect, Homes, HomesVersion, Input};
use crate::admission::{Refusal, Refusals};
use crate::wire::{Asker, HomesAnswer, SHARDING, Wire};
use crate::{Roles, ShardId};

/// Parts of a coordinator.
pub(crate) struct CoordinatorParts {
    pub(crate) node: Node,
    pub(crate) entity_type: Arc<str>,
    pub(crate) shards: Vec<ShardId>,
    pub(crate) roles: Roles,
    pub(crate) settings: CoordinatorSettings,
    pub(crate) tick_interval: std::time::Duration,
}

#[derive(Debug)]
pub(crate) enum Message {
    Input(Input),
    /// A region asks for homes newer than its own.
    Ask {
        from: NodeId,
        known: HomesVersion,
        asker: Asker,
        responder: Responder,
    },
}

antiphon_persistence::local_message!(Message);

/// The coordinator of one entity type at this node. It decides only while the node holds the lease.
#[derive(Clone)]
pub(crate) struct CoordinatorHandle {
    actor: ActorRef<Message>,
}

impl CoordinatorHandle {
    pub(crate) fn start(parts: CoordinatorParts) -> antiphon_base::Result<Self> {
        let node = parts.node.clone();
        let tick_interval = parts.tick_interval;
        let (actor, _) =
            ActorRuntime::spawn_instant(None, CoordinatorActor, parts).map_err(|error| {
                antiphon_base::Error::bug(format!("the coordinator cannot start: {error}"))
            })?;
        let handle = Self { actor };
        handle.follow(&node, tick_interval);
        Ok(handle)
    }

    fn follow(&self, node: &Node, tick_interval: std::time::Duration) {
        let (mut members, mut leases) = (node.members(), node.coordinator_lease());
        let actor = self.actor.clone();
        let send_members = move |members: Arc<Membership>| {
            let _ = actor.send_message(Message::Input(Input::Members(members)));
        };
        let actor = self.actor.clone();
        let send_lease = move |leases: &LeaseState| {
            let _ = actor.send_message(Message::Input(Input::Lease(leases.held)));
        };
        node.spawn("coordinator members", async move {
            loop {
                send_members(members.borrow_and_update().clone());
                if members.changed().await.is_err() {
                    return;
                }
            }
        });
        node.spawn("coordinator lease", async move {
            loop {
                send_lease(&leases.borrow_and_update());
                if leases.changed().await.is_err() {
                    return;
                }
            }
        });
        let actor = self.actor.clone();
        node.spawn("coordinator tick", async move {
            loop {
                tokio::time::sleep(tick_interval).await;
                if actor.send_message(Message::Input(Input::Tick)).is_err() {
                    return;
                }
            }
        });
    }

    pub(crate) fn ask(&self, from: &NodeId, known: HomesVersion, asker: Asker, to: Responder) {
        let from = from.clone();
        // a stopped coordinator drops the responder, which answers the region
        let _ = self.actor.send_message(Message::Ask { from, known, asker, responder: to });
    }

    pub(crate) fn input(&self, input: Input) {
        let _ = self.actor.send_message(Message::Input(input));
    }

    pub(crate) fn stop(&self) {
        self.actor.stop(None);
    }
}

struct CoordinatorActor;

struct State {
    core: CoordinatorCore,
    node: Node,
    entity_type: Arc<str>,
    members: Arc<Membership>,
    refusals: Arc<Refusals>,
}

impl Actor for CoordinatorActor {
    type Msg = Message;
    type State = State;
    type Arguments = CoordinatorParts;

    async fn pre_start(
        &self,
        _: ActorRef<Message>,
        parts: CoordinatorParts,
    ) -> Result<State, ActorProcessingErr> {
        let place: Arc<str> = parts.node.place().into();
        Ok(State {
            core: CoordinatorCore::new(
                parts.entity_type.clone(),
                place,
                parts.shards,
                parts.roles,
                parts.settings,
            ),
            refusals: Refusals::of(&parts.node),
            node: parts.node,
            entity_type: parts.entity_type,
            members: Arc::default(),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let input = match message {
            Message::Input(input) => {
                if let Input::Members(members) = &input {
                    state.members = members.clone();
                }
                input
            }
            Message::Ask { from, known, asker, responder } => {
                responder.reply(answer(&state.core, known).encode());
                if asker == Asker::Proxy {
                    return Ok(());
                }
                Input::Host(from)
            }
        };
        let now = state.node.clock().now();
        let stepped =
            guard::call("the coordinator", &state.entity_type, || state.core.step(now, input));
        match stepped {
            Ok(effects) => effects.into_iter().for_each(|effect| run(&myself, state, effect)),
            // a broken invariant: another node takes the lease and decides from the store
            Err(_) => {
                let why = "the coordinator of this node has a broken invariant: report the panic";
                state.node.fence(why);
                myself.stop(None);
            }
        }
        Ok(())
    }
}

fn answer(core: &CoordinatorCore, known: HomesVersion) -> HomesAnswer {
    match core.homes() {
        None => HomesAnswer::NotCoordinator,
        Some(homes) if homes.version == known => HomesAnswer::Unchanged,
        Some(homes) => HomesAnswer::Changed(homes),
    }
}

/// The coordination table with the homes of a type's shards in one place: a row for each shard,
/// whose key is the text of its [`ShardId`].
pub fn homes_table(entity_type: &str) -> String {
    format!("shards/{entity_type}")
}

fn run(myself: &ActorRef<Message>, state: &State, effect: Effect) {
    let store = state.node.stores().coordination.clone();
    let table = homes_table(&state.entity_type);
    let myself = myself.clone();
    // a limit for reads only: an abandoned write could take effect after a later one, so the
    // coordinator waits until the store ends it
    let limit = state.node.settings().store_timeout;
    match effect {
        Effect::Load(token) => {
            let call = async move {
                let homes = limited(limit, load(&*store, &table, token)).await;
                let homes = homes.inspect_err(|error| {
                    tracing::warn!(%table, %error, "homes cannot be read");
                });
                Input::Loaded(token, homes.ok())
            };
            answered(myself, "load homes", Input::Loaded(token, None), call);
        }
        Effect::Write(token, homes) => {
            let call = async move {
                let outcome = write(&*store, &table, token, &homes).await;
                Input::Written(token, outcome)
            };
            let lost = Input::Written(token, WriteOutcome::Unknown);
            answered(myself, "write homes", lost, call);
        }
        Effect::Publish(homes) => publish(state, homes),
        Effect::Refuse(from) => state.refusals.refused(&from, Refusal::NotTheHome),
    }
}

/// Runs a store call and sends its result as an input, or `lost` when the store panics: the core
/// waits for exactly one such input.
fn answered(
    myself: ActorRef<Message>,
    name: &'static str,
    lost: Input,
    call: impl Future<Output = Input> + Send + 'static,
) {
    let call = Guarded::new(name, "the coordinator".into(), Box::pin(call));
    task::spawn(name, async move {
        let input = call.await.unwrap_or(lost);
        let _ = myself.send_message(Message::Input(input));
    });
}

async fn write(
    store: &dyn Coordination,
    table: &str,
    token: FencingToken,
    homes: &BTreeMap<ShardId, NodeId>,
) -> WriteOutcome {
    let row = |(shard, node): (&ShardId, &NodeId)| {
        (Arc::from(shard.to_string()), Some(Bytes::from(node.to_string())))
    };
    let rows: Vec<(Arc<str>, Option<Bytes>)> = homes.iter().map(row).collect();
    match store.put_fenced(table, token, &rows).await {
        Ok(FencedOutcome::Applied) => WriteOutcome::Applied,
        Ok(FencedOutcome::Refused(newer)) => {
            tracing::info!(%table, ?newer, "another coordinator has taken over");
            WriteOutcome::Refused
        }
        Err(error) => {
            tracing::warn!(%table, %error, "homes cannot be written, trying again");
            WriteOutcome::Unknown
        }
    }
}

async fn limited<T>(
    limit: std::time::Duration,
    call: impl Future<Output = antiphon_base::Result<T>>,
) -> antiphon_base::Result<T> {
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
        let why = format!("no answer within {limit:?} (`store_timeout`)");
        Err(antiphon_base::Error::timeout(why))
    })
}

async fn load(
    store: &dyn Coordination,
    table: &str,
    token: FencingToken,
) -> antiphon_base::Result<BTreeMap<ShardId, NodeId>> {
    store.raise_token(table, token).await?;
    let mut homes = BTreeMap::new();
    for row in store.scan(table).await?.rows {
        let text = String::from_utf8_lossy(&row.value);
        homes.insert(row.key.parse()?, text.parse()?);
    }
    Ok(homes)
}

/// Sends the homes to all members that are not gone. A region that misses them asks for them.
fn publish(state: &State, homes: Homes) {
    let message = Wire::Homes {
        entity_type: state.entity_type.clone(),
        place: state.node.place().into(),
        homes,
    };
    let message = message.encode();
    for member in state.members.all().filter(|member| !member.is_gone()) {
        let _ = state.node.gate().tell(&member.id, SHARDING, message.clone());
    }
}
