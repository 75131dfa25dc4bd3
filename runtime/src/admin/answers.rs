//! Answers that need no node: the answers of a node that starts, and the answers to requests
//! without a route. All are JSON, and an error has the key `error`.

use axum::Router;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::sync::watch;

pub(super) fn answer(status: StatusCode, body: &Value) -> Response {
    let body = format!("{body:#}\n");
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// The routes of a node that starts. It has no entity yet, so no command takes effect.
pub(super) fn starting(reasons: watch::Receiver<String>) -> Router {
    let live = json!({ "live": true });
    Router::new().route("/health/live", get(async move || answer(StatusCode::OK, &live))).fallback(
        async move || {
            let reason = format!("the node is starting: {}", *reasons.borrow());
            let body = json!({
                "ready": false,
                "reasons": [&reason],
                "error": &reason,
                "without_effect": true,
            });
            answer(StatusCode::SERVICE_UNAVAILABLE, &body)
        },
    )
}

/// The routes, and answers for other paths and other methods.
pub(super) fn with_fallbacks(routes: Router) -> Router {
    routes.method_not_allowed_fallback(not_allowed).fallback(async || not_found())
}

fn not_found() -> Response {
    let paths = ["/health/live", "/health/ready", "/metrics", "/cluster", "/entities/{type}/{id}"];
    answer(StatusCode::NOT_FOUND, &json!({ "error": "no such path", "expected": paths }))
}

async fn not_allowed(method: Method) -> Response {
    let error = format!("the method {method} is not for this path: see the header `allow`");
    answer(StatusCode::METHOD_NOT_ALLOWED, &json!({ "error": error }))
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::task;

    /// Asks the routes over HTTP. Returns the head of the answer and its body.
    async fn ask(routes: Router, request: &str) -> (String, Value) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let serving = task::spawn("test", async move { axum::serve(listener, routes).await });
        let mut stream = TcpStream::connect(address).await.expect("connected");
        let request = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
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
        let (head, body) = ask(starting(reasons), "POST /entities/counter/x").await;
        assert!(head.starts_with("http/1.1 503"), "{head}");
        assert_eq!(body["without_effect"], true, "{body}");
        assert_eq!(body["error"], "the node is starting: opening the journal");
        assert_eq!(body["reasons"][0], body["error"]);
        assert_eq!(body["ready"], false);
    }

    #[tokio::test]
    async fn a_method_that_a_path_does_not_take_is_answered_in_json() {
        let routes = with_fallbacks(Router::new().route("/cluster", get(async || "x")));
        let (head, body) = ask(routes, "DELETE /cluster").await;
        assert!(head.starts_with("http/1.1 405") && head.contains("allow: get"), "{head}");
        assert!(body["error"].as_str().is_some_and(|error| error.contains("DELETE")), "{body}");
    }
}
