//! Singletons with real actors and nodes in memory, under paused time.

use std::time::Duration;

use antiphon_runtime::Node;
use ractor::{ActorProcessingErr, ActorRef, Message, RpcReplyPort};

use super::*;
use crate::ToolSettings;
use crate::testing::{Place, until, within};

enum Ask {
    Where(RpcReplyPort<(String, u64)>),
    Count,
    Lease(RpcReplyPort<SingletonLease>),
    Counted(RpcReplyPort<u64>),
    Fail,
}

impl Message for Ask {}

struct Here;

impl Actor for Here {
    type Msg = Ask;
    type State = (SingletonLease, u64);
    type Arguments = SingletonLease;

    async fn pre_start(
        &self,
        _: ActorRef<Ask>,
        lease: SingletonLease,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok((lease, 0))
    }

    async fn handle(
        &self,
        _: ActorRef<Ask>,
        message: Ask,
        (lease, count): &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Ask::Where(reply) => {
                reply.send((lease.node().id().name().to_owned(), lease.token().0))?;
            }
            Ask::Count => *count += 1,
            Ask::Lease(reply) => reply.send(lease.clone())?,
            Ask::Counted(reply) => reply.send(*count)?,
            Ask::Fail => return Err("the test wants it".into()),
        }
        Ok(())
    }
}

const LIMIT: Duration = Duration::from_secs(30);

fn start(node: &Node, name: &str) -> SingletonProxy<Ask> {
    Singleton::start(node, name, |lease| (Here, lease.clone())).unwrap()
}

