//! The configuration: Ditto's own files and environment variables, unchanged, and keys for features
//! that Ditto never had.
//!
//! [`load`] reads the layers, binds them to plain structs, checks them, and warns about keys that
//! it did not understand. Each struct is a part of one table of keys (`table.rs`). All output about
//! the configuration is without secrets.

mod addresses;
mod aws;
mod check;
mod choice;
mod derived;
mod http;
mod journal;
mod json;
pub(crate) mod kinds;
mod layers;
mod location;
mod log_sinks;
pub(crate) mod problems;
pub(crate) mod reader;
mod rules;
mod secret;
mod serilog;
mod settings;
mod stores;
mod subscription;
pub(crate) mod table;
#[cfg(test)]
mod tests;
pub mod timespan;
mod unknown;
mod url;
mod work;

use std::path::Path;
use std::sync::LazyLock;

pub(crate) use addresses::unknown_parameters;
pub use aws::{AwsSettings, KinesisSettings, RetryMode};
pub use choice::Choice;
pub use http::{HealthSettings, MetricsSettings};
pub use journal::JournalSettings;
use layers::Layers;
pub use log_sinks::{DatadogSettings, LogSinkSettings, SeqSettings, ShipSettings};
use problems::Problems;
pub use reader::Effective;
use reader::Reader;
pub use rules::{Action, Field, FilterRule, Matching, RenameRule};
pub use secret::{Secret, is_secret_key, redact, redact_text};
pub use serilog::{Level, LogFormat, SerilogSettings};
pub use settings::{LoopSettings, Settings, SinkKind};
pub use stores::StoreSettings;
pub use subscription::{
    ServerFilterBy, ServerFilterSettings, StartFrom, SubscriptionKind, SubscriptionSettings,
};
pub use table::Key;
use table::Section;
pub(crate) use url::has_wrong_port;
pub use work::{AheadChoice, CheckpointKind, CheckpointSettings, RetrySettings, TransformSettings};

use crate::Result;

/// The whole configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// Source, destination, subscriptions, and all rules of replication.
    pub settings: Settings,
    /// The HTTP interface.
    pub metrics: MetricsSettings,
    /// The limits beyond which the replicator is not ready.
    pub health: HealthSettings,
    /// The Kinesis stream.
    pub kinesis: KinesisSettings,
    /// Access to AWS.
    pub aws: AwsSettings,
    /// Levels and format of the log.
    pub serilog: SerilogSettings,
}

impl Config {
    /// The sink that is used.
    pub fn sink(&self) -> SinkKind {
        let by_stream = if self.kinesis.stream_name.is_some() {
            SinkKind::Kinesis
        } else {
            SinkKind::EventStore
        };
        self.settings.sink.unwrap_or(by_stream)
    }

    fn read(reader: &Reader<'_>) -> Self {
        let mut config = Self::default();
        config.settings.read(reader, "Settings");
        config.metrics.read(reader, "Metrics");
        config.health.enabled = config.metrics.enabled;
        config.health.read(reader, "Health");
        config.kinesis.read(reader, "Kinesis");
        config.aws.read(reader, "AWS");
        config.serilog = SerilogSettings::read(reader);
        config
    }
}

/// Every key of the configuration, in the order of the page.
pub static KEYS: LazyLock<Vec<Key>> = LazyLock::new(|| {
    let mut keys = Vec::new();
    let config = Config::default();
    config.settings.list("Settings", &mut keys);
    config.metrics.list("Metrics", &mut keys);
    config.health.list("Health", &mut keys);
    config.kinesis.list("Kinesis", &mut keys);
    config.aws.list("AWS", &mut keys);
    SerilogSettings::list(&mut keys);
    keys
});

/// A configuration that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Warnings for a person: keys without effect, and settings that are seldom meant.
    pub warnings: Vec<String>,
    /// Every key that was read, with the value in effect and its layer, sorted by key, without
    /// secrets.
    pub effective: Vec<Effective>,
}

/// Reads the files of `directory` and the environment's `variables`.
///
/// # Errors
/// `Rejected`, naming the file or the variable, the key, the value and the expected value: a line
/// for every problem, and for every warning.
pub fn load(
    directory: &Path,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded> {
    let (loaded, problems) = read(directory, variables)?;
    problems.into_result(&loaded.warnings)?;
    Ok(loaded)
}

/// Reads as [`load`], and returns the problems that were found, for a caller that adds its own.
///
/// # Errors
/// `Rejected` when the folder is missing, or a file cannot be read or is not JSON.
pub(crate) fn read(
    directory: &Path,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<(Loaded, Problems)> {
    let variables: Vec<(String, String)> = variables.into_iter().collect();
    let layers = Layers::read(directory, &variables)?;
    let (mut loaded, problems) = bind(&layers);
    if layers.0.is_empty() {
        let folder = directory.display();
        loaded.warnings.push(format!(
            "nothing is configured: there is no `appsettings.json` in the folder `{folder}` (`--directory`), and no environment variable `Ditto_..`"
        ));
    }
    Ok((loaded, problems))
}

/// Reads the text of one file and the environment's `variables`.
///
/// # Errors
/// As [`load`].
pub fn parse(text: &str, variables: impl IntoIterator<Item = (String, String)>) -> Result<Loaded> {
    let mut layers = Layers::default();
    layers.add_json("appsettings.json", text)?;
    layers.add_variables(&variables.into_iter().collect::<Vec<_>>());
    let (loaded, problems) = bind(&layers);
    problems.into_result(&loaded.warnings)?;
    Ok(loaded)
}

fn bind(layers: &Layers) -> (Loaded, Problems) {
    let reader = Reader::new(layers);
    let config = Config::read(&reader);
    let mut record = reader.finish();
    record.warnings.extend(advice(&config));
    record.warnings.extend(unknown::warnings(layers, &record.asked, &KEYS));
    let mut problems = Problems::new(record.problems);
    config.check(&mut problems);
    let effective = record.asked.into_values().collect();
    (Loaded { config, warnings: record.warnings, effective }, problems)
}

/// Warnings about settings that are allowed and seldom meant.
fn advice(config: &Config) -> Vec<String> {
    let mut advice = addresses::advice(config);
    let settings = &config.settings;
    if settings.sink.is_none()
        && config.kinesis.stream_name.is_some()
        && !settings.destination.is_empty()
    {
        advice.push(
            "`Settings:DestinationEventStoreConnectionString`: not used, because `Kinesis:StreamName` is given: set `Settings:Sink` to `eventstore` to write there"
                .to_owned(),
        );
    }
    if config.leaves_out_single_events()
        && !settings.skip_version_check
        && config.sink() == SinkKind::EventStore
    {
        advice.push(
            "`Settings:SkipVersionCheck`: taken as `true`, because a filter by type, a transform or loop prevention can leave out single events of a stream, after which the numbers are others"
                .to_owned(),
        );
    }
    advice
}
