//! The entity of the simulation: a list of lines, each with the number of lines that its writer had
//! seen, so that causes can be checked without the version vectors.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::Clock;
use antiphon_base::{Error, Result};
use antiphon_persistence::codec::CodecId;
use antiphon_persistence::entity::{
    CommandContext, DueReminder, Effect, EventContext, EventSourced, Signal,
};
use antiphon_persistence::event::{EventMeta, Labels, Metadata, Payload, Tags};
use antiphon_persistence::identity::{ReplicaId, ReplicationId};
use antiphon_persistence::reply::ReplyTo;
use antiphon_sharding::{ReplicatedEntityProvider, ShardingSettings};
use serde::{Deserialize, Serialize};

use crate::acts::{Acts, Key};
use crate::orders::{Change, Fired, Handler, Order, Place, Reminders};
use crate::user::UserFaults;

/// The commands of a ledger.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Adds lines; answers with the number of lines.
    Add { lines: Vec<u64>, reply_to: ReplyTo<u64> },
    /// The same, with an order about a reminder.
    Order { lines: Vec<u64>, order: Order, reply_to: ReplyTo<u64> },
    /// The future of a reminder's handler is over.
    Fired(Fired),
    /// Answers with the number of this replica's own lines.
    Read { reply_to: ReplyTo<u64> },
    /// Stops the entity.
    Stop,
    /// Begins an effect that never ends.
    Hang,
}

const OF_CLIENT: &str = "client";
const OF_ENTITY: &str = "entity";

/// Metadata with these entries.
pub(crate) fn metadata(of_client: Option<u64>, of_entity: Option<u64>) -> Metadata {
    let entries = [(OF_CLIENT, of_client), (OF_ENTITY, of_entity)];
    let mut given = entries.into_iter().filter_map(|(key, value)| Some((key, value?)));
    let with = |all: Metadata, (key, value): (&str, u64)| all.with(key, value.to_string());
    given.try_fold(Metadata::new(), with).expect("two short entries")
}

/// A line was added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Added {
    /// The line, unique in a run.
    pub(crate) line: u64,
    /// By origin, the number of lines that the writer had seen.
    pub(crate) causes: BTreeMap<ReplicaId, u64>,
    /// The entries of metadata that the command had and that the effect added, if any.
    of_client: Option<u64>,
    of_entity: Option<u64>,
    pub(crate) change: Option<Change>,
    pub(crate) fired: Option<Fired>,
    /// The line of another replica to which the event is a reaction.
    pub(crate) reacts_to: Option<u64>,
}

impl Added {
    /// A line that a handler adds without a command of a client.
    fn by_itself(line: u64, state: &State) -> Self {
        let causes = state.seen.clone();
        let (of_client, of_entity, change, fired, reacts_to) = (None, None, None, None, None);
        Self { line, causes, of_client, of_entity, change, fired, reacts_to }
    }

    /// The tags of the line; some have none.
    fn tags(&self) -> Tags {
        if self.line.is_multiple_of(3) {
            return Tags::none();
        }
        Tags::from([format!("line-{}", self.line % 4), "line".to_owned()])
    }

    /// Checks the labels that are stored with the line. The error is the difference.
    pub(crate) fn check_labels(&self, labels: &Labels) -> std::result::Result<(), String> {
        let line = self.line;
        if *labels.tags() != self.tags() {
            return Err(format!("line {line} has {:?}, {:?} follow", labels.tags(), self.tags()));
        }
        let own = |all: &Metadata| {
            let entries = all.iter().filter(|(key, _)| !key.starts_with("antiphon."));
            entries.map(|(key, value)| (key.to_owned(), value.to_owned())).collect::<Vec<_>>()
        };
        if own(labels.metadata()) != own(&metadata(self.of_client, self.of_entity)) {
            return Err(format!("line {line} has {:?}", labels.metadata()));
        }
        Ok(())
    }
}

/// By origin, the lines; sums that commute.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) seen: BTreeMap<ReplicaId, u64>,
    pub(crate) lines: Vec<u64>,
    pub(crate) reminders: Reminders,
}

impl State {
    /// Takes an event of this origin and time, at a replica.
    pub(crate) fn apply(
        &mut self,
        replica: &ReplicaId,
        origin: &ReplicaId,
        time: u64,
        event: &Added,
    ) {
        let number = self.seen.entry(origin.clone()).or_default();
        *number += 1;
        let place = Place { replica, origin, number: *number, time };
        let parts = (event.change.as_ref(), event.fired.as_ref());
        self.reminders.apply(&place, (event.line, &event.causes), parts);
        self.lines.push(event.line);
    }
}

/// The surroundings of the ledgers of one node.
#[derive(Clone)]
pub(crate) struct Around {
    pub(crate) faults: UserFaults,
    pub(crate) acts: Acts,
    pub(crate) clock: Arc<dyn Clock>,
    /// The incarnation of the node.
    pub(crate) node: u64,
    /// True when ledgers react to the events of other replicas.
    pub(crate) reacts: bool,
}

pub(crate) struct Ledger {
    place: ReplicaId,
    around: Around,
}

fn key(context: &CommandContext) -> Key {
    (context.entity_id().to_owned(), context.replica_id().clone())
}

