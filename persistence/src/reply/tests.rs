//! Answers within a node and across an encode and decode.

use std::sync::Arc;

use antiphon_base::time::{Clock, SystemClock};
use bytes::Bytes;
use parking_lot::Mutex;
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
        let mut completions = self.0.lock();
        completions.push(Some(completion));
        completions.len() as u64 - 1
    }
}

impl ReplySender for Loopback {
    fn send(&self, id: u64, answer: Result<Bytes, ReplyError>) {
        let completion = self.0.lock()[usize::try_from(id).unwrap()].take();
        completion.expect("one answer")(answer);
    }
}

fn over_the_wire(command: Get) -> Get {
    let link = Arc::new(Loopback::default());
    let bytes = encode_command(&command, link.clone()).unwrap();
    drop(command);
    decode_command(&bytes, link, &Claim::unlimited()).unwrap()
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
    let error = pending.wait().await.unwrap_err();
    assert!(matches!(error, ReplyError::Unanswered(_)), "{error}");
    assert!(!error.is_without_effect(), "the command was handled");
}

#[derive(Debug)]
struct NoCodec;

impl Serialize for NoCodec {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("the test wants it")
    }
}

impl<'de> Deserialize<'de> for NoCodec {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("the test wants it")
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Ask {
    reply_to: ReplyTo<NoCodec>,
}

#[tokio::test]
async fn an_answer_whose_codec_panics_says_that_the_command_was_handled() {
    let (reply_to, pending) = reply_channel();
    let link = Arc::new(Loopback::default());
    let bytes = encode_command(&Ask { reply_to }, link.clone()).unwrap();
    let received: Ask = decode_command(&bytes, link, &Claim::unlimited()).unwrap();
    received.reply_to.reply(NoCodec);
    assert!(matches!(pending.wait().await, Err(ReplyError::Unanswered(_))));

    let (reply_to, pending) = reply_channel::<NoCodec>();
    let link = Arc::new(Loopback::default());
    encode_command(&Ask { reply_to }, link.clone()).unwrap();
    link.send(0, Ok(Bytes::from_static(&[1])));
    assert!(matches!(pending.wait().await, Err(ReplyError::Unanswered(_))));
}

#[tokio::test]
async fn a_command_whose_codec_panics_is_rejected_and_the_next_one_is_sent() {
    let link = Arc::new(Loopback::default());
    assert!(encode_command(&NoCodec, link.clone()).is_err());
    assert!(decode_command::<NoCodec>(&[1], link, &Claim::unlimited()).is_err());

    let (reply_to, pending) = reply_channel();
    over_the_wire(Get { reply_to }).reply_to.reply(7);
    assert_eq!(pending.wait().await, Ok(7));
}

#[tokio::test]
async fn a_command_whose_destructor_panics_is_refused_all_the_same() {
    struct Bomb(#[expect(dead_code, reason = "dropped with the bomb")] ReplyTo<i64>);
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("the test wants it");
        }
    }
    let (reply_to, pending) = reply_channel();
    refuse(Bomb(reply_to), ReplyError::Overloaded("x".into()));
    assert_eq!(pending.wait().await, Err(ReplyError::Overloaded("x".into())));
}

/// The claim of a command that has acted, and its answer's two halves.
fn acted() -> (Claim, ReplyTo<i64>, PendingReply<i64>) {
    let claim = Claim::open();
    let (reply_to, pending) = claimed_reply_channel(&claim);
    assert!(claim.take(SystemClock.now()));
    claim.act();
    (claim, reply_to, pending)
}

