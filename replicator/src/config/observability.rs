//! The sections `Metrics`, `Health` and `Serilog`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::problems::Problems;
use super::reader::{Reader, choice};

/// The section `Metrics`: the HTTP interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsSettings {
    /// True when metrics are served.
    pub enabled: bool,
    /// The address to listen on; `+`, as .NET writes it, is every address.
    pub host: String,
    /// The port; 0 takes any.
    pub port: u16,
    /// The path of the metrics.
    pub path: String,
}

impl Default for MetricsSettings {
    fn default() -> Self {
        Self { enabled: false, host: "+".to_owned(), port: 5000, path: "metrics/".to_owned() }
    }
}

impl MetricsSettings {
    pub(super) fn read(reader: &Reader<'_>) -> Self {
        let default = Self::default();
        Self {
            enabled: reader.flag("Metrics:Enabled", default.enabled),
            host: reader.text("Metrics:Host", &default.host),
            port: reader.number("Metrics:Port", default.port),
            path: reader.text("Metrics:Path", &default.path),
        }
    }

    /// The path with one slash before it and none after it.
    pub fn route(&self) -> String {
        format!("/{}", self.path.trim_matches('/'))
    }

    /// The address to listen on; none when `host` is not an IP address.
    pub fn address(&self) -> Option<SocketAddr> {
        let ip: IpAddr = match self.host.as_str() {
            "+" | "*" => Ipv4Addr::UNSPECIFIED.into(),
            "localhost" => Ipv4Addr::LOCALHOST.into(),
            host => host.parse().ok()?,
        };
        Some(SocketAddr::new(ip, self.port))
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        if self.address().is_none() {
            problems.expected("Metrics:Host", &self.host, "`+` or an IP address");
        }
        let route = self.route();
        let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~".contains(c);
        let taken = ["/", "/health/live", "/health/ready", "/status"].contains(&route.as_str());
        if taken || !route.chars().all(plain) {
            let expected = "a path such as `metrics/`, which is none of `health/live`, `health/ready`, `status`";
            problems.expected("Metrics:Path", &self.path, expected);
        }
    }
}

/// The section `Health`: the limits beyond which the replicator is not ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthSettings {
    /// True when `/health/live`, `/health/ready` and `/status` are served, on the port of the
    /// metrics.
    pub enabled: bool,
    /// Longest time that a subscription may be behind without progress.
    pub stall_time: Duration,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self { enabled: false, stall_time: Duration::from_secs(60) }
    }
}

impl HealthSettings {
    pub(super) fn read(reader: &Reader<'_>, metrics: &MetricsSettings) -> Self {
        Self {
            enabled: reader.flag("Health:Enabled", metrics.enabled),
            stall_time: reader.span("Health:StallTime", Self::default().stall_time),
        }
    }

    pub(super) fn check(&self, problems: &mut Problems) {
        let (second, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
        problems.span("Health:StallTime", self.stall_time, second, day);
    }
}

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

impl SerilogSettings {
    /// Reads the section. A sink other than the console gives a warning, because its logs would be
    /// missed.
    pub(super) fn read(reader: &Reader<'_>, warnings: &mut Vec<String>) -> Self {
        let mut settings = Self::default();
        let level_key = if reader.has("Serilog:MinimumLevel") {
            "Serilog:MinimumLevel"
        } else {
            "Serilog:MinimumLevel:Default"
        };
        settings.level = reader.choice(level_key, settings.level);
        for name in reader.children("Serilog:MinimumLevel:Override") {
            let key = format!("Serilog:MinimumLevel:Override:{name}");
            settings.overrides.push((name, reader.choice(&key, settings.level)));
        }
        for index in reader.children("Serilog:WriteTo") {
            settings.read_sink(reader, &index, warnings);
        }
        for name in reader.children("Serilog:Properties") {
            let value = reader.text(&format!("Serilog:Properties:{name}"), "");
            settings.properties.push((name, value));
        }
        // names of .NET assemblies and enrichers have no effect; they are read so that their keys
        // are not unknown
        let _ = (reader.texts("Serilog:Using"), reader.texts("Serilog:Enrich"));
        settings
    }

    fn read_sink(&mut self, reader: &Reader<'_>, index: &str, warnings: &mut Vec<String>) {
        let key = format!("Serilog:WriteTo:{index}");
        let name_key = if reader.has(&key) { key.clone() } else { format!("{key}:Name") };
        let name = reader.text(&name_key, "");
        if !name.eq_ignore_ascii_case("Console") {
            for argument in reader.children(&format!("{key}:Args")) {
                let _ = reader.optional(&format!("{key}:Args:{argument}"));
            }
            warnings.push(format!(
                "`{name_key}`: the sink `{name}` is not supported and gets nothing: logs go to the console (collect them from there, as JSON with the formatter `Serilog.Formatting.Compact.CompactJsonFormatter`)"
            ));
            return;
        }
        let level = format!("{key}:Args:restrictedToMinimumLevel");
        self.console_level = reader.choice(&level, self.console_level);
        let formatter = reader.text(&format!("{key}:Args:formatter"), "").to_ascii_lowercase();
        self.format = match formatter.as_str() {
            "" => LogFormat::Plain,
            name if name.contains("compact") => LogFormat::CompactJson,
            name if name.contains("json") => LogFormat::Json,
            name => {
                warnings.push(format!(
                    "`{key}:Args:formatter`: `{name}` is not known and lines stay plain: expected `Serilog.Formatting.Json.JsonFormatter` or `Serilog.Formatting.Compact.CompactJsonFormatter`"
                ));
                LogFormat::Plain
            }
        };
        for ignored in ["outputTemplate", "theme"] {
            if reader.optional(&format!("{key}:Args:{ignored}")).is_some() {
                warnings.push(format!("`{key}:Args:{ignored}`: has no effect here"));
            }
        }
    }
}
