//! The sinks of logs that send over HTTP, Seq and Datadog, with the arguments of their Serilog
//! packages, and arguments for the bounds that those packages fix.

use std::time::Duration;

use hyper::header::HeaderValue;

use super::kinds::{HOUR, MILLISECOND, SECOND, flag, number, optional, span, text, word};
use super::problems::Problems;
use super::reader::Reader;
use super::secret::Secret;
use super::serilog::Level;
use super::table::{Key, Section, Sub, Texts, settings};
use super::url;

const KILO: usize = 1024;
const MEGA: usize = 1024 * 1024;

settings! {
    /// Arguments of every sink that sends.
    ShipSettings {
        /// The level of this sink.
        level: Level = Level::Verbose, "restrictedToMinimumLevel", word();
        /// Seq and Datadog: the key of the API. Required for Datadog. Never shown.
        api_key: Option<Secret> = None, "apiKey", optional(text("a key"));
        /// Seq and Datadog: at most so many bytes of lines wait to be sent; a line that finds no
        /// room is lost, and counted in `ditto_log_lines_lost_total`.
        queue_bytes_max: usize = 16 * MEGA, "queueBytesMax", number(64 * 1024, 1 << 30);
        /// Seq and Datadog: at most so many bytes go in one request. Datadog takes 5 MB.
        batch_bytes_max: usize = 4 * MEGA, "batchBytesMax", number(4096, 5_000_000);
        /// Seq and Datadog: at most so long for one request.
        request_timeout: Duration = SECOND * 10, "requestTimeout", span(MILLISECOND * 100, SECOND * 600);
        /// Seq and Datadog: the first pause after a failed request. The pause doubles with each
        /// failure.
        retry_delay: Duration = SECOND, "retryDelay", span(MILLISECOND, HOUR);
        /// Seq and Datadog: at most so long is such a pause.
        retry_delay_max: Duration = SECOND * 60, "retryDelayMax", span(MILLISECOND, HOUR);
        /// Seq and Datadog: at most so long does the end of the program wait for the last lines.
        flush_timeout: Duration = SECOND * 5, "flushTimeout", span(MILLISECOND * 10, SECOND * 600);
    }
}

settings! {
    /// Arguments of the sink Seq.
    SeqSettings {
        /// Seq: the address of the server. Required.
        url: Secret = Secret::default(), "serverUrl", text("`http(s)://host:port`");
        /// Seq: at most so many lines go in one request.
        batch_count_max: usize = 1000, "batchPostingLimit", number(1, 10_000);
        /// Seq: at most so long does a line wait for others before it is sent.
        period: Duration = SECOND * 2, "period", span(MILLISECOND * 10, HOUR);
        /// Seq: at most so many lines wait to be sent.
        queue_count_max: usize = 100_000, "queueSizeLimit", number(1, 10_000_000);
        /// Seq: at most so many bytes has a line; a longer one is cut.
        line_bytes_max: usize = 256 * KILO, "eventBodyLimitBytes", number(1024, 1_000_000);
        /// The arguments that Datadog has too.
        ship: ShipSettings = ShipSettings::default(), "", Sub;
    }
}

settings! {
    /// Arguments of the sink Datadog.
    DatadogSettings {
        /// Datadog: the value of `ddsource`.
        source: String = "csharp".to_owned(), "source", text("a text");
        /// Datadog: the service.
        service: Option<String> = None, "service", optional(text("a text"));
        /// Datadog: the host; without it the name of this machine.
        host: Option<String> = None, "host", optional(text("a text"));
        /// Datadog: the tags.
        tags: Vec<String> = Vec::new(), "tags", Texts("`name:value`");
        /// Datadog: the intake, such as `https://http-intake.logs.datadoghq.eu`. The hosts of the
        /// TCP intake are replaced by those of the same site's HTTP intake.
        url: Secret = Secret::new("https://http-intake.logs.datadoghq.com"), "configuration:url",
            text("`http(s)://host:port`");
        /// Datadog: the port of an intake of your own; those of the TCP intake, 10516 and 10514,
        /// have no effect.
        port: Option<u16> = None, "configuration:port", optional(number(1, 65_535));
        /// Datadog: TLS, where the URL has no scheme.
        use_tls: bool = true, "configuration:useSSL", flag();
        /// Datadog: has no effect, logs go over HTTP; `true` gives a warning.
        use_tcp: bool = false, "configuration:useTCP", flag();
        /// Datadog: at most so many lines go in one request; the intake takes 1000.
        batch_count_max: usize = 1000, "batchSizeLimit", number(1, 1000);
        /// Datadog: at most so long does a line wait for others before it is sent.
        period: Duration = SECOND * 2, "batchPeriod", span(MILLISECOND * 10, HOUR);
        /// Datadog: at most so many lines wait to be sent.
        queue_count_max: usize = 100_000, "queueLimit", number(1, 10_000_000);
        /// Datadog: at most so many bytes has a line; a longer one is cut. The intake takes 1 MB.
        line_bytes_max: usize = 256 * KILO, "maxMessageSize", number(1024, 1_000_000);
        /// The level of the sink Datadog, as `restrictedToMinimumLevel`.
        level: Level = Level::Verbose, "logLevel", word();
        /// The arguments that Seq has too.
        ship: ShipSettings = ShipSettings::default(), "", Sub;
    }
}

/// A sink of logs that sends over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogSinkSettings {
    /// Seq: lines in the compact format.
    Seq(SeqSettings),
    /// Datadog: arrays of JSON.
    Datadog(DatadogSettings),
}

