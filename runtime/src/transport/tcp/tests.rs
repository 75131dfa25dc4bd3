//! Connections over loopback.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{TcpSettings, TcpTransport};
use crate::clock::SystemClock;
use crate::gate::{Gate, GateSettings, Responder, ServiceId};
use crate::metrics::Metrics;
use crate::transport::Transport;
use crate::{AskError, NodeId};

const ECHO: ServiceId = ServiceId(20);

struct Side {
    id: NodeId,
    address: String,
    gate: Gate,
}

fn side(name: &str, incarnation: u64, cookie: &str) -> Side {
    let id = NodeId::new(name, incarnation).unwrap();
    let settings = TcpSettings { cookie: cookie.into(), ..TcpSettings::default() };
    let transport =
        TcpTransport::bind(id.clone(), "127.0.0.1:0".parse().unwrap(), settings).unwrap();
    let address = transport.local_address().to_string();
    let transport: Arc<dyn Transport> = transport;
    let gate = Gate::start(
        id.clone(),
        transport,
        GateSettings::default(),
        Arc::new(SystemClock),
        &Metrics::new(),
    );
    gate.register(
        ECHO,
        Arc::new(|_: &NodeId, message: Bytes, responder: Option<Responder>| {
            if let Some(responder) = responder {
                responder.reply(message);
            }
        }),
    );
    Side { id, address, gate }
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
}

#[tokio::test]
async fn a_port_in_use_names_the_setting() {
    let a = side("a", 1, "x");
    let id = NodeId::new("b", 1).unwrap();
    let taken = TcpTransport::bind(id, a.address.parse().unwrap(), TcpSettings::default());
    let message = taken.err().unwrap().to_string();
    assert!(message.contains("`bind`: cannot listen on 127.0.0.1:"), "{message}");
}
