//! From the text of a file and the environment variables to settings.
//!
//! An error names the place and the fault, and never shows a value that may be a secret: not the
//! line of the file, not a text in the wrong place, not a table or an array, not a variable of a
//! table of the application, and not a variable whose name says that it is a secret.

use std::collections::BTreeMap;
use std::ffi::OsString;

use crate::base::secret::without_texts;
use crate::prelude::*;
use serde::de::Error as _;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::{Config, Known, variables};

const PREFIX: &str = "ANTIPHON_";

/// Most parts of the name of a variable. The deepest key of a configuration has half as many; each
/// part is a table in a table, and thousands of them overflow the stack.
const PARTS_MAX: usize = 8;

/// Characters that an error shows of the name of a variable with too many parts.
const SHOWN_MAX: usize = 60;

/// The reason for most variables that nobody set.
const SERVICE_HINT: &str = ": each variable that begins with `ANTIPHON_` must name a key; \
    Kubernetes injects others for a Service named `antiphon`, unless the pod has `enableServiceLinks: false`";

/// Reads a text and the environment variables, and checks all values; `known` are the names that
/// the program knows, for example the kinds of stores that a journal may have.
///
/// # Errors
/// `Rejected`, naming the key, the value and what was expected.
pub fn parse(
    text: &str,
    variables: impl IntoIterator<Item = (String, String)>,
    known: &Known,
) -> Result<Config> {
    let mut variables: Vec<(String, String)> =
        variables.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    variables.sort();
    refuse_two_names(&variables)?;
    let mut table: Table = text.parse().map_err(|error| no_toml(text, &error))?;
    let read = toml::from_str(text).map_err(|error| wrong_value(text, &error))?;
    let mut outcome = complete(read, known);
    // two variables may be right together only, so a refusal counts after the last one
    let mut blamed = None;
    for variable in &variables {
        let (name, value) = variable;
        set(&mut table, name, value, known)?;
        let read =
            table.clone().try_into().map_err(|error| wrong_variable(variable, known, &error))?;
        let next = complete(read, known);
        match (&outcome, &next) {
            (_, Ok(_)) => blamed = None,
            (Ok(_), Err(_)) => blamed = Some(variable),
            (Err(_), Err(_)) => {}
        }
        outcome = next;
    }
    let config = outcome.map_err(|error| match blamed {
        Some(variable) => wrong_variable(variable, known, &error),
        None => wrong_value(text, &error),
    })?;
    config.validate()?;
    Ok(config)
}

/// Reads the parts of the stores too. Their errors have the form of those of a text.
fn complete(read: Config, known: &Known) -> std::result::Result<Config, toml::de::Error> {
    let config = Config { known: known.clone(), ..read };
    config.complete().map_err(|error| toml::de::Error::custom(error.to_string()))
}

