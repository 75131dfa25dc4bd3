//! A bare ractor `call`: the limit of a local ask.

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use crate::stats::Stopwatch;

struct Echo;

enum Message {
    Get(u64, RpcReplyPort<u64>),
}

antiphon::persistence::local_message!(Message);

impl Actor for Echo {
    type Msg = Message;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Message>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        Message::Get(value, port): Message,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        port.send(value).map_err(Into::into)
    }
}

/// Round trips per second with `in_flight` askers of one actor.
pub(crate) async fn round_trips_per_second(count: usize, in_flight: usize) -> f64 {
    let (actor, running) = Actor::spawn(None, Echo, ()).await.expect("a new actor");
    let watch = Stopwatch::start();
    let askers: Vec<_> = (0..in_flight)
        .map(|_| {
            let actor = actor.clone();
            antiphon_base::task::spawn("asker", async move {
                for number in 0..count / in_flight {
                    let answer = actor.call(|port| Message::Get(number as u64, port), None).await;
                    assert!(answer.is_ok_and(|answer| answer.is_success()), "an answer");
                }
            })
        })
        .collect();
    for asker in askers {
        asker.await.expect("a running asker");
    }
    let rate = watch.rate(count);
    actor.stop(None);
    running.await.expect("a stopped actor");
    rate
}

/// Starts `count` actors that do nothing, and keeps them.
pub(crate) async fn idle(count: usize) -> Vec<ActorRef<impl ractor::Message>> {
    let mut actors = Vec::new();
    for _ in 0..count {
        actors.push(Actor::spawn(None, Echo, ()).await.expect("a new actor").0);
    }
    actors
}
