//! Connections over loopback.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use antiphon_base::time::{Clock, SystemClock};

use super::{TcpSettings, TcpTransport, hello};
use crate::gate::{Gate, GateSettings, Responder, ServiceId};
use crate::metrics::Metrics;
use crate::transport::Transport;
use crate::{AskError, NodeId};

mod liars;
mod streams;

const ECHO: ServiceId = ServiceId(20);

struct Side {
    id: NodeId,
    address: String,
    gate: Gate,
    metrics: Metrics,
}

fn cookie(cookie: &str) -> TcpSettings {
    TcpSettings { cookie: cookie.into(), ..TcpSettings::default() }
}

fn side(name: &str, incarnation: u64, cookie_text: &str) -> Side {
    side_of(NodeId::new(name, incarnation).unwrap(), cookie(cookie_text))
}

fn side_with(name: &str, settings: TcpSettings) -> Side {
    side_of(NodeId::new(name, 1).unwrap(), settings)
}

fn side_of(id: NodeId, settings: TcpSettings) -> Side {
    let transport =
        TcpTransport::bind(id.clone(), "127.0.0.1:0".parse().unwrap(), settings).unwrap();
    let address = transport.local_address().to_string();
    let transport: Arc<dyn Transport> = transport;
    let metrics = Metrics::new();
    let (settings, clock) = (GateSettings::default(), Arc::new(SystemClock));
    let gate = Gate::start(id.clone(), transport, settings, clock, &metrics);
    gate.register(
        ECHO,
        Arc::new(|_: &NodeId, message: Bytes, responder: Option<Responder>| {
            if let Some(responder) = responder {
                responder.reply(message);
            }
        }),
    );
    Side { id, address, gate, metrics }
}

/// The connections that a node has refused for that reason.
fn refused(side: &Side, reason: &str) -> u64 {
    side.metrics.counters_of("antiphon_links_refused_total").with_label_values(&[reason]).get()
}

/// Waits until a number that the node counts fits.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), waiting).await.is_ok(), "{what}");
}

fn connect(a: &Side, b: &Side) {
    a.gate.connect(&b.id, &b.address);
    b.gate.connect(&a.id, &a.address);
}

async fn wait(what: &str, side: &Side, predicate: impl Fn() -> bool) {
    let mut changes = side.gate.link_changes();
    let waiting = async {
        while !predicate() {
            changes.changed().await.unwrap();
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(20), waiting).await.is_ok(), "{what}");
}

#[tokio::test]
async fn two_nodes_ask_each_other_also_with_long_messages() {
    let (a, b) = (side("a", 1, "x"), side("b", 1, "x"));
    connect(&a, &b);
    wait("a sees b", &a, || a.gate.is_connected(&b.id)).await;
    wait("b sees a", &b, || b.gate.is_connected(&a.id)).await;
    for size in [0, 10, 100_000, 3_000_000] {
        let message = Bytes::from(vec![7; size]);
        let answer = a.gate.ask(&b.id, ECHO, message.clone(), Duration::from_secs(20)).await;
        assert_eq!(answer.unwrap().len(), size);
        let answer = b.gate.ask(&a.id, ECHO, message, Duration::from_secs(20)).await;
        assert_eq!(answer.unwrap().len(), size);
    }
}

#[tokio::test]
async fn the_end_of_a_peer_is_seen_and_its_next_incarnation_is_another_peer() {
    let (a, b) = (side("a", 1, "x"), side("b", 1, "x"));
    connect(&a, &b);
    wait("a sees b", &a, || a.gate.is_connected(&b.id)).await;
    b.gate.close();
    wait("a misses b", &a, || !a.gate.is_connected(&b.id)).await;
    let error = a.gate.ask(&b.id, ECHO, Bytes::new(), Duration::from_secs(1)).await.unwrap_err();
    assert!(matches!(error, AskError::NotConnected(_)), "{error}");

    a.gate.disconnect(&b.id);
    let again = side("b", 2, "x");
    connect(&a, &again);
    wait("a sees the new b", &a, || a.gate.is_connected(&again.id)).await;
    assert!(a.gate.ask(&again.id, ECHO, Bytes::new(), Duration::from_secs(5)).await.is_ok());
}

/// A node of place B with the name of a member of place A.
#[tokio::test]
async fn a_connection_with_the_name_of_a_member_of_another_place_is_refused() {
    let of_place =
        |name, place: &str| side_with(name, TcpSettings { place: place.into(), ..cookie("x") });
    let (impostor, b) = (of_place("a", "B"), of_place("b", "B"));
    connect(&impostor, &b);
    wait("they are connected", &b, || b.gate.is_connected(&impostor.id)).await;
    assert_eq!(b.gate.place_of(&impostor.id).as_deref(), Some("B"));
    b.gate.expect_place(&impostor.id, &"A".into());
    wait("the connection ends", &b, || !b.gate.is_connected(&impostor.id)).await;
    assert_eq!(b.gate.place_of(&impostor.id), None);

    let member = of_place("a", "A");
    impostor.gate.close();
    connect(&member, &b);
    wait("the member is connected", &b, || b.gate.is_connected(&member.id)).await;
    assert_eq!(b.gate.place_of(&member.id).as_deref(), Some("A"));
}

#[tokio::test]
async fn another_cookie_is_refused() {
    let (a, b) = (side("a", 1, "x"), side("b", 1, "y"));
    let c = side("c", 1, "x");
    connect(&a, &b);
    connect(&a, &c);
    wait("a sees c", &a, || a.gate.is_connected(&c.id)).await;
    let error =
        a.gate.ask(&b.id, ECHO, Bytes::new(), Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(error, AskError::NotConnected(_)), "{error}");
    // the side that dials and the side that is dialled both know why
    for (side, other) in [(&a, &b), (&b, &a)] {
        let expected = format!("`cookie`: that of `{}` is another one", other.id);
        let known = async {
            while side.gate.trouble(&other.id).as_ref() != Some(&expected) {
                tokio::task::yield_now().await;
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(20), known).await.is_ok(), "{expected}");
    }
    assert_eq!(a.gate.trouble(&c.id), None);
}

/// The node was declared dead while it could not reach its store: it dialled twenty times a second
/// for as long as that lasted.
#[tokio::test]
async fn a_node_that_is_greeted_and_then_refused_dials_more_and_more_rarely() {
    let (a, b) = (side("a", 1, "x"), side("b", 1, "x"));
    connect(&a, &b);
    wait("a sees b", &a, || a.gate.is_connected(&b.id)).await;
    let changes = a.gate.link_changes();
    let count = || *changes.borrow();
    b.gate.disconnect(&a.id);
    wait("the end of the connection", &a, || !a.gate.is_connected(&b.id)).await;
    let (before, began) = (count(), SystemClock.now());
    // up and down for each try: after 50, 100, 200 and 400 ms
    wait("four tries", &a, || count() >= before + 8).await;
    let took = SystemClock.now() - began;
    assert!(took >= Duration::from_millis(500), "{took:?}");
}

#[tokio::test]
async fn a_port_in_use_names_the_setting() {
    let a = side("a", 1, "x");
    let id = NodeId::new("b", 1).unwrap();
    let taken = TcpTransport::bind(id, a.address.parse().unwrap(), TcpSettings::default());
    let message = taken.err().unwrap().to_string();
    assert!(message.contains("`bind`: cannot listen on 127.0.0.1:"), "{message}");
}