/// The variables with the prefix of a node as text.
///
/// # Errors
/// `Rejected`, naming the variable, for a name or a value that is not UTF-8. The value is not
/// shown: it may be a secret.
pub(super) fn texts(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Vec<(String, String)>> {
    let is_ours = |name: &OsString| name.as_encoded_bytes().starts_with(PREFIX.as_bytes());
    let ours = variables.into_iter().filter(|(name, _)| is_ours(name));
    ours.map(|(name, value)| match (name.into_string(), value.into_string()) {
        (Ok(name), Ok(value)) => Ok((name, value)),
        (name, _) => {
            let name = name.unwrap_or_else(|name| name.to_string_lossy().into_owned());
            let name = name.escape_debug();
            Err(Error::rejected(format!(
                "environment variable `{name}`: expected a name and a value in UTF-8"
            )))
        }
    })
    .collect()
}

/// The case of a name does not count, so names that differ in their case are one key.
fn refuse_two_names(variables: &[(String, String)]) -> Result<()> {
    let mut names = BTreeMap::new();
    for (name, _) in variables {
        if let Some(other) = names.insert(name.to_ascii_lowercase(), name) {
            return Err(Error::rejected(format!(
                "environment variables `{other}` and `{name}` set the same key: expected one of them"
            )));
        }
    }
    Ok(())
}

fn set(table: &mut Table, name: &str, value: &str, known: &Known) -> Result<()> {
    let keys = || name[PREFIX.len()..].split("__");
    let count = keys().count();
    if count > PARTS_MAX {
        let start: String = name.chars().take(SHOWN_MAX).collect();
        return Err(Error::rejected(format!(
            "environment variable `{start}..`: expected at most {PARTS_MAX} parts with `__` between them, actual {count}"
        )));
    }
    let keys = variables::keys(keys(), table, known);
    let (last, path) = keys.split_last().expect("a split gives one part at least");
    let mut at = table;
    for key in path {
        let next = at.entry(key.clone()).or_insert_with(|| Value::Table(Table::new()));
        let Value::Table(next) = next else {
            return Err(Error::rejected(format!(
                "environment variable `{name}`: expected a table at `{key}`, which has no keys"
            )));
        };
        at = next;
    }
    at.insert(last.clone(), parsed(value));
    Ok(())
}

/// The value of a variable, which is text when it is not TOML.
fn parsed(value: &str) -> Value {
    let table = format!("x = {value}").parse::<Table>().ok().filter(|table| table.len() == 1);
    let parsed = table.and_then(|mut table| table.remove("x"));
    parsed.unwrap_or_else(|| Value::String(value.to_owned()))
}

/// True for a value that may have others in it, of which one may be a secret: also for a text that
/// was meant to be a table or an array, and is not TOML.
fn has_parts(value: &str) -> bool {
    matches!(parsed(value), Value::Table(_) | Value::Array(_))
        || value.trim_start().starts_with(['{', '['])
}

/// The error for a text that is not TOML. The text is not shown: it may be the middle of a secret
/// with unbalanced quotes. The exception is a key that is there twice: keys are no secrets.
fn no_toml(text: &str, error: &toml::de::Error) -> Error {
    let Some(span) = error.span() else { return Error::rejected(error.message()) };
    let before = text.get(..span.start).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
    let message = error.message();
    let twice = message.contains("duplicate key").then(|| text.get(span)).flatten();
    match twice.map(|key| key.trim_matches(['"', '\''])).filter(|key| is_key(key)) {
        Some(key) => Error::rejected(format!(
            "line {line}, column {column}: {message}: `{key}` is there twice"
        )),
        None => Error::rejected(format!("line {line}, column {column}: {message}")),
    }
}

fn is_key(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    !text.is_empty() && text.chars().all(fits)
}

/// The error for an unknown key or a wrong value.
fn wrong_value(text: &str, error: &toml::de::Error) -> Error {
    let message = without_texts(error.message());
    let Some(span) = error.span() else {
        return match line_of(text, &message) {
            Some(line) => Error::rejected(format!("line {line}: {message}")),
            None => Error::rejected(message),
        };
    };
    let before = text.get(..span.start).unwrap_or_default();
    let number = before.matches('\n').count();
    let line = text.lines().nth(number).unwrap_or_default();
    // a line within a longer value has no key, and may be a secret
    let inner = line.trim().trim_start_matches('[');
    let is_header = inner.len() < line.trim().len()
        && inner.ends_with(']')
        && inner.starts_with(|c: char| c.is_ascii_alphabetic());
    let key = if is_header { Some(line) } else { line.split_once('=').map(|(key, _)| key) };
    let key = key.unwrap_or_default();
    let key = key.trim().trim_matches(|c| matches!(c, '[' | ']' | '"' | '\'')).trim();
    if !is_key(key) {
        return Error::rejected(format!("line {}: {message}", number + 1));
    }
    Error::rejected(format!("line {}: `{key}`: {message}", number + 1))
}

/// The line of the key that a message names by the path at its begin, as in
/// `` `sqlite`: `reader_count`: .. ``; of the deepest key of the path that the text has.
fn line_of(text: &str, message: &str) -> Option<usize> {
    let table = DeTable::parse(text).ok()?;
    let (mut table, mut found) = (table.get_ref(), None);
    let mut rest = message.split(": ").peekable();
    let mut parts = Vec::new();
    while let Some(part) = rest.next_if(|part| part.starts_with('`')) {
        parts.push(part);
    }
    let unknown = rest.next().and_then(|part| part.strip_prefix("unknown field "));
    parts.extend(unknown.and_then(|rest| rest.split(',').next()));
    for key in parts.iter().flat_map(|part| part.trim_matches('`').split('.')) {
        let Some((key, value)) = table.get_key_value(key) else { break };
        found = Some(key.span().start);
        let DeValue::Table(inner) = value.get_ref() else { break };
        table = inner;
    }
    Some(text.get(..found?)?.matches('\n').count() + 1)
}

fn wrong_variable(variable: &(String, String), known: &Known, error: &toml::de::Error) -> Error {
    const SECRETS: [&str; 6] = ["COOKIE", "PASS", "AUTH", "SECRET", "TOKEN", "KEY"];
    let (name, value) = variable;
    let message = without_texts(error.to_string().trim_end()).replace('\n', " ");
    let is_secret = SECRETS.iter().any(|word| name.to_ascii_uppercase().contains(word));
    // only the application knows which of its own values are secrets
    let table = name[PREFIX.len()..].split("__").next().unwrap_or_default();
    let is_own = known.sections.iter().any(|own| own.name.eq_ignore_ascii_case(table));
    // a misspelt name must not show a value that was meant for another setting
    let is_unknown = message.contains("unknown field");
    let is_misplaced = is_unknown || message.contains("expected struct");
    let hint = if is_unknown { SERVICE_HINT } else { "" };
    if is_secret || is_own || is_misplaced || has_parts(value) {
        return Error::rejected(format!("environment variable `{name}`: {message}{hint}"));
    }
    Error::rejected(format!("environment variable `{name}={value}`: {message}"))
}

#[cfg(test)]
mod tests;
