//! Entities as JSON: `GET` and `POST /entities/{type}/{id}`.
//!
//! The header `antiphon-replica` names a replica. The header `antiphon-policy` (`nearest`,
//! `sticky:TEXT`, `fail-over`) chooses a replica; `fail-over` is the default. The header
//! `antiphon-replica` of the answer names the replica that answered. Characters that a header
//! cannot carry are percent-encoded in both directions. A command with the header `origin` is
//! refused: a web page sent it, and any page can send one to a port that its reader reaches. So is
//! a command whose `content-type` is not `application/json`: a page can send others without asking.
//! The header `antiphon-session` is `new` or the session token of the last answer; the answer then
//! has the next token in the same header. With `http.trace_commands`, the header `traceparent`
//! becomes metadata of the command. A command with the header `idempotency-key` is done once,
//! although it is sent again with the same key. It may come in its encoded form too, from
//! [`client`](crate::client), where the entity type takes such commands.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::prelude::*;
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use super::entity::{Answered, Asked, Encoded, InSession, NotAsked, Target, Terms};
use super::trace::TraceContext;
use crate::app::body;
use crate::base::guard::Guarded;
use crate::client::failure;
use crate::header::{
    IDEMPOTENCY_KEY, NEW_SESSION, POLICY, REPLICA, SESSION, decode as decode_header,
    encode as encode_header,
};
use crate::runtime::admin::MayHaveActed;

mod encoded;

/// The entity types that are served.
struct Types {
    types: BTreeMap<String, Arc<dyn Asked>>,
    /// `http.trace_commands`.
    trace_commands: bool,
}

/// The routes of entity types.
pub(super) fn entities(types: BTreeMap<String, Arc<dyn Asked>>, trace_commands: bool) -> Router {
    let types = Arc::new(Types { types, trace_commands });
    Router::new().route("/entities/{type}/{id}", get(read).post(write)).with_state(types)
}

/// The entity type and the entity id of a path.
type Names = Path<(String, String)>;

async fn read(
    State(types): State<Arc<Types>>,
    path: std::result::Result<Names, PathRejection>,
    headers: HeaderMap,
) -> Response {
    match path {
        Ok(Path((entity_type, id))) => {
            serve(&types, &entity_type, &id, &headers, Sent::Nothing).await
        }
        Err(error) => refuse_path(&error),
    }
}

async fn write(
    State(types): State<Arc<Types>>,
    path: std::result::Result<Names, PathRejection>,
    headers: HeaderMap,
    body: std::result::Result<Bytes, BytesRejection>,
) -> Response {
    let Path((entity_type, id)) = match path {
        Ok(names) => names,
        Err(error) => return refuse_path(&error),
    };
    let expected =
        || types.types.get(entity_type.as_str()).map_or("JSON", |known| known.expected());
    if headers.contains_key(header::ORIGIN) {
        // a browser sends this header with every command of a page, also of a page of a stranger,
        // which reaches ports that the stranger does not
        let error = "a web page sent this command (header `origin`)";
        return refuse(StatusCode::FORBIDDEN, error, "a command of a program, not of a page");
    }
    let is_encoded = encoded::is_encoded(&headers);
    if !is_encoded && !is_json(&headers) {
        let error = "the header `content-type` of a command is not `application/json`";
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, error, "content-type: application/json");
    }
    let body = match body {
        Ok(body) => body,
        Err(error) => return refuse(error.status(), &error.body_text(), expected()),
    };
    if is_encoded {
        let sent = Sent::Encoded(encoded::of(&headers, body));
        return serve(&types, &entity_type, &id, &headers, sent).await;
    }
    match body::parse(&body) {
        Ok(body) => serve(&types, &entity_type, &id, &headers, Sent::Json(body)).await,
        Err(error) => refuse(StatusCode::BAD_REQUEST, &error, expected()),
    }
}

