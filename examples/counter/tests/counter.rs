//! The behaviour, without a cluster.

use antiphon::persistence::entity::testkit::EntityTest;
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
