//! Liars over real connections.

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::SystemClock;
use antiphon_runtime::transport::tcp::{TcpSettings, TcpTransport};
use antiphon_runtime::{AskError, NodeId};

use crate::messages::{Message, forged};
use crate::world::{
    COMMANDS, GET, Place, SECOND, SHARDING, World, add, get, ready, refused, settings, stranger_on,
    wait, wait_for, wire,
};

fn transport(place: &str, name: &str) -> (NodeId, Arc<TcpTransport>) {
    let id = NodeId::new(name, 1).unwrap();
    let settings = TcpSettings { place: place.into(), ..TcpSettings::default() };
    let bind = "127.0.0.1:0".parse().unwrap();
    let transport = TcpTransport::bind(id.clone(), bind, settings).unwrap();
    (id, transport)
}

fn over_tcp(place: &'static str, name: &str) -> Place {
    let (id, transport) = transport(place, name);
    let address = transport.local_address().to_string();
    Place { place, id, address, transport, clock: Arc::new(SystemClock) }
}

#[tokio::test]
async fn over_real_connections_a_stranger_and_a_lying_member_change_nothing() {
    let world = World::new(&["A", "B"], settings());
    let of_b = over_tcp("B", "b");
    let address_of_b = of_b.address.clone();
    let (a, b) = (world.start_at(over_tcp("A", "a")).await, world.start_at(of_b).await);
    ready(&[&a, &b]).await;
    let liar = world.liar_at(over_tcp("A", "liar"), &b).await;
    let say = |message: Message| {
        liar.node.gate().tell(b.node.id(), SHARDING, message.encode()).unwrap();
    };

    say(Message::replicate("known", "B", vec![forged("A")]));
    wait_for(&b, "B", "known", 1000).await;
    say(Message::replicate("x", "B", vec![forged("B")]));
    say(Message::homes("A", u64::MAX, u64::MAX, "nobody"));
    say(Message::homes("B", u64::MAX, u64::MAX, "nobody"));
    let lease = |place: &str| b.node.coordinator_lease().borrow().holders[place].token.0;
    say(Message::homes("A", lease("A"), u64::MAX, "nobody"));
    say(Message::homes("B", lease("B"), u64::MAX, "nobody"));
    let counts = || ["other_origin", "unknown_lease", "not_coordinator"].map(|it| refused(&b, it));
    wait("the lies are refused", || counts() == [1, 2, 2]).await;

    // a dialling node has the smaller id
    let (id, transport) = transport("A", "a-stranger");
    let stranger = stranger_on(id, transport, &b, &address_of_b).await;
    let read = wire(0, 1, [b"counter", b"known", b"B"], GET);
    let answer = stranger.ask(b.node.id(), COMMANDS, read, 10 * SECOND).await;
    assert!(matches!(answer, Err(AskError::NotHere(_))), "{answer:?}");
    let events = Message::replicate("x", "B", vec![forged("A")]).encode();
    stranger.tell(b.node.id(), SHARDING, events).unwrap();
    wait("the stranger is refused", || refused(&b, "no_member") == 2).await;

    assert_eq!(get(&b, "B", "x").await, 0);
    assert_eq!((add(&a, "A", "x").await, add(&b, "A", "x").await), (1, 2));
    wait_for(&b, "B", "x", 2).await;
    assert!(b.counters.is_ready());
    for node in [&liar.node, &a.node, &b.node] {
        let left = tokio::time::timeout(Duration::from_secs(30), node.leave()).await;
        left.unwrap().unwrap();
    }
}
