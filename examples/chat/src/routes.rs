//! Join a room, leave it, and read what a member has heard.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use antiphon::app::{Host, axum};
use antiphon::cluster::ractor::{Actor, ActorRef, ActorStatus};
use antiphon::cluster::{Receptionist, SingletonProxy, actors};
use antiphon::prelude::*;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::{Guests, Line, Member, Outbox, Room, guests, members};

/// The most members of one node.
pub const MEMBERS_MAX: usize = 1000;
/// The time limit of a call of the singleton.
const LIMIT: Duration = Duration::from_secs(2);

type Joined = BTreeMap<(String, String), (ActorRef<Line>, Outbox)>;
type Answered = (StatusCode, axum::Json<Value>);

#[derive(Clone)]
struct Chat {
    host: Host,
    receptionist: Receptionist,
    guests: SingletonProxy<Guests>,
    /// The members of this node, by room and name.
    joined: Arc<Mutex<Joined>>,
}

/// The routes of the chat.
///
/// # Errors
/// As [`actors`].
pub fn routes(host: &Host) -> Result<Router> {
    // the sessions to the other nodes, over which members are found
    actors(host.node())?;
    let chat = Chat {
        host: host.clone(),
        receptionist: Receptionist::of(host.node()),
        guests: guests(host.node()).map_err(|error| Error::rejected(error.to_string()))?,
        joined: Arc::default(),
    };
    Ok(Router::new()
        .route("/guests", get(desk).post(name))
        .route("/rooms/{room}/members", get(count))
        .route("/rooms/{room}/members/{name}", get(lines).post(join).delete(leave))
        .with_state(chat))
}

fn answer(status: StatusCode, body: Value) -> Answered {
    (status, axum::Json(body))
}

fn refused(error: impl std::fmt::Display) -> Answered {
    answer(StatusCode::BAD_REQUEST, json!({ "error": error.to_string() }))
}

/// Whether the singleton runs on this node.
async fn desk(State(chat): State<Chat>) -> Answered {
    let is_here = chat.guests.actor().is_some_and(|actor| actor.get_id().is_local());
    answer(StatusCode::OK, json!({ "here": is_here }))
}

/// A name that nobody else gets.
async fn name(State(chat): State<Chat>) -> Answered {
    match chat.guests.call(LIMIT, Guests::Name).await {
        Ok(name) => answer(StatusCode::OK, json!(name)),
        Err(error) => {
            answer(StatusCode::SERVICE_UNAVAILABLE, json!({ "error": error.to_string() }))
        }
    }
}

/// The number of members of a room, on all nodes.
async fn count(State(chat): State<Chat>, Path(room): Path<String>) -> Answered {
    match members(&room).and_then(|key| chat.receptionist.find(&key)) {
        Ok(found) => answer(StatusCode::OK, json!(found.len())),
        Err(error) => refused(error),
    }
}

async fn join(State(chat): State<Chat>, Path((room, name)): Path<(String, String)>) -> Answered {
    let id = (room.clone(), name);
    {
        let mut joined = chat.joined.lock();
        joined.retain(|_, (member, _)| is_there(member));
        if joined.contains_key(&id) {
            return answer(StatusCode::OK, json!("joined before"));
        }
        if joined.len() >= MEMBERS_MAX {
            let error = format!("this node has {MEMBERS_MAX} members: join at another one");
            return answer(StatusCode::SERVICE_UNAVAILABLE, json!({ "error": error }));
        }
    }
    let key = match members(&room) {
        Ok(key) => key,
        Err(error) => return refused(error),
    };
    let rooms = chat.host.entities::<Room>();
    let room = match rooms.and_then(|rooms| rooms.route(&room, &RoutingPolicy::FailOver)) {
        Ok(room) => room,
        Err(error) => return refused(error),
    };
    let outbox = Outbox::default();
    let member = Member { outbox: outbox.clone() };
    let member = match Actor::spawn(None, member, room).await {
        Ok((member, _)) => member,
        Err(error) => {
            let error = json!({ "error": error.to_string() });
            return answer(StatusCode::SERVICE_UNAVAILABLE, error);
        }
    };
    if let Err(error) = chat.receptionist.register(&key, &member) {
        member.stop(None);
        return answer(StatusCode::SERVICE_UNAVAILABLE, json!({ "error": error.to_string() }));
    }
    if let Some((before, _)) = chat.joined.lock().insert(id, (member, outbox)) {
        before.stop(None);
    }
    answer(StatusCode::OK, json!("joined"))
}

async fn leave(State(chat): State<Chat>, Path(id): Path<(String, String)>) -> Answered {
    match chat.joined.lock().remove(&id) {
        Some((member, _)) => {
            member.stop(None);
            answer(StatusCode::OK, json!("left"))
        }
        None => nobody(&id.1),
    }
}

/// The lines that a member of this node has heard.
async fn lines(State(chat): State<Chat>, Path(id): Path<(String, String)>) -> Answered {
    let joined = chat.joined.lock();
    match joined.get(&id).filter(|(member, _)| is_there(member)) {
        Some((_, outbox)) => answer(StatusCode::OK, json!(outbox.lines())),
        None => nobody(&id.1),
    }
}

fn is_there(member: &ActorRef<Line>) -> bool {
    member.get_status() < ActorStatus::Stopping
}

fn nobody(name: &str) -> Answered {
    let error = format!("{name:?} is not at this node: join, or ask at the node of the join");
    answer(StatusCode::NOT_FOUND, json!({ "error": error }))
}
