//! A watch list as an add-wins set: a title that one replica adds stays, even if another replica
//! removes the title at the same time.
//!
//! All replicas are in one sharding here (`replica_qualified`), for a cluster whose nodes share
//! their stores.

use antiphon::app::{Ask, Body, HttpEntity};
use antiphon::prelude::crdt::{OrSet, OrSetOp};
use antiphon::prelude::*;
use serde::{Deserialize, Serialize};

/// The commands of a watch list.
#[derive(Debug, Serialize, Deserialize)]
pub enum Command {
    /// Adds a title; answers with the number of titles.
    Add {
        /// The title.
        title: String,
        /// The receiver of the answer.
        reply_to: ReplyTo<usize>,
    },
    /// Removes a title; answers with the number of titles.
    Remove {
        /// The title.
        title: String,
        /// The receiver of the answer.
        reply_to: ReplyTo<usize>,
    },
    /// Answers with all titles, sorted.
    Get {
        /// The receiver of the answer.
        reply_to: ReplyTo<Vec<String>>,
    },
}

/// The behaviour of a watch list.
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
            Command::Add { title, reply_to } => self
                .persist(titles.add(title, context.replica_id()))
                .then_reply(reply_to, OrSet::len),
            Command::Remove { title, reply_to } if titles.contains(&title) => {
                self.persist(titles.remove(&title)).then_reply(reply_to, OrSet::len)
            }
            Command::Remove { reply_to, .. } => self.reply(reply_to, titles.len()),
            Command::Get { reply_to } => self.reply(reply_to, titles.elements().cloned().collect()),
        }
    }

    fn on_event(
        &self,
        context: &EventContext,
        titles: &mut OrSet<String>,
        event: &OrSetOp<String>,
    ) {
        titles.apply(event, context);
    }
}

/// The provider for nodes that share their stores: all replicas in one sharding.
pub fn provider(replicas: Vec<ReplicaId>) -> ReplicatedEntityProvider<WatchList> {
    ReplicatedEntityProvider::replica_qualified("watch-list", replicas, |_: &ReplicationId| {
        WatchList
    })
}

impl WatchList {
    /// The watch lists for nodes with stores of their own in each place: a replica at each place.
    pub fn provider() -> ReplicatedEntityProvider<Self> {
        ReplicatedEntityProvider::at_each_place("watch-list", |_: &ReplicationId| Self)
    }
}

/// The body of a `POST`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Posted {
    Add(String),
    Remove(String),
}

impl HttpEntity for WatchList {
    fn on_get() -> Option<Ask<Command>> {
        Some(Ask::new(|reply_to| Command::Get { reply_to }))
    }

    fn on_post(body: Body) -> Result<Ask<Command>> {
        Ok(match body.read()? {
            Posted::Add(title) => Ask::new(|reply_to| Command::Add { title, reply_to }),
            Posted::Remove(title) => Ask::new(|reply_to| Command::Remove { title, reply_to }),
        })
    }

    fn expected() -> &'static str {
        r#"{"add": "title"} or {"remove": "title"}"#
    }
}
