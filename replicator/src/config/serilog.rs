//! The section `Serilog`: levels, sinks, fixed properties.

use super::choice::choice;
use super::kinds::word;
use super::log_sinks::LogSinkSettings;
use super::problems::Problems;
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

/// The section `Serilog`: levels, sinks, fixed properties.
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
    /// Fixed properties of every JSON line, and of every line that is sent.
    pub properties: Vec<(String, String)>,
    /// True when the name of the machine is such a property, `MachineName`.
    pub with_machine_name: bool,
    /// True when the id of the process is such a property, `ProcessId`.
    pub with_process_id: bool,
    /// The sinks that send, each with the key of its arguments.
    pub sinks: Vec<(String, LogSinkSettings)>,
}

impl Default for SerilogSettings {
    fn default() -> Self {
        Self {
            level: Level::Debug,
            overrides: Vec::new(),
            console_level: Level::Verbose,
            format: LogFormat::Plain,
            properties: Vec::new(),
            with_machine_name: false,
            with_process_id: false,
            sinks: Vec::new(),
        }
    }
}

/// The keys of the section, with default, accepted values and effect.
#[rustfmt::skip] // one line a key, as in the page
const KEYS: [[&str; 4]; 14] = [
    ["MinimumLevel", "Debug", "Verbose, Debug, Information, Warning, Error, Fatal", "The lowest level that is logged. The line per event has the level `Debug`."],
    ["MinimumLevel:Default", "Debug", "the same", "The same."],
    ["MinimumLevel:Override:*", "", "the same", "Another level for one source of lines: a module of the program (`antiphon_replicator`, `tonic`), or `Ditto` for the lines of subscriptions and events. The longest name that fits counts, above or below the level of all."],
    ["WriteTo:*", "", "Console, Seq, DatadogLogs", "The short form of `Name`."],
    ["WriteTo:*:Name", "", "Console, Seq, DatadogLogs", "A sink. The console gets the lines in any case; another name gets a warning and nothing else."],
    ["WriteTo:*:Args:restrictedToMinimumLevel", "Verbose", "a level", "The level of this sink."],
    ["WriteTo:*:Args:formatter", "", "a .NET type", "Console: lines of JSON, by `Serilog.Formatting.Compact.CompactJsonFormatter` or `Serilog.Formatting.Json.JsonFormatter`."],
    ["WriteTo:*:Args:*", "", "anything", "Accepted; arguments of Serilog that have no effect here get a warning."],
    ["Properties:*", "", "a text", "A fixed property of each JSON line, and of each line that is sent."],
    ["Using:*", "", "anything", "Accepted, without effect."],
    ["Enrich:*", "", "FromLogContext, WithMachineName, WithProcessId", "The short form of `Name`."],
    ["Enrich:*:Name", "", "the same, WithProperty", "A property of each JSON line, and of each line that is sent: `MachineName`, `ProcessId`, or `WithProperty` with its arguments. `FromLogContext` adds nothing here; another name gets a warning."],
    ["Enrich:*:Args:name", "", "a text", "The name of the property of `WithProperty`."],
    ["Enrich:*:Args:value", "", "a text", "The value of the property of `WithProperty`."],
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
        for index in reader.children("Serilog:Enrich") {
            settings.read_enricher(reader, &format!("Serilog:Enrich:{index}"));
        }
        // names of .NET assemblies have no effect; they are read so that their keys are not unknown
        let _ = reader.texts("Serilog:Using");
        settings
    }

    /// Checks the arguments of the sinks.
    pub(super) fn check(&self, problems: &mut Problems) {
        self.sinks.iter().for_each(|(key, sink)| sink.check(key, problems));
    }

    fn read_enricher(&mut self, reader: &Reader<'_>, key: &str) {
        let name_key = if reader.has(key) { key.to_owned() } else { format!("{key}:Name") };
        let name = reader.text(&name_key).unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "fromlogcontext" => {}
            "withmachinename" => self.with_machine_name = true,
            "withprocessid" => self.with_process_id = true,
            "withproperty" => {
                let argument = |name: &str| reader.text(&format!("{key}:Args:{name}"));
                let (property, value) = (argument("name"), argument("value"));
                match property {
                    Some(property) => self.properties.push((property, value.unwrap_or_default())),
                    None => reader.warn(format!(
                        "`{key}:Args:name`: expected the name of the property, actual none: it has no effect"
                    )),
                }
            }
            _ => reader.warn(format!(
                "`{name_key}`: the enricher `{name}` is not known and adds nothing: expected `WithMachineName`, `WithProcessId`, `WithProperty` or `FromLogContext`"
            )),
        }
    }

    pub(super) fn list(keys: &mut Vec<Key>) {
        keys.extend(KEYS.map(|[key, default, expected, about]| {
            Key::new(&format!("Serilog:{key}"), default, expected, about)
        }));
        LogSinkSettings::list("Serilog:WriteTo:*:Args", keys);
    }

    fn read_sink(&mut self, reader: &Reader<'_>, key: &str) {
        let name_key = if reader.has(key) { key.to_owned() } else { format!("{key}:Name") };
        let name = reader.text(&name_key).unwrap_or_default();
        if let Some(sink) = LogSinkSettings::read(reader, &name, &format!("{key}:Args")) {
            self.sinks.push((format!("{key}:Args"), sink));
            return;
        }
        if !name.eq_ignore_ascii_case("Console") {
            for argument in reader.children(&format!("{key}:Args")) {
                let _ = reader.text(&format!("{key}:Args:{argument}"));
            }
            reader.warn(format!(
                "`{name_key}`: the sink `{name}` is not supported and gets nothing, expected `Console`, `Seq` or `DatadogLogs`: logs go to the console (collect them from there, as JSON with the formatter `Serilog.Formatting.Compact.CompactJsonFormatter`)"
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
