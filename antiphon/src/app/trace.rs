//! The trace of a request: the header `traceparent` (<https://www.w3.org/TR/trace-context>).

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;

use crate::prelude::*;

/// The header, and the key of the metadata.
const TRACEPARENT: &str = "traceparent";

/// Bytes of a header of the version 00, with which each later version begins.
const LENGTH: usize = 55;

/// The trace to which a request belongs. A route of an application takes it as an argument; a
/// command over `/entities/..` has it as metadata where `http.trace_commands` says so.
///
/// A header that is not a `traceparent`, or is there twice, counts as none, as the standard wants
/// it. At most 55 bytes are kept.
///
/// ```
/// use antiphon::app::TraceContext;
/// use antiphon::prelude::*;
///
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # enum Command { Close { reply_to: ReplyTo<u32> } }
/// async fn close(trace: &TraceContext, cart: EntityRef<Command>) -> Result<u32, AskError> {
///     let cart = cart.with_metadata(trace.metadata());
///     cart.ask(|reply_to| Command::Close { reply_to }).await
/// }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TraceContext(Option<Box<str>>);

impl TraceContext {
    /// The trace that these headers name, if they name one.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let (first, second) = (values.next(), values.next());
        let text = first.filter(|_| second.is_none()).and_then(|value| value.to_str().ok());
        Self(text.and_then(known).map(Box::from))
    }

    /// The text of the header: version, trace, span and flags.
    pub fn traceparent(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// The metadata of a command of this trace: `traceparent`, or nothing.
    pub fn metadata(&self) -> Metadata {
        let Some(text) = &self.0 else { return Metadata::new() };
        // far below every bound of metadata
        Metadata::new().with(TRACEPARENT, text.clone()).unwrap_or_default()
    }
}

impl<S: Sync> FromRequestParts<S> for TraceContext {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> std::result::Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

/// The part of a header that every version has; `None` when it is not a `traceparent`.
fn known(text: &str) -> Option<&str> {
    let text = text.trim();
    let start = text.get(..LENGTH)?;
    let mut parts = start.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_some = |text: &str| text.bytes().any(|c| c != b'0');
    let is_whole = is_hex(version, 2) && is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2);
    let rest = &text[LENGTH..];
    let fits = match version {
        "ff" => false,
        "00" => rest.is_empty(),
        _ => rest.is_empty() || rest.starts_with('-'),
    };
    (is_whole && fits && is_some(trace) && is_some(span)).then_some(start)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn of(values: &[&str]) -> TraceContext {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(TRACEPARENT, HeaderValue::from_str(value).unwrap());
        }
        TraceContext::of(&headers)
    }

    #[test]
    fn a_trace_becomes_the_metadata_of_a_command() {
        assert_eq!(of(&[TRACE]).traceparent(), Some(TRACE));
        assert_eq!(of(&[TRACE]).metadata().get(TRACEPARENT), Some(TRACE));
        let later = TRACE.replacen("00", "01", 1);
        assert_eq!(of(&[&format!("{later}-more")]).traceparent(), Some(&*later));
        assert!(of(&[]).metadata().is_empty());
    }

    #[test]
    fn a_header_that_is_no_trace_counts_as_none() {
        let long = format!("{TRACE}-more");
        let zero = TRACE.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32));
        for wrong in [
            "",
            "00",
            &TRACE[..54],
            &long,
            &zero,
            &TRACE.replace("b7ad6b7169203331", &"0".repeat(16)),
            &TRACE.to_uppercase(),
            &TRACE.replacen("00", "ff", 1),
            &TRACE.replace('7', "x"),
            &TRACE.replacen("c-b", "-cb", 1),
        ] {
            assert_eq!(of(&[wrong]), TraceContext::default(), "{wrong}");
        }
        assert_eq!(of(&[TRACE, TRACE]), TraceContext::default());
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, HeaderValue::from_bytes("ü".repeat(40).as_bytes()).unwrap());
        assert_eq!(TraceContext::of(&headers), TraceContext::default());
    }
}
