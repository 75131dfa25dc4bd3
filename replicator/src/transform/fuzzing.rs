//! The answers of a hook, for the fuzzing in `fuzz`.

use antiphon_base::fuzzing::{Bounds, Decoder};

use super::wire::{changed, request};
use crate::fuzzing::event;

/// The answers of a hook.
pub const HOOK: &[Decoder] = &[Decoder {
    name: "hook_answer",
    decode: |bytes| {
        let before = event(b"{\"m\":1}");
        let after = changed(&before, bytes).ok()?;
        Some(Box::new(move || {
            // an echo changes nothing but blanks around a JSON text
            let again = changed(&after, request(&after).as_bytes()).expect("an echo is read");
            assert_eq!(again.data.trim_ascii(), after.data.trim_ascii());
            assert_eq!(again.metadata.trim_ascii(), after.metadata.trim_ascii());
            assert_eq!((again.stream, again.event_type), (after.stream, after.event_type));
        }))
    },
    seeds: || {
        let answer = br#"{"eventType":"Made","payload":"AP8=","payloadEncoding":"base64"}"#;
        vec![answer.to_vec(), request(&event(b"{\"m\":1}")).into_bytes()]
    },
    bounds: Bounds::new(16 * 1024, 64),
}];
