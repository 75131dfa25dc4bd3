//! Ids on the wire.

use antiphon_eventstore::wire;
use uuid::Uuid;

/// The id; nil when it is missing or invalid.
pub(crate) fn uuid(id: &wire::Uuid) -> Uuid {
    match &id.form {
        Some(wire::uuid::Form::Structured(structured)) => {
            Uuid::from_u64_pair(structured.high.cast_unsigned(), structured.low.cast_unsigned())
        }
        Some(wire::uuid::Form::Text(text)) => Uuid::parse_str(text).unwrap_or_default(),
        None => Uuid::nil(),
    }
}

/// Returns true when the caller wants ids as text.
pub(crate) fn wants_text(form: Option<&wire::UuidForm>) -> bool {
    matches!(form, Some(wire::UuidForm { form: Some(wire::uuid_form::Form::Text(_)) }))
}

/// The same event, with its id as text if requested.
pub(crate) fn formed(
    event: Option<wire::RecordedEvent>,
    as_text: bool,
) -> Option<wire::RecordedEvent> {
    let mut event = event?;
    if let Some(id) = event.id.as_ref().filter(|_| as_text) {
        let text = wire::uuid::Form::Text(uuid(id).to_string());
        event.id = Some(wire::Uuid { form: Some(text) });
    }
    Some(event)
}
