//! Ids on the wire.

use antiphon_eventstore::wire;
use uuid::Uuid;

/// The id; nil when it is missing or no id.
pub(crate) fn uuid(id: &wire::Uuid) -> Uuid {
    match &id.form {
        Some(wire::uuid::Form::Structured(structured)) => {
            Uuid::from_u64_pair(structured.high.cast_unsigned(), structured.low.cast_unsigned())
        }
        Some(wire::uuid::Form::Text(text)) => Uuid::parse_str(text).unwrap_or_default(),
        None => Uuid::nil(),
    }
}
