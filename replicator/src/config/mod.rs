//! The configuration: Ditto's own files and environment variables, unchanged, and keys for features
//! that Ditto never had.
//!
//! [`load`] reads the layers, binds them to plain structs, checks them, and warns about keys that
//! it did not understand. All output about the configuration is without secrets.

mod aws;
mod journal;
mod json;
mod keys;
mod layers;
mod observability;
mod pipeline;
mod problems;
mod reader;
mod rules;
mod secret;
mod settings;
mod stores;
mod subscription;
#[cfg(test)]
mod tests;
pub mod timespan;
mod tuning;
mod unknown;

use std::path::Path;

pub use aws::{AwsSettings, KinesisSettings, RetryMode};
pub use journal::{Consistency, JournalKind, JournalSettings, SerialConsistency};
pub use keys::{KEYS, Key, markdown_table};
use layers::Layers;
pub use observability::{HealthSettings, Level, LogFormat, MetricsSettings, SerilogSettings};
use problems::Problems;
use reader::Reader;
pub use reader::{Choice, Effective};
pub use rules::{Action, Field, FilterRule, Matching, RenameRule};
pub use secret::{Secret, is_secret_key, redact, redact_text};
pub use settings::{LoopSettings, Settings, SinkKind};
pub use stores::StoreSettings;
pub use subscription::{
    ConsumerStrategy, GroupSettings, ServerFilterBy, ServerFilterSettings, StartFrom,
    SubscriptionKind, SubscriptionSettings,
};
pub use tuning::{
    CheckpointKind, CheckpointSettings, RetrySettings, TransformSettings, WorkSettings,
};

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

    /// Checks every value.
    ///
    /// # Errors
    /// `Rejected` with a line per problem: the key, the expected value, the actual value.
    pub fn validate(&self) -> Result<()> {
        self.check(Problems::default())
    }

    fn check(&self, mut problems: Problems) -> Result<()> {
        self.settings.check(self.sink(), &mut problems);
        self.metrics.check(&mut problems);
        self.health.check(&mut problems);
        self.kinesis.check(self.sink() == SinkKind::Kinesis, &mut problems);
        self.aws.check(&mut problems);
        problems.into_result()
    }
}

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
/// `Rejected`, naming the file or the variable, the key, the value and the expected value.
pub fn load(
    directory: &Path,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded> {
    let variables: Vec<(String, String)> = variables.into_iter().collect();
    bind(&Layers::read(directory, &variables)?)
}

/// Reads the text of one file and the environment's `variables`.
///
/// # Errors
/// As [`load`].
pub fn parse(text: &str, variables: impl IntoIterator<Item = (String, String)>) -> Result<Loaded> {
    let mut layers = Layers::default();
    layers.add_json("appsettings.json", text)?;
    layers.add_variables(&variables.into_iter().collect::<Vec<_>>());
    bind(&layers)
}

fn bind(layers: &Layers) -> Result<Loaded> {
    let reader = Reader::new(layers);
    let mut warnings = Vec::new();
    let metrics = MetricsSettings::read(&reader);
    let config = Config {
        settings: Settings::read(&reader),
        health: HealthSettings::read(&reader, &metrics),
        metrics,
        kinesis: KinesisSettings::read(&reader),
        aws: AwsSettings::read(&reader),
        serilog: SerilogSettings::read(&reader, &mut warnings),
    };
    warnings.extend(advice(&config));
    let (asked, problems) = reader.finish();
    warnings.extend(unknown::warnings(layers, &asked));
    let mut found = Problems::default();
    found.extend(problems);
    config.check(found)?;
    Ok(Loaded { config, warnings, effective: asked.into_values().collect() })
}

/// Warnings about settings that are allowed and seldom meant.
fn advice(config: &Config) -> Vec<String> {
    let mut advice = Vec::new();
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
