//! Streams beside the links of two or three nodes.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::*;
use crate::transport::Stream;

const PURPOSE: &str = "test";

/// Takes the streams of the purpose.
fn accept(side: &Side) -> mpsc::Receiver<Stream> {
    let (taken, streams) = mpsc::channel(8);
    let acceptor = Arc::new(move |stream| drop(taken.try_send(stream)));
    side.gate.accept_streams(PURPOSE, Some(acceptor)).unwrap();
    streams
}

async fn open(from: &Side, to: &Side) -> crate::Result<Stream> {
    from.gate.open_stream(&to.id, &to.address, PURPOSE).await
}

/// The streams that are open, and those that have begun.
fn streams(side: &Side) -> (i64, u64) {
    let open = side.metrics.gauge_of("antiphon_links_streams").get();
    (open, side.metrics.counter_of("antiphon_links_streams_total").get())
}

async fn linked(a: &Side, b: &Side) {
    connect(a, b);
    wait("a link", a, || a.gate.is_connected(&b.id)).await;
    wait("a link", b, || b.gate.is_connected(&a.id)).await;
}

async fn ended(stream: Stream) {
    let (mut reader, _writer) = stream.into_split();
    let mut bytes = [0; 8];
    let read = reader.read(&mut bytes);
    let read = tokio::time::timeout(Duration::from_secs(20), read).await.unwrap();
    assert!(read.is_err() || read.is_ok_and(|bytes| bytes == 0), "the stream goes on");
}

async fn not_taken(from: &Side, to: &Side) {
    let error = open(from, to).await.unwrap_err().to_string();
    let expected = format!("`{}` takes no stream for test", to.id);
    assert!(error.contains(&expected), "{error}");
}

#[tokio::test]
async fn a_stream_has_bytes_of_both_sides_and_ends_at_both() {
    let (a, b) = (side("a", 1, "x"), side("b", 1, "x"));
    let mut taken = accept(&b);
    linked(&a, &b).await;
    let here = open(&a, &b).await.unwrap();
    let there = taken.recv().await.unwrap();
    assert_eq!((here.node(), there.node()), (&b.id, &a.id));
    assert_eq!((streams(&a), streams(&b)), ((1, 1), (1, 1)));
    let end = there.end();
    let ((mut here_in, mut here_out), (mut there_in, mut there_out)) =
        (here.into_split(), there.into_split());
    let mut bytes = [0; 4];
    here_out.write_all(b"ping").await.unwrap();
    there_in.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"ping");
    there_out.write_all(b"pong").await.unwrap();
    here_in.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"pong");

    drop((there_in, there_out));
    assert!(end.has_ended());
    assert_eq!(here_in.read(&mut bytes).await.unwrap(), 0);
    drop((here_in, here_out));
    until("both are forgotten", || streams(&a).0 == 0 && streams(&b).0 == 0).await;
    assert!(a.gate.is_connected(&b.id), "the link is another connection");
}

#[tokio::test]
async fn a_node_with_a_larger_id_and_a_stranger_open_no_stream() {
    let (a, b) = (side("a", 1, "x"), side("b", 1, "x"));
    let _taken = (accept(&a), accept(&b));
    linked(&a, &b).await;
    let error = open(&b, &a).await.unwrap_err().to_string();
    assert!(error.contains("the node with the smaller id opens it"), "{error}");

    // `0` knows b, and b does not know `0`
    let stranger = side("0", 1, "x");
    let error = open(&stranger, &b).await.unwrap_err().to_string();
    assert!(error.contains("`b@1` is no member"), "{error}");
    stranger.gate.connect(&b.id, &b.address);
    not_taken(&stranger, &b).await;
    until("it is counted", || refused(&b, "no_member") == 1).await;
    assert_eq!(streams(&b), (0, 0));
}

#[tokio::test]
async fn a_node_that_takes_no_streams_keeps_its_link() {
    let (a, b) = (side("a", 1, "x"), side("b", 1, "x"));
    linked(&a, &b).await;
    not_taken(&a, &b).await;
    until("it is counted", || refused(&b, "stream") == 1).await;

    let mut taken = accept(&b);
    let _here = open(&a, &b).await.unwrap();
    let there = taken.recv().await.unwrap();
    b.gate.accept_streams(PURPOSE, None).unwrap();
    ended(there).await;
    assert!(a.gate.is_connected(&b.id) && b.gate.is_connected(&a.id));
}

#[tokio::test]
async fn streams_end_with_the_membership_of_their_node() {
    let (a, b) = (side("a", 1, "x"), side("b", 1, "x"));
    let mut taken = accept(&b);
    linked(&a, &b).await;
    let here = open(&a, &b).await.unwrap();
    let there = taken.recv().await.unwrap();
    b.gate.disconnect(&a.id);
    ended(there).await;
    ended(here).await;
    // b refuses a at its greeting now
    not_taken(&a, &b).await;

    let here = {
        b.gate.connect(&a.id, &a.address);
        open(&a, &b).await.unwrap()
    };
    let there = taken.recv().await.unwrap();
    a.gate.close();
    ended(here).await;
    ended(there).await;
}

#[tokio::test]
async fn a_newer_stream_takes_the_place_of_the_one_before_and_others_find_no_room() {
    let (a, c) = (side("a", 1, "x"), side("c", 1, "x"));
    let b = side_with("z", TcpSettings { streams_max: 1, ..cookie("x") });
    let mut taken = accept(&b);
    linked(&a, &b).await;
    linked(&c, &b).await;
    let (_first, first) = (open(&a, &b).await.unwrap(), taken.recv().await.unwrap());
    let (_second, second) = (open(&a, &b).await.unwrap(), taken.recv().await.unwrap());
    ended(first).await;
    not_taken(&c, &b).await;
    until("both are counted", || refused(&b, "replaced") == 1 && refused(&b, "streams_full") == 1)
        .await;
    assert!(!second.end().has_ended());
}
