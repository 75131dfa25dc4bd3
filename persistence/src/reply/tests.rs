//! Answers within a node and across an encode and decode.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, Serialize, Deserialize)]
struct Get {
    reply_to: ReplyTo<i64>,
}

/// Both ends of a link in one: keeps completions by number, and completes them.
#[derive(Default)]
struct Loopback(Mutex<Vec<Option<RemoteCompletion>>>);

impl ReplyRegistrar for Loopback {
    fn register(&self, completion: RemoteCompletion) -> u64 {
        let mut completions = self.0.lock().unwrap();
        completions.push(Some(completion));
        completions.len() as u64 - 1
    }
}

impl ReplySender for Loopback {
    fn send(&self, id: u64, answer: Result<Bytes, ReplyError>) {
        let completion = self.0.lock().unwrap()[usize::try_from(id).unwrap()].take();
        completion.expect("one answer")(answer);
    }
}

fn over_the_wire(command: Get) -> Get {
    let link = Arc::new(Loopback::default());
    let bytes = encode_command(&command, link.clone()).unwrap();
    drop(command);
    decode_command(&bytes, link).unwrap()
}

#[tokio::test]
async fn a_reply_reaches_its_asker_on_the_same_node() {
    let (reply_to, pending) = reply_channel();
    reply_to.reply(7);
    assert_eq!(pending.wait().await, Ok(7));
}

#[tokio::test]
async fn a_reply_reaches_its_asker_on_another_node() {
    let (reply_to, pending) = reply_channel();
    let received = over_the_wire(Get { reply_to });
    received.reply_to.reply(7);
    assert_eq!(pending.wait().await, Ok(7));
}

#[tokio::test]
async fn a_dropped_reply_to_answers_no_reply_at_once() {
    let (reply_to, pending) = reply_channel::<i64>();
    drop(reply_to);
    assert_eq!(pending.wait().await, Err(ReplyError::NoReply));

    let (reply_to, pending) = reply_channel();
    drop(over_the_wire(Get { reply_to }));
    assert_eq!(pending.wait().await, Err(ReplyError::NoReply));
}

#[tokio::test]
async fn an_answer_of_another_type_is_an_error_and_no_panic() {
    let (reply_to, pending) = reply_channel::<String>();
    let link = Arc::new(Loopback::default());
    encode_command(&reply_to, link.clone()).unwrap();
    link.send(0, Ok(Bytes::from_static(&[0xff, 0xff])));
    assert!(matches!(pending.wait().await, Err(ReplyError::Rejected(_))));
}

#[test]
fn a_reply_to_cannot_be_encoded_outside_an_entity_ref() {
    let (reply_to, _pending) = reply_channel::<i64>();
    let error = crate::codec::CodecId::Bincode.encode(&reply_to).unwrap_err();
    assert!(error.to_string().contains("entity ref"), "{error}");
}
