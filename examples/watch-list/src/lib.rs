//! A watch list as an add-wins set: what was added at one replica stays, even if it is removed at another one at the same time.
//!
//! All replicas are in one sharding here (`replica_qualified`), for a cluster whose nodes share their stores.

use antiphon::prelude::crdt::{OrSet, OrSetOp};
use antiphon::prelude::*;
use serde::{Deserialize, Serialize};

/// What a watch list is asked.
#[derive(Debug, Serialize, Deserialize)]
pub enum Command {
    /// Adds a title; answers with how many there are.
    Add {
        /// What.
        title: String,
        /// Where the answer goes.
        reply_to: ReplyTo<usize>,
    },
    /// Removes a title; answers with how many there are.
    Remove {
        /// What.
        title: String,
        /// Where the answer goes.
        reply_to: ReplyTo<usize>,
    },
    /// Answers with all titles, sorted.
    Get {
        /// Where the answer goes.
        reply_to: ReplyTo<Vec<String>>,
    },
}

/// The behaviour.
pub struct WatchList;

impl EventSourced for WatchList {
    type Command = Command;
    type Event = OrSetOp<String>;
    type State = OrSet<String>;

    fn on_command(
        &self,
        context: &CommandContext,
        titles: &OrSet<String>,
        command: Command,
    ) -> Effect<Self> {
        match command {
            Command::Add { title, reply_to } => {
                Effect::persist(titles.add(title, context.replica_id().clone()))
                    .then_reply(reply_to, OrSet::len)
            }
            Command::Remove { title, reply_to } if titles.contains(&title) => {
                Effect::persist(titles.remove(&title)).then_reply(reply_to, OrSet::len)
            }
            Command::Remove { reply_to, .. } => Effect::reply(reply_to, titles.len()),
            Command::Get { reply_to } => {
                Effect::reply(reply_to, titles.elements().cloned().collect())
            }
        }
    }

    fn on_event(&self, _: &EventContext, titles: &mut OrSet<String>, event: &OrSetOp<String>) {
        titles.apply(event);
    }
}

/// The provider for nodes that share their stores: all replicas in one sharding.
pub fn provider(replicas: Vec<ReplicaId>) -> ReplicatedEntityProvider<WatchList> {
    ReplicatedEntityProvider::replica_qualified("watch-list", replicas, |_: &ReplicationId| {
        WatchList
    })
}

/// The provider for nodes with stores of their own in each place.
pub fn provider_per_role(replicas: Vec<ReplicaId>) -> ReplicatedEntityProvider<WatchList> {
    ReplicatedEntityProvider::per_role("watch-list", replicas, |_: &ReplicationId| WatchList)
}
