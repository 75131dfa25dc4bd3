//! The allowance of the routes of an application: requests at once, in all and of one caller, the
//! time until an answer, and no other protocol on the connection.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use antiphon_base::guard;
use antiphon_base::time::{Clock, SystemClock};
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use serde_json::json;

use super::access::Caller;
use super::bodies::Room;
use super::guard::Guard;
use super::peer::Peer;
use super::reply::{MayHaveActed, and_close, answer, without_body};
use super::settings::HttpSettings;
use super::turns::{Bounds, Full, Turn, Who};
use crate::origin::Origin;

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
    // a turn is for a request that has arrived: a slow client keeps no other out
    let request = match arrived(request, &guard).await {
        Ok(request) => request,
        Err(late) => return not_arrived(&guard, late),
    };
    let turn = match guard.turns.take(SystemClock.now(), who(&request), bounds(&guard.settings)) {
        Ok(turn) => turn,
        Err(full) => return refused(&guard, full, request).await,
    };
    let limit = guard.settings.application_timeout;
    let path = request.uri().path().to_owned();
    match tokio::time::timeout(limit, Box::pin(next.run(request))).await {
        Ok(response) => {
            turn.answers(SystemClock.now());
            response.map(|body| Body::new(Lasting::new(body, turn, path)))
        }
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

fn bounds(settings: &HttpSettings) -> Bounds {
    Bounds {
        all_max: settings.application_requests_max,
        caller_max: settings.application_caller_requests_max,
        answer_time: settings.application_answer_time,
    }
}

/// The sender with whom the turn of a request is counted.
fn who(request: &Request) -> Who {
    match request.extensions().get::<Caller>() {
        Some(caller) if caller.is_known() => Who::Known(caller.name().into()),
        Some(_) | None => {
            let peer = request.extensions().get::<Peer>();
            Who::Unknown(peer.map(|peer| Origin::of(peer.address.ip())))
        }
    }
}

/// The answer to a request that finds no turn.
async fn refused(guard: &Guard, full: Full, request: Request) -> Response {
    guard.counts.application_full.add();
    let settings = &guard.settings;
    let error = match full {
        Full::All => format!(
            "{} requests to the application are under way (`http.application_requests_max`)",
            settings.application_requests_max
        ),
        Full::Caller => format!(
            "{} requests of this caller to the application are under way (`http.application_caller_requests_max`)",
            settings.application_caller_requests_max
        ),
    };
    let body = json!({ "error": error, "without_effect": true });
    let mut full = answer(StatusCode::SERVICE_UNAVAILABLE, &body);
    full.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
    without_body(request, full).await
}

/// The reason why the body of a request is not there.
enum NotArrived {
    /// The body breaks off, or does not come in time.
    Broken(axum::Error),
    /// Too many bytes of bodies wait.
    NoRoom,
}

/// Reads the body of a request, up to its bound; the rest of a longer one stays to be read.
///
/// # Errors
/// The reason why it is not there.
async fn arrived(request: Request, guard: &Guard) -> Result<Request, NotArrived> {
    let HttpSettings { body_bytes_max, application_bodies_bytes_max, .. } = *guard.settings;
    let (head, mut body) = request.into_parts();
    let (mut frames, mut bytes) = (VecDeque::new(), 0);
    while bytes <= body_bytes_max && !body.is_end_stream() {
        let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await else {
            break;
        };
        let frame = frame.map_err(NotArrived::Broken)?;
        let length = frame.data_ref().map_or(0, Bytes::len);
        let room = guard.bodies.take(length, application_bodies_bytes_max);
        frames.push_back((frame, room.ok_or(NotArrived::NoRoom)?));
        bytes += length;
    }
    Ok(Request::from_parts(head, Body::new(Arrived { frames, rest: body })))
}

/// The answer to a request whose body is not there.
fn not_arrived(guard: &Guard, why: NotArrived) -> Response {
    match why {
        NotArrived::Broken(error) => {
            let error = format!("the body of the request: {error}");
            let body = json!({ "error": error, "without_effect": true });
            and_close(answer(StatusCode::REQUEST_TIMEOUT, &body))
        }
        NotArrived::NoRoom => {
            guard.counts.application_bodies.add();
            let error = format!(
                "the bodies of requests to the application that wait have {} bytes (`http.application_bodies_bytes_max`)",
                guard.settings.application_bodies_bytes_max
            );
            let body = json!({ "error": error, "without_effect": true });
            let mut full = and_close(answer(StatusCode::SERVICE_UNAVAILABLE, &body));
            full.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER));
            full
        }
    }
}

/// A body whose beginning has arrived.
struct Arrived {
    /// Each with its room among the bodies that wait, until the route takes it.
    frames: VecDeque<(Frame<Bytes>, Room)>,
    rest: Body,
}

impl HttpBody for Arrived {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match self.frames.pop_front() {
            Some((frame, _room)) => Poll::Ready(Some(Ok(frame))),
            None => Pin::new(&mut self.rest).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.rest.is_end_stream()
    }
}

/// Returns whether a request asks for a WebSocket. A server may ignore the wish for any other
/// protocol, such as `h2c`.
fn wants_web_socket(headers: &HeaderMap) -> bool {
    let texts = headers.get_all(header::UPGRADE).iter().filter_map(|value| value.to_str().ok());
    let mut names = texts.flat_map(|text| text.split(',')).map(str::trim);
    names.any(|name| name.eq_ignore_ascii_case("websocket"))
}

/// The body of an answer, whose request has its turn until the body ends. It is code of the
/// application, and runs under the guard.
struct Lasting {
    /// `None` after a panic, or when the turn was taken away.
    body: Option<Body>,
    turn: Option<Turn>,
    path: String,
}

/// The name of such a body in the log.
const BODY: &str = "the body of an answer of the application";

impl Lasting {
    fn new(body: Body, turn: Turn, path: String) -> Self {
        Self { body: Some(body), turn: Some(turn), path }
    }

    /// Ends the body before its end: the client sees that the answer is not whole.
    fn broken(&mut self, why: &'static str) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.let_go();
        Poll::Ready(Some(Err(axum::Error::new(io::Error::other(why)))))
    }

    fn let_go(&mut self) {
        if let Some(body) = self.body.take() {
            let _ = guard::call(BODY, &self.path, || drop(body));
        }
        self.turn = None;
    }
}

impl HttpBody for Lasting {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Self { body: Some(body), turn: Some(turn), path } = &mut *self else {
            return Poll::Ready(None);
        };
        if Pin::new(&mut turn.taken).poll(context).is_ready() {
            return self.broken("the turn of this answer was given to another request");
        }
        match guard::call(BODY, path, || Pin::new(body).poll_frame(context)) {
            Ok(frame) => frame,
            Err(_) => self.broken("the body of the answer panicked"),
        }
    }

    fn is_end_stream(&self) -> bool {
        let Some(body) = &self.body else { return false };
        guard::call(BODY, &self.path, || body.is_end_stream()).unwrap_or(false)
    }

    fn size_hint(&self) -> SizeHint {
        let Some(body) = &self.body else { return SizeHint::default() };
        guard::call(BODY, &self.path, || body.size_hint()).unwrap_or_default()
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        self.let_go();
    }
}

#[cfg(test)]
mod tests;
