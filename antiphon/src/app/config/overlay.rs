//! A table that a file gives, laid over the defaults of its settings.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::base::secret::without_texts;
use crate::base::text::foreign;
use crate::prelude::*;

/// The settings `defaults`, with the values of the table `given`. A key that no field reads is
/// refused, also in tables within the table, but not in arrays.
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
    let with = |given: &Value| -> Result<S> {
        let mut table = defaults.clone();
        lay_over(&mut table, given);
        let settings = serde_json::from_value::<S>(table.clone())
            .map_err(|error| Error::rejected(without_texts(&error.to_string())))?;
        let shown = serde_json::to_value(&settings).unwrap_or_default();
        unread::<S>(&table, &shown, given, &mut Vec::new())?;
        Ok(settings)
    };
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

/// Refuses a key of `given` that no field of `S` reads: `shown`, the settings as they were read,
/// lacks it, and `whole`, the table that they were read from, could have anything there. A field
/// that is not shown, because it has no value for example, refuses what it cannot read.
fn unread<S: DeserializeOwned>(
    whole: &Value,
    shown: &Value,
    given: &Value,
    path: &mut Vec<String>,
) -> Result<()> {
    let (Value::Object(shown), Value::Object(given)) = (shown, given) else { return Ok(()) };
    for (key, value) in given {
        path.push(key.clone());
        match shown.get(key) {
            Some(shown) => unread::<S>(whole, shown, value, path)?,
            None if takes_anything::<S>(whole, path) => {
                let keys: Vec<String> = shown.keys().map(|key| format!("`{key}`")).collect();
                let expected = if keys.is_empty() {
                    "expected a key that the application knows".to_owned()
                } else {
                    format!("expected one of {}", keys.join(", "))
                };
                return Err(Error::rejected(format!(
                    "unknown field `{}`, {expected}",
                    foreign(key)
                )));
            }
            None => {}
        }
        path.pop();
    }
    Ok(())
}

/// Returns whether the settings can be read with a value at this path that no field takes.
fn takes_anything<S: DeserializeOwned>(whole: &Value, path: &[String]) -> bool {
    let mut whole = whole.clone();
    let mut at = &mut whole;
    for key in path {
        let Some(inner) = at.get_mut(key) else { return false };
        at = inner;
    }
    *at = serde_json::json!({ "\u{1}": [[null]] });
    serde_json::from_value::<S>(whole).is_ok()
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

    #[test]
    fn keys_without_a_value_are_left_out() {
        let shown = without_nulls(json!({ "a": null, "b": { "c": null, "d": 1 }, "e": [1] }));
        assert_eq!(shown, json!({ "b": { "d": 1 }, "e": [1] }));
    }
}
