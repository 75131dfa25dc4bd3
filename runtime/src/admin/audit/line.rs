//! A line of the audit log.

use std::net::SocketAddr;
use std::time::Duration;

use antiphon_base::text::{foreign, is_hidden};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::admin::access::{Area, Caller};

/// One request and its outcome. It has neither the body nor the query nor a header of the request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    /// The time at which the request came, in UTC.
    pub(super) time: String,
    /// The name of the client in the tokens file, the name in its certificate, or "anonymous".
    pub(super) who: String,
    /// The kind of proof that the client shows.
    pub(super) shows: &'static str,
    pub(super) from: Option<String>,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) area: &'static str,
    /// The status of the answer; none when the connection ended before it. Then the request may
    /// have taken effect.
    pub(super) status: Option<u16>,
    /// Lines of refused strangers that were left out before this one.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) left_out: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A request, before it has an outcome.
#[derive(Debug, Clone)]
pub(in crate::admin) struct Asked<'a> {
    /// The time since 1970.
    pub(in crate::admin) now: Duration,
    pub(in crate::admin) caller: &'a Caller,
    pub(in crate::admin) from: Option<SocketAddr>,
    pub(in crate::admin) method: &'a str,
    pub(in crate::admin) path: &'a str,
    pub(in crate::admin) area: Area,
}

impl Line {
    pub(super) fn of(asked: &Asked<'_>) -> Self {
        Self {
            time: text_of(asked.now),
            who: asked.caller.logged().to_owned(),
            shows: asked.caller.shows(),
            from: asked.from.map(|from| from.to_string()),
            method: foreign(asked.method).to_string(),
            path: escaped(asked.path),
            area: asked.area.name(),
            status: None,
            left_out: 0,
        }
    }

    /// The line as JSON, with its end.
    pub(super) fn text(&self) -> Vec<u8> {
        let mut text = serde_json::to_vec(self).unwrap_or_default();
        text.push(b'\n');
        text
    }
}

/// The whole path, with its invisible characters escaped. A path has at most 65534 bytes.
fn escaped(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for c in path.chars() {
        if is_hidden(c) { text.extend(c.escape_unicode()) } else { text.push(c) }
    }
    text
}

/// A time since 1970 as RFC 3339 has it.
fn text_of(time: Duration) -> String {
    let nanos = i128::try_from(time.as_nanos()).unwrap_or(i128::MAX);
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanos);
    time.ok().and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_json_that_no_path_breaks() {
        let line = Line::of(&Asked {
            now: Duration::from_millis(1_796_000_000_250),
            caller: &Caller::Anonymous,
            from: Some(([10, 0, 0, 7], 4711).into()),
            method: "GET",
            path: "/entities/a\"\n/b",
            area: Area::Entities,
        });
        let text = String::from_utf8(Line { status: Some(401), ..line }.text()).unwrap();
        assert_eq!(
            text,
            "{\"time\":\"2026-11-30T00:53:20.25Z\",\"who\":\"anonymous\",\"shows\":\"nothing\",\"from\":\"10.0.0.7:4711\",\"method\":\"GET\",\"path\":\"/entities/a\\\"\\\\u{a}/b\",\"area\":\"entities\",\"status\":401}\n"
        );
    }

    #[test]
    fn a_line_names_the_whole_entity() {
        let path = format!("/entities/counter/{}\u{200b}1", "x".repeat(5000));
        let line = Line::of(&Asked {
            now: Duration::ZERO,
            caller: &Caller::Anonymous,
            from: None,
            method: "GET",
            path: &path,
            area: Area::Entities,
        });
        assert_eq!(line.path, format!("/entities/counter/{}\\u{{200b}}1", "x".repeat(5000)));
    }
}