async fn place_of(proxy: &SingletonProxy<Ask>) -> (String, u64) {
    within("the singleton", proxy.call(LIMIT, Ask::Where)).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn it_runs_once_and_moves_when_its_node_dies() {
    let place = Place::new();
    let (a, b) = (place.start("a").await, place.start("b").await);
    let proxies = [start(&a, "moves"), start(&b, "moves")];
    let (first, token) = place_of(&proxies[0]).await;
    assert_eq!(place_of(&proxies[1]).await, (first.clone(), token));
    let (dies, lives, proxy) =
        if first == "a" { (&a, &b, &proxies[1]) } else { (&b, &a, &proxies[0]) };
    let began = lives.clock().now();
    dies.crash();
    until("the other node has it", || lives.metrics().text().contains("singleton_actors 1")).await;
    let took = lives.clock().now() - began;
    assert!(took < Duration::from_secs(4), "{took:?}");
    let (second, newer) = place_of(proxy).await;
    assert_eq!(second, lives.id().name());
    assert!(newer > token, "{newer} after {token}");
    println!("fail-over of a singleton: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn it_moves_at_once_when_its_node_says_goodbye_and_no_message_is_lost() {
    let place = Place::new();
    let nodes = [place.start("a").await, place.start("b").await, place.start("c").await];
    let proxies = nodes.each_ref().map(|node| start(node, "goodbye"));
    let (first, _) = place_of(&proxies[0]).await;
    let leaves = nodes.iter().position(|node| node.id().name() == first).unwrap();
    let stays = (leaves + 1) % 3;
    let began = nodes[stays].clock().now();
    let leaving = nodes[leaves].clone();
    let goodbye = task::spawn("goodbye", async move { leaving.leave().await });
    until("it moves", || proxies[stays].actor().is_none()).await;
    for _ in 0..10 {
        proxies[stays].send(Ask::Count).unwrap();
    }
    let counted = within("the answer", proxies[stays].call(LIMIT, Ask::Counted)).await;
    let took = nodes[stays].clock().now() - began;
    assert_eq!(counted, Ok(10));
    assert!(took < Duration::from_secs(1), "{took:?}");
    println!("hand-over of a singleton at a goodbye: {took:?}");
    goodbye.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_fails_is_started_again_with_waits_that_grow() {
    let place = Place::new();
    let node = place.start("a").await;
    let proxy = start(&node, "fails");
    let (_, token) = place_of(&proxy).await;
    let mut waits = Vec::new();
    for _ in 0..4 {
        let began = node.clock().now();
        let before = proxy.actor().unwrap();
        proxy.send(Ask::Fail).unwrap();
        until("it has failed", || proxy.actor().as_ref() != Some(&before)).await;
        assert_eq!(place_of(&proxy).await.1, token, "the lease stays");
        waits.push(node.clock().now() - began);
    }
    assert!(waits.windows(2).all(|pair| pair[0] < pair[1]), "{waits:?}");
    assert!(node.metrics().text().contains("antiphon_singleton_ends_total{reason=\"failed\"} 4"));
}

#[tokio::test(start_paused = true)]
async fn work_that_an_actor_has_left_behind_has_no_right_after_its_end() {
    let place = Place::new();
    let (a, b) = (place.start("a").await, place.start("b").await);
    let proxies = [start(&a, "behind"), start(&b, "behind")];
    let lease = within("a lease", proxies[0].call(LIMIT, Ask::Lease)).await.unwrap();
    assert!(lease.is_held());
    // the node lives on; the actor begins anew, with a lease of its own
    proxies[0].send(Ask::Fail).unwrap();
    until("the end", || !lease.is_held()).await;
    let again = within("a lease", proxies[0].call(LIMIT, Ask::Lease)).await.unwrap();
    assert!(again.is_held() && !lease.is_held());
    // it moves: the other node has it only after this one has no right any more
    let first = again.node().id().name().to_owned();
    let (leaving, proxy) =
        if first == "a" { (a.clone(), &proxies[1]) } else { (b.clone(), &proxies[0]) };
    let goodbye = task::spawn("goodbye", async move { leaving.leave().await });
    until("it moves", || !again.is_held()).await;
    let newer = within("a lease", proxy.call(LIMIT, Ask::Lease)).await.unwrap();
    assert!(newer.is_held() && newer.token().0 > again.token().0);
    goodbye.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_member_that_comes_first_in_the_order_gets_it_when_it_has_settled() {
    let place = Place::new();
    let a = place.start("a").await;
    // names for which `b` comes first
    let probe = antiphon_runtime::NodeId::new("b", 1).unwrap();
    let name = (0..).map(|number| format!("settles {number}"));
    let name = { name }.find(|name| order::is_before(name, &probe, a.id())).unwrap();
    let proxy = start(&a, &name);
    assert_eq!(place_of(&proxy).await.0, "a");
    let b = place.start("b").await;
    let began = b.clock().now();
    let _second = start(&b, &name);
    until("b has it", || b.metrics().text().contains("singleton_actors 1")).await;
    let took = b.clock().now() - began;
    let settle = ToolSettings::default().singleton_settle;
    assert!(took >= settle && took < settle + Duration::from_secs(3), "{took:?}");
    assert_eq!(place_of(&proxy).await.0, "b");
    assert!(a.metrics().text().contains("antiphon_singleton_ends_total{reason=\"moved\"} 1"));
}

#[tokio::test(start_paused = true)]
async fn a_node_without_a_row_handles_no_message_and_ends_the_actor() {
    let place = Place::new();
    let node = place.start("a").await;
    let proxy = start(&node, "frozen");
    place_of(&proxy).await;
    let actor = proxy.actor().unwrap();
    // the clock passes the end of the right before any task has run, as when a process wakes
    tokio::time::advance(Duration::from_secs(3)).await;
    assert!(!node.is_live());
    let call = actor.call(Ask::Counted, Some(Duration::from_millis(1))).await;
    assert!(!matches!(call, Ok(ractor::rpc::CallResult::Success(_))), "{call:?}");
}

#[tokio::test(start_paused = true)]
async fn no_message_is_handled_when_the_right_has_ended_whoever_notices_it_first() {
    let place = Place::new();
    for by_node in [true, false] {
        let node = place.start("a").await;
        let lease = SingletonLease::new("held".into(), 7, node.clone());
        let held = Held { actor: Here, lease: lease.clone() };
        let (actor, ended) = Actor::spawn(None, held, lease.clone()).await.unwrap();
        let limit = Some(Duration::from_secs(1));
        let counted = actor.call(Ask::Counted, limit).await;
        assert!(matches!(counted, Ok(ractor::rpc::CallResult::Success(0))), "{counted:?}");
        if by_node {
            node.fence("the test wants it");
        } else {
            lease.end();
        }
        assert!(!lease.is_held());
        let refused = actor.call(Ask::Counted, limit).await;
        assert!(matches!(refused, Ok(ractor::rpc::CallResult::SenderError)), "{refused:?}");
        within("the end of the actor", ended).await.unwrap();
        node.crash();
    }
}

#[tokio::test(start_paused = true)]
async fn messages_without_a_singleton_wait_within_bounds() {
    let place = Place::new();
    let node = place.start("a").await;
    let settings = ToolSettings { singleton_buffer_max: 2, ..ToolSettings::default() };
    settings.install(&node).unwrap();
    let proxy = SingletonProxy::<Ask>::of(&node, "nowhere").unwrap();
    proxy.send(Ask::Count).unwrap();
    proxy.send(Ask::Count).unwrap();
    let error = proxy.send(Ask::Count).unwrap_err().to_string();
    assert!(error.contains("`nowhere`: `singleton_buffer_max` of 2 is reached"), "{error}");
    let nobody = proxy.call(Duration::from_secs(1), Ask::Counted).await;
    assert_eq!(nobody, Err(ToolError::Nobody { key: "nowhere".into() }));
    let late = "antiphon_singleton_dropped_total{reason=\"singleton_buffer_timeout\"} 2";
    until("both are dropped", || node.metrics().text().contains(late)).await;
    proxy.send(Ask::Count).unwrap();
    let started = start(&node, "nowhere");
    let counted = within("the answer", started.call(LIMIT, Ask::Counted)).await;
    assert_eq!(counted, Ok(1));
    let again = Singleton::start(&node, "nowhere", |lease| (Here, lease.clone()));
    let error = again.map(|_| ()).unwrap_err();
    assert_eq!(error, ToolError::InUse { key: "nowhere".into() });
}
