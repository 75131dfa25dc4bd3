//! The routes of an application: guarded against panics and against web pages of strangers, within
//! their allowance.

use std::sync::Arc;

use antiphon_base::guard::Guarded;
use axum::Router;
use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use serde_json::json;

use super::allowance::within;
use super::guard::Guard;
use super::reply::{MayHaveActed, and_close, answer, without_body};

/// The routes of the application. `missing` is the answer for a path without a route, if the
/// application has none of its own.
pub(super) fn application(routes: Router, guard: &Arc<Guard>, missing: fn() -> Response) -> Router {
    let is_tls = guard.tls.is_some();
    let found = move |request: Request, next: Next| async move {
        let has_body = !request.body().is_end_stream();
        let response = caught(request, next).await;
        // the answer of a router without a fallback
        let is_default = response.status() == StatusCode::NOT_FOUND
            && !response.headers().contains_key(header::CONTENT_TYPE);
        match (is_default, has_body) {
            (false, _) => acted(response),
            (true, false) => missing(),
            (true, true) => and_close(missing()),
        }
    };
    routes
        .layer(from_fn(found))
        .layer(from_fn_with_state(guard.clone(), within))
        .layer(from_fn_with_state(is_tls, of_no_stranger))
}

fn acted(mut response: Response) -> Response {
    // the method is refused before the application sees the request
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        response.extensions_mut().insert(MayHaveActed);
    }
    response
}

/// Answers 500 when a route of the application panics.
async fn caught(request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let running = Box::pin(next.run(request));
    match Guarded::new("a route of the application", path, running).await {
        Ok(response) => response,
        Err(_) => {
            let error = json!({ "error": "the route of the application panicked" });
            answer(StatusCode::INTERNAL_SERVER_ERROR, &error)
        }
    }
}

/// Refuses a request that a page of another origin sends, unless its method changes nothing: a
/// browser sends requests of any page to each port that its reader reaches.
async fn of_no_stranger(State(is_tls): State<bool>, request: Request, next: Next) -> Response {
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let host = request.uri().authority().map(Authority::as_str);
    if is_safe || is_own(request.headers(), host, is_tls) {
        return next.run(request).await;
    }
    let body = json!({
        "error": "a web page of another origin sent this request (header `origin`)",
        "expected": "a request of a program, or of a page of this host",
        "without_effect": true,
    });
    without_body(request, answer(StatusCode::FORBIDDEN, &body)).await
}

/// Returns whether no page sent the request, or one of the host to which it is addressed. Only a
/// proxy knows whether its clients use HTTPS, so a port without TLS takes both schemes.
fn is_own(headers: &HeaderMap, host: Option<&str>, is_tls: bool) -> bool {
    if headers.get_all("sec-fetch-site").iter().any(|site| site == "cross-site") {
        return false;
    }
    let of_header = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or(of_header).unwrap_or_default();
    headers.get_all(header::ORIGIN).iter().all(|origin| {
        let parts = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        parts.is_some_and(|(scheme, origin)| {
            let port = match scheme {
                "https" => ":443",
                "http" if !is_tls => ":80",
                _ => return false,
            };
            let bare = |host: &str| host.strip_suffix(port).unwrap_or(host).to_ascii_lowercase();
            !host.is_empty() && bare(origin) == bare(host)
        })
    })
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn taken(is_tls: bool, lines: &[(&'static str, &'static str)]) -> bool {
        let line = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        is_own(&lines.iter().map(line).collect(), None, is_tls)
    }

    #[test]
    fn only_pages_of_the_own_host_are_taken() {
        for (is_tls, host, origin, expected) in [
            (false, "shop.example:8080", "http://shop.example:8080", true),
            (false, "shop.example", "https://shop.example", true),
            (false, "Shop.example:443", "https://shop.example", true),
            (true, "shop.example", "https://shop.example", true),
            (true, "shop.example", "http://shop.example", false),
            (false, "shop.example:8080", "http://shop.example:9090", false),
            (false, "shop.example", "http://evil.example", false),
            (false, "shop.example", "http://shop.example.evil.example", false),
            (false, "shop.example", "null", false),
            (false, "shop.example", "", false),
        ] {
            let lines = [("host", host), ("origin", origin)];
            assert_eq!(taken(is_tls, &lines), expected, "{host} {origin}");
        }
        assert!(taken(true, &[("host", "shop.example")]), "a program");
        assert!(!taken(false, &[("host", "a"), ("origin", "http://a"), ("origin", "http://b")]));
        assert!(!taken(false, &[("host", "a"), ("sec-fetch-site", "cross-site")]));
        assert!(taken(false, &[("host", "a"), ("sec-fetch-site", "same-origin")]));
    }
}
