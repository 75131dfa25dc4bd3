//! A table that a file gives, laid over the defaults of its settings.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_ignored::Path;
use serde_json::Value;

use crate::base::secret::without_texts;
use crate::base::text::foreign;
use crate::prelude::*;

/// The settings `defaults`, with the values of the table `given`. A key that no field reads is
/// refused, also in tables and arrays within the table, but not beside a `#[serde(flatten)]`.
///
/// # Errors
/// `Rejected`, naming the key, the fault and what was expected. Texts are not shown: one may be a
/// secret.
pub(super) fn complete<S>(defaults: &S, given: &Value) -> Result<S>
where
    S: Serialize + DeserializeOwned,
{
    let defaults = serde_json::to_value(defaults);
    let defaults = defaults.map_err(|error| Error::bug(format!("settings as a table: {error}")))?;
    if !defaults.is_object() {
        return Err(Error::bug("settings are no table: give them named fields"));
    }
    let Value::Object(keys) = given else {
        return Err(Error::rejected("expected a table"));
    };
    let with = |given: &Value| read::<S>(defaults.clone(), given);
    let settings = with(given);
    if let Err(error) = &settings {
        // the key that is wrong by itself, if there is one
        for (key, value) in keys {
            let alone = [(key.clone(), value.clone())].into_iter().collect();
            if let Err(error) = with(&Value::Object(alone)) {
                let is_named = error.to_string().contains(&format!("`{key}"));
                return Err(if is_named {
                    error
                } else {
                    Error::rejected(format!("`{}`: {error}", foreign(key)))
                });
            }
        }
        return Err(Error::rejected(error.to_string()));
    }
    settings
}

/// Reads the table `given`, laid over `defaults`. A field that is given under another name
/// (`#[serde(alias = "..")]`) is not read from its default too.
fn read<S: Serialize + DeserializeOwned>(mut defaults: Value, given: &Value) -> Result<S> {
    loop {
        let mut table = defaults.clone();
        lay_over(&mut table, given);
        let mut unread = None;
        let settings = serde_ignored::deserialize::<_, _, S>(table, |path| {
            unread.get_or_insert_with(|| keys(&path));
        });
        match (settings, unread) {
            (Ok(settings), None) => return Ok(settings),
            (Ok(settings), Some(path)) => return Err(unknown(&settings, &path)),
            (Err(error), _) => {
                let text = error.to_string();
                let twice = text.strip_prefix("duplicate field `").and_then(|text| {
                    let (field, _) = text.split_once('`')?;
                    take_out(&mut defaults, given, field).then_some(())
                });
                if twice.is_none() {
                    return Err(Error::rejected(without_texts(&text)));
                }
            }
        }
    }
}

/// Takes the default of a field out of each table where `given` has it not, but has a key without a
/// default, which may be another name of the field. Returns whether there was one.
fn take_out(defaults: &mut Value, given: &Value, field: &str) -> bool {
    let (Value::Object(defaults), Value::Object(given)) = (defaults, given) else { return false };
    let has_other = given.keys().any(|key| !defaults.contains_key(key));
    let mut was_there = has_other && !given.contains_key(field) && defaults.remove(field).is_some();
    for (key, inner) in given {
        if let Some(defaults) = defaults.get_mut(key) {
            was_there |= take_out(defaults, inner, field);
        }
    }
    was_there
}

/// Lays the values of `given` over those of `table`, key by key.
fn lay_over(table: &mut Value, given: &Value) {
    let (Value::Object(table), Value::Object(given)) = (&mut *table, given) else {
        *table = given.clone();
        return;
    };
    for (key, value) in given {
        lay_over(table.entry(key).or_insert(Value::Null), value);
    }
}

/// The keys and indices to a value.
fn keys(path: &Path<'_>) -> Vec<String> {
    let (parent, key) = match path {
        Path::Root => return Vec::new(),
        Path::Seq { parent, index } => (parent, index.to_string()),
        Path::Map { parent, key } => (parent, key.clone()),
        Path::Some { parent }
        | Path::NewtypeStruct { parent }
        | Path::NewtypeVariant { parent } => return keys(parent),
    };
    let mut path = keys(parent);
    path.push(key);
    path
}

/// The error about a key that no field reads, with the keys that are shown in its place.
fn unknown<S: Serialize>(settings: &S, path: &[String]) -> Error {
    let shown = serde_json::to_value(settings).unwrap_or_default();
    let Some((key, tables)) = path.split_last() else {
        return Error::rejected("expected a table");
    };
    let table = tables.iter().try_fold(&shown, |at, key| match at {
        Value::Array(values) => values.get(key.parse::<usize>().ok()?),
        Value::Object(table) => table.get(key),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    });
    let known = table.and_then(Value::as_object).into_iter().flat_map(|table| table.keys());
    let known: Vec<String> = known.map(|key| format!("`{key}`")).collect();
    let expected = match &*known {
        [] => "expected a key that the application knows".to_owned(),
        known => format!("expected one of {}", known.join(", ")),
    };
    Error::rejected(format!("unknown field `{}`, {expected}", foreign(key)))
}

