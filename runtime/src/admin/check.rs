//! The check of each request: who sends it, whether it may go on, and its line in the audit log.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use serde_json::json;

use super::access::{Area, Caller, Verdict};
use super::audit::{Asked, Entry};
use super::counts::Counts;
use super::guard::Guard;
use super::peer::Peer;
use super::reply::{MayHaveActed, answer, without_body};
use crate::certificates::now;

/// True when the answer about the health may have details.
#[derive(Clone, Copy)]
pub(super) struct ShowsDetails(pub(super) bool);

/// The header `authorization` of a request.
enum Sent<'a> {
    Nothing,
    Token(&'a str),
    /// The header is twice there, or of another scheme.
    Other,
}

fn bearer(headers: &HeaderMap) -> Sent<'_> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(first) = values.next() else { return Sent::Nothing };
    let text = first.to_str().ok().filter(|_| values.next().is_none());
    match text.and_then(|text| text.trim().split_once(' ')) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            Sent::Token(token.trim_start())
        }
        Some(_) | None => Sent::Other,
    }
}

/// Finds the sender of a request.
fn caller(guard: &Guard, headers: &HeaderMap, names: &[String]) -> Caller {
    let Some(register) = guard.register() else { return Caller::Anonymous };
    match bearer(headers) {
        Sent::Nothing => Caller::find(&register, None, names),
        Sent::Token(token) => Caller::find(&register, Some(token), names),
        Sent::Other => Caller::Stranger,
    }
}

/// Lets a request through whose caller has the right that it needs, and keeps the audit log.
pub(super) async fn guarded(
    State(guard): State<Arc<Guard>>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<Peer>().cloned();
    let (from, names) = peer.map(|peer| (peer.address, peer.names)).unzip();
    let caller = caller(&guard, request.headers(), names.as_deref().unwrap_or_default());
    let policy = guard.policy();
    let area = policy.area(request.uri().path());
    let verdict = policy.verdict(area, &caller);
    let is_stranger = policy.is_stranger(&caller);
    let entry = match guard.audit.as_ref().filter(|_| area != Area::Health) {
        None => None,
        Some(audit) => {
            let asked = Asked {
                now: now(),
                caller: &caller,
                from,
                method: request.method().as_str(),
                path: request.uri().path(),
                area,
            };
            match audit.begin(&asked) {
                Ok(entry) => Some(entry),
                // a stranger learns nothing about the node
                Err(_) if is_stranger && verdict != Verdict::Allowed => {
                    audit.leave_out();
                    None
                }
                Err(why) => {
                    guard.counts.audit.add();
                    let answer = refusal(StatusCode::SERVICE_UNAVAILABLE, why, "requests later");
                    return without_body(request, answer).await;
                }
            }
        }
    };
    if verdict == Verdict::Allowed {
        request.extensions_mut().insert(ShowsDetails(policy.shows_details(&caller)));
        request.extensions_mut().insert(caller);
        let answered = next.run(request).await;
        // the request of a stranger that was let through may have taken effect, unless the node
        // itself has refused it
        let has_acted = answered.extensions().get::<MayHaveActed>().is_some();
        let is_refused = answered.status().is_client_error() && !has_acted;
        note(entry, is_stranger && is_refused, answered.status());
        return answered;
    }
    let refused = refused(&guard.counts, verdict);
    note(entry, is_stranger, refused.status());
    without_body(request, refused).await
}

/// Ends the line of a request, within the limit of strangers if it is one of theirs.
fn note(entry: Option<Entry>, is_limited: bool, status: StatusCode) {
    let Some(entry) = entry else { return };
    if is_limited { entry.refused(status.as_u16(), now()) } else { entry.answered(status.as_u16()) }
}

/// The answer to a request that does not go on. Nothing of the request is in it.
fn refused(counts: &Counts, verdict: Verdict) -> Response {
    const PROOF: &str = "the header `authorization: Bearer TOKEN` with a token of `http.tokens_file`, or a client certificate that the file names";
    let challenged = |answer: Response, challenge: String| {
        let mut answer = answer;
        if let Ok(value) = HeaderValue::try_from(challenge) {
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, value);
        }
        answer
    };
    match verdict {
        Verdict::EntitiesOff => {
            counts.entities_off.add();
            let error = "the entity interface of this node is off (`http.entities`)";
            refusal(StatusCode::NOT_FOUND, error, "another interface of the application")
        }
        Verdict::NoProof | Verdict::Allowed => {
            counts.no_proof.add();
            let answer = refusal(StatusCode::UNAUTHORIZED, "this request needs a token", PROOF);
            challenged(answer, "Bearer realm=\"antiphon\"".to_owned())
        }
        Verdict::WrongToken => {
            counts.wrong_token.add();
            let error = "the token is not one of this node's";
            let answer = refusal(StatusCode::UNAUTHORIZED, error, PROOF);
            challenged(answer, "Bearer realm=\"antiphon\", error=\"invalid_token\"".to_owned())
        }
        Verdict::Lacks(right) => {
            counts.no_right.add();
            let right = right.name();
            let error = format!("this request needs the right `{right}`");
            let expected =
                format!("a client with `{right}` among its rights in `http.tokens_file`");
            let answer = refusal(StatusCode::FORBIDDEN, &error, &expected);
            let challenge = format!(
                "Bearer realm=\"antiphon\", error=\"insufficient_scope\", scope=\"{right}\""
            );
            challenged(answer, challenge)
        }
    }
}

fn refusal(status: StatusCode, error: &str, expected: &str) -> Response {
    let body = json!({ "error": error, "expected": expected, "without_effect": true });
    answer(status, &body)
}
