//! The metadata of commands, over links and to every replica.

use antiphon_persistence::event::{Labels, Metadata, SequenceNr, Tags};
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::reply::reply_channel;

use crate::world::{Command, World, counter, ready, refused, settings, wait_for};

async fn labels(world: &World, place: &str) -> Vec<Labels> {
    let id = PersistenceId::parse(format!("counter|c-1|{place}")).unwrap();
    let journal = world.stores[place].stores().journal;
    let events = journal.replay(&id, SequenceNr::new(1), SequenceNr::MAX, 10).await.unwrap();
    events.into_iter().map(|event| event.meta.labels).collect()
}

#[tokio::test(start_paused = true)]
async fn metadata_of_a_command_goes_over_the_link_and_its_events_keep_it_at_every_replica() {
    let world = World::new(&["A", "B"], settings());
    let (a, b) = (world.start("A", "a").await, world.start("B", "b").await);
    ready(&[&a, &b]).await;
    for place in ["A", "B"] {
        wait_for(&a, place, "c-1", 0).await;
    }

    let metadata = Metadata::new().with("traceparent", "00-0af7-b7ad-01").unwrap();
    let plain = counter(&a, "B", "c-1");
    let traced = plain.clone().with_metadata(metadata.clone());
    let added = traced.ask(|reply_to| Command::Add { delta: 5, reply_to }).await;
    assert_eq!(added, Ok(5));
    let (reply_to, reply) = reply_channel();
    traced.tell(Command::Add { delta: 1, reply_to });
    assert_eq!(reply.wait().await, Ok(6));
    assert_eq!(plain.ask(|reply_to| Command::Add { delta: 1, reply_to }).await, Ok(7));

    wait_for(&a, "A", "c-1", 7).await;
    let with = |tags| Labels::new(metadata.clone(), tags).unwrap();
    let expected = [with(Tags::from(["many"])), with(Tags::none()), Labels::none()];
    for place in ["B", "A"] {
        assert_eq!(labels(&world, place).await, expected, "the journal of {place}");
    }
    for node in [&a, &b] {
        assert_eq!(refused(node, "malformed"), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_whose_sender_is_told_that_it_was_taken_keeps_its_metadata() {
    let world = World::new(&["A", "B"], settings());
    let (a, b) = (world.start("A", "a").await, world.start("B", "b").await);
    ready(&[&a, &b]).await;
    for place in ["A", "B"] {
        wait_for(&a, place, "c-1", 0).await;
    }

    let metadata = Metadata::new().with("traceparent", "00-0af7-b7ad-01").unwrap();
    for (place, sum) in [("A", 1), ("B", 2)] {
        let traced = counter(&a, place, "c-1").with_metadata(metadata.clone());
        let (reply_to, reply) = reply_channel();
        traced.tell_acknowledged(Command::Add { delta: 1, reply_to }).await.unwrap();
        assert_eq!(reply.wait().await, Ok(sum));
        wait_for(&a, "A", "c-1", sum).await;
        wait_for(&a, "B", "c-1", sum).await;
    }
    let with = Labels::new(metadata, Tags::none()).unwrap();
    for place in ["B", "A"] {
        assert_eq!(labels(&world, place).await, [with.clone(), with.clone()], "at {place}");
    }
}