/// Returns whether the one content type of a request is JSON, with or without parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (first, second) = (types.next(), types.next());
    let text = first.filter(|_| second.is_none()).and_then(|value| value.to_str().ok());
    let essence = text.and_then(|text| text.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

fn refuse_path(error: &PathRejection) -> Response {
    refuse(error.status(), &error.body_text(), "an entity type and an entity id, in UTF-8")
}

/// The answer to a request that no entity was asked.
fn refuse(status: StatusCode, error: &str, expected: &str) -> Response {
    let body = json!({ "error": error, "expected": expected, "without_effect": true });
    answer(status, &body, None)
}

fn answer(status: StatusCode, body: &Value, replica: Option<&ReplicaId>) -> Response {
    let mut response =
        (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response();
    let value = replica.and_then(|replica| encode_header(replica.as_str()).parse().ok());
    if let Some(value) = value {
        response.headers_mut().insert(REPLICA, value);
    }
    response
}

fn target(headers: &HeaderMap) -> std::result::Result<Target, String> {
    let text = |name: &str| {
        let value = headers.get(name)?;
        Some(decode_header(value.as_bytes()).map_err(|error| format!("header `{name}`: {error}")))
    };
    if let Some(replica) = text(REPLICA) {
        let replica = replica?;
        // the empty name is that of the replica from the time before replication
        return ReplicaId::try_from(Arc::<str>::from(&*replica))
            .map(Target::Replica)
            .map_err(|error| format!("header `{REPLICA}: {replica}`: {error}"));
    }
    let policy = match text(POLICY).transpose()?.as_deref() {
        None | Some("fail-over") => RoutingPolicy::FailOver,
        Some("nearest") => RoutingPolicy::Nearest,
        Some(other) => match other.strip_prefix("sticky:") {
            Some(key) => RoutingPolicy::Sticky(key.to_owned()),
            None => {
                return Err(format!(
                    "header `{POLICY}: {other}`: expected `nearest`, `sticky:TEXT` or `fail-over`"
                ));
            }
        },
    };
    Ok(Target::Policy(policy))
}

/// The request id in the header `idempotency-key`, with or without quotes, for
/// [`EntityRef::ask_once`] in a route of an application; `None`: the request has no such header.
///
/// # Errors
/// `Rejected` when the header is there twice, or is no request id.
pub fn request_id(headers: &HeaderMap) -> Result<Option<RequestId>> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let told = |why: String| Error::rejected(format!("header `{IDEMPOTENCY_KEY}`: {why}"));
    if headers.get_all(IDEMPOTENCY_KEY).iter().count() > 1 {
        return Err(told("expected one, actual several".to_owned()));
    }
    let text = decode_header(value.as_bytes()).map_err(told)?;
    let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    // the client of Antiphon sends the mark of a content with it
    let id = RequestId::parse(quoted.unwrap_or(&text));
    id.map(Some).map_err(|error| told(error.to_string()))
}

/// The session of a request to this entity. A token of another entity is found by its reference.
fn in_session(headers: &HeaderMap) -> Result<InSession> {
    let Some(value) = headers.get(SESSION) else { return Ok(InSession::No) };
    if value.as_bytes() == NEW_SESSION.as_bytes() {
        return Ok(InSession::New);
    }
    let token = SessionToken::parse(value.to_str().unwrap_or("no text"));
    token.map(InSession::After).map_err(|error| {
        Error::rejected(format!("header `{SESSION}`: {error}, or `{NEW_SESSION}`"))
    })
}

/// The body of a request.
enum Sent {
    Nothing,
    Json(Value),
    Encoded(Encoded),
}

async fn serve(
    types: &Types,
    entity_type: &str,
    id: &str,
    headers: &HeaderMap,
    sent: Sent,
) -> Response {
    let Some(known) = types.types.get(entity_type) else {
        let names: Vec<&str> = types.types.keys().map(String::as_str).collect();
        let error = format!("no entity type `{entity_type}`");
        return refuse(StatusCode::NOT_FOUND, &error, &format!("one of {names:?}"));
    };
    let target = match target(headers) {
        Ok(target) => target,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error, "a replica or a policy"),
    };
    let replica = match known.choose(id, &target) {
        Ok(replica) => replica,
        Err(error) => {
            return refuse(
                StatusCode::BAD_REQUEST,
                &error.to_string(),
                "an entity id and a replica",
            );
        }
    };
    let metadata = match types.trace_commands {
        true => TraceContext::of(headers).metadata(),
        false => Metadata::new(),
    };
    let metadata = match request_id(headers) {
        Ok(Some(id)) => match &sent {
            Sent::Nothing => metadata,
            // the keys of an object are sorted
            Sent::Json(body) => metadata.with_request(&id.with_content(body.to_string())),
            Sent::Encoded(_) => metadata.with_request(&id),
        },
        Ok(None) => metadata,
        Err(error) => {
            return refuse(StatusCode::BAD_REQUEST, &error.to_string(), "a request id");
        }
    };
    let terms = match in_session(headers) {
        Ok(session) => Terms { metadata, session },
        Err(error) => {
            let expected = "`new`, or the value of the last answer";
            return refuse(StatusCode::BAD_REQUEST, &error.to_string(), expected);
        }
    };
    let body = match sent {
        Sent::Nothing => None,
        Sent::Json(body) => Some(body),
        Sent::Encoded(encoded) => {
            return encoded::serve(known.as_ref(), (id, &replica), terms, encoded).await;
        }
    };
    match known.ask(id, &replica, terms, body) {
        Err(why) => not_asked(&why, known.expected()),
        Ok(asked) => {
            let subject = format!("{entity_type} {id}");
            match Guarded::new("the answer of an entity as JSON", subject, asked).await {
                Ok(outcome) => answered(outcome, &replica),
                Err(failure) => panicked(&failure.to_string(), false),
            }
        }
    }
}

