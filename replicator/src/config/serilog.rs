//! The section `Serilog`, as far as it means something here.

use super::choice::choice;
use super::kinds::word;
use super::reader::Reader;
use super::table::{Field, Key};

choice! {
    /// The lowest level that is logged, in Serilog's words.
    Level {
        /// Everything.
        Verbose = "Verbose",
        /// A line per event, and all higher levels.
        Debug = "Debug",
        /// Starts, stops and connections of subscriptions, and all higher levels.
        Information = "Information",
        /// Problems that a person should look at some day, and all higher levels.
        Warning = "Warning",
        /// Failures.
        Error = "Error",
        /// Failures that end the replicator; logs the same lines as `Error`.
        Fatal = "Fatal",
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// `[12:00:00 DBG] text`.
    #[default]
    Plain,
    /// A JSON object per line as Serilog's `JsonFormatter` writes: `Timestamp`, `Level`,
    /// `MessageTemplate`, `Properties`.
    Json,
    /// A JSON object per line as Serilog's `CompactJsonFormatter` writes: `@t`, `@m`, `@l`.
    CompactJson,
}

/// The supported part of the section `Serilog`: levels, console, plain or JSON lines, fixed
/// properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SerilogSettings {
    /// `MinimumLevel`, or `MinimumLevel:Default`.
    pub level: Level,
    /// `MinimumLevel:Override`: a target's prefix and its level.
    pub overrides: Vec<(String, Level)>,
    /// The level of the console; the stricter of this level and `level` counts.
    pub console_level: Level,
    /// The form of a line.
    pub format: LogFormat,
    /// Fixed properties of every JSON line.
    pub properties: Vec<(String, String)>,
}

impl Default for SerilogSettings {
    fn default() -> Self {
        Self {
            level: Level::Debug,
            overrides: Vec::new(),
            console_level: Level::Verbose,
            format: LogFormat::Plain,
            properties: Vec::new(),
        }
    }
}

/// The keys of the section, with default, accepted values and effect.
#[rustfmt::skip] // one line a key, as in the page
const KEYS: [[&str; 4]; 11] = [
    ["MinimumLevel", "Debug", "Verbose, Debug, Information, Warning, Error, Fatal", "The lowest level that is logged. The line per event has the level `Debug`."],
    ["MinimumLevel:Default", "Debug", "the same", "The same."],
    ["MinimumLevel:Override:*", "", "the same", "Another level for one target (a module of the program: `antiphon_replicator`, `tonic`)."],
    ["WriteTo:*", "", "Console", "The short form of `Name`."],
    ["WriteTo:*:Name", "", "Console", "A sink. Others than the console get a warning and nothing else."],
    ["WriteTo:*:Args:restrictedToMinimumLevel", "Verbose", "a level", "The level of this sink."],
    ["WriteTo:*:Args:formatter", "", "a .NET type", "Lines of JSON: `Serilog.Formatting.Compact.CompactJsonFormatter` or `Serilog.Formatting.Json.JsonFormatter`."],
    ["WriteTo:*:Args:*", "", "anything", "Accepted; `outputTemplate` and `theme` get a warning that they have no effect."],
    ["Properties:*", "", "a text", "A fixed property of each JSON line."],
    ["Using:*", "", "anything", "Accepted, without effect."],
    ["Enrich:*", "", "anything", "Accepted, without effect."],
];

impl SerilogSettings {
    /// Reads the section. A sink other than the console gives a warning, because its logs would be
    /// missed.
    pub(super) fn read(reader: &Reader<'_>) -> Self {
        let mut settings = Self::default();
        let short = "Serilog:MinimumLevel";
        let long = "Serilog:MinimumLevel:Default";
        let level_key = if reader.has(short) { short } else { long };
        Field::read(&word(), reader, level_key, &mut settings.level);
        for name in reader.children("Serilog:MinimumLevel:Override") {
            let mut level = settings.level;
            let key = format!("Serilog:MinimumLevel:Override:{name}");
            Field::read(&word(), reader, &key, &mut level);
            settings.overrides.push((name, level));
        }
        for index in reader.children("Serilog:WriteTo") {
            settings.read_sink(reader, &format!("Serilog:WriteTo:{index}"));
        }
        for name in reader.children("Serilog:Properties") {
            let value = reader.text(&format!("Serilog:Properties:{name}"));
            settings.properties.push((name, value.unwrap_or_default()));
        }
        // names of .NET assemblies and enrichers have no effect; they are read so that their keys
        // are not unknown
        let _ = (reader.texts("Serilog:Using"), reader.texts("Serilog:Enrich"));
        settings
    }

    pub(super) fn list(keys: &mut Vec<Key>) {
        keys.extend(KEYS.map(|[key, default, expected, about]| {
            Key::new(&format!("Serilog:{key}"), default, expected, about)
        }));
    }

    fn read_sink(&mut self, reader: &Reader<'_>, key: &str) {
        let name_key = if reader.has(key) { key.to_owned() } else { format!("{key}:Name") };
        let name = reader.text(&name_key).unwrap_or_default();
        if !name.eq_ignore_ascii_case("Console") {
            for argument in reader.children(&format!("{key}:Args")) {
                let _ = reader.text(&format!("{key}:Args:{argument}"));
            }
            reader.warn(format!(
                "`{name_key}`: the sink `{name}` is not supported and gets nothing: logs go to the console (collect them from there, as JSON with the formatter `Serilog.Formatting.Compact.CompactJsonFormatter`)"
            ));
            return;
        }
        let level = format!("{key}:Args:restrictedToMinimumLevel");
        Field::read(&word(), reader, &level, &mut self.console_level);
        let formatter = reader.text(&format!("{key}:Args:formatter")).unwrap_or_default();
        self.format = match formatter.to_ascii_lowercase().as_str() {
            "" => LogFormat::Plain,
            name if name.contains("compact") => LogFormat::CompactJson,
            name if name.contains("json") => LogFormat::Json,
            name => {
                reader.warn(format!(
                    "`{key}:Args:formatter`: `{name}` is not known and lines stay plain: expected `Serilog.Formatting.Json.JsonFormatter` or `Serilog.Formatting.Compact.CompactJsonFormatter`"
                ));
                LogFormat::Plain
            }
        };
        for ignored in ["outputTemplate", "theme"] {
            if reader.text(&format!("{key}:Args:{ignored}")).is_some() {
                reader.warn(format!("`{key}:Args:{ignored}`: has no effect here"));
            }
        }
    }
}
