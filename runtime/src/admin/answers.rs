//! Answers that need no node: the answers of a node that starts, and the answers to requests
//! without a route. All are JSON, and an error has the key `error`.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use hyper::body::{Frame, SizeHint};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Sleep;

use super::application::application as guarded_application;
use super::check::{ShowsDetails, guarded};
use super::guard::Guard;
use super::reply::{and_close, answer, without_body};

/// The routes of a node that starts. It has no entity yet, so no command takes effect.
pub(super) fn starting(reasons: watch::Receiver<String>, guard: &Arc<Guard>) -> Router {
    let live = json!({ "live": true });
    let routes = Router::new()
        .route("/health/live", get(async move || answer(StatusCode::OK, &live)))
        .fallback(async move |request: Request| {
            let details = request.extensions().get::<ShowsDetails>().is_some_and(|shows| shows.0);
            let body = if details {
                let reason = format!("the node is starting: {}", *reasons.borrow());
                json!({
                    "ready": false,
                    "reasons": [&reason],
                    "error": &reason,
                    "without_effect": true,
                })
            } else {
                json!({ "ready": false, "error": "the node is starting", "without_effect": true })
            };
            without_body(request, answer(StatusCode::SERVICE_UNAVAILABLE, &body)).await
        });
    limited(routes, guard)
}

/// The routes, those of the application behind them, and answers for other paths and other methods.
pub(super) fn with_fallbacks(
    routes: Router,
    application: Option<Router>,
    guard: &Arc<Guard>,
) -> Router {
    let routes = routes.method_not_allowed_fallback(not_allowed);
    let routes = match application {
        None => routes.fallback(async |request: Request| without_body(request, not_found()).await),
        Some(application) => {
            let application = application.method_not_allowed_fallback(not_allowed);
            routes.fallback_service(guarded_application(application, guard, not_found))
        }
    };
    limited(routes, guard)
}

/// The routes within the limits of the settings, for clients that address this node.
fn limited(routes: Router, guard: &Arc<Guard>) -> Router {
    routes
        .layer(DefaultBodyLimit::max(guard.settings.body_bytes_max))
        .layer(from_fn_with_state(guard.clone(), for_this_node))
        .layer(from_fn_with_state(guard.clone(), guarded))
        .layer(from_fn_with_state(guard.clone(), within_time))
}

/// Refuses a request that a client addresses to another name.
async fn for_this_node(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let of_uri = request.uri().host();
    let mut of_header = request.headers().get_all(header::HOST).iter();
    let first = of_header.next();
    let text = first.map(|host| host.to_str().unwrap_or_default());
    let host = of_uri.or(text).unwrap_or_default();
    let is_unreadable =
        of_header.next().is_some() || first.is_some_and(|host| host.to_str().is_err());
    if guard.settings.is_ours(host) && !is_unreadable {
        return next.run(request).await;
    }
    guard.counts.host.add();
    let host = antiphon_base::text::foreign(host);
    let error = format!(
        "the host \"{host}\" is none of this node: address it by its IP address, `localhost` or `advertised_host`, or add the name to `http.hosts`"
    );
    let body = json!({ "error": error, "without_effect": true });
    let answer = answer(StatusCode::MISDIRECTED_REQUEST, &body);
    without_body(request, answer).await
}

/// Gives the body of a request a time limit, and says when a connection is closed because the body
/// was not read. The handler itself has no limit here: it may wait for a command that takes effect.
async fn within_time(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let limit = guard.settings.request_timeout;
    let is_late = Arc::new(AtomicBool::new(false));
    let deadline = Box::pin(tokio::time::sleep(limit));
    let timely = |body| Body::new(TimelyBody { body, deadline, limit, is_late: is_late.clone() });
    let answered = next.run(request.map(timely)).await;
    let is_unread = answered.status() == StatusCode::PAYLOAD_TOO_LARGE;
    if is_unread || is_late.load(Ordering::Relaxed) { and_close(answered) } else { answered }
}

/// A body that ends with an error when it has not arrived at the deadline.
struct TimelyBody {
    body: Body,
    deadline: Pin<Box<Sleep>>,
    limit: Duration,
    is_late: Arc<AtomicBool>,
}