/// Arguments of the two packages that have no effect here.
const WITHOUT_EFFECT: [&str; 14] = [
    "bufferBaseFilename",
    "bufferSizeLimitBytes",
    "retainedInvalidPayloadsLimitBytes",
    "controlLevelSwitch",
    "levelSwitch",
    "compact",
    "payloadFormatter",
    "formatProvider",
    "formatter",
    "messageHandler",
    "detectTCPDisconnection",
    "exceptionHandler",
    "client",
    "configuration:recycleTCPClient",
];

impl LogSinkSettings {
    /// Reads the sink with this name; none when the name is another one.
    pub(super) fn read(reader: &Reader<'_>, name: &str, arguments: &str) -> Option<Self> {
        let sink = match name.to_ascii_lowercase().as_str() {
            "seq" => {
                let mut seq = SeqSettings::default();
                seq.read(reader, arguments);
                Self::Seq(seq)
            }
            "datadoglogs" | "datadog" => {
                let mut datadog = DatadogSettings::default();
                datadog.read(reader, arguments);
                if datadog.use_tcp {
                    reader.warn(format!(
                        "`{arguments}:configuration:useTCP`: has no effect, the logs go over HTTP"
                    ));
                }
                Self::Datadog(datadog)
            }
            _ => return None,
        };
        for argument in WITHOUT_EFFECT {
            let key = format!("{arguments}:{argument}");
            if reader.has(&key) && reader.text(&key).is_some() {
                reader.warn(format!("`{key}`: has no effect here"));
            }
        }
        Some(sink)
    }

    /// The keys of all sinks, each of them once.
    pub(super) fn list(arguments: &str, keys: &mut Vec<Key>) {
        let mut all = Vec::new();
        SeqSettings::default().list(arguments, &mut all);
        DatadogSettings::default().list(arguments, &mut all);
        for key in all {
            if !keys.iter().any(|known| known.key == key.key) {
                keys.push(key);
            }
        }
    }

    /// Checks the arguments, which are below the key `arguments`.
    pub(super) fn check(&self, arguments: &str, problems: &mut Problems) {
        match self {
            Self::Seq(seq) => {
                seq.bounds(arguments, problems);
                let key = format!("{arguments}:serverUrl");
                problems.required(&key, seq.url.expose(), "the address of the Seq server");
                if !seq.url.is_empty() {
                    url::url(&key, &seq.url, &["http", "https"], problems);
                }
            }
            Self::Datadog(datadog) => {
                datadog.bounds(arguments, problems);
                let given = datadog.ship.api_key.as_ref().map_or("", Secret::expose);
                let key = format!("{arguments}:apiKey");
                problems.required(&key, given, "the API key of Datadog");
                let key = format!("{arguments}:configuration:url");
                url::url(&key, &datadog.intake(), &["http", "https"], problems);
            }
        }
        let api_key = self.ship().api_key.as_ref().map_or("", Secret::expose);
        if HeaderValue::from_str(api_key).is_err() {
            problems.push(format!("`{arguments}:apiKey`: expected visible ASCII characters"));
        }
    }

    /// The arguments that all sinks have.
    pub fn ship(&self) -> &ShipSettings {
        match self {
            Self::Seq(seq) => &seq.ship,
            Self::Datadog(datadog) => &datadog.ship,
        }
    }

    /// The longest wait of a line for others.
    pub fn period(&self) -> Duration {
        match self {
            Self::Seq(seq) => seq.period,
            Self::Datadog(datadog) => datadog.period,
        }
    }

    /// Both levels of the sink, of which the stricter one counts.
    pub fn levels(&self) -> [Level; 2] {
        match self {
            Self::Seq(seq) => [seq.ship.level, Level::Verbose],
            Self::Datadog(datadog) => [datadog.ship.level, datadog.level],
        }
    }
}

impl DatadogSettings {
    /// The URL of the intake: scheme, host and port.
    pub fn intake(&self) -> Secret {
        let given = self.url.expose().trim().trim_end_matches('/');
        let (scheme, rest) =
            given.split_once("://").unwrap_or((if self.use_tls { "https" } else { "http" }, given));
        let host = rest.split([':', '/']).next().unwrap_or_default();
        let site = ["tcp-intake.logs.", "intake.logs.", "agent-intake.logs."];
        if let Some(site) = site.iter().find_map(|prefix| host.strip_prefix(prefix)) {
            return Secret::new(format!("https://http-intake.logs.{site}"));
        }
        match self
            .port
            .filter(|port| ![10_516, 10_514].contains(port) && !rest.contains([':', '/']))
        {
            Some(port) => Secret::new(format!("{scheme}://{rest}:{port}")),
            None => Secret::new(format!("{scheme}://{rest}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_intake_of_datadog_is_that_of_the_site_over_http() {
        for (url, port, use_tls, intake) in [
            (
                "https://http-intake.logs.datadoghq.eu",
                None,
                true,
                "https://http-intake.logs.datadoghq.eu",
            ),
            (
                "intake.logs.datadoghq.com",
                Some(10_516),
                true,
                "https://http-intake.logs.datadoghq.com",
            ),
            (
                "tcp-intake.logs.datadoghq.eu:443",
                None,
                false,
                "https://http-intake.logs.datadoghq.eu",
            ),
            ("http://127.0.0.1:8080/", Some(1), true, "http://127.0.0.1:8080"),
            ("relay", Some(8126), false, "http://relay:8126"),
        ] {
            let url = Secret::new(url);
            let settings = DatadogSettings { url, port, use_tls, ..Default::default() };
            assert_eq!(settings.intake().expose(), intake);
        }
    }
}
