//! Commands that a program outside the cluster sends in their encoded form: the node's half of
//! [`client`](crate::client).

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::super::entity::{Asked, Encoded, Terms};
use super::{failed, not_asked, panicked, refuse};
use crate::base::bounds::HOUR;
use crate::base::guard::Guarded;
use crate::header::{ANSWER_TYPE, COMMAND_TYPE, TELL, TIME_LEFT};
use crate::prelude::*;
use crate::runtime::admin::MayHaveActed;

/// Returns whether a request carries an encoded command.
pub(super) fn is_encoded(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (first, second) = (types.next(), types.next());
    second.is_none() && first.is_some_and(|value| value.as_bytes() == COMMAND_TYPE.as_bytes())
}

/// The command of a request. A time that cannot be read counts as none; none is longer than an
/// hour.
pub(super) fn of(headers: &HeaderMap, command: Bytes) -> Encoded {
    let time_left = headers.get(TIME_LEFT).and_then(|value| value.to_str().ok()?.parse().ok());
    let time_left = time_left.map(|time| Duration::from_millis(time).min(HOUR));
    Encoded { command, is_ask: !headers.contains_key(TELL), time_left }
}

/// Sends the command to the entity, and answers with its encoded answer.
pub(super) async fn serve(
    known: &dyn Asked,
    (id, replica): (&str, &ReplicaId),
    terms: Terms,
    encoded: Encoded,
) -> Response {
    let asked = match known.send(id, replica, terms, encoded) {
        Ok(Some(asked)) => asked,
        Ok(None) => {
            let error = "the entity type takes no encoded commands (`HttpEntity::takes_commands`)";
            return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, error, known.expected());
        }
        Err(why) => return not_asked(&why, known.expected()),
    };
    match Guarded::new("the answer of an entity, encoded", id.to_owned(), asked).await {
        Ok(Ok(answer)) => {
            let mut response = ([(header::CONTENT_TYPE, ANSWER_TYPE)], answer).into_response();
            response.extensions_mut().insert(MayHaveActed);
            response
        }
        Ok(Err(error)) => failed(&error, replica),
        Err(failure) => panicked(&failure.to_string(), false),
    }
}
