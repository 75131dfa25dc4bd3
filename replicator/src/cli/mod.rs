//! The command line.
//!
//! Without a command the program runs the replicator, as Ditto's program does. The exit code is 0
//! when all is well, 1 after a failure, when `verify` or `demo` found a difference or `status`
//! found the replicator not ready, and 2 for unknown arguments.

mod park;
mod progress;
mod seed;

use std::io::IsTerminal;
use std::path::PathBuf;

use antiphon_persistence::store::Role;
use clap::{Parser, Subcommand};
pub use seed::SeedArguments;
#[cfg(feature = "demo")]
pub(crate) use seed::customer_event;

use crate::config::{self, Loaded};
use crate::run::Replicator;
use crate::say::say;
use crate::{Result, http, logging, verify};

/// Copies streams from one event store to another, without loss, in order.
#[derive(Debug, Parser)]
#[command(name = "antiphon-replicator", version)]
pub struct Arguments {
    /// The folder of `appsettings.json`
    #[arg(long, global = true, default_value = ".")]
    directory: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Replicate until the program is stopped (the default)
    Run,
    /// Read the configuration, show the values in effect, and end
    CheckConfig,
    /// Compare the destination with the source, stream by stream
    Verify,
    /// Ask a running replicator for its status
    Status {
        /// Address of its HTTP interface
        #[arg(long, default_value = "127.0.0.1:5000")]
        address: String,
    },
    /// List events that were put aside, replay or drop them
    Park {
        #[command(subcommand)]
        command: park::ParkCommand,
    },
    /// Write events of customers into an event store
    Seed(SeedArguments),
    /// Replicate between two event stores of this process, kill the replicator half-way, compare;
    /// needs a build with the feature `demo`
    Demo,
}

/// Executes the command of the arguments. `Ok(false)` is a "no" that was already printed.
///
/// # Errors
/// The failure, worded for a person.
pub async fn execute(arguments: Arguments) -> Result<bool> {
    let load = || config::load(&arguments.directory, std::env::vars());
    match arguments.command.unwrap_or(Command::Run) {
        Command::Run => run(&load()?).await.map(|()| true),
        Command::CheckConfig => {
            check_config(&load()?).await?;
            Ok(true)
        }
        Command::Verify => {
            let report = verify::verify(&load()?.config).await?;
            say(&report.table())?;
            Ok(report.is_equal())
        }
        Command::Status { address } => {
            let (code, body) = http::get(&address, "/status").await?;
            say(body.trim_end())?;
            let status: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
            Ok(code == 200 && status["ready"] == true)
        }
        Command::Park { command } => park::execute(command, &load()?.config).await.map(|()| true),
        Command::Seed(arguments) => seed::execute(arguments).await.map(|()| true),
        Command::Demo => demo().await,
    }
}

#[cfg(feature = "demo")]
async fn demo() -> Result<bool> {
    crate::demo::demo().await
}

#[cfg(not(feature = "demo"))]
async fn demo() -> Result<bool> {
    Err(crate::Error::rejected(
        "`demo`: this program was built without the test servers of the demonstration: build it with the cargo feature `demo`, as in `cargo run --release -p antiphon-replicator --features demo -- demo`",
    ))
}

async fn run(loaded: &Loaded) -> Result<()> {
    logging::init(&loaded.config.serilog)?;
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let replicator = Replicator::start(&loaded.config).await?;
    let shown = std::io::stderr().is_terminal().then(|| progress::show(replicator.board().clone()));
    let ended = replicator.run(shutdown()).await;
    if let Some(shown) = shown {
        shown.abort();
    }
    ended
}

/// Completes at SIGINT or SIGTERM.
async fn shutdown() {
    use tokio::signal::unix::{SignalKind, signal};
    let wait = |kind| async move {
        match signal(kind) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            // without this signal, the other one still works
            Err(error) => {
                tracing::error!(%error, "a signal cannot be listened for");
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
    }
}

async fn check_config(loaded: &Loaded) -> Result<()> {
    for warning in &loaded.warnings {
        say(&format!("warning: {warning}"))?;
    }
    // connection strings and filters are read lazily; they are checked here too
    let config = &loaded.config;
    let subscriptions = &config.settings.subscriptions;
    for (index, one) in subscriptions.iter().enumerate() {
        if one.kind == config::SubscriptionKind::Journal {
            let key = format!("Settings:Subscriptions:{index}:Journal");
            one.journal.check_files(&key, one.journal_path.as_deref(), Role::Reader)?;
        }
        crate::run::source_of(config, one).await?;
    }
    match config.sink() {
        config::SinkKind::EventStore if !config.settings.read_only => {
            crate::run::destination_client(config)?;
        }
        config::SinkKind::Journal => {
            let path = config.settings.journal_path.as_deref();
            config.settings.journal.check_files("Settings:Journal", path, Role::Owner)?;
        }
        config::SinkKind::EventStore | config::SinkKind::Kinesis | config::SinkKind::Ndjson => {}
    }
    for config::Effective { key, value, from } in &loaded.effective {
        say(&format!("{key} = {value}  ({from})"))?;
    }
    say("the configuration is valid")
}