impl HttpBody for TimelyBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame);
        }
        std::task::ready!(self.deadline.as_mut().poll(context));
        self.is_late.store(true, Ordering::Relaxed);
        let why = format!("the body did not arrive within {:?}", self.limit);
        Poll::Ready(Some(Err(axum::Error::new(std::io::Error::other(why)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn not_found() -> Response {
    let paths = ["/health/live", "/health/ready", "/metrics", "/cluster", "/entities/{type}/{id}"];
    let body = json!({ "error": "no such path", "expected": paths, "without_effect": true });
    answer(StatusCode::NOT_FOUND, &body)
}

async fn not_allowed(request: Request) -> Response {
    let method = request.method();
    let error = format!("the method {method} is not for this path: see the header `allow`");
    let body = json!({ "error": error, "without_effect": true });
    let answer = answer(StatusCode::METHOD_NOT_ALLOWED, &body);
    without_body(request, answer).await
}

#[cfg(test)]
mod tests {
    use antiphon_base::task;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use serde_json::Value;

    use super::super::HttpSettings;
    use super::super::reply::IGNORED_BODY_BYTES_MAX;
    use super::*;

    /// Asks the routes over HTTP. Returns the head of the answer and its body.
    async fn ask(routes: Router, request: &str) -> (String, Value) {
        ask_with(routes, request, "").await
    }

    async fn ask_with(routes: Router, request: &str, headers: &str) -> (String, Value) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let serving = task::spawn("test", async move { axum::serve(listener, routes).await });
        let mut stream = TcpStream::connect(address).await.expect("connected");
        let request =
            format!("{request} HTTP/1.1\r\nhost: x\r\n{headers}connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("an answer");
        serving.abort();
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        (head.to_lowercase(), serde_json::from_str(body).expect("JSON"))
    }

    #[tokio::test]
    async fn a_node_that_starts_says_that_a_command_had_no_effect() {
        let (_reason, reasons) = watch::channel("opening the journal".to_owned());
        let (head, body) =
            ask(starting(reasons, &Arc::default()), "POST /entities/counter/x").await;
        assert!(head.starts_with("http/1.1 503"), "{head}");
        assert_eq!(body["without_effect"], true, "{body}");
        assert_eq!(body["error"], "the node is starting: opening the journal");
        assert_eq!(body["reasons"][0], body["error"]);
        assert_eq!(body["ready"], false);
    }

    #[tokio::test]
    async fn a_body_that_nobody_wants_is_read_before_the_next_request_or_the_end_is_said() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let routes = with_fallbacks(Router::new(), None, &Arc::default());
        let serving = task::spawn("test", async move { axum::serve(listener, routes).await });
        for (length, is_closed) in [(9, false), (IGNORED_BODY_BYTES_MAX + 1, true)] {
            let mut stream = TcpStream::connect(address).await.expect("connected");
            let head = format!("POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.expect("sent");
            stream.write_all(&vec![b'x'; length]).await.expect("sent");
            let mut first = vec![0; 200];
            let read = stream.read(&mut first).await.expect("an answer");
            let first = String::from_utf8_lossy(&first[..read]).to_lowercase();
            assert!(first.starts_with("http/1.1 404"), "{first}");
            assert_eq!(first.contains("connection: close"), is_closed, "{first}");
        }
        serving.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_ends_with_an_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let routes = with_fallbacks(Router::new(), None, &Arc::default());
        let serving = task::spawn("test", async move { axum::serve(listener, routes).await });
        let mut stream = TcpStream::connect(address).await.expect("connected");
        let half = b"POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nhalf";
        stream.write_all(half).await.expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).await.expect("an answer, and the end");
        assert!(text.starts_with("HTTP/1.1 404") && text.contains("connection: close"), "{text}");
        serving.abort();
    }

    /// The command may have taken effect by then: nobody may be told that the request is void.
    #[tokio::test(start_paused = true)]
    async fn a_request_that_has_arrived_is_answered_however_long_it_takes() {
        let slow = async |_: Bytes| {
            tokio::time::sleep(2 * HttpSettings::default().request_timeout).await;
            "\"done\""
        };
        let routes = with_fallbacks(
            Router::new().route("/x", axum::routing::post(slow)),
            None,
            &Arc::default(),
        );
        let (head, body) = ask(routes, "POST /x").await;
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert_eq!(body, "done");
    }

    #[tokio::test]
    async fn a_method_that_a_path_does_not_take_is_answered_in_json() {
        let routes = with_fallbacks(
            Router::new().route("/cluster", get(async || "x")),
            None,
            &Arc::default(),
        );
        let (head, body) = ask(routes, "DELETE /cluster").await;
        assert!(head.starts_with("http/1.1 405") && head.contains("allow: get"), "{head}");
        assert!(body["error"].as_str().is_some_and(|error| error.contains("DELETE")), "{body}");
    }

    #[tokio::test]
    async fn routes_of_an_application_stand_behind_those_of_the_node() {
        let panics = async || -> &'static str { panic!("the test wants it") };
        let routes = || {
            let own = Router::new().route("/cluster", get(async || "\"the node\""));
            let application = Router::new()
                .route("/cluster", get(async || "\"the application\""))
                .route("/checkout", get(async || "\"sold\""))
                .route("/panics", get(panics));
            with_fallbacks(own, Some(application), &Arc::default())
        };
        for (request, status, expected) in [
            ("GET /cluster", 200, json!("the node")),
            ("GET /checkout", 200, json!("sold")),
            ("GET /panics", 500, json!({ "error": "the route of the application panicked" })),
        ] {
            let (head, body) = ask(routes(), request).await;
            assert!(head.starts_with(&format!("http/1.1 {status}")), "{request}: {head}");
            assert_eq!(body, expected, "{request}");
        }
        for (request, status) in [("GET /nowhere", 404), ("DELETE /checkout", 405)] {
            let (head, body) = ask(routes(), request).await;
            assert!(head.starts_with(&format!("http/1.1 {status}")), "{request}: {head}");
            assert!(body["error"].is_string(), "{request}: {body}");
        }
    }

    #[tokio::test]
    async fn the_fallback_of_an_application_stays_its_own() {
        let application = || Router::new().route("/checkout", get(async || "\"sold\""));
        let own = || (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "text/x")], "\"own\"");
        for (application, expected) in [
            (application().fallback(async move || own()), json!("own")),
            (application(), json!("no such path")),
        ] {
            let routes = with_fallbacks(Router::new(), Some(application), &Arc::default());
            let (head, body) = ask(routes, "GET /nowhere").await;
            assert!(head.starts_with("http/1.1 404"), "{head}");
            let body = body.get("error").cloned().unwrap_or(body);
            assert_eq!(body, expected);
        }
    }

    #[tokio::test]
    async fn a_page_of_another_origin_reaches_no_route_of_an_application() {
        let sold = get(async || "\"shown\"").post(async || "\"sold\"");
        let routes = || {
            let application = Router::new().route("/checkout", sold.clone());
            with_fallbacks(Router::new(), Some(application), &Arc::default())
        };
        for (method, origin, status) in [
            ("POST", "http://evil.example", 403),
            ("POST", "http://x", 200),
            ("GET", "http://evil.example", 200),
        ] {
            let sent = format!("origin: {origin}\r\n");
            let (head, body) = ask_with(routes(), &format!("{method} /checkout"), &sent).await;
            assert!(head.starts_with(&format!("http/1.1 {status}")), "{method} {origin}: {head}");
            if status == 403 {
                assert_eq!(body["without_effect"], true, "{body}");
            }
        }
    }

    /// A web page may give its own name the address of this node.
    #[tokio::test]
    async fn a_request_to_another_name_is_refused_and_reaches_no_route() {
        let routes = || {
            let routes = Router::new().route("/cluster", get(async || "secret"));
            with_fallbacks(routes, None, &Arc::default())
        };
        for (host, expected) in [
            ("host: evil.example", 421),
            ("host: 127.0.0.1:80", 200),
            ("host: localhost", 200),
            ("host: localhost\r\nhost: evil.example", 421),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            let routes = routes();
            let serving = task::spawn("test", async move { axum::serve(listener, routes).await });
            let mut stream = TcpStream::connect(address).await.expect("connected");
            let request = format!("GET /cluster HTTP/1.1\r\n{host}\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.expect("written");
            let mut text = String::new();
            stream.read_to_string(&mut text).await.expect("an answer");
            assert!(text.starts_with(&format!("HTTP/1.1 {expected} ")), "{host}: {text}");
            assert_eq!(text.contains("secret"), expected == 200, "{text}");
            serving.abort();
        }
    }
}
