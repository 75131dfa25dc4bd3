//! Nodes that lie, silent connections, and nodes that are no members.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::transport::{SendError, TransportHandler};

/// A peer that says a correct hello and then writes any bytes it likes.
struct Liar {
    id: NodeId,
    stream: TcpStream,
    number: u64,
}

impl Liar {
    async fn connect(to: &Side, name: &str) -> Self {
        let id = NodeId::new(name, 1).unwrap();
        // the place of an earlier connection is given back a moment after its end
        for _ in 0..1000 {
            let mut stream = TcpStream::connect(&to.address).await.unwrap();
            if hello::greet(&mut stream, &id, (hello::Side::Dials, None), &cookie("x"), &mut None)
                .await
                .is_ok()
            {
                wait("the liar", to, || to.gate.is_connected(&id)).await;
                return Self { id, stream, number: 0 };
            }
        }
        panic!("no connection");
    }

    async fn bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// A data frame with one record: see the table in `gate::link::record`.
    async fn record(&mut self, kind: u8, service: ServiceId, payload: &[u8]) {
        let mut frame = vec![1];
        for number in [1, self.number, 0, 0] {
            frame.extend_from_slice(&number.to_le_bytes());
        }
        self.number += 1;
        frame.push(kind);
        frame.extend_from_slice(&service.0.to_le_bytes());
        frame.extend_from_slice(&1u64.to_le_bytes());
        frame.extend_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        frame.extend_from_slice(payload);
        self.bytes(&u32::try_from(frame.len()).unwrap().to_le_bytes()).await;
        self.bytes(&frame).await;
    }

    /// Waits for the answer to an ask with correlation 1: proof that all before it was handled.
    async fn answer(&mut self) -> Vec<u8> {
        loop {
            let length = self.stream.read_u32_le().await.unwrap() as usize;
            let mut frame = vec![0; length];
            self.stream.read_exact(&mut frame).await.unwrap();
            if frame[0] == 1 && frame[33] == 3 {
                return frame[48..].to_vec();
            }
        }
    }

    /// Waits for any answer.
    async fn answer_or_failure(&mut self) {
        loop {
            let length = self.stream.read_u32_le().await.unwrap() as usize;
            let mut frame = vec![0; length];
            self.stream.read_exact(&mut frame).await.unwrap();
            if frame[0] == 1 {
                return;
            }
        }
    }

    /// Ends the connection, and waits until the other side has seen the end.
    async fn end(mut self, of: &Side) {
        let _ = self.stream.shutdown().await;
        let _ = self.stream.read_to_end(&mut Vec::new()).await;
        wait("the liar's end", of, || !of.gate.is_connected(&self.id)).await;
    }
}

const FAILURE: u8 = 4;
const ASK: u8 = 2;
const TELL_PART: u8 = 0x41;

/// The frame aborted the process: memory for 2^46 bytes was asked for. 2^63 panicked.
#[tokio::test]
async fn a_frame_of_60_bytes_that_claims_an_endless_text_does_nothing() {
    let a = side("a", 1, "x");
    let mut liar = Liar::connect(&a, "liar").await;
    for length in [1u64 << 46, 1 << 63] {
        let payload = [&[7, 253][..], &length.to_le_bytes()].concat();
        liar.record(FAILURE, ECHO, &payload).await;
    }
    liar.record(ASK, ECHO, b"still there").await;
    assert_eq!(liar.answer().await, b"still there");
}

#[tokio::test]
async fn a_length_without_bytes_holds_up_nobody_and_strangers_are_forgotten() {
    let (a, b) = (side("a", 1, "x"), side("b", 1, "x"));
    connect(&a, &b);
    wait("a sees b", &a, || a.gate.is_connected(&b.id)).await;
    let mut liars = Vec::new();
    for index in 0..20 {
        let mut liar = Liar::connect(&a, &format!("liar-{index}")).await;
        for _ in 0..4 {
            liar.record(TELL_PART, ECHO, &vec![0; 60_000]).await;
        }
        liar.record(ASK, ServiceId(1), b"").await;
        liar.answer_or_failure().await;
        liar.bytes(&200_000u32.to_le_bytes()).await;
        liars.push(liar);
    }
    let (links, bytes) = a.gate.holds();
    assert_eq!(links, 21);
    // the parts, and the answers that no liar has acknowledged
    let parts = 20 * 4 * 60_000;
    assert!((parts..parts + 20 * 128).contains(&bytes), "{bytes}");
    let asked = a.gate.ask(&b.id, ECHO, Bytes::from_static(b"hi"), Duration::from_secs(20)).await;
    assert_eq!(asked, Ok(Bytes::from_static(b"hi")));

    for liar in liars {
        liar.end(&a).await;
    }
    assert_eq!(a.gate.holds(), (1, 0));
}

