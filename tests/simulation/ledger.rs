//! The entity of the simulation: a list of lines, each with the number of lines that its writer had
//! seen, so that causes can be checked without the version vectors.

use std::collections::BTreeMap;

use antiphon_base::{Error, Result};
use antiphon_persistence::codec::CodecId;
use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
use antiphon_persistence::event::{Labels, Metadata, Payload, Tags};
use antiphon_persistence::identity::{ReplicaId, ReplicationId};
use antiphon_persistence::reply::ReplyTo;
use antiphon_sharding::{ReplicatedEntityProvider, ShardingSettings};
use serde::{Deserialize, Serialize};

use crate::user::UserFaults;

/// The commands of a ledger.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Command {
    /// Adds lines; answers with the number of lines.
    Add { lines: Vec<u64>, reply_to: ReplyTo<u64> },
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
}

impl Added {
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
        if *labels.metadata() != metadata(self.of_client, self.of_entity) {
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
}

pub(crate) struct Ledger {
    place: ReplicaId,
    faults: UserFaults,
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
                for line in &lines {
                    self.faults.command(&self.place, *line);
                }
                let mut causes = state.seen.clone();
                let came = context.metadata().get(OF_CLIENT);
                let of_client = came.map(|line| line.parse().expect("the number of a line"));
                let of_entity = lines.first().copied().filter(|line| line.is_multiple_of(5));
                let events = lines.into_iter().map(move |line| {
                    let event = Added { line, causes: causes.clone(), of_client, of_entity };
                    *causes.entry(context.replica_id().clone()).or_default() += 1;
                    event
                });
                let effect = Effect::persist_all(events.collect::<Vec<_>>());
                let effect = match of_entity {
                    Some(line) => effect.with_metadata(OF_ENTITY, line.to_string()),
                    None => effect,
                };
                effect.then_reply(reply_to, |state: &State| state.lines.len() as u64)
            }
            Command::Read { reply_to } => {
                let own = state.seen.get(context.replica_id()).copied().unwrap_or(0);
                Effect::reply(reply_to, own)
            }
            Command::Stop => Effect::none().then_stop(),
            Command::Hang => Effect::asynchronous(std::future::pending()),
        }
    }

    fn on_event(&self, context: &EventContext, state: &mut State, event: &Added) {
        self.faults.event(&self.place, event.line);
        *state.seen.entry(context.origin().clone()).or_default() += 1;
        state.lines.push(event.line);
    }

    fn tags(&self, event: &Added) -> Tags {
        event.tags()
    }

    fn from_journal(&self, payload: &Payload) -> Result<Vec<Added>> {
        let added: Added = CodecId::from_stored(payload.codec)?.decode(&payload.bytes)?;
        if self.faults.is_unreadable(&self.place, added.line) {
            return Err(Error::corrupt(format!("line {}: the simulation wants it", added.line)));
        }
        Ok(vec![added])
    }

    fn snapshot_version(&self) -> u16 {
        self.faults.snapshot_version(&self.place)
    }
}

pub(crate) const TYPE: &str = "ledger";

pub(crate) fn provider(
    replicas: Vec<ReplicaId>,
    settings: ShardingSettings,
    faults: UserFaults,
) -> ReplicatedEntityProvider<Ledger> {
    ReplicatedEntityProvider::per_role(TYPE, replicas, move |id: &ReplicationId| Ledger {
        place: id.replica_id().clone(),
        faults: faults.clone(),
    })
    .with_settings(settings)
}
