//! Writes a log event as Serilog's console does.

use std::fmt;

use serde_json::{Value, json};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::record::{Record, words};
use super::timestamp::{iso_timestamp, time_of_day};
use crate::config::LogFormat;

/// The target of Ditto's own lines.
pub const TARGET: &str = "ditto";

/// The format of a line.
pub struct SerilogFormat {
    format: LogFormat,
    properties: Vec<(String, String)>,
}

impl SerilogFormat {
    /// The format of the settings, with the properties that every line has.
    pub(super) fn new(format: LogFormat, properties: Vec<(String, String)>) -> Self {
        Self { format, properties }
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
        let record = Record::of(event);
        match self.format {
            LogFormat::Plain => plain(&mut writer, &record),
            LogFormat::Json => writeln!(writer, "{}", json(&record, &self.properties)),
            LogFormat::CompactJson => {
                writeln!(writer, "{}", Value::Object(record.compact(&self.properties)))
            }
        }
    }
}

/// The object of Serilog's `JsonFormatter`.
pub(super) fn json(record: &Record, fixed: &[(String, String)]) -> Value {
    json!({
        "Timestamp": iso_timestamp(record.time),
        "Level": words(record.level).1,
        "MessageTemplate": record.template,
        "RenderedMessage": record.message,
        "Properties": record.properties(fixed),
    })
}

fn plain(writer: &mut Writer<'_>, record: &Record) -> fmt::Result {
    // one event is one line, whatever a stream or a type is called
    let message = record.message.replace(['\n', '\r'], " ");
    write!(writer, "[{} {}] {message}", time_of_day(record.time), words(record.level).0)?;
    if record.target != TARGET {
        // Ditto's own lines name their values in the text
        for (name, value) in &record.values {
            write!(writer, " {name}={value}")?;
        }
    }
    writeln!(writer)
}
