//! Entities as JSON: `GET` and `POST /entities/{type}/{id}`.
//!
//! The header `antiphon-replica` names a replica. The header `antiphon-policy` (`nearest`,
//! `sticky:TEXT`, `fail-over`) chooses a replica; `fail-over` is the default. The header
//! `antiphon-replica` of the answer names the replica that answered. Characters that a header
//! cannot carry are percent-encoded in both directions. A command with the header `origin` is
//! refused: a web page sent it, and any page can send one to a port that its reader reaches. So is
//! a command whose `content-type` is not `application/json`: a page can send others without asking.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use antiphon::persistence::entity::EventSourced;
use antiphon::prelude::*;
use antiphon_auction as auction;
use antiphon_counter as counter;
use antiphon_watch_list as watch_list;
use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::body;
use crate::config::Config;
use crate::header::{POLICY, REPLICA, decode as decode_header, encode as encode_header};

type Answer = Pin<Box<dyn Future<Output = std::result::Result<Value, AskError>> + Send>>;

/// An entity type as the HTTP routes ask it: body `None` reads, `Some` is the posted JSON.
trait Asked: Send + Sync {
    fn choose(&self, id: &str, target: &Target) -> Result<ReplicaId>;
    fn ask(&self, id: &str, replica: &ReplicaId, body: Option<Value>) -> Result<Answer>;
    fn expected(&self) -> &'static str;
}

enum Target {
    Replica(ReplicaId),
    Policy(RoutingPolicy),
}

struct Type<E: EventSourced, A> {
    sharding: ReplicatedSharding<E>,
    ask: A,
    expected: &'static str,
}

impl<E, A> Asked for Type<E, A>
where
    E: EventSourced,
    E::Command: serde::Serialize + DeserializeOwned,
    A: Fn(EntityRef<E::Command>, Option<Value>) -> Result<Answer> + Send + Sync,
{
    fn choose(&self, id: &str, target: &Target) -> Result<ReplicaId> {
        let reference = match target {
            Target::Replica(replica) => self.sharding.entity_ref_for(id, replica)?,
            Target::Policy(policy) => self.sharding.route(id, policy)?,
        };
        Ok(reference.replication_id().replica_id().clone())
    }

    fn ask(&self, id: &str, replica: &ReplicaId, body: Option<Value>) -> Result<Answer> {
        (self.ask)(self.sharding.entity_ref_for(id, replica)?, body)
    }

    fn expected(&self) -> &'static str {
        self.expected
    }
}

type Types = Arc<BTreeMap<&'static str, Box<dyn Asked>>>;

