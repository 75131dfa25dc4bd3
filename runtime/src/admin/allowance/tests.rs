//! Requests to an application beyond its bounds, and bodies that harm others.

use std::time::Duration;

use antiphon_base::task;
use axum::Router;
use axum::routing::{get, post};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::answers::with_fallbacks;
use super::*;
use crate::metrics::Metrics;

struct Server {
    address: std::net::SocketAddr,
    guard: Arc<Guard>,
}

impl Server {
    /// An application with the routes `/waits`, `/streams`, `/panics`, `/takes` and `/done`.
    async fn start(settings: HttpSettings) -> Self {
        let stream = async || Response::new(endless());
        let application = Router::new()
            .route("/waits", get(std::future::pending::<&str>))
            .route("/streams", get(stream))
            .route("/panics", get(async || Response::new(Body::new(Panics))))
            .route("/takes", post(async |body: Bytes| format!("\"{} bytes\"", body.len())))
            .route("/done", get(async || "\"done\""));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let guard = Guard::open(settings, address, true).unwrap();
        let routes = with_fallbacks(Router::new(), Some(application), &guard);
        task::spawn("test", async move { axum::serve(listener, routes).await });
        Self { address, guard }
    }

    async fn send(&self, path: &str, headers: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }

    /// The head of the answer and its body.
    async fn ask(&self, path: &str, headers: &str) -> (String, Value) {
        let headers = format!("connection: close\r\n{headers}");
        let mut text = String::new();
        self.send(path, &headers).await.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.to_lowercase(), serde_json::from_str(body).unwrap())
    }

    fn count(&self, name: &str) -> String {
        let metrics = Metrics::new();
        self.guard.measure(&metrics);
        let text = metrics.text();
        let found = text.lines().find(|line| line.starts_with(name));
        found.unwrap_or_default().rsplit(' ').next().unwrap_or_default().to_owned()
    }
}

/// A body with one byte, and no end.
fn endless() -> Body {
    struct Endless(bool);
    impl HttpBody for Endless {
        type Data = Bytes;
        type Error = axum::Error;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
            if std::mem::replace(&mut self.0, true) {
                return Poll::Pending;
            }
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"1")))))
        }
    }
    Body::new(Endless(false))
}

#[tokio::test]
async fn requests_beyond_the_bound_are_refused_until_one_has_ended() {
    let settings = HttpSettings { application_requests_max: 2, ..HttpSettings::default() };
    let server = Server::start(settings).await;
    let mut held = Vec::new();
    for path in ["/streams", "/streams"] {
        let mut stream = server.send(path, "").await;
        let mut answer = Vec::new();
        while !answer.ends_with(b"1\r\n") {
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
        }
        held.push(stream);
    }
    assert_eq!(server.count("antiphon_http_application_requests"), "2");
    let (head, body) = server.ask("/done", "").await;
    assert!(head.starts_with("http/1.1 503") && head.contains("retry-after: 1"), "{head}");
    assert_eq!(body["without_effect"], true, "{body}");
    assert!(body["error"].as_str().unwrap().contains("`http.application_requests_max`"));
    let full = "antiphon_http_refused_total{reason=\"application_full\"}";
    assert_eq!(server.count(full), "1");
    drop(held);
    loop {
        let (head, _) = server.ask("/done", "").await;
        if head.starts_with("http/1.1 200") {
            break;
        }
        assert!(head.starts_with("http/1.1 503"), "{head}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_route_that_does_not_answer_is_given_up_and_counted() {
    let application_timeout = Duration::from_secs(7);
    let settings = HttpSettings { application_timeout, ..HttpSettings::default() };
    let server = Server::start(settings).await;
    let (head, body) = server.ask("/waits", "").await;
    assert!(head.starts_with("http/1.1 504"), "{head}");
    assert_eq!(body["without_effect"], false, "{body}");
    assert!(body["error"].as_str().unwrap().contains("7s (`http.application_timeout`)"));
    assert_eq!(server.count("antiphon_http_application_timeouts_total"), "1");
    assert_eq!(server.count("antiphon_http_application_requests"), "0");
}

#[tokio::test]
async fn a_web_socket_is_refused_and_other_wishes_are_ignored() {
    let server = Server::start(HttpSettings::default()).await;
    for (wish, status) in [("h2c, WebSocket", 501), ("websocket", 501), ("h2c", 200)] {
        let (head, body) = server.ask("/done", &format!("upgrade: {wish}\r\n")).await;
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{wish}: {head}");
        assert_eq!(body["without_effect"].is_boolean(), status == 501, "{body}");
    }
    assert_eq!(server.count("antiphon_http_refused_total{reason=\"upgrade\"}"), "2");
}

/// A body that panics when it is read, and when it is dropped.
struct Panics;

impl HttpBody for Panics {
    type Data = Bytes;
    type Error = axum::Error;
    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        panic!("the test wants it")
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        panic!("the test wants it")
    }
}

/// A stream whose first byte has arrived.
async fn streaming(server: &Server) -> TcpStream {
    let mut stream = server.send("/streams", "").await;
    let mut answer = Vec::new();
    while !answer.ends_with(b"1\r\n") {
        assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0);
    }
    stream
}