/// Slots that were not given back made a node deaf for ever.
#[tokio::test]
async fn the_place_of_a_connection_is_given_back_however_it_ends() {
    let a = side_with("a", TcpSettings { connections_max: 2, ..cookie("x") });
    for round in 0..10 {
        let mut liar = Liar::connect(&a, "liar").await;
        match round % 3 {
            0 => liar.bytes(&u32::MAX.to_le_bytes()).await, // too long a frame
            1 => liar.record(0xff, ECHO, b"?").await,
            _ => {}
        }
        liar.end(&a).await;
    }
    let mut liar = Liar::connect(&a, "liar").await;
    liar.record(ASK, ECHO, b"room").await;
    assert_eq!(liar.answer().await, b"room");
}

/// Ten thousand silent connections let 3 of 48 honest hellos through.
#[tokio::test]
async fn silent_connections_give_way_to_a_member_and_are_counted() {
    let patient = TcpSettings {
        greeting_max: 8,
        greeting_address_max: 4,
        handshake_timeout: Duration::from_secs(3600),
        ..cookie("x")
    };
    let a = side_with("a", patient);
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(&a.address).await.unwrap());
    }
    until("the rest gave way", || refused(&a, "address_full") == 46).await;
    let greeting = a.metrics.gauge_of("antiphon_links_greeting");
    assert_eq!(greeting.get(), 4);
    let mut first = silent.swap_remove(0);
    let _ = first.read_to_end(&mut Vec::new()).await;

    for name in ["b", "c", "d"] {
        let member = side(name, 1, "x");
        // the greater id is dialled
        connect(&member, &a);
        wait("the member", &a, || a.gate.is_connected(&member.id)).await;
        let mut liar = Liar::connect(&a, "liar").await;
        liar.record(ASK, ECHO, b"room").await;
        assert_eq!(liar.answer().await, b"room");
        liar.end(&a).await;
    }
    drop(silent);
    until("they are gone", || greeting.get() == 0).await;
}

#[tokio::test]
async fn nodes_that_are_no_members_give_way_to_others_and_to_members() {
    let a = side_with("z", TcpSettings { connections_max: 3, strangers_max: 2, ..cookie("x") });
    let b = side("b", 1, "x");
    connect(&a, &b);
    wait("the member", &a, || a.gate.is_connected(&b.id)).await;
    let mut liars = Vec::new();
    for index in 0..10 {
        liars.push(Liar::connect(&a, &format!("liar-{index}")).await);
    }
    until("the others gave way", || refused(&a, "strangers_full") == 8).await;
    until("and are forgotten", || a.gate.holds().0 == 3).await;
    assert_eq!(a.metrics.gauge_of("antiphon_links_strangers").get(), 2);

    let c = side("c", 1, "x");
    connect(&a, &c);
    wait("another member", &a, || a.gate.is_connected(&c.id)).await;
    assert_eq!(refused(&a, "connections_full"), 1);
    assert!(a.gate.is_connected(&b.id));
}

/// A node that acknowledged frames without reading them let 512 MiB wait for it.
#[tokio::test]
async fn few_bytes_wait_for_a_node_that_is_no_member_and_many_for_a_member() {
    struct Silent;
    impl TransportHandler for Silent {
        fn up(&self, _: &NodeId) {}
        fn down(&self, _: &NodeId) {}
        fn frame(&self, _: &NodeId, _: Bytes) {}
    }
    let id = NodeId::new("z", 1).unwrap();
    let address = "127.0.0.1:0".parse().unwrap();
    let transport = TcpTransport::bind(NodeId::new("a", 1).unwrap(), address, cookie("x")).unwrap();
    transport.start(Arc::new(Silent));
    let greets = |name: &str| {
        let (id, to) = (NodeId::new(name, 1).unwrap(), transport.local_address());
        async move {
            let mut stream = TcpStream::connect(to).await.unwrap();
            let settings = cookie("x");
            let side = hello::Side::Dials;
            hello::greet(&mut stream, &id, (side, None), &settings, &mut None).await.unwrap();
            stream
        }
    };
    let send = |id: &NodeId| transport.send(id, vec![0; 200_000].into());
    transport.connect(&id, "127.0.0.1:1");
    let _member = greets("z").await;
    let stranger_id = NodeId::new("stranger", 1).unwrap();
    let mut stranger = greets("stranger").await;
    for id in [&id, &stranger_id] {
        until("the connection", || transport.send(id, Bytes::from_static(b"x")).is_ok()).await;
    }
    // no other task runs meanwhile, and so nothing is written
    assert!((0..50).all(|_| send(&id).is_ok()));
    let taken = (0..50).take_while(|_| send(&stranger_id).is_ok()).count();
    assert_eq!(taken, cookie("x").strangers_queue_bytes_max() / 200_000);
    stranger.read_to_end(&mut Vec::new()).await.unwrap();
    until("the end", || matches!(send(&stranger_id), Err(SendError::Unreachable(_)))).await;
    transport.stop();
}