/// Starts the example entities on a node, and their routes.
///
/// # Errors
/// The errors of [`ReplicatedSharding::init`].
pub async fn entities(node: &Node, config: &Config) -> Result<Router> {
    let replicas = config.replicas()?;
    let settings = || config.sharding.clone();
    let counters = ReplicatedSharding::init(
        node,
        counter::provider(replicas.clone()).with_settings(settings()),
    );
    let auctions = ReplicatedSharding::init(
        node,
        auction::provider(replicas.clone()).with_settings(settings()),
    );
    let watch_lists = watch_list::provider_per_role(replicas).with_settings(settings());
    let watch_lists = ReplicatedSharding::init(node, watch_lists);
    let mut types: BTreeMap<&'static str, Box<dyn Asked>> = BTreeMap::new();
    types.insert(
        "counter",
        Box::new(Type { sharding: counters.await?, ask: ask_counter, expected: r#"{"add": 1}"# }),
    );
    types.insert(
        "auction",
        Box::new(Type {
            sharding: auctions.await?,
            ask: ask_auction,
            expected: r#"{"place": {"number": 1, "bidder": "b", "amount": 5}} or "finish""#,
        }),
    );
    types.insert(
        "watch-list",
        Box::new(Type {
            sharding: watch_lists.await?,
            ask: ask_watch_list,
            expected: r#"{"add": "title"} or {"remove": "title"}"#,
        }),
    );
    Ok(routes().with_state(Arc::new(types)))
}

fn routes() -> Router<Types> {
    Router::new().route("/entities/{type}/{id}", get(read).post(write))
}

fn decode<T: DeserializeOwned>(body: Value) -> Result<T> {
    serde_json::from_value(body).map_err(|error| Error::rejected(error.to_string()))
}

fn value<T: serde::Serialize>(
    answer: std::result::Result<T, AskError>,
) -> std::result::Result<Value, AskError> {
    let to_json = |value| {
        serde_json::to_value(value).map_err(|error| AskError::Unanswered(error.to_string()))
    };
    answer.and_then(to_json)
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum CounterBody {
    Add(i64),
}

fn ask_counter(counter: EntityRef<counter::Command>, body: Option<Value>) -> Result<Answer> {
    use counter::Command;
    let Some(body) = body else {
        return Ok(Box::pin(async move {
            value(counter.ask(|reply_to| Command::Get { reply_to }).await)
        }));
    };
    let CounterBody::Add(delta) = decode(body)?;
    Ok(Box::pin(
        async move { value(counter.ask(|reply_to| Command::Add { delta, reply_to }).await) },
    ))
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum AuctionBody {
    Place(auction::Bid),
    Finish,
}

fn ask_auction(auction: EntityRef<auction::Command>, body: Option<Value>) -> Result<Answer> {
    use auction::Command;
    Ok(match body.map(decode).transpose()? {
        None => {
            Box::pin(async move { value(auction.ask(|reply_to| Command::Get { reply_to }).await) })
        }
        Some(AuctionBody::Place(bid)) => Box::pin(async move {
            value(auction.ask(|reply_to| Command::Place { bid, reply_to }).await)
        }),
        Some(AuctionBody::Finish) => {
            Box::pin(
                async move { value(auction.ask(|reply_to| Command::Finish { reply_to }).await) },
            )
        }
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum WatchListBody {
    Add(String),
    Remove(String),
}

fn ask_watch_list(list: EntityRef<watch_list::Command>, body: Option<Value>) -> Result<Answer> {
    use watch_list::Command;
    Ok(match body.map(decode).transpose()? {
        None => {
            Box::pin(async move { value(list.ask(|reply_to| Command::Get { reply_to }).await) })
        }
        Some(WatchListBody::Add(title)) => {
            Box::pin(
                async move { value(list.ask(|reply_to| Command::Add { title, reply_to }).await) },
            )
        }
        Some(WatchListBody::Remove(title)) => Box::pin(async move {
            value(list.ask(|reply_to| Command::Remove { title, reply_to }).await)
        }),
    })
}

/// The entity type and the entity id of a path.
type Names = Path<(String, String)>;

async fn read(
    State(types): State<Types>,
    path: std::result::Result<Names, PathRejection>,
    headers: HeaderMap,
) -> Response {
    match path {
        Ok(Path((entity_type, id))) => serve(&types, &entity_type, &id, &headers, None).await,
        Err(error) => refuse_path(&error),
    }
}

async fn write(
    State(types): State<Types>,
    path: std::result::Result<Names, PathRejection>,
    headers: HeaderMap,
    body: std::result::Result<Bytes, BytesRejection>,
) -> Response {
    let Path((entity_type, id)) = match path {
        Ok(names) => names,
        Err(error) => return refuse_path(&error),
    };
    let expected = || types.get(entity_type.as_str()).map_or("JSON", |known| known.expected());
    if headers.contains_key(header::ORIGIN) {
        // a browser sends this header with every command of a page, also of a page of a stranger,
        // which reaches ports that the stranger does not
        let error = "a web page sent this command (header `origin`)";
        return refuse(StatusCode::FORBIDDEN, error, "a command of a program, not of a page");
    }
    if !is_json(&headers) {
        let error = "the header `content-type` of a command is not `application/json`";
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, error, "content-type: application/json");
    }
    let body = match body {
        Ok(body) => body,
        Err(error) => return refuse(error.status(), &error.body_text(), expected()),
    };
    match body::parse(&body) {
        Ok(body) => serve(&types, &entity_type, &id, &headers, Some(body)).await,
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

fn refuse(status: StatusCode, error: &str, expected: &str) -> Response {
    answer(status, &json!({ "error": error, "expected": expected }), None)
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
        return ReplicaId::new(&replica)
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

async fn serve(
    types: &Types,
    entity_type: &str,
    id: &str,
    headers: &HeaderMap,
    body: Option<Value>,
) -> Response {
    let Some(known) = types.get(entity_type) else {
        let names: Vec<&str> = types.keys().copied().collect();
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
    match known.ask(id, &replica, body) {
        Err(error) => refuse(StatusCode::BAD_REQUEST, &error.to_string(), known.expected()),
        Ok(asked) => match asked.await {
            Ok(body) => answer(StatusCode::OK, &body, Some(&replica)),
            Err(error) => {
                let body = json!({
                    "error": error.to_string(),
                    "without_effect": error.is_without_effect(),
                });
                answer(status(&error), &body, Some(&replica))
            }
        },
    }
}

fn status(error: &AskError) -> StatusCode {
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
        | AskError::Expired(_) => StatusCode::SERVICE_UNAVAILABLE,
        AskError::Rejected(_) => StatusCode::BAD_REQUEST,
    }
}

#[cfg(test)]
mod tests;
