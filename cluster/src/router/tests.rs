//! Routers with real actors, under paused time.

use ractor::Actor;

use super::*;
use crate::testing::{Place, Text, probe, text, until};

fn key(name: &str) -> ServiceKey<Text> {
    ServiceKey::new(name).unwrap()
}

#[tokio::test(start_paused = true)]
async fn turns_go_round_and_an_actor_that_ended_is_skipped() {
    let place = Place::new();
    let node = place.start("a").await;
    let key = key("turns");
    let router = Router::new(&node, &key).unwrap();
    let error = router.send(text("nobody")).unwrap_err().to_string();
    assert!(error.starts_with("`turns`: no actor is there: register one"), "{error}");
    let mut actors = Vec::new();
    for _ in 0..3 {
        let (actor, texts) = probe::<Text>().await;
        Receptionist::of(&node).register(&key, &actor).unwrap();
        actors.push((actor, texts));
    }
    for _ in 0..6 {
        router.send(text("x")).unwrap();
    }
    for (_, texts) in &mut actors {
        until("each has two", || texts.len() == 2).await;
    }
    actors[1].0.kill_and_wait(None).await.unwrap();
    let gone = actors[1].0.clone();
    for _ in 0..6 {
        assert_ne!(router.send(text("y")).unwrap(), gone);
    }
    assert!(node.metrics().text().contains("antiphon_router_failed_total{reason=\"nobody\"} 1"));
}

#[tokio::test(start_paused = true)]
async fn a_key_stays_at_its_actor_until_that_one_ends() {
    let place = Place::new();
    let (a, b) = (place.start("a").await, place.start("b").await);
    let key = key("hash");
    for node in [&a, &b, &a, &b] {
        let (actor, _texts) = probe::<Text>().await;
        Receptionist::of(node).register(&key, &actor).unwrap();
        // its mailbox is not read any more, and takes messages nevertheless
        std::mem::forget(_texts);
    }
    let routers = [&a, &b].map(|node| Router::new(node, &key).unwrap());
    until("both know all", || routers.iter().all(|router| router.actors() == 4)).await;
    let name = |number: usize| format!("user {number}");
    let chosen: Vec<_> = (0..100)
        .map(|number| {
            let chosen =
                routers.each_ref().map(|router| router.send_by(&name(number), text("x")).unwrap());
            assert_eq!(chosen[0], chosen[1], "both nodes choose the same one");
            chosen[0].clone()
        })
        .collect();
    chosen[7].kill_and_wait(None).await.unwrap();
    for (number, before) in chosen.iter().enumerate() {
        let now = routers[0].send_by(&name(number), text("x")).unwrap();
        assert_eq!(now == *before, *before != chosen[7], "{}", name(number));
    }
}

#[tokio::test(start_paused = true)]
async fn actors_of_this_node_come_first_if_they_are_preferred() {
    let place = Place::new();
    let (a, b) = (place.start("a").await, place.start("b").await);
    let key = key("local_first");
    let (here, _texts) = probe::<Text>().await;
    let (there, _more) = probe::<Text>().await;
    Receptionist::of(&a).register(&key, &here).unwrap();
    Receptionist::of(&b).register(&key, &there).unwrap();
    let router = Router::new(&a, &key).unwrap().prefer_local();
    until("both are known", || router.actors() == 2).await;
    for _ in 0..5 {
        assert_eq!(router.send(text("x")), Ok(here.clone()));
    }
    assert_eq!(router.broadcast(text("all")), Ok(Broadcast { reached: 2, ended: 0 }));
    here.stop_and_wait(None, None).await.unwrap();
    assert_eq!(router.send(text("x")), Ok(there));
}

enum Ask {
    Double(u64, RpcReplyPort<u64>),
    Never(RpcReplyPort<u64>),
    Drop(RpcReplyPort<u64>),
}

impl Message for Ask {}

struct Doubler;

impl Actor for Doubler {
    type Msg = Ask;
    type State = Vec<RpcReplyPort<u64>>;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ActorRef<Ask>,
        (): (),
    ) -> Result<Self::State, ractor::ActorProcessingErr> {
        Ok(Vec::new())
    }

    async fn handle(
        &self,
        _: ActorRef<Ask>,
        message: Ask,
        waiting: &mut Self::State,
    ) -> Result<(), ractor::ActorProcessingErr> {
        match message {
            Ask::Double(number, reply) => reply.send(2 * number)?,
            Ask::Never(reply) => waiting.push(reply),
            Ask::Drop(reply) => drop(reply),
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn every_call_ends_within_its_limit_and_the_error_says_how() {
    let place = Place::new();
    let node = place.start("a").await;
    let key = ServiceKey::<Ask>::new("calls").unwrap();
    let (doubler, _) = Doubler::spawn(None, Doubler, ()).await.unwrap();
    Receptionist::of(&node).register(&key, &doubler).unwrap();
    let router = Router::new(&node, &key).unwrap();
    let limit = Duration::from_secs(1);
    assert_eq!(router.call(limit, |reply| Ask::Double(4, reply)).await, Ok(8));
    assert_eq!(router.call_by("k", limit, |reply| Ask::Double(5, reply)).await, Ok(10));
    let name = || "calls".to_owned();
    let late = router.call(limit, Ask::Never).await;
    assert_eq!(late, Err(ToolError::Timeout { key: name(), limit }));
    assert_eq!(router.call(limit, Ask::Drop).await, Err(ToolError::Ended { key: name() }));
}