impl Ledger {
    fn add(
        &self,
        context: &CommandContext,
        state: &State,
        lines: Vec<u64>,
        order: Option<Order>,
    ) -> Effect<Self> {
        for line in &lines {
            self.around.faults.command(&self.place, *line);
        }
        let came = context.metadata().get(OF_CLIENT);
        let of_client = came.map(|line| line.parse().expect("the number of a line"));
        let of_entity = lines.first().copied().filter(|line| line.is_multiple_of(5));
        let mut causes = state.seen.clone();
        let mut events: Vec<Added> = Vec::new();
        for line in lines {
            let event = Added::by_itself(line, state);
            events.push(Added { causes: causes.clone(), of_client, of_entity, ..event });
            *causes.entry(context.replica_id().clone()).or_default() += 1;
        }
        let change = order
            .as_ref()
            .map(|order| order.change(context.current_time(), self.around.clock.wall()));
        if let Some(last) = events.last_mut() {
            last.change.clone_from(&change);
        }
        let mut effect = Effect::persist_all(events);
        if let (Some(order), Some(change)) = (order, change) {
            effect = order.on(effect, &change);
        }
        match of_entity {
            Some(line) => effect.with_metadata(OF_ENTITY, line.to_string()),
            None => effect,
        }
    }

    /// The effect that stores that a reminder has fired.
    fn store_fired(&self, state: &State, fired: Fired) -> Effect<Self> {
        let line = self.around.acts.line();
        Effect::persist(Added { fired: Some(fired), ..Added::by_itself(line, state) })
    }
}

impl EventSourced for Ledger {
    type Command = Command;
    type Event = Added;
    type State = State;

    fn on_command(
        &self,
        context: &CommandContext,
        state: &State,
        command: Command,
    ) -> Effect<Self> {
        match command {
            Command::Add { lines, reply_to } => {
                let effect = self.add(context, state, lines, None);
                effect.then_reply(reply_to, |state: &State| state.lines.len() as u64)
            }
            Command::Order { lines, order, reply_to } => {
                let effect = self.add(context, state, lines, Some(order));
                effect.then_reply(reply_to, |state: &State| state.lines.len() as u64)
            }
            Command::Fired(fired) => self.store_fired(state, fired),
            Command::Read { reply_to } => {
                let own = state.seen.get(context.replica_id()).copied().unwrap_or(0);
                Effect::reply(reply_to, own)
            }
            Command::Stop => Effect::none().then_stop(),
            Command::Hang => Effect::asynchronous(std::future::pending()),
        }
    }

    fn on_event(&self, context: &EventContext, state: &mut State, event: &Added) {
        self.around.faults.event(&self.place, event.line);
        let (replica, time) = (context.replica_id(), context.current_time().as_micros());
        state.apply(replica, context.origin(), time, event);
    }

    fn on_reminder(
        &self,
        context: &CommandContext,
        state: &State,
        due: &DueReminder,
    ) -> Effect<Self> {
        let Around { acts, clock, faults, .. } = &self.around;
        let ended = acts.with(|log| log.ended.get(&key(context)).cloned().unwrap_or_default());
        let set = match state.reminders.turn(context.replica_id(), clock.wall(), due, &ended) {
            Ok(set) => set,
            Err(why) => {
                acts.broken(&key(context), &why);
                return Effect::none();
            }
        };
        faults.command(&self.place, set.line);
        let name = due.name.to_string();
        let fired = Fired { name, line: set.line, due: due.due.as_micros() };
        // the times that it has missed do not come any more
        acts.fires(key(context), set.line, fired.due + due.missed * set.times.every.unwrap_or(0));
        match Handler::of(&due.name) {
            Handler::Silent => {
                if set.times.every.is_none() {
                    acts.end_silently(key(context), state.reminders.up_to(&due.name, set));
                }
                Effect::none()
            }
            Handler::Storing => self.store_fired(state, fired),
            Handler::Later => Effect::asynchronous(async move {
                tokio::time::sleep(Duration::from_millis(30)).await;
                Command::Fired(fired)
            }),
        }
    }

    fn reacts(&self, _: &ReplicationId) -> bool {
        self.around.reacts
    }

    fn on_replicated(
        &self,
        context: &CommandContext,
        state: &State,
        event: &Added,
        _: &EventMeta,
    ) -> Effect<Self> {
        let (acts, line) = (&self.around.acts, event.line);
        let place = state.lines.iter().position(|known| *known == line).map(|index| index + 1);
        acts.reacts(key(context), self.around.node, line, place);
        let is_by_client = event.fired.is_none() && event.reacts_to.is_none();
        if !is_by_client || line % 7 != 3 {
            return Effect::none();
        }
        Effect::persist(Added { reacts_to: Some(line), ..Added::by_itself(acts.line(), state) })
    }

    fn on_signal(&self, context: &CommandContext, state: &State, signal: &Signal) {
        let Around { acts, node, .. } = &self.around;
        if *signal == Signal::RecoveryCompleted {
            acts.begins(key(context), *node, state.lines.len());
        } else if matches!(signal, Signal::PreRestart(_) | Signal::PostStop) {
            acts.ends(key(context), *node);
        }
    }

    fn tags(&self, event: &Added) -> Tags {
        event.tags()
    }

    fn from_journal(&self, payload: &Payload) -> Result<Vec<Added>> {
        let added: Added = CodecId::from_stored(payload.codec)?.decode(&payload.bytes)?;
        if self.around.faults.is_unreadable(&self.place, added.line) {
            return Err(Error::corrupt(format!("line {}: the simulation wants it", added.line)));
        }
        Ok(vec![added])
    }

    fn snapshot_version(&self) -> u16 {
        self.around.faults.snapshot_version(&self.place)
    }
}

pub(crate) const TYPE: &str = "ledger";

pub(crate) fn provider(
    replicas: Vec<ReplicaId>,
    settings: ShardingSettings,
    around: Around,
) -> ReplicatedEntityProvider<Ledger> {
    ReplicatedEntityProvider::per_role(TYPE, replicas, move |id: &ReplicationId| Ledger {
        place: id.replica_id().clone(),
        around: around.clone(),
    })
    .with_settings(settings)
}
