//! Two or three gates on a network in memory.

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::SystemClock;
use bytes::Bytes;
use parking_lot::Mutex;

use super::*;
use crate::transport::memory::{Faults, MemoryNetwork};

const SERVICE: ServiceId = ServiceId(20);
const SECOND: Duration = Duration::from_secs(1);

fn id(name: &str) -> NodeId {
    NodeId::new(name, 1).unwrap()
}

fn gate(network: &MemoryNetwork, name: &str) -> (Gate, Arc<Metrics>) {
    let metrics = Arc::new(Metrics::new());
    let clock = Arc::new(SystemClock);
    let transport = network.transport(&id(name));
    let gate = Gate::start(id(name), transport, GateSettings::default(), clock, &metrics);
    (gate, metrics)
}

async fn connected(network: &MemoryNetwork) -> (Gate, Gate) {
    let ((a, _), (b, _)) = (gate(network, "a"), gate(network, "b"));
    a.connect(b.local_node(), "");
    b.connect(a.local_node(), "");
    until("both ends are connected", || are_connected(&a, &b)).await;
    (a, b)
}

fn are_connected(a: &Gate, b: &Gate) -> bool {
    a.is_connected(b.local_node()) && b.is_connected(a.local_node())
}

/// Waits under paused time, at most for a minute.
async fn until(what: &str, is_there: impl Fn() -> bool) {
    let wait = async {
        while !is_there() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(60 * SECOND, wait).await;
    assert!(waited.is_ok(), "waited in vain until {what}");
}

/// Answers each request with its own content.
fn echo(_: &NodeId, message: Bytes, responder: Option<Responder>) {
    if let Some(responder) = responder {
        responder.reply(message);
    }
}

#[tokio::test(start_paused = true)]
async fn asks_are_answered_over_the_network_and_locally() {
    let (a, b) = connected(&MemoryNetwork::new(1)).await;
    b.register(SERVICE, Arc::new(echo));
    a.register(SERVICE, Arc::new(echo));

    for to in [&a, &b] {
        let answer = a.ask(to.local_node(), SERVICE, Bytes::from_static(b"hi"), SECOND).await;
        assert_eq!(answer, Ok(Bytes::from_static(b"hi")));
    }
}

#[tokio::test(start_paused = true)]
async fn each_way_of_not_answering_is_told() {
    let (a, b) = connected(&MemoryNetwork::new(1)).await;
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = kept.clone();
    b.register(
        SERVICE,
        Arc::new(move |_: &NodeId, message: Bytes, responder: Option<Responder>| {
            match (&*message, responder) {
                (b"drop", responder) => drop(responder),
                (b"panic", _) => panic!("the service is broken"),
                (b"fail", Some(responder)) => responder.fail(AskError::Stopped("shard 3".into())),
                (b"long", Some(responder)) => responder.reply(vec![0; 9 << 20].into()),
                (_, responder) => keep.lock().push(responder),
            }
        }),
    );
    for by_call in [false, true] {
        let ask = async |to: &NodeId, service: ServiceId, message: Bytes| {
            if by_call {
                called(&a, to, service, message).await
            } else {
                a.ask(to, service, message, SECOND).await
            }
        };
        let to_b = async |message: &'static [u8]| {
            ask(b.local_node(), SERVICE, Bytes::from_static(message)).await
        };
        assert_eq!(to_b(b"drop").await, Err(AskError::NoReply));
        assert_eq!(to_b(b"panic").await, Err(AskError::NoReply));
        assert_eq!(to_b(b"fail").await, Err(AskError::Stopped("shard 3".into())));
        // the request was handled; only its answer was lost
        let Err(AskError::Unanswered(why)) = to_b(b"long").await else { panic!("an answer came") };
        assert!(why.contains("actual 9437184"), "{why}");
        let long = ask(b.local_node(), SERVICE, vec![0; 9 << 20].into()).await;
        assert!(matches!(long, Err(AskError::TooLarge { actual: 9437184, .. })));
        assert_eq!(to_b(b"wait").await, Err(AskError::Timeout));
        let other = ask(b.local_node(), ServiceId(99), Bytes::new()).await;
        assert_eq!(other, Err(AskError::NotHere("service 99".into())));
        let nobody = ask(&id("c"), SERVICE, Bytes::new()).await;
        assert!(matches!(nobody, Err(AskError::NotConnected(_))));
    }
}

/// The answer that a function gets.
async fn called(
    gate: &Gate,
    to: &NodeId,
    service: ServiceId,
    message: Bytes,
) -> Result<Bytes, AskError> {
    let (sender, answer) = tokio::sync::oneshot::channel();
    gate.ask_then(to, service, message, SECOND, |answer| drop(sender.send(answer)));
    answer.await.expect("the function is called")
}

