//! Commands go through their codec also within a node, unless the builder says otherwise.

use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
use antiphon_persistence::identity::ReplicationId;
use antiphon_persistence::reply::ReplyTo;
use antiphon_sharding::{AskError, ReplicatedEntityProvider};
use antiphon_testkit::{TestCluster, TestClusterBuilder};
use serde::{Deserialize, Serialize};

/// A command that bincode cannot read when it has no note.
#[derive(Debug, Serialize, Deserialize)]
struct Put {
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<u8>,
    reply_to: ReplyTo<u8>,
}

struct Box8;

impl EventSourced for Box8 {
    type Command = Put;
    type Event = u8;
    type State = u8;

    fn on_command(&self, _: &CommandContext, _: &u8, command: Put) -> Effect<Self> {
        Effect::reply(command.reply_to, command.note.unwrap_or(0))
    }

    fn on_event(&self, _: &EventContext, _: &mut u8, _: &u8) {}
}

fn one_node() -> TestClusterBuilder {
    TestCluster::builder().place("eu", 1)
}

fn boxes() -> ReplicatedEntityProvider<Box8> {
    ReplicatedEntityProvider::at_each_place("box", |_: &ReplicationId| Box8)
}

#[test]
fn a_command_that_could_not_go_to_another_node_is_refused_on_its_own_node() {
    one_node().entity(boxes()).run(async |cluster| {
        let answer = cluster.entity::<Box8>("eu-0", "b-1")?;
        let answer = answer.ask(|reply_to| Put { note: None, reply_to }).await;
        let Err(AskError::Rejected(why)) = answer else { panic!("{answer:?}") };
        assert!(why.contains("Put"), "{why}");
        Ok(())
    });
}

#[test]
fn without_the_codec_such_a_command_is_taken_on_its_own_node() {
    one_node().encoded_commands(false).entity(boxes()).run(async |cluster| {
        let answer = cluster.entity::<Box8>("eu-0", "b-1")?;
        assert_eq!(answer.ask(|reply_to| Put { note: None, reply_to }).await, Ok(0));
        Ok(())
    });
}
