//! Writes a log event as Serilog's console does.

use std::fmt;

use antiphon_base::time::{Clock, SystemClock};
use serde_json::{Map, Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::timestamp::{iso_timestamp, time_of_day};
use crate::config::{LogFormat, SerilogSettings};

/// The target of Ditto's own lines.
pub const TARGET: &str = "ditto";

/// The format of a line.
pub struct SerilogFormat {
    format: LogFormat,
    properties: Vec<(String, String)>,
}

impl SerilogFormat {
    /// The format of the settings.
    pub fn new(settings: &SerilogSettings) -> Self {
        Self { format: settings.format, properties: settings.properties.clone() }
    }
}

impl<S, N> FormatEvent<S, N> for SerilogFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let now = UNIX_EPOCH + Duration::from_micros(SystemClock.wall().as_micros());
        let level = *event.metadata().level();
        if self.format == LogFormat::Plain {
            return plain(&mut writer, now, level, event.metadata().target(), &fields);
        }
        writeln!(writer, "{}", self.json(now, level, event.metadata().target(), fields))
    }
}

impl SerilogFormat {
    fn json(&self, now: SystemTime, level: Level, target: &str, fields: Fields) -> Value {
        let mut properties = fields.others;
        if target != TARGET {
            properties.insert("SourceContext".to_owned(), target.into());
        }
        for (name, value) in &self.properties {
            properties.insert(name.clone(), value.as_str().into());
        }
        let timestamp = iso_timestamp(now);
        if self.format == LogFormat::Json {
            return json!({
                "Timestamp": timestamp,
                "Level": words(level).1,
                "MessageTemplate": fields.message,
                "Properties": properties,
            });
        }
        let mut line = Map::new();
        line.insert("@t".to_owned(), timestamp.into());
        line.insert("@m".to_owned(), fields.message.into());
        // the compact format leaves out the usual level
        if level != Level::INFO {
            line.insert("@l".to_owned(), words(level).1.into());
        }
        for (name, value) in properties {
            // a name that starts with @ gets a second @, because single ones are the format's own
            let name = if name.starts_with('@') { format!("@{name}") } else { name };
            line.insert(name, value);
        }
        line.into()
    }
}

fn plain(
    writer: &mut Writer<'_>,
    now: SystemTime,
    level: Level,
    target: &str,
    fields: &Fields,
) -> fmt::Result {
    // one event is one line, whatever a stream or a type is called
    let message = fields.message.replace(['\n', '\r'], " ");
    write!(writer, "[{} {}] {message}", time_of_day(now), words(level).0)?;
    if target != TARGET {
        // Ditto's own lines name their values in the text
        for (name, value) in &fields.others {
            write!(writer, " {name}={value}")?;
        }
    }
    writeln!(writer)
}

/// Serilog's short and long word.
fn words(level: Level) -> (&'static str, &'static str) {
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
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            ("message", value) => self.message = value.to_string(),
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