#[tokio::test(start_paused = true)]
async fn a_gate_that_ends_answers_every_function() {
    let (a, b) = connected(&MemoryNetwork::new(1)).await;
    let held = Arc::new(Mutex::new(Vec::new()));
    let hold = held.clone();
    let keep = move |_: &NodeId, _: Bytes, responder: Option<Responder>| {
        hold.lock().push(responder);
    };
    a.register(SERVICE, Arc::new(keep.clone()));
    b.register(SERVICE, Arc::new(keep));
    let asked = [a.local_node(), b.local_node()].map(|to| {
        let (sender, answer) = tokio::sync::oneshot::channel();
        a.ask_then(to, SERVICE, Bytes::new(), 100 * SECOND, |answer| drop(sender.send(answer)));
        answer
    });
    until("both requests are there", || held.lock().len() == 2).await;
    a.close();
    for answer in asked {
        let error = answer.await.unwrap().unwrap_err();
        assert!(matches!(error, AskError::Unreachable(_)), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn asks_fail_at_once_when_the_peer_dies_and_go_on_when_it_is_back() {
    let network = MemoryNetwork::new(1);
    let (a, b) = connected(&network).await;
    let held = Arc::new(Mutex::new(Vec::new()));
    let hold = held.clone();
    b.register(
        SERVICE,
        Arc::new(move |_: &NodeId, _: Bytes, responder: Option<Responder>| {
            hold.lock().push(responder);
        }),
    );
    let asked = a.ask(b.local_node(), SERVICE, Bytes::new(), 100 * SECOND);
    until("the request is there", || held.lock().len() == 1).await;

    let before = SystemClock.now();
    network.break_connection(a.local_node(), b.local_node());
    assert!(matches!(asked.await, Err(AskError::Unreachable(_))));
    assert!(SystemClock.now() - before < Duration::from_millis(50));

    until("the link is back", || are_connected(&a, &b)).await;
    b.register(SERVICE, Arc::new(echo));
    assert!(a.ask(b.local_node(), SERVICE, Bytes::new(), SECOND).await.is_ok());
}

/// Requests that are never answered must not fill the memory of the asked node.
#[tokio::test(start_paused = true)]
async fn requests_beyond_the_limit_of_a_node_fail_at_once_until_others_are_answered() {
    let network = MemoryNetwork::new(1);
    let (a, _) = gate(&network, "a");
    let metrics = Metrics::new();
    let settings = GateSettings { served_asks_max: 2, ..GateSettings::default() };
    let transport = network.transport(&id("b"));
    let b = Gate::start(id("b"), transport, settings, Arc::new(SystemClock), &metrics);
    a.connect(b.local_node(), "");
    b.connect(a.local_node(), "");
    until("both ends are connected", || are_connected(&a, &b)).await;
    let held = Arc::new(Mutex::new(Vec::new()));
    let hold = held.clone();
    let keep = move |_: &NodeId, _: Bytes, responder: Option<Responder>| {
        hold.lock().extend(responder);
    };
    b.register(SERVICE, Arc::new(keep));
    let ask = || a.ask(b.local_node(), SERVICE, Bytes::new(), 100 * SECOND);
    let (first, second) = (ask(), ask());
    let third = ask().await.unwrap_err();
    assert_eq!(third.to_string(), "overloaded: `served_asks_max` 2 of the other node");
    let dropped = metrics.counters_of("antiphon_gate_dropped_total");
    assert_eq!(dropped.with_label_values(&["served_asks_max"]).get(), 1);
    for responder in held.lock().drain(..) {
        responder.reply(Bytes::new());
    }
    assert!(first.await.is_ok() && second.await.is_ok());
    let fourth = ask();
    until("the fourth request is there", || !held.lock().is_empty()).await;
    held.lock().remove(0).reply(Bytes::new());
    assert!(fourth.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn tells_of_one_peer_keep_their_order_on_a_network_that_loses_and_reorders() {
    for seed in 0..20 {
        let network = MemoryNetwork::new(seed);
        let (a, b) = connected(&network).await;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        b.register(
            SERVICE,
            Arc::new(move |_: &NodeId, message: Bytes, _: Option<Responder>| {
                log.lock().push(u32::from_le_bytes(message[..].try_into().unwrap()));
            }),
        );
        network.set_faults(Faults {
            drop_per_million: 4_000,
            duplicate_per_million: 50_000,
            reorder_per_million: 100_000,
            ..Faults::default()
        });

        for number in 0..500u32 {
            let _ = a.tell(b.local_node(), SERVICE, number.to_le_bytes().to_vec().into());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        tokio::time::sleep(SECOND).await;

        let seen = seen.lock();
        assert!(seen.is_sorted_by(|earlier, later| earlier < later), "seed {seed}: {seen:?}");
        assert!(seen.len() > 40, "seed {seed}: only {} of 500 came", seen.len());
    }
}

#[tokio::test(start_paused = true)]
async fn a_closed_gate_sends_and_receives_nothing() {
    let (a, b) = connected(&MemoryNetwork::new(1)).await;
    let held = Arc::new(Mutex::new(Vec::new()));
    let hold = held.clone();
    b.register(
        SERVICE,
        Arc::new(move |_: &NodeId, _: Bytes, responder: Option<Responder>| {
            hold.lock().push(responder);
        }),
    );
    let sent = a.ask(b.local_node(), SERVICE, Bytes::new(), 100 * SECOND);
    until("the request is there", || held.lock().len() == 1).await;
    let waiting = a.ask(b.local_node(), SERVICE, Bytes::new(), 100 * SECOND);
    a.close();
    a.close();

    assert!(matches!(sent.await, Err(AskError::Unreachable(_))));
    assert!(matches!(waiting.await, Err(AskError::NotConnected(_))), "it was not sent");
    assert!(a.tell(b.local_node(), SERVICE, Bytes::new()).is_err());
    until("the other end is gone", || !b.is_connected(a.local_node())).await;
}
