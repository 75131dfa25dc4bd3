//! Lets commands and answers go through the codec even where they stay on a node, in debug builds: what could not come to another node is
//! noticed where it is written, and not when shards move.

use std::sync::Arc;

use antiphon_persistence::reply::{ReplyError, decode_command, encode_command, refuse};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::wire::Completions;

/// The command as it would come to another node; its answers will be read as they would be there. `None` when it cannot, its asker then knows
/// why. Without debug assertions, the command as it is.
pub(crate) fn as_between_nodes<C: Serialize + DeserializeOwned>(command: C) -> Option<C> {
    if cfg!(debug_assertions) { through_the_codec(command) } else { Some(command) }
}

fn through_the_codec<C: Serialize + DeserializeOwned>(command: C) -> Option<C> {
    let completions = Arc::new(Completions::default());
    let type_name = std::any::type_name::<C>();
    let read = match encode_command(&command, completions.clone()) {
        Ok(bytes) => decode_command(&bytes, completions.clone()),
        Err(error) => Err(error),
    };
    match read {
        Ok(read) => Some(read),
        Err(error) => {
            let why = format!("a command of type `{type_name}` cannot go to another node: {error}");
            tracing::error!("{why}");
            let reason = ReplyError::Rejected(why);
            completions.fail(&reason);
            refuse(command, reason);
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
        assert!(through_the_codec(Put { note: None, reply_to }).is_none());
        let Err(ReplyError::Rejected(why)) = reply.wait().await else { panic!("no reason") };
        assert!(why.contains("Put<u8>") && why.contains("`note` is left out"), "{why}");
    }

    #[tokio::test]
    async fn a_command_and_its_answer_come_through() {
        let (reply_to, reply) = reply_channel::<u8>();
        through_the_codec(Put { note: Some(1), reply_to }).unwrap().reply_to.reply(7);
        assert_eq!(reply.wait().await, Ok(7));
    }

    #[tokio::test]
    async fn an_answer_that_could_not_come_back_is_an_error() {
        let (reply_to, reply) = reply_channel::<serde_json::Value>();
        let command = through_the_codec(Put { note: Some(1), reply_to }).unwrap();
        command.reply_to.reply(serde_json::json!({ "a": 1 }));
        assert!(matches!(reply.wait().await, Err(ReplyError::Unanswered(_))));
    }
}
