//! The behaviour, without a cluster.

use antiphon::testkit::EntityTest;
use antiphon_counter::{Command, Counter, Event};

#[test]
fn adding_persists_one_event_and_answers_the_sum() {
    let mut counter =
        EntityTest::new(Counter, "counter|c-1|DC-A").given([Event::Added { delta: 40 }]);
    assert_eq!(counter.ask(|reply_to| Command::Add { delta: 2, reply_to }), Ok(42));
    assert_eq!(counter.new_events(), [Event::Added { delta: 2 }]);
    counter.restart();
    assert_eq!(counter.ask(|reply_to| Command::Get { reply_to }), Ok(42));
}

#[test]
fn replicas_converge_on_the_sum_in_whatever_order_the_events_arrive() {
    let mut counter = EntityTest::replicas(Counter, "counter|c-1", ["DC-A", "DC-B", "DC-C"]);
    counter.concurrently(|counter| {
        for (at, delta) in [("DC-A", 1), ("DC-B", 20), ("DC-C", -300), ("DC-A", i64::MAX)] {
            counter.at(at).ask(|reply_to| Command::Add { delta, reply_to }).unwrap();
        }
    });
    assert_eq!(*counter.at("DC-B").state(), i64::MAX - 279);
}
