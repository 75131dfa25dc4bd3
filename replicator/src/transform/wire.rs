//! Requests to the hook and its answers. Pure.
//!
//! ```text
//!   { "eventType": "A", "streamName": "a-1", "metadata": {..}, "payload": {..} }
//! ```
//!
//! Valid JSON is included unchanged. An empty part is absent. All other bytes are base64 text, and
//! `payloadEncoding` or `metadataEncoding` is `base64`. The answer has the same form. A part that
//! is absent from it stays unchanged, so an echo changes nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::event::Event;

/// The body of the request.
pub(super) fn request(event: &Event) -> String {
    let text = |name: &str| serde_json::Value::from(name).to_string();
    let mut body = format!(
        r#"{{"eventType":{},"streamName":{}"#,
        text(&event.event_type),
        text(&event.stream)
    );
    part(&mut body, "metadata", &event.metadata);
    part(&mut body, "payload", &event.data);
    body.push('}');
    body
}

fn part(body: &mut String, name: &str, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    match serde_json::from_slice::<&RawValue>(bytes) {
        Ok(raw) => *body += &format!(r#","{name}":{}"#, raw.get()),
        Err(_) => {
            *body +=
                &format!(r#","{name}":"{}","{name}Encoding":"base64""#, STANDARD.encode(bytes));
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    event_type: Option<String>,
    stream_name: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    metadata: Option<&'a RawValue>,
    metadata_encoding: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    payload: Option<&'a RawValue>,
    payload_encoding: Option<String>,
}

/// Reads a present `null` as the JSON text `null`, which differs from an absent part.
fn present<'de: 'a, 'a, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The event as changed by the answer.
///
/// # Errors
/// A description of the error in the answer.
pub(super) fn changed(event: &Event, answer: &[u8]) -> Result<Event, String> {
    let wire: Wire<'_> = serde_json::from_slice(answer).map_err(|error| {
        format!(
            "expected a JSON object with `eventType`, `streamName`, `metadata`, `payload`: {error}"
        )
    })?;
    let mut changed = event.clone();
    for (name, value, field) in [
        ("eventType", wire.event_type, &mut changed.event_type),
        ("streamName", wire.stream_name, &mut changed.stream),
    ] {
        match value.as_deref() {
            Some("") => return Err(format!("`{name}`: expected a text, actual an empty one")),
            Some(text) => *field = text.into(),
            None => {}
        }
    }
    if let Some(bytes) = decoded("metadata", wire.metadata, wire.metadata_encoding.as_deref())? {
        changed.metadata = bytes;
    }
    let encoding = wire.payload_encoding.as_deref();
    if let Some(bytes) = decoded("payload", wire.payload, encoding)? {
        changed.is_json = event.is_json || encoding.is_none();
        changed.data = bytes;
    }
    Ok(changed)
}

fn decoded(
    name: &str,
    raw: Option<&RawValue>,
    encoding: Option<&str>,
) -> Result<Option<Bytes>, String> {
    let Some(raw) = raw else { return Ok(None) };
    match encoding {
        None => Ok(Some(Bytes::copy_from_slice(raw.get().as_bytes()))),
        Some("base64") => {
            let text: String = serde_json::from_str(raw.get()).map_err(|_| {
                format!("`{name}`: expected a base64 text, as `{name}Encoding` says")
            })?;
            let bytes = STANDARD.decode(text).map_err(|error| {
                format!("`{name}`: expected a base64 text, as `{name}Encoding` says: {error}")
            })?;
            Ok(Some(bytes.into()))
        }
        Some(other) => {
            Err(format!("`{name}Encoding`: expected `base64` or none, actual `{other}`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(data: &[u8], metadata: &[u8], is_json: bool) -> Event {
        let (data, metadata) = (Bytes::copy_from_slice(data), Bytes::copy_from_slice(metadata));
        Event { is_json, data, metadata, ..Event::example("a-\"1\"", 0, "") }
    }

    #[test]
    fn json_goes_inline_as_it_was_written_and_the_rest_as_base64() {
        for (event, expected) in [
            (
                event(b"{ \"n\": 1.00 }", b"{\"m\":1}", true),
                r#"{"eventType":"Created","streamName":"a-\"1\"","metadata":{"m":1},"payload":{ "n": 1.00 }}"#,
            ),
            (event(b"", b"", true), r#"{"eventType":"Created","streamName":"a-\"1\""}"#),
            (
                event(b"\x00\xff", b"", false),
                r#"{"eventType":"Created","streamName":"a-\"1\"","payload":"AP8=","payloadEncoding":"base64"}"#,
            ),
        ] {
            assert_eq!(request(&event), expected);
        }
    }

    #[test]
    fn an_answer_changes_what_it_names_and_nothing_else() {
        let before = event(b"{\"n\":1}", b"{\"m\":1}", true);
        let after = changed(&before, br#"{ "eventType": "Made", "payload": {"n": 2} }"#).unwrap();
        assert_eq!((&*after.event_type, &after.data[..]), ("Made", &b"{\"n\": 2}"[..]));
        assert_eq!(
            (&after.stream, &after.metadata, after.id),
            (&before.stream, &before.metadata, before.id)
        );

        let after = changed(
            &before,
            br#"{ "payload": null, "metadata": "AP8=", "metadataEncoding": "base64" }"#,
        );
        let after = after.unwrap();
        assert_eq!((&after.data[..], &after.metadata[..]), (&b"null"[..], &b"\x00\xff"[..]));
    }

    #[test]
    fn a_bad_answer_says_what_is_wrong() {
        let before = event(b"{}", b"", true);
        for (answer, expected) in [
            (&b"ok"[..], "expected a JSON object"),
            (b"", "expected a JSON object"),
            (b"[]", "expected a JSON object"),
            (b"{\"eventType\":5}", "invalid type"),
            (b"{\"eventType\":\"\"}", "`eventType`: expected a text, actual an empty one"),
            (b"{\"streamName\":\"\"}", "`streamName`: expected a text"),
            (
                b"{\"payload\":{},\"payloadEncoding\":\"base64\"}",
                "`payload`: expected a base64 text",
            ),
            (
                b"{\"payload\":\"%\",\"payloadEncoding\":\"base64\"}",
                "`payload`: expected a base64 text",
            ),
            (
                b"{\"payload\":\"x\",\"payloadEncoding\":\"hex\"}",
                "`payloadEncoding`: expected `base64`",
            ),
        ] {
            let message = changed(&before, answer).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }

    proptest! {
        #[test]
        fn an_echo_changes_nothing(data in proptest::collection::vec(any::<u8>(), 0..20), is_json: bool) {
            let before = event(&data, &data, is_json);
            let after = changed(&before, request(&before).as_bytes()).unwrap();
            // whitespace around a JSON text is not part of its value
            prop_assert_eq!(after.data.trim_ascii(), before.data.trim_ascii());
        }

        #[test]
        fn no_answer_panics(answer in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = changed(&event(b"{}", b"", true), &answer);
        }
    }
}