/// The table without keys that have no value: TOML has no null.
pub(super) fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(table) => {
            let some = table.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(some.map(|(key, value)| (key, without_nulls(value))).collect())
        }
        Value::Array(values) => Value::Array(values.into_iter().map(without_nulls).collect()),
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Settings {
        items_max: u32,
        currency: Option<String>,
        limits: Limits,
        names: std::collections::BTreeMap<String, u8>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Limits {
        least: u8,
        most: u8,
    }

    fn defaults() -> Settings {
        let limits = Limits { least: 1, most: 9 };
        Settings { items_max: 5, currency: None, limits, names: [].into() }
    }

    #[test]
    fn a_table_is_completed_key_by_key() {
        let given = json!({ "limits": { "most": 7 }, "currency": "CHF", "names": { "a": 1 } });
        let limits = Limits { least: 1, most: 7 };
        let names = [("a".to_owned(), 1)].into();
        let expected = Settings { items_max: 5, currency: Some("CHF".into()), limits, names };
        assert_eq!(complete(&defaults(), &given).unwrap(), expected);
    }

    #[test]
    fn a_wrong_key_or_value_is_named_and_no_text_is_shown() {
        for (given, expected) in [
            (json!({ "item_max": 5 }), "unknown field `item_max`, expected one of `currency`"),
            (json!({ "limits": { "mots": 5 } }), "unknown field `mots`, expected one of `least`"),
            (json!({ "items_max": "many" }), "`items_max`: invalid type: a text, expected u32"),
            (json!({ "items_max": -1, "currency": "x" }), "`items_max`: invalid value"),
            (json!(5), "expected a table"),
        ] {
            let message = complete(&defaults(), &given).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
            assert!(!message.contains("many"), "{message}");
        }
    }

    /// No key of such settings is in their serialized default.
    #[test]
    fn settings_whose_keys_are_all_optional_refuse_a_key_that_nobody_reads() {
        #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        struct Optional {
            #[serde(skip_serializing_if = "Option::is_none")]
            currency: Option<String>,
            #[serde(skip_serializing_if = "Vec::is_empty")]
            names: Vec<String>,
            #[serde(skip_serializing_if = "Option::is_none", alias = "maximum")]
            max: Option<u8>,
        }
        let read = |given| complete(&Optional::default(), &given);
        assert_eq!(read(json!({})).unwrap(), Optional::default());
        let given = json!({ "currency": "CHF", "names": [], "maximum": 5 });
        let max = Some(5);
        let expected = Optional { currency: Some("CHF".into()), max, ..Optional::default() };
        assert_eq!(read(given).unwrap(), expected);
        for (given, wrong) in [
            (json!({ "curency": "CHF" }), "unknown field `curency`, expected a key"),
            (json!({ "max": 5, "nams": [] }), "unknown field `nams`"),
        ] {
            let message = read(given).unwrap_err().to_string();
            assert!(message.contains(wrong), "{message}");
        }
    }

    /// Each was taken for a misspelt one.
    #[test]
    fn a_default_that_is_written_out_and_another_name_of_a_field_are_taken() {
        #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        struct Bounds {
            most: u8,
        }
        #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        struct Shop {
            #[serde(skip_serializing_if = "is_default", alias = "limits")]
            bounds: Bounds,
            #[serde(alias = "maximum")]
            max: u8,
            #[serde(skip_serializing_if = "Option::is_none")]
            extra: Option<Value>,
            inner: Vec<Bounds>,
        }
        fn is_default(bounds: &Bounds) -> bool {
            *bounds == Bounds::default()
        }
        let read = |given| complete(&Shop::default(), &given);
        for given in [json!({ "bounds": { "most": 0 } }), json!({ "limits": {} }), json!({})] {
            assert_eq!(read(given).unwrap(), Shop::default());
        }
        assert_eq!(read(json!({ "limits": { "most": 7 } })).unwrap().bounds.most, 7);
        assert_eq!(read(json!({ "maximum": 7 })).unwrap().max, 7);
        assert_eq!(read(json!({ "extra": null })).unwrap().extra, None);
        assert_eq!(read(json!({ "inner": [{ "most": 3 }] })).unwrap().inner[0].most, 3);
        for (given, wrong) in [
            (json!({ "bounds": { "mots": 0 } }), "unknown field `mots`"),
            (json!({ "inner": [{ "mots": 3 }] }), "unknown field `mots`, expected one of `most`"),
            (json!({ "max": 1, "maximum": 7 }), "duplicate field `max`"),
        ] {
            let message = read(given).unwrap_err().to_string();
            assert!(message.contains(wrong), "{message}");
        }
    }

    #[test]
    fn keys_without_a_value_are_left_out() {
        let shown = without_nulls(json!({ "a": null, "b": { "c": null, "d": 1 }, "e": [1] }));
        assert_eq!(shown, json!({ "b": { "d": 1 }, "e": [1] }));
    }
}
