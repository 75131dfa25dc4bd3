//! The location of a journal: from the spelling of the replicator's keys to that of the stores, and
//! back.

use antiphon_persistence::store::Table;
use serde_json::Value;

use super::reader::Reader;
use super::table::below;
use super::timespan;

/// The name of a key in the spelling of the stores: `LocalDc` is `local_dc`.
pub(super) fn spelled(name: &str, known: &Table) -> String {
    let is_name = |known: &&String| known.replace('_', "").eq_ignore_ascii_case(name);
    if let Some(known) = known.keys().find(is_name) {
        return known.clone();
    }
    let mut spelled = String::new();
    for (index, letter) in name.chars().enumerate() {
        if index > 0 && letter.is_ascii_uppercase() {
            spelled.push('_');
        }
        spelled.push(letter.to_ascii_lowercase());
    }
    spelled
}

/// The path of a key in the spelling of the replicator: `tls.ca_file` is `Tls:CaFile`.
fn in_camel_case(path: &str) -> String {
    let part = |part: &str| -> String {
        let words = part.split('_').map(|word| {
            let (first, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
            first.to_uppercase() + rest
        });
        words.collect()
    };
    let parts = path.split(['.', '[', ']']).filter(|part| !part.is_empty());
    parts.map(part).collect::<Vec<_>>().join(":")
}

/// The value below `key`: a list, a table, or a value of the default's type; `None` when nothing is
/// given.
pub(super) fn given(reader: &Reader<'_>, key: &str, default: &Value) -> Option<Value> {
    let names = reader.children(key);
    if names.is_empty() {
        return Some(typed(reader.text(key)?, default));
    }
    if names.iter().all(|name| name.parse::<u32>().is_ok()) {
        let items = names.iter().filter_map(|name| given(reader, &below(key, name), &Value::Null));
        return Some(items.collect());
    }
    let none = Table::new();
    let known = default.as_object().unwrap_or(&none);
    let table = names.iter().filter_map(|name| {
        let (at, name) = (below(key, name), spelled(name, known));
        let given = given(reader, &at, known.get(&name).unwrap_or(&Value::Null))?;
        Some((name, given))
    });
    Some(Value::Object(table.collect()))
}

fn typed(text: String, default: &Value) -> Value {
    let plain = text.trim();
    match default {
        Value::Number(_) => plain.parse::<u64>().map_or(text.into(), Value::from),
        Value::Bool(_) => {
            plain.to_ascii_lowercase().parse::<bool>().map_or(text.into(), Value::from)
        }
        Value::String(default) if is_duration(default) => match timespan::parse(plain) {
            Some(duration) => format!("{}ms", duration.as_millis()).into(),
            None => text.into(),
        },
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => text.into(),
    }
}

/// Returns whether a text is a duration in the spelling of the stores, such as `250ms`.
fn is_duration(text: &str) -> bool {
    let number = text.trim_end_matches("ms").trim_end_matches('s');
    number.len() < text.len() && number.parse::<u64>().is_ok()
}

/// A message of a kind, with its key in the spelling of the replicator.
pub(super) fn renamed(section: &str, message: &str) -> String {
    match message.strip_prefix('`').and_then(|rest| rest.split_once('`')) {
        Some((path, rest)) => format!("`{section}:{}`{rest}", in_camel_case(path)),
        None => format!("`{section}`: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_from_one_spelling_to_the_other() {
        assert_eq!(spelled("LocalDc", &Table::new()), "local_dc");
        assert_eq!(in_camel_case("tls.ca_file"), "Tls:CaFile");
        assert_eq!(in_camel_case("contact_points[1]"), "ContactPoints:1");
    }
}
