//! A log event with its values, before a sink writes it.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use antiphon_base::time::{Clock, SystemClock};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::format::TARGET;
use super::template;
use super::timestamp::iso_timestamp;

/// The field of a log event that has the template of its message.
pub(super) const TEMPLATE: &str = "MessageTemplate";

/// A log event with its values.
pub(super) struct Record {
    pub(super) time: SystemTime,
    pub(super) level: Level,
    pub(super) target: &'static str,
    /// The message with the names of its values in braces, as Serilog writes it.
    pub(super) template: String,
    /// The message as a person reads it.
    pub(super) message: String,
    /// The values by their names.
    pub(super) values: Map<String, Value>,
}

impl Record {
    /// The record of an event, now.
    pub(super) fn of(event: &Event<'_>) -> Self {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let Fields { message, template, others } = fields;
        let (template, message) = match template {
            Some(template) => {
                let message = template::render(&template, &others);
                (template, message)
            }
            None => (template::escape(&message), message),
        };
        Self {
            time: UNIX_EPOCH + Duration::from_micros(SystemClock.wall().as_micros()),
            level: *event.metadata().level(),
            target: event.metadata().target(),
            template,
            message,
            values: others,
        }
    }

    /// The values, with those that every line has.
    pub(super) fn properties(&self, fixed: &[(String, String)]) -> Map<String, Value> {
        let mut properties = self.values.clone();
        if self.target != TARGET {
            properties.insert("SourceContext".to_owned(), self.target.into());
        }
        for (name, value) in fixed {
            properties.insert(name.clone(), value.as_str().into());
        }
        properties
    }

    /// The object of Serilog's compact format.
    pub(super) fn compact(&self, fixed: &[(String, String)]) -> Map<String, Value> {
        let mut line = Map::new();
        line.insert("@t".to_owned(), iso_timestamp(self.time).into());
        line.insert("@mt".to_owned(), self.template.as_str().into());
        line.insert("@m".to_owned(), self.message.as_str().into());
        // the compact format leaves out the usual level
        if self.level != Level::INFO {
            line.insert("@l".to_owned(), words(self.level).1.into());
        }
        for (name, value) in self.properties(fixed) {
            // a name that starts with @ gets a second @, because single ones are the format's own
            let name = if name.starts_with('@') { format!("@{name}") } else { name };
            line.insert(name, value);
        }
        line
    }
}

/// Serilog's short and long word.
pub(super) fn words(level: Level) -> (&'static str, &'static str) {
    match level {
        Level::TRACE => ("VRB", "Verbose"),
        Level::DEBUG => ("DBG", "Debug"),
        Level::INFO => ("INF", "Information"),
        Level::WARN => ("WRN", "Warning"),
        Level::ERROR => ("ERR", "Error"),
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    template: Option<String>,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            ("message", value) => self.message = value.to_string(),
            (TEMPLATE, Value::String(text)) => self.template = Some(text),
            (name, value) => {
                self.others.insert(name.to_owned(), value);
            }
        }
    }
}

macro_rules! record {
    ($($record:ident: $value:ty),+) => {
        $(fn $record(&mut self, field: &Field, value: $value) {
            self.put(field, value.into());
        })+
    };
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    record! { record_str: &str, record_u64: u64, record_i64: i64, record_f64: f64, record_bool: bool }
}
