//! Sends commands and answers through the codec even within a node, in debug builds and where the
//! provider says so. A value that could not be sent to another node is noticed where it is written,
//! and not when shards move.

use std::sync::Arc;

use antiphon_base::guard;
use antiphon_persistence::reply::{Claim, ReplyError, encode_claimed_command, refuse_claimed};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::wire::Completions;

/// The command as another node would read it; its answers are encoded and read in the same way.
/// `None` when the command cannot be sent: its asker then has the reason.
pub(crate) fn as_between_nodes<C: Serialize + DeserializeOwned>(
    command: C,
    claim: &Claim,
) -> Option<C> {
    let completions = Arc::new(Completions::default());
    let type_name = std::any::type_name::<C>();
    let read = match encode_claimed_command(&command, claim, completions.clone()) {
        Ok(bytes) => completions.read(&bytes, claim),
        Err(error) => Err(error),
    };
    match read {
        Ok(read) => {
            let _ = guard::call("Drop of a command", &type_name, || drop(command));
            Some(read)
        }
        Err(error) => {
            let why = format!("a command of type `{type_name}` cannot go to another node: {error}");
            tracing::error!("{why}");
            let reason = ReplyError::Rejected(why);
            completions.fail(&reason);
            refuse_claimed(command, claim, reason);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use antiphon_persistence::reply::{ReplyTo, reply_channel};
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Serialize, Deserialize)]
    struct Put<R> {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<u8>,
        #[serde(bound(deserialize = "R: DeserializeOwned + Send + 'static"))]
        #[serde(bound(serialize = "R: DeserializeOwned + Send + 'static"))]
        reply_to: ReplyTo<R>,
    }

    #[tokio::test]
    async fn a_command_that_could_not_come_to_another_node_is_rejected_with_its_type() {
        let (reply_to, reply) = reply_channel::<u8>();
        assert!(as_between_nodes(Put { note: None, reply_to }, &Claim::open()).is_none());
        let Err(ReplyError::Rejected(why)) = reply.wait().await else { panic!("no reason") };
        assert!(why.contains("Put<u8>") && why.contains("`note` is left out"), "{why}");
    }

    /// Encodes as a byte, and cannot be read.
    #[derive(Debug)]
    struct Undecodable;

    impl Serialize for Undecodable {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_u8(1)
        }
    }

    impl<'de> Deserialize<'de> for Undecodable {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            Err(serde::de::Error::custom("the test wants it"))
        }
    }

    #[derive(Debug, Serialize, Deserialize)]
    struct Late {
        reply_to: ReplyTo<u8>,
        note: Undecodable,
    }

    #[tokio::test]
    async fn a_command_that_cannot_be_read_after_its_reply_to_was_is_rejected_all_the_same() {
        let (reply_to, reply) = reply_channel();
        let claim = Claim::open();
        assert!(as_between_nodes(Late { reply_to, note: Undecodable }, &claim).is_none());
        let Err(ReplyError::Rejected(why)) = reply.wait().await else { panic!("no reason") };
        assert!(why.contains("Late") && why.contains("the test wants it"), "{why}");
    }

    /// Reads a place for an answer and drops it.
    #[derive(Debug, Serialize)]
    struct Careless(ReplyTo<u8>);

    impl<'de> Deserialize<'de> for Careless {
        fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            drop(ReplyTo::<u8>::deserialize(from)?);
            Ok(Self(reply_channel().0))
        }
    }

    #[tokio::test]
    async fn a_reply_to_that_is_let_go_of_while_its_command_is_read_answers_no_reply() {
        let (reply_to, reply) = reply_channel();
        let _command = as_between_nodes(Careless(reply_to), &Claim::open()).unwrap();
        assert_eq!(reply.wait().await, Err(ReplyError::NoReply));
    }

    #[tokio::test]
    async fn a_command_and_its_answer_come_through() {
        let (reply_to, reply) = reply_channel::<u8>();
        let claim = Claim::open();
        as_between_nodes(Put { note: Some(1), reply_to }, &claim).unwrap().reply_to.reply(7);
        assert_eq!(reply.wait().await, Ok(7));
    }

    #[tokio::test]
    async fn an_answer_that_could_not_come_back_is_an_error() {
        let (reply_to, reply) = reply_channel::<serde_json::Value>();
        let command = as_between_nodes(Put { note: Some(1), reply_to }, &Claim::open()).unwrap();
        command.reply_to.reply(serde_json::json!({ "a": 1 }));
        assert!(matches!(reply.wait().await, Err(ReplyError::Unanswered(_))));
    }
}