#[tokio::test]
async fn each_refusal_is_counted_with_its_reason() {
    let a = side("a", 1, "x");
    let mut stream = TcpStream::connect(&a.address).await.unwrap();
    stream.write_all(&[7; 200]).await.unwrap();
    until("no node", || refused(&a, "not_a_node") == 1).await;
    drop(TcpStream::connect(&a.address).await.unwrap());
    until("closed", || refused(&a, "closed") == 1).await;
    for (reason, name, settings) in [
        ("cookie", "b", cookie("y")),
        ("cluster", "b", TcpSettings { cluster_name: "other".into(), ..cookie("x") }),
        ("own_id", "a", cookie("x")),
    ] {
        let mut stream = TcpStream::connect(&a.address).await.unwrap();
        let id = NodeId::new(name, 1).unwrap();
        let greeted =
            hello::greet(&mut stream, &id, (hello::Side::Dials, None), &settings, &mut None).await;
        assert!(greeted.is_err());
        until(reason, || refused(&a, reason) == 1).await;
    }
    let mut liar = Liar::connect(&a, "liar").await;
    liar.bytes(&u32::MAX.to_le_bytes()).await;
    until("a frame", || refused(&a, "frame") == 1).await;
}

/// A blocked reader of a link made its probes late, and both nodes took each other for dead.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn probes_are_answered_while_a_long_message_is_read() {
    let (a, b) = (side("a", 1, "x"), side("b", 1, "x"));
    connect(&a, &b);
    wait("a sees b", &a, || a.gate.is_connected(&b.id)).await;
    wait("b sees a", &b, || b.gate.is_connected(&a.id)).await;
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = parking_lot::Mutex::new(released);
    let slow = ServiceId(21);
    b.gate.register(
        slow,
        Arc::new(move |_: &NodeId, message: Bytes, responder: Option<Responder>| {
            if message.len() > 1000 {
                released.lock().recv().unwrap();
            }
            responder.unwrap().reply(Bytes::from(message.len().to_string()));
        }),
    );
    let probe = ServiceId(1);
    b.gate.register(
        probe,
        Arc::new(|_: &NodeId, message: Bytes, responder: Option<Responder>| {
            responder.unwrap().reply(message);
        }),
    );
    let limit = Duration::from_secs(20);
    let long = a.gate.ask(&b.id, slow, vec![0; 1_000_000].into(), limit);
    let behind = a.gate.ask(&b.id, slow, Bytes::from_static(b"x"), limit);
    for _ in 0..3 {
        let probed = a.gate.ask(&b.id, probe, Bytes::from_static(b"?"), limit).await;
        assert_eq!(probed, Ok(Bytes::from_static(b"?")));
    }
    release.send(()).unwrap();
    assert_eq!(long.await, Ok(Bytes::from_static(b"1000000")));
    assert_eq!(behind.await, Ok(Bytes::from_static(b"1")));
}

#[tokio::test]
async fn a_name_with_line_breaks_and_terminal_escapes_is_refused_and_shown_escaped() {
    let a = side("a", 1, "x");
    let mut stream = TcpStream::connect(&a.address).await.unwrap();
    let mut hello = b"ANTIPHON\x03\x00".to_vec();
    hello.extend_from_slice(&[0; 16]);
    let cluster = "anti\nphon\u{1b}[2J";
    hello.extend_from_slice(&u16::try_from(cluster.len()).unwrap().to_le_bytes());
    hello.extend_from_slice(&0u16.to_le_bytes());
    hello.extend_from_slice(&1u16.to_le_bytes());
    hello.extend_from_slice(cluster.as_bytes());
    hello.push(b'x');
    let (mut other, mut own) = tokio::io::duplex(4096);
    other.write_all(&hello).await.unwrap();
    let settings = TcpSettings::default();
    let error =
        hello::greet(&mut own, &a.id, (hello::Side::Accepts, None), &settings, &mut None).await;
    let error = error.unwrap_err().1.to_string();
    assert!(error.contains(r"`anti\u{a}phon\u{1b}[2J`"), "{error}");

    stream.write_all(&hello).await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
    ended.expect("the end").unwrap();
}
