//! The error of an ask as JSON, in an answer over HTTP, and back.

use serde_json::{Map, Value};

use crate::prelude::*;
use crate::sharding::Missing;

/// The body of the answer: the text, whether it is certain that there was no effect, and the kind
/// with its reason.
#[cfg(feature = "app")]
pub(crate) fn to_json(error: &AskError) -> Value {
    let without_effect = error.is_without_effect();
    let (kind, reason) = parts(error);
    let mut body = serde_json::json!({ "error": error.to_string(), "without_effect": without_effect, "kind": kind });
    if let Some(reason) = reason {
        body["reason"] = reason.into();
    }
    body
}

/// The error that an answer with this status is about. An answer of a node that has not asked an
/// entity, or of something before the node, has no kind: its status and `without_effect` decide.
pub(crate) fn of_answer(status: u16, body: &[u8]) -> AskError {
    let body: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
    let reason = text("reason").unwrap_or_default();
    if let Some(error) = text("kind").and_then(|kind| of_kind(&kind, reason)) {
        return error;
    }
    let why = text("error").unwrap_or_else(|| "an answer without a reason".to_owned());
    let why = format!("{status}: {why}");
    // the status alone proves nothing: a proxy answers 4xx to a request that it has passed on
    let is_certain = body.get("without_effect") == Some(&Value::Bool(true));
    match status {
        503 if is_certain => AskError::Unavailable(why),
        400..=499 if is_certain => AskError::Rejected(why),
        _ if is_certain => AskError::Failed(why),
        _ => AskError::Unanswered(why),
    }
}

/// The kind of an error and its reason.
#[cfg(feature = "app")]
fn parts(error: &AskError) -> (&'static str, Option<&str>) {
    match error {
        AskError::NoReply => ("no_reply", None),
        AskError::Timeout => ("timeout", None),
        AskError::NotHere(why) => ("not_here", Some(why)),
        AskError::Overloaded(why) => ("overloaded", Some(why)),
        AskError::Stopped(why) => ("stopped", Some(why)),
        AskError::Rejected(why) => ("rejected", Some(why)),
        AskError::Unavailable(why) => ("unavailable", Some(why)),
        AskError::Unreachable(why) => ("unreachable", Some(why)),
        AskError::Unanswered(why) => ("unanswered", Some(why)),
        AskError::Expired(why) => ("expired", Some(why)),
        AskError::Failed(why) => ("failed", Some(why)),
        AskError::Done(why) => ("done", Some(why)),
        AskError::Behind(missing) => ("behind", Some(missing.as_text())),
    }
}

fn of_kind(kind: &str, reason: String) -> Option<AskError> {
    Some(match kind {
        "no_reply" => AskError::NoReply,
        "timeout" => AskError::Timeout,
        "not_here" => AskError::NotHere(reason),
        "overloaded" => AskError::Overloaded(reason),
        "stopped" => AskError::Stopped(reason),
        "rejected" => AskError::Rejected(reason),
        "unavailable" => AskError::Unavailable(reason),
        "unreachable" => AskError::Unreachable(reason),
        "unanswered" => AskError::Unanswered(reason),
        "expired" => AskError::Expired(reason),
        "failed" => AskError::Failed(reason),
        "done" => AskError::Done(reason),
        "behind" => AskError::Behind(Missing::parse(&reason).ok()?),
        _ => return None,
    })
}

#[cfg(all(test, feature = "app"))]
mod tests {
    use super::*;
    use crate::app::status;

    #[test]
    fn every_error_comes_back_as_it_was() {
        let why = || "why".to_owned();
        for error in [
            AskError::NoReply,
            AskError::Timeout,
            AskError::NotHere(why()),
            AskError::Overloaded(why()),
            AskError::Stopped(why()),
            AskError::Rejected(why()),
            AskError::Unavailable(why()),
            AskError::Unreachable(why()),
            AskError::Unanswered(why()),
            AskError::Expired(why()),
            AskError::Failed(why()),
            AskError::Done(why()),
            AskError::Behind(Missing::parse("DC-A|1|2").unwrap()),
        ] {
            let body = to_json(&error).to_string();
            assert_eq!(of_answer(status(&error).as_u16(), body.as_bytes()), error);
        }
    }

    #[test]
    fn an_answer_without_a_kind_is_without_effect_only_if_that_is_certain() {
        for (status, body, is_certain) in [
            (503, r#"{"error":"the node is starting","without_effect":true}"#, true),
            (503, "{}", false),
            (502, "a proxy", false),
            (504, "", false),
            (401, r#"{"error":"no token","without_effect":true}"#, true),
            (401, "", false),
            (408, "a proxy that gave up", false),
            (400, r#"{"error":"x"}"#, false),
            (500, r#"{"error":"`on_post` panicked","without_effect":true}"#, true),
            (500, r#"{"error":"x","without_effect":false}"#, false),
            (500, r#"{"kind":"of a later version"}"#, false),
        ] {
            let error = of_answer(status, body.as_bytes());
            assert_eq!(error.is_without_effect(), is_certain, "{status} {body}: {error:?}");
        }
    }
}
