//! Log lines as Ditto wrote them: Serilog's console, plain or as JSON, and the same words for the
//! same events.
//!
//! The lines go to the standard output. The program's own modules log from the configured level on;
//! libraries log at `Information` at most, unless `Serilog:MinimumLevel:Override` names them.

mod causes;
mod format;
mod lines;
#[cfg(test)]
mod tests;
mod timestamp;

pub(crate) use causes::causes;
pub use format::{SerilogFormat, TARGET};
pub use lines::Lines;
pub use timestamp::iso_timestamp;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Level, SerilogSettings};
use crate::{Error, Result};

/// Starts logging for this process.
///
/// # Errors
/// `Bug` when logging was started before.
pub fn init(settings: &SerilogSettings) -> Result<()> {
    subscriber(settings, std::io::stdout)
        .try_init()
        .map_err(|error| Error::bug("logging was started twice").with_source(error))
}

/// A subscriber that writes to `writer`.
pub fn subscriber<W>(
    settings: &SerilogSettings,
    writer: W,
) -> impl tracing::Subscriber + Send + Sync + use<W>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .event_format(SerilogFormat::new(settings))
        .with_writer(writer)
        .with_filter(targets(settings));
    tracing_subscriber::registry().with(layer)
}

fn targets(settings: &SerilogSettings) -> Targets {
    let own = level(settings.level).min(level(settings.console_level));
    let libraries = own.min(LevelFilter::INFO);
    let mut targets = Targets::new().with_default(libraries);
    for target in [TARGET, "antiphon_replicator", "antiphon_eventstore"] {
        targets = targets.with_target(target, own);
    }
    for (target, one) in &settings.overrides {
        targets =
            targets.with_target(target.clone(), level(*one).min(level(settings.console_level)));
    }
    targets
}

fn level(level: Level) -> LevelFilter {
    match level {
        Level::Verbose => LevelFilter::TRACE,
        Level::Debug => LevelFilter::DEBUG,
        Level::Information => LevelFilter::INFO,
        Level::Warning => LevelFilter::WARN,
        Level::Error | Level::Fatal => LevelFilter::ERROR,
    }
}
