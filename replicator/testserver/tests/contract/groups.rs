//! Persistent subscription groups: answers, parking, replay, ends.

use std::time::Duration;

use antiphon_eventstore::{
    ErrorKind, EventStoreClient, Filter, GroupEvent, GroupSettings, GroupSubscription, NackAction,
    ReadFrom,
};
use antiphon_eventstore_testserver::TestServer;
use futures::FutureExt;

use crate::support::{append, client, fails, server, soon, told};

fn from_start() -> GroupSettings {
    GroupSettings {
        from: ReadFrom::Start,
        from_position: ReadFrom::Start,
        max_retry_count: 2,
        checkpoint_after: Duration::from_millis(10),
        ..GroupSettings::default()
    }
}

/// A server with `count` events in stream `a`, and group `g` on it.
async fn group_on(count: usize, settings: &GroupSettings) -> (TestServer, EventStoreClient) {
    let server = server().await;
    let client = client(&server);
    if count > 0 {
        append(&client, "a", count).await;
    }
    client.create_group("a", "g", settings).await.unwrap();
    (server, client)
}

async fn next(group: &mut GroupSubscription) -> GroupEvent {
    soon(group.next()).await.unwrap()
}

fn place(event: &GroupEvent) -> (u64, u32) {
    (event.resolved.original().unwrap().revision, event.retry_count)
}

async fn parked(client: &EventStoreClient, stream: &str, group: &str) -> u64 {
    client.group_info(stream, group).await.unwrap().parked
}