/// The answer for an entity that was not asked.
fn not_asked(why: &NotAsked, expected: &str) -> Response {
    match why {
        NotAsked::Wrong(error) => refuse(StatusCode::BAD_REQUEST, &error.to_string(), expected),
        NotAsked::NoGet => {
            let error = "the entity answers no GET";
            let mut refused = refuse(StatusCode::METHOD_NOT_ALLOWED, error, expected);
            refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
            refused
        }
        NotAsked::Panicked(failure) => panicked(&failure.to_string(), true),
    }
}

/// The answer when code of the application panicked.
fn panicked(error: &str, without_effect: bool) -> Response {
    let body = json!({ "error": error, "without_effect": without_effect });
    answer(StatusCode::INTERNAL_SERVER_ERROR, &body, None)
}

/// The answer of an entity that was asked.
fn answered(
    outcome: std::result::Result<(Answered, Option<SessionToken>), AskError>,
    replica: &ReplicaId,
) -> Response {
    let (mut response, token) = match outcome {
        Ok((Answered::Done(body), token)) => (answer(StatusCode::OK, &body, Some(replica)), token),
        Ok((Answered::Refused(why), token)) => {
            (answer(StatusCode::CONFLICT, &json!({ "refused": why }), Some(replica)), token)
        }
        Err(error) => return failed(&error, replica),
    };
    if let Some(value) = token.and_then(|token| token.to_string().parse().ok()) {
        response.headers_mut().insert(SESSION, value);
    }
    response.extensions_mut().insert(MayHaveActed);
    response
}

/// The answer for an ask that failed.
fn failed(error: &AskError, replica: &ReplicaId) -> Response {
    let mut response = answer(status(error), &failure::to_json(error), Some(replica));
    if !error.is_without_effect() {
        response.extensions_mut().insert(MayHaveActed);
    }
    response
}

/// The status of the answer for an ask that failed.
pub fn status(error: &AskError) -> StatusCode {
    match error {
        AskError::Timeout => StatusCode::GATEWAY_TIMEOUT,
        AskError::NoReply | AskError::Unanswered(_) | AskError::Failed(_) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        AskError::Unreachable(_) => StatusCode::BAD_GATEWAY,
        AskError::Overloaded(_) => StatusCode::TOO_MANY_REQUESTS,
        AskError::Stopped(_)
        | AskError::NotHere(_)
        | AskError::Unavailable(_)
        | AskError::Expired(_)
        | AskError::Behind(_) => StatusCode::SERVICE_UNAVAILABLE,
        AskError::Rejected(_) => StatusCode::BAD_REQUEST,
        // what was asked for is there, and its answer is not
        AskError::Done(_) => StatusCode::CONFLICT,
    }
}

#[cfg(test)]
mod tests;
