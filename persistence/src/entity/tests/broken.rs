//! An entity whose engine is broken.

use super::{Command, fixture, quiet, spawn};
use crate::entity::StopReason;
use crate::entity::engine::Input;
use crate::entity::message::EntityMessage;

#[tokio::test(start_paused = true)]
async fn an_engine_that_gets_a_result_it_has_not_asked_for_stops_its_entity_loudly() {
    let mut fixture = fixture(quiet()).await;
    let entity = spawn(&fixture);
    assert_eq!(entity.ask(|to| Command::Add(2, to)).await, Ok(2));

    let asked = entity.ask(Command::Forever);
    let broken = async {
        tokio::task::yield_now().await;
        let result = Input::SnapshotsVoided(0, Ok(()));
        entity.actor.send_message(EntityMessage::Input(Box::new(result))).unwrap();
    };
    let (answer, ()) = tokio::join!(asked, broken);
    assert!(!answer.unwrap_err().is_without_effect(), "its future was under way");
    let Some(StopReason::Failed(why)) = fixture.stopped.recv().await else {
        panic!("the host is told of a failure");
    };
    assert!(why.contains("`SnapshotsVoided` is no result for an entity at work"), "{why}");
    assert!(fixture.runtime.counters().values().contains(&("engines_broken", 1)));

    let entity = spawn(&fixture);
    assert_eq!(entity.ask(|to| Command::Add(3, to)).await, Ok(5), "nothing is lost");
}