/// Waits until the group's info satisfies `is`.
async fn until(
    client: &EventStoreClient,
    what: &str,
    is: impl Fn(&antiphon_eventstore::GroupInfo) -> bool,
) {
    let asked = async {
        while !is(&client.group_info("a", "g").await.unwrap()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asked).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test]
async fn a_group_is_created_once_told_about_and_deleted_once() {
    let server = server().await;
    let client = client(&server);
    client.create_group("a", "g", &from_start()).await.unwrap();
    let expected = "create group `g` of stream `a`: the group exists already";
    fails(client.create_group("a", "g", &from_start()).await, ErrorKind::AlreadyExists, expected);

    let info = client.group_info("a", "g").await.unwrap();
    assert_eq!((&*info.stream, &*info.group, info.max_retry_count), ("a", "g", 2));
    assert_eq!((&*info.strategy, info.consumers), ("RoundRobin", 0));
    assert_eq!(client.list_groups().await.unwrap().len(), 1);

    client.delete_group("a", "g").await.unwrap();
    assert_eq!(client.list_groups().await.unwrap().len(), 0);
    let why = "the group does not exist: create it first";
    for (doing, refused) in [
        ("delete", client.delete_group("a", "g").await),
        ("update", client.update_group("a", "g", &from_start()).await),
        ("info of", client.group_info("a", "g").await.map(|_| ())),
        ("replay parked messages of", client.replay_parked("a", "g", None).await),
        ("subscription to", client.subscribe_group("a", "g", 1).await.map(|_| ())),
    ] {
        let expected = format!("{doing} group `g` of stream `a`: {why}");
        fails(refused, ErrorKind::NotFound, &expected);
    }
}

#[tokio::test]
async fn a_retried_message_comes_again_after_those_that_are_out() {
    let (_server, client) = group_on(5, &from_start()).await;
    let mut group = client.subscribe_group("a", "g", 4).await.unwrap();
    let mut ids = Vec::new();
    for revision in 0..4 {
        let event = next(&mut group).await;
        assert_eq!(place(&event), (revision, 0));
        ids.push(event.answer_id().unwrap());
    }
    group.answers().nack(ids[..1].to_vec(), NackAction::Retry, "not now").await.unwrap();
    assert_eq!(place(&next(&mut group).await), (0, 1));
    group.answers().ack(ids).await.unwrap();
    assert_eq!(place(&next(&mut group).await), (4, 0));
}

#[tokio::test]
async fn a_message_that_fails_too_often_is_parked_and_can_be_replayed() {
    let server = server().await;
    let client = client(&server);
    server.seed_customers(1).unwrap();
    let settings = GroupSettings { resolve_links: true, ..from_start() };
    client.create_group("$ce-customer", "g", &settings).await.unwrap();
    let mut group = client.subscribe_group("$ce-customer", "g", 1).await.unwrap();
    for retry in 0..3 {
        let event = next(&mut group).await;
        assert_eq!(place(&event), (0, retry));
        assert_eq!(&*event.resolved.event.as_ref().unwrap().stream, "customer-1");
        let id = event.answer_id().unwrap();
        group.answers().nack(vec![id], NackAction::Retry, "bad").await.unwrap();
    }
    while parked(&client, "$ce-customer", "g").await != 1 {
        tokio::task::yield_now().await;
    }
    let name = "$persistentsubscription-$ce-customer::g-parked";
    let event = client.newest(name).await.unwrap().unwrap().event.unwrap();
    // the link leads to the event, not to the link in the category
    assert_eq!(event.data, "0@customer-1");
    let metadata: serde_json::Value = serde_json::from_slice(&event.metadata).unwrap();
    assert_eq!(metadata["reason"], "Reached retry count of 2");
    assert_eq!(metadata["subscriptionEventNumber"], 0);
    let added = metadata["added"].as_str().unwrap();
    assert!(added.starts_with("20") && added.ends_with("+00:00") && added.len() == 33, "{added}");

    client.replay_parked("$ce-customer", "g", None).await.unwrap();
    let event = next(&mut group).await;
    assert_eq!(place(&event), (0, 0));
    assert_eq!(&*event.resolved.event.as_ref().unwrap().stream, "customer-1");
    assert_eq!(&*event.resolved.link.as_ref().unwrap().stream, name, "found in the parking lot");
    assert_eq!(parked(&client, "$ce-customer", "g").await, 0);
}

#[tokio::test]
async fn a_message_is_parked_or_skipped_when_the_consumer_says_so() {
    let (_server, client) = group_on(3, &from_start()).await;
    let mut group = client.subscribe_group("a", "g", 1).await.unwrap();
    for (revision, action) in [(0, NackAction::Park), (1, NackAction::Skip)] {
        let event = next(&mut group).await;
        assert_eq!(place(&event), (revision, 0));
        group.answers().nack(vec![event.answer_id().unwrap()], action, "why not").await.unwrap();
    }
    assert_eq!(place(&next(&mut group).await), (2, 0));
    assert_eq!(parked(&client, "a", "g").await, 1);
}

#[tokio::test]
async fn a_message_without_an_answer_is_delivered_again() {
    let settings = GroupSettings { message_timeout: Duration::from_millis(50), ..from_start() };
    let (_server, client) = group_on(1, &settings).await;
    let mut group = client.subscribe_group("a", "g", 1).await.unwrap();
    assert_eq!(place(&next(&mut group).await), (0, 0));
    assert_eq!(place(&next(&mut group).await), (0, 1));
}

#[tokio::test]
async fn refused_acks_are_faults_on_demand() {
    let (server, client) = group_on(2, &from_start()).await;
    let mut group = client.subscribe_group("a", "g", 1).await.unwrap();
    let first = next(&mut group).await;
    server.faults().refuse_acks(1);
    group.answers().ack(vec![first.answer_id().unwrap()]).await.unwrap();
    assert_eq!(place(&next(&mut group).await), (0, 1));
    group.answers().ack(vec![first.answer_id().unwrap()]).await.unwrap();
    assert_eq!(place(&next(&mut group).await), (1, 0));
}

#[tokio::test]
async fn the_messages_of_a_consumer_that_leaves_go_to_another() {
    let (_server, client) = group_on(2, &from_start()).await;
    let mut first = client.subscribe_group("a", "g", 2).await.unwrap();
    next(&mut first).await;
    next(&mut first).await;
    let mut second = client.subscribe_group("a", "g", 2).await.unwrap();
    assert!(second.next().now_or_never().is_none());
    drop(first);
    assert_eq!(place(&next(&mut second).await), (0, 1));
    assert_eq!(place(&next(&mut second).await), (1, 1));
    until(&client, "one consumer is left", |info| info.consumers == 1).await;
}

#[tokio::test]
async fn a_group_takes_no_more_consumers_than_it_may_have() {
    let settings = GroupSettings { max_subscriber_count: 1, ..from_start() };
    let (_server, client) = group_on(0, &settings).await;
    let _first = client.subscribe_group("a", "g", 1).await.unwrap();
    // refused before it is confirmed
    let refused = soon(client.subscribe_group("a", "g", 1)).await.map(|_| ());
    let expected = "subscription to group `g` of stream `a`: the group has all the consumers that \
                    its setting `max_subscriber_count` allows";
    fails(refused, ErrorKind::Rejected, expected);
}

#[tokio::test]
async fn every_end_of_a_group_is_an_error_that_says_which() {
    let (server, client) = group_on(1, &from_start()).await;
    let name = "subscription to group `g` of stream `a`";
    let live = async || {
        let mut group = client.subscribe_group("a", "g", 1).await.unwrap();
        next(&mut group).await;
        group
    };

    let mut group = live().await;
    server.faults().end_streams();
    let end = soon(group.next()).await;
    fails(end, ErrorKind::Unavailable, &format!("{name}: the server ended the stream"));
    drop(group);

    let mut group = live().await;
    server.faults().reset_connections();
    let end = soon(group.next()).await;
    fails(end, ErrorKind::Unavailable, &format!("{name}: the connection broke"));
    let lost = soon(group.answers().ack(vec![uuid::Uuid::new_v4()])).await;
    let why = "it has ended, the answer is lost";
    fails(lost, ErrorKind::Unavailable, &format!("{name}: {why}"));
    drop(group);

    let why = "the server dropped the consumer (the group was deleted, changed or restarted)";
    let mut group = client.subscribe_group("a", "g", 1).await.unwrap();
    until(&client, "the consumer is connected", |info| info.consumers == 1).await;
    client.delete_group("a", "g").await.unwrap();
    let end = loop {
        match soon(group.next()).await {
            // sent before the group was deleted
            Ok(_) => {}
            Err(error) => break Err::<(), _>(error),
        }
    };
    fails(end, ErrorKind::Unavailable, &format!("{name}: {why}"));
}

#[tokio::test]
async fn a_group_on_the_whole_store_has_a_filter() {
    let server = server().await;
    let client = client(&server);
    append(&client, "a-1", 2).await;
    append(&client, "b-1", 2).await;
    let filter = Filter::StreamPrefix(vec!["b-".to_owned()]);
    let settings = GroupSettings { filter, ..from_start() };
    client.create_group("$all", "g", &settings).await.unwrap();
    let mut group = client.subscribe_group("$all", "g", 10).await.unwrap();
    for revision in 0..2 {
        let event = next(&mut group).await.resolved;
        assert!(event.commit_position.is_some());
        let event = event.event.unwrap();
        assert_eq!((&*event.stream, event.revision), ("b-1", revision));
    }
}

#[tokio::test]
async fn a_link_without_its_event_is_delivered_as_a_link() {
    let server = server().await;
    let client = client(&server);
    server.seed_customers(1).unwrap();
    client.delete_stream("customer-1", antiphon_eventstore::ExpectedRevision::Any).await.unwrap();
    let settings = GroupSettings { resolve_links: true, ..from_start() };
    client.create_group("$ce-customer", "g", &settings).await.unwrap();
    let mut group = client.subscribe_group("$ce-customer", "g", 1).await.unwrap();
    let event = next(&mut group).await;
    assert!(event.resolved.event.is_none() && event.resolved.link.is_some());
}

#[tokio::test]
async fn a_group_goes_on_from_its_checkpoint_after_a_restart() {
    let settings = GroupSettings { max_checkpoint_count: 1, ..from_start() };
    let (mut server, client) = group_on(3, &settings).await;
    let mut group = client.subscribe_group("a", "g", 1).await.unwrap();
    for _ in 0..2 {
        let event = next(&mut group).await;
        group.answers().ack(vec![event.answer_id().unwrap()]).await.unwrap();
    }
    assert_eq!(place(&next(&mut group).await), (2, 0));
    until(&client, "the checkpoint is stored", |info| info.checkpoint == "1").await;

    server.restart().await.unwrap();
    assert_eq!(told(soon(group.next()).await).0, ErrorKind::Unavailable);
    let mut group = client.subscribe_group("a", "g", 1).await.unwrap();
    assert_eq!(place(&next(&mut group).await), (2, 0));
}

#[tokio::test]
async fn an_update_drops_the_consumers_and_keeps_the_place() {
    let settings = GroupSettings { max_checkpoint_count: 1, ..from_start() };
    let (_server, client) = group_on(2, &settings).await;
    let mut group = client.subscribe_group("a", "g", 1).await.unwrap();
    let first = next(&mut group).await;
    group.answers().ack(vec![first.answer_id().unwrap()]).await.unwrap();
    next(&mut group).await;
    until(&client, "the checkpoint is stored", |info| info.checkpoint == "0").await;

    let longer = GroupSettings { message_timeout: Duration::from_secs(77), ..settings };
    client.update_group("a", "g", &longer).await.unwrap();
    assert_eq!(told(soon(group.next()).await).0, ErrorKind::Unavailable);
    let info = client.group_info("a", "g").await.unwrap();
    assert_eq!(info.message_timeout, Duration::from_secs(77));
    let mut group = client.subscribe_group("a", "g", 1).await.unwrap();
    assert_eq!(place(&next(&mut group).await), (1, 0));
}

#[tokio::test]
async fn a_replay_can_stop_before_a_number_of_the_parking_lot() {
    let (_server, client) = group_on(4, &from_start()).await;
    let mut group = client.subscribe_group("a", "g", 4).await.unwrap();
    for _ in 0..4 {
        let id = next(&mut group).await.answer_id().unwrap();
        group.answers().nack(vec![id], NackAction::Park, "later").await.unwrap();
    }
    until(&client, "four are parked", |info| info.parked == 4).await;
    let reason = client.newest("$persistentsubscription-a::g-parked").await.unwrap().unwrap();
    let metadata = reason.event.unwrap().metadata;
    assert!(
        String::from_utf8_lossy(&metadata).contains("Client explicitly NAK'ed message.\\nlater")
    );
    client.replay_parked("a", "g", Some(2)).await.unwrap();
    for revision in 0..2 {
        let event = next(&mut group).await;
        assert_eq!(event.resolved.event.as_ref().unwrap().revision, revision);
        group.answers().ack(vec![event.answer_id().unwrap()]).await.unwrap();
    }
    assert_eq!(parked(&client, "a", "g").await, 2);
    // those below 2 are done already
    client.replay_parked("a", "g", Some(2)).await.unwrap();
    assert_eq!(parked(&client, "a", "g").await, 2);
    client.replay_parked("a", "g", Some(3)).await.unwrap();
    assert_eq!(next(&mut group).await.resolved.event.unwrap().revision, 2);
    assert_eq!(parked(&client, "a", "g").await, 1);
}

#[tokio::test]
async fn one_answer_settles_all_deliveries_of_an_id_that_are_out() {
    let server = server().await;
    let client = client(&server);
    let twice = crate::support::events(1).remove(0);
    for revision in 0..2 {
        let expected = match revision {
            0 => antiphon_eventstore::ExpectedRevision::NoStream,
            _ => antiphon_eventstore::ExpectedRevision::Exact(revision - 1),
        };
        client.append("a", expected, vec![twice.clone()]).await.unwrap();
    }
    append(&client, "a", 1).await;
    let settings = GroupSettings { max_checkpoint_count: 1, ..from_start() };
    client.create_group("a", "g", &settings).await.unwrap();

    // both come at once; the answer is for both
    let mut group = client.subscribe_group("a", "g", 3).await.unwrap();
    let mut ids = Vec::new();
    for revision in 0..3 {
        let event = next(&mut group).await;
        assert_eq!(place(&event), (revision, 0));
        ids.push(event.answer_id().unwrap());
    }
    assert_eq!(ids[0], ids[1]);
    group.answers().ack(vec![ids[0], ids[2]]).await.unwrap();
    until(&client, "nothing is out", |info| info.in_flight == 0 && info.checkpoint == "2").await;
    drop(group);

    // with room for one, each delivery has its own answer; none stalls the group
    client.create_group("a", "narrow", &settings).await.unwrap();
    let mut group = client.subscribe_group("a", "narrow", 1).await.unwrap();
    for revision in 0..3 {
        let event = next(&mut group).await;
        assert_eq!(place(&event), (revision, 0));
        group.answers().ack(vec![event.answer_id().unwrap()]).await.unwrap();
    }
}

#[tokio::test]
async fn a_retried_id_that_is_out_twice_comes_again_once() {
    let server = server().await;
    let client = client(&server);
    let twice = crate::support::events(1).remove(0);
    let none = antiphon_eventstore::ExpectedRevision::NoStream;
    client.append("a", none, vec![twice.clone()]).await.unwrap();
    let next_one = antiphon_eventstore::ExpectedRevision::Exact(0);
    client.append("a", next_one, vec![twice.clone()]).await.unwrap();
    client.create_group("a", "g", &from_start()).await.unwrap();
    let mut group = client.subscribe_group("a", "g", 5).await.unwrap();
    assert_eq!(place(&next(&mut group).await), (0, 0));
    assert_eq!(place(&next(&mut group).await), (1, 0));
    group.answers().nack(vec![twice.id], NackAction::Retry, "again").await.unwrap();
    assert_eq!(place(&next(&mut group).await), (0, 1));
    group.answers().ack(vec![twice.id]).await.unwrap();
    append(&client, "a", 1).await;
    assert_eq!(place(&next(&mut group).await), (2, 0));
}

#[tokio::test]
async fn the_info_of_a_group_has_totals_and_times() {
    let settings = GroupSettings { checkpoint_after: Duration::from_millis(1234), ..from_start() };
    let (_server, client) = group_on(3, &settings).await;
    let info = client.group_info("a", "g").await.unwrap();
    assert_eq!((info.total, info.checkpoint_after), (0, Duration::from_millis(1234)));
    let mut group = client.subscribe_group("a", "g", 2).await.unwrap();
    let first = next(&mut group).await;
    group.answers().nack(vec![first.answer_id().unwrap()], NackAction::Retry, "").await.unwrap();
    for _ in 0..2 {
        next(&mut group).await;
    }
    let info = client.group_info("a", "g").await.unwrap();
    assert_eq!((info.total, info.in_flight, info.consumers), (3, 2, 1));
    assert_eq!((&*info.status, &*info.last_known), ("Live", "2"));
}

#[tokio::test]
async fn a_group_that_is_deleted_takes_its_parked_messages_with_it() {
    let (_server, client) = group_on(1, &from_start()).await;
    let mut group = client.subscribe_group("a", "g", 1).await.unwrap();
    let id = next(&mut group).await.answer_id().unwrap();
    group.answers().nack(vec![id], NackAction::Park, "later").await.unwrap();
    until(&client, "it is parked", |info| info.parked == 1).await;
    client.delete_group("a", "g").await.unwrap();
    client.create_group("a", "g", &from_start()).await.unwrap();
    assert_eq!(parked(&client, "a", "g").await, 0);
    let lot = client.newest("$persistentsubscription-a::g-parked").await.unwrap();
    assert_eq!(lot, None);
}

#[tokio::test]
async fn an_answer_that_asks_to_stop_settles_its_messages_and_the_consumer_stays() {
    let (_server, client) = group_on(2, &from_start()).await;
    let mut group = client.subscribe_group("a", "g", 1).await.unwrap();
    let id = next(&mut group).await.answer_id().unwrap();
    group.answers().nack(vec![id], NackAction::Stop, "enough").await.unwrap();
    assert_eq!(place(&next(&mut group).await), (1, 0));
}

#[tokio::test]
async fn settings_that_the_server_refuses_are_told_with_its_reason() {
    let server = server().await;
    let client = client(&server);
    let settings = GroupSettings { read_batch_size: 500, ..from_start() };
    let refused = client.create_group("a", "g", &settings).await;
    let (kind, message) = told(refused);
    assert_eq!(kind, ErrorKind::Rejected);
    let start = "create group `g` of stream `a`: the server refuses the group: ";
    assert!(message.starts_with(start), "{message}");
}
