//! The allowance of the routes of an application: requests at once, the time until an answer, and
//! no other protocol on the connection.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use serde_json::json;

use super::guard::Guard;
use super::reply::{MayHaveActed, and_close, answer, without_body};
use super::turns::Turn;

/// Seconds after which a client that found no room may try again.
const RETRY_AFTER: &str = "1";

/// Passes a request to the application within its allowance.
pub(super) async fn within(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    if wants_web_socket(request.headers()) {
        guard.counts.upgrade.add();
        let body = json!({
            "error": "this port has no WebSocket (header `upgrade`)",
            "expected": "a request that ends with its answer, which may be a stream (`text/event-stream`), or a port of the application's own",
            "without_effect": true,
        });
        return without_body(request, answer(StatusCode::NOT_IMPLEMENTED, &body)).await;
    }
    let most = guard.settings.application_requests_max;
    let Some(turn) = guard.turns.take(most) else {
        guard.counts.application_full.add();
        let error = format!(
            "{most} requests to the application are under way (`http.application_requests_max`)"
        );
        let body = json!({ "error": error, "without_effect": true });
        let mut full = answer(StatusCode::SERVICE_UNAVAILABLE, &body);
        full.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
        return without_body(request, full).await;
    };
    let limit = guard.settings.application_timeout;
    let path = request.uri().path().to_owned();
    match tokio::time::timeout(limit, Box::pin(next.run(request))).await {
        Ok(response) => response.map(|body| Body::new(Lasting { body, _turn: turn })),
        Err(_) => {
            guard.counts.application_late.add();
            let path = antiphon_base::text::foreign(&path);
            tracing::warn!(%path, ?limit, "a route of the application has not answered in time");
            let error = format!(
                "the route of the application has not answered within {limit:?} (`http.application_timeout`)"
            );
            let body = json!({ "error": error, "without_effect": false });
            let mut late = and_close(answer(StatusCode::GATEWAY_TIMEOUT, &body));
            late.extensions_mut().insert(MayHaveActed);
            late
        }
    }
}

/// Returns whether a request asks for a WebSocket. A server may ignore the wish for any other
/// protocol, such as `h2c`.
fn wants_web_socket(headers: &HeaderMap) -> bool {
    let texts = headers.get_all(header::UPGRADE).iter().filter_map(|value| value.to_str().ok());
    let mut names = texts.flat_map(|text| text.split(',')).map(str::trim);
    names.any(|name| name.eq_ignore_ascii_case("websocket"))
}

/// The body of an answer, whose request has its turn until the body ends.
struct Lasting {
    body: Body,
    _turn: Turn,
}

impl HttpBody for Lasting {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use antiphon_base::task;
    use axum::Router;
    use axum::routing::get;
    use serde_json::Value;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::super::HttpSettings;
    use super::super::answers::with_fallbacks;
    use super::*;
    use crate::metrics::Metrics;

    struct Server {
        address: std::net::SocketAddr,
        guard: Arc<Guard>,
    }

    impl Server {
        /// An application with the routes `/waits`, `/streams` and `/done`.
        async fn start(settings: HttpSettings) -> Self {
            let stream = async || Response::new(endless());
            let application = Router::new()
                .route("/waits", get(std::future::pending::<&str>))
                .route("/streams", get(stream))
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
}
