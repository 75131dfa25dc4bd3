//! Log lines as Ditto wrote them: Serilog's console, plain or as JSON, and the same words for the
//! same events.
//!
//! The lines go to the standard output, and to Seq and Datadog where they are sinks. The program's
//! own modules log from the configured level on; libraries log at `Information` at most, unless
//! `Serilog:MinimumLevel:Override` names them.

mod causes;
mod format;
mod lines;
mod machine;
mod record;
mod ship;
mod template;
#[cfg(test)]
mod tests;
mod timestamp;

pub(crate) use causes::causes;
pub use format::{SerilogFormat, TARGET};
pub use lines::Lines;
pub use ship::{Counts, Shipping};
pub use timestamp::iso_timestamp;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Level, LogSinkSettings, SerilogSettings};
use crate::{Error, Result};

/// Starts logging for this process. Returns the sinks that send, to close at the end.
///
/// # Errors
/// `Bug` when logging was started before; `Rejected` when a sink cannot be set up.
pub fn init(settings: &SerilogSettings) -> Result<Shipping> {
    let (subscriber, shipping) = subscriber(settings, std::io::stdout)?;
    subscriber
        .try_init()
        .map_err(|error| Error::bug("logging was started twice").with_source(error))?;
    if settings.with_machine_name && machine::name().is_none() {
        tracing::warn!(
            "`Serilog:Enrich`: the name of this machine is not known, `MachineName` is left out"
        );
    }
    Ok(shipping)
}

/// A subscriber that writes to `writer`, and to the sinks that send.
///
/// # Errors
/// `Rejected` when a sink cannot be set up.
pub fn subscriber<W>(
    settings: &SerilogSettings,
    writer: W,
) -> Result<(impl tracing::Subscriber + Send + Sync + use<W>, Shipping)>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let machine = machine::name();
    let mut properties = settings.properties.clone();
    if let Some(name) = machine.as_ref().filter(|_| settings.with_machine_name) {
        properties.push(("MachineName".to_owned(), name.clone()));
    }
    if settings.with_process_id {
        properties.push(("ProcessId".to_owned(), std::process::id().to_string()));
    }
    let (shipping, layers) = Shipping::start(&settings.sinks, &properties, machine.as_deref())?;
    let layers: Vec<_> = layers
        .into_iter()
        .zip(&settings.sinks)
        .map(|(layer, (_, sink))| layer.with_filter(shipped_targets(settings, sink)))
        .collect();
    let console = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .event_format(SerilogFormat::new(settings.format, properties))
        .with_writer(writer)
        .with_filter(targets(settings, level(settings.console_level)));
    // an empty list of layers would turn everything off
    let layers = (!layers.is_empty()).then_some(layers);
    Ok((tracing_subscriber::registry().with(layers).with(console), shipping))
}

/// The targets of a sink that sends: not the lines about such sinks.
fn shipped_targets(settings: &SerilogSettings, sink: &LogSinkSettings) -> Targets {
    let [one, other] = sink.levels();
    let targets = targets(settings, level(one).min(level(other)));
    targets.with_target(ship::TARGET, LevelFilter::OFF)
}

/// The level of each target, at most `sink`.
fn targets(settings: &SerilogSettings, sink: LevelFilter) -> Targets {
    let own = level(settings.level).min(sink);
    let libraries = own.min(LevelFilter::INFO);
    let mut targets = Targets::new().with_default(libraries);
    for target in [TARGET, "antiphon_replicator", "antiphon_eventstore"] {
        targets = targets.with_target(target, own);
    }
    for (source, one) in &settings.overrides {
        targets = targets.with_target(target(source), level(*one).min(sink));
    }
    targets
}

/// The target of a source of lines: Ditto's names mean the lines that Ditto wrote.
fn target(source: &str) -> String {
    let first = source.split('.').next().unwrap_or_default();
    if first.eq_ignore_ascii_case(TARGET) { TARGET.to_owned() } else { source.replace('.', "::") }
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