#[test]
fn a_reply_to_that_was_passed_on_is_not_told_that_its_own_command_is_without_effect() {
    let overloaded = || ReplyError::Overloaded("x".into());
    let (_claim, reply_to, pending) = acted();
    refuse(Get { reply_to }, overloaded());
    assert!(!pending.now().unwrap_err().is_without_effect(), "refused where it was passed on to");

    let (_claim, reply_to, pending) = acted();
    let link = Arc::new(Loopback::default());
    encode_command(&Get { reply_to }, link.clone()).unwrap();
    link.send(0, Err(overloaded()));
    assert!(!pending.now().unwrap_err().is_without_effect(), "refused at another node");

    let link = Arc::new(Loopback::default());
    let (reply_to, pending) = reply_channel();
    let bytes = encode_command(&Get { reply_to }, link.clone()).unwrap();
    let claim = Claim::open();
    let received: Get = decode_command(&bytes, link, &claim).unwrap();
    assert!(claim.take(SystemClock.now()));
    claim.act();
    refuse(received, overloaded());
    assert!(!pending.now().unwrap_err().is_without_effect(), "passed on at another node");
}

/// The claim of a command whose handler runs, and its answer's two halves.
fn taken() -> (Claim, ReplyTo<i64>, PendingReply<i64>) {
    let claim = Claim::open();
    let (reply_to, pending) = claimed_reply_channel(&claim);
    assert!(claim.take(SystemClock.now()));
    (claim, reply_to, pending)
}

#[test]
fn a_reply_to_in_a_command_that_is_refused_knows_whether_it_is_the_commands_own() {
    let overloaded = || ReplyError::Overloaded("x".into());
    let (claim, reply_to, pending) = taken();
    refuse_claimed(Get { reply_to }, &claim, overloaded());
    assert_eq!(pending.now(), Err(overloaded()), "its own command is refused");

    for other in [Claim::open(), Claim::unlimited()] {
        let (_claim, reply_to, pending) = taken();
        refuse_claimed(Get { reply_to }, &other, overloaded());
        assert!(!pending.now().unwrap_err().is_without_effect(), "its own command may act yet");
    }

    let (reply_to, pending) = reply_channel();
    refuse_claimed(Get { reply_to }, &Claim::open(), overloaded());
    assert_eq!(pending.now(), Err(overloaded()), "it has no command of its own");
}

/// The answer to a `ReplyTo` that went to another node in the command with the claim `command`;
/// `meanwhile` happens to the asker's own claim before the error comes back.
fn refused_far_away(own: &Claim, to: ReplyTo<i64>, command: &Claim, meanwhile: fn(&Claim)) {
    let link = Arc::new(Loopback::default());
    encode_claimed_command(&Get { reply_to: to }, command, link.clone()).unwrap();
    meanwhile(own);
    link.send(0, Err(ReplyError::Rejected("x".into())));
}

#[test]
fn a_reply_to_that_went_far_in_another_command_looks_at_its_own_when_the_answer_comes() {
    let (claim, to, pending) = taken();
    refused_far_away(&claim, to, &claim, |_| ());
    assert!(pending.now().unwrap_err().is_without_effect(), "its own command is refused");

    let (claim, to, pending) = taken();
    refused_far_away(&claim, to, &Claim::unlimited(), |_| ());
    assert!(!pending.now().unwrap_err().is_without_effect(), "its own command may act yet");

    let (claim, to, pending) = taken();
    refused_far_away(&claim, to, &Claim::open(), Claim::act);
    assert!(!pending.now().unwrap_err().is_without_effect(), "its own command has acted since");

    let (claim, to, pending) = taken();
    refused_far_away(&claim, to, &Claim::unlimited(), Claim::end);
    assert_eq!(pending.now(), Err(ReplyError::Rejected("x".into())), "it ended without an effect");
}

#[test]
fn an_error_that_an_entity_gives_goes_as_it_is() {
    let (_claim, reply_to, pending) = acted();
    reply_to.fail(ReplyError::Rejected("x".into()));
    assert_eq!(pending.now(), Err(ReplyError::Rejected("x".into())));
}