#[tokio::test]
async fn clients_that_send_no_body_take_no_turn() {
    let settings = HttpSettings { application_requests_max: 1, ..HttpSettings::default() };
    let server = Server::start(settings).await;
    let mut slow = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head =
            b"POST /takes HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n";
        stream.write_all(head).await.unwrap();
        // the node waits for the body
        assert_ne!(stream.read(&mut [0; 100]).await.unwrap(), 0);
        slow.push(stream);
    }
    assert_eq!(server.count("antiphon_http_application_requests"), "0");
    let (head, _) = server.ask("/done", "").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let mut first = slow.remove(0);
    first.write_all(b"four").await.unwrap();
    let mut answer = [0; 400];
    let read = first.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]);
    assert!(answer.ends_with("\"4 bytes\""), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_comes_too_late_is_refused_without_effect_and_not_as_a_late_route() {
    let server = Server::start(HttpSettings::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = b"POST /takes HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nfo";
    stream.write_all(head).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 408") && head.contains("connection: close"), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["without_effect"], true, "{body}");
    assert_eq!(server.count("antiphon_http_application_timeouts_total"), "0");
}

#[tokio::test]
async fn a_body_beyond_the_bound_reaches_the_route_which_refuses_it() {
    let settings = HttpSettings { body_bytes_max: 1024, ..HttpSettings::default() };
    let server = Server::start(settings).await;
    for (length, status) in [(1024, "200"), (1025, "413"), (200_000, "413")] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head = format!("POST /takes HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // the node may close the connection before it has read everything
        let _ = stream.write_all(&vec![b'x'; length]).await;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert!(answer.ends_with(status.as_bytes()), "{length}: {answer:?}");
    }
}

#[tokio::test]
async fn a_body_that_finds_no_room_among_those_that_wait_is_refused_and_the_room_comes_back() {
    let settings = HttpSettings {
        body_bytes_max: 1024,
        application_bodies_bytes_max: 1024,
        ..HttpSettings::default()
    };
    let server = Server::start(settings).await;
    // this body is not whole: what has arrived waits
    let mut waits = TcpStream::connect(server.address).await.unwrap();
    let head = b"POST /takes HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n";
    waits.write_all(head).await.unwrap();
    waits.write_all(&[b'x'; 900]).await.unwrap();
    let refused = async {
        loop {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            let head = b"POST /takes HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n";
            stream.write_all(head).await.unwrap();
            let _ = stream.write_all(&[b'x'; 500]).await;
            let mut status = [0; 12];
            stream.read_exact(&mut status).await.unwrap();
            if status.ends_with(b"503") {
                let mut rest = String::new();
                let _ = stream.read_to_string(&mut rest).await;
                return rest;
            }
        }
    };
    let refused = tokio::time::timeout(Duration::from_secs(30), refused).await.unwrap();
    assert!(refused.contains("`http.application_bodies_bytes_max`"), "{refused}");
    assert!(refused.contains("retry-after: 1") && refused.contains("close"), "{refused}");

    waits.write_all(&[b'x'; 100]).await.unwrap();
    let mut status = [0; 12];
    waits.read_exact(&mut status).await.unwrap();
    assert!(status.ends_with(b"200"), "{status:?}");
    let (head, _) = server.ask("/done", "").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
}

#[tokio::test]
async fn one_caller_has_no_more_than_its_share_of_the_turns() {
    let settings = HttpSettings { application_caller_requests_max: 1, ..HttpSettings::default() };
    let server = Server::start(settings).await;
    let _held = streaming(&server).await;
    let (head, body) = server.ask("/done", "").await;
    assert!(head.starts_with("http/1.1 503") && head.contains("retry-after: 1"), "{head}");
    assert!(body["error"].as_str().unwrap().contains("`http.application_caller_requests_max`"));
    assert_eq!(body["without_effect"], true, "{body}");
}

#[tokio::test]
async fn an_endless_answer_ends_when_its_time_is_over_and_others_wait() {
    let settings = HttpSettings {
        application_requests_max: 1,
        application_answer_time: Duration::ZERO,
        ..HttpSettings::default()
    };
    let server = Server::start(settings).await;
    let mut held = streaming(&server).await;
    let (head, _) = server.ask("/done", "").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let mut rest = Vec::new();
    let _ = held.read_to_end(&mut rest).await;
    assert!(!rest.ends_with(b"0\r\n\r\n"), "the client sees that its answer is not whole");
    assert_eq!(server.count("antiphon_http_application_requests"), "0");
}

#[tokio::test]
async fn a_body_of_an_application_that_panics_ends_its_answer_alone() {
    let server = Server::start(HttpSettings::default()).await;
    let mut stream = server.send("/panics", "").await;
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(!rest.ends_with(b"0\r\n\r\n"), "the answer is not whole");
    // the turn is given back after the body is dropped, both under the guard
    assert_eq!(server.count("antiphon_http_application_requests"), "0");
    let (head, _) = server.ask("/done", "").await;
    assert!(head.starts_with("http/1.1 200"), "{head}");
}