#[test]
fn a_reply_to_that_cannot_be_encoded_outside_an_entity_ref_keeps_its_asker() {
    let (reply_to, pending) = reply_channel::<i64>();
    let error = crate::codec::CodecId::Bincode.encode(&reply_to).unwrap_err();
    assert!(error.to_string().contains("entity ref"), "{error}");
    assert!(serde_json::to_string(&reply_to).is_err(), "a handler logs its command");
    reply_to.reply(7);
    assert_eq!(pending.now(), Ok(7));
}

/// The claim of a command of a session to `cart|c-1`, whose asker wants the version.
fn versioned() -> (Arc<Session>, Claim) {
    let id = crate::identity::ReplicationId::parse("cart|c-1|A").unwrap();
    let session = Arc::new(Session::after(&id, None).unwrap().with_version());
    (session.clone(), Claim::open().in_session(Some(session)))
}

fn seen(entity: &str, counter: u64) -> Arc<crate::version::SessionToken> {
    let id = crate::identity::ReplicationId::parse(entity).unwrap();
    let replica = crate::identity::ReplicaId::new("A").unwrap();
    Arc::new(crate::version::SessionToken::new(&id, [(replica, counter)].into_iter().collect()))
}

#[tokio::test]
async fn an_answer_that_goes_over_two_links_comes_with_the_version_of_the_entity() {
    for (entity, counter) in [("cart|c-1|B", 7), ("stock|s-1|B", 0)] {
        let (session, claim) = versioned();
        let (reply_to, pending) = claimed_reply_channel(&claim);
        // passed on twice by commands that are of no session
        let mut received = over_the_wire(over_the_wire(Get { reply_to }));
        assert!(received.reply_to.wants_version());
        with_answering(seen(entity, 7), || received.reply_to.reply(5));
        assert_eq!(pending.wait().await, Ok(5));
        assert_eq!(session.token().version().event_count(), counter, "{entity}");
    }
}

#[tokio::test]
async fn an_answer_without_a_known_version_or_an_error_reaches_an_asker_who_wants_one() {
    let (session, claim) = versioned();
    let (reply_to, pending) = claimed_reply_channel(&claim);
    over_the_wire(Get { reply_to }).reply_to.reply(5);
    assert_eq!(pending.wait().await, Ok(5));
    assert!(session.token().version().is_empty());

    let (reply_to, pending) = claimed_reply_channel(&claim);
    over_the_wire(Get { reply_to }).reply_to.fail(ReplyError::Timeout);
    assert_eq!(pending.wait().await, Err(ReplyError::Timeout));
}

#[tokio::test]
async fn a_node_that_knows_no_versions_leaves_the_asker_without_an_answer_and_not_with_a_wrong_one()
{
    let (_, claim) = versioned();
    let (reply_to, pending) = claimed_reply_channel::<u64>(&claim);
    let link = Arc::new(Loopback::default());
    encode_command(&reply_to, link.clone()).unwrap();
    link.send(0, Ok(Bytes::from_static(&[5])));
    assert!(matches!(pending.wait().await, Err(ReplyError::Unanswered(_))));
}

#[test]
fn a_kept_answer_goes_to_no_place_of_a_command_that_has_two_of_them() {
    let link = Arc::new(Loopback::default());
    let metadata = crate::event::Metadata::new();
    let claim =
        || Claim::open_with(metadata.with_request(&crate::event::RequestId::new("x").unwrap()));
    let own = claim();
    let (one, first) = encoded_reply_channel::<i64>(&own);
    let (two, second) = encoded_reply_channel::<i64>(&own);
    let bytes = encode_command(&(one, two), link.clone()).unwrap();
    let far = claim();
    let received: (ReplyTo<i64>, ReplyTo<i64>) = decode_command(&bytes, link, &far).unwrap();
    let kept = crate::codec::CodecId::Bincode.encode(&7_i64).unwrap();
    answer_again(received, &far, kept.into());
    for reply in [first, second] {
        assert!(matches!(reply.now(), Err(ReplyError::Done(_))));
    }
}
