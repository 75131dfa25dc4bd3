//! The command line.
//!
//! Without a command the program runs the replicator, as Ditto's program does. The exit code is 0
//! when all is well, 1 after a failure, when `verify` or `demo` found a difference or `status`
//! found the replicator not ready, 2 for unknown arguments, and 3 when a run with `RunOnce` ended
//! and has parked events.

mod park;
mod progress;
mod seed;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
pub use seed::SeedArguments;
#[cfg(feature = "demo")]
pub(crate) use seed::customer_event;

use crate::config::{self, Loaded};
use crate::logging::Shipping;
use crate::run::Replicator;
use crate::say::say;
use crate::{Result, http, logging, verify};

/// The exit code of a run that ended by itself and has parked events.
const PARKED: u8 = 3;

const EXIT_CODES: &str = "Exit codes:
  0  all is well
  1  a failure; `verify` or `demo` found a difference; `status` found it not ready
  2  unknown arguments
  3  `run` with `RunOnce` has ended, and has parked events";

/// Copies streams from one event store to another, without loss, in order.
#[derive(Debug, Parser)]
#[command(name = "antiphon-replicator", version, after_help = EXIT_CODES)]
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

/// Executes the command of the arguments. Returns the exit code; what it means was printed.
///
/// # Errors
/// The failure, worded for a person.
pub async fn execute(arguments: Arguments) -> Result<u8> {
    let directory = arguments.directory;
    let command = arguments.command.unwrap_or(Command::Run);
    if matches!(command, Command::Run) {
        return run(&load_to_start(&directory).await?).await;
    }
    answer(command, &directory).await.map(|is_well| u8::from(!is_well))
}

/// Executes a command that answers yes or no.
async fn answer(command: Command, directory: &Path) -> Result<bool> {
    match command {
        Command::Run => Ok(run(&load_to_start(directory).await?).await? == 0),
        Command::CheckConfig => {
            let loaded = load_to_start(directory).await?;
            loaded.warnings.iter().try_for_each(|warning| say(&format!("warning: {warning}")))?;
            for config::Effective { key, value, from } in &loaded.effective {
                say(&format!("{key} = {value}  ({from})"))?;
            }
            say("the configuration is valid")?;
            Ok(true)
        }
        Command::Verify => {
            let report = verify::verify(&load(directory)?.config).await?;
            say(&report.table())?;
            Ok(report.is_equal())
        }
        Command::Status { address } => {
            let (code, body) = http::get(&address, "/status").await?;
            say(body.trim_end())?;
            let status: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
            Ok(code == 200 && status["ready"] == true)
        }
        Command::Park { command } => {
            park::execute(command, &load(directory)?.config).await.map(|()| true)
        }
        Command::Seed(arguments) => seed::execute(arguments).await.map(|()| true),
        Command::Demo => demo().await,
    }
}

/// Loads a configuration for a command beside a running replicator; warnings go to the standard
/// error.
fn load(directory: &Path) -> Result<Loaded> {
    let loaded = config::load(directory, std::env::vars())?;
    loaded.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    Ok(loaded)
}

/// Loads a configuration that is about to start, and checks all of it: its values, the files that
/// they name, and the parts that this program was built with.
async fn load_to_start(directory: &Path) -> Result<Loaded> {
    let (loaded, mut problems) = config::read(directory, std::env::vars())?;
    crate::run::check(&loaded.config, &mut problems).await;
    problems.into_result(&loaded.warnings)?;
    Ok(loaded)
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

async fn run(loaded: &Loaded) -> Result<u8> {
    let logs = logging::init(&loaded.config.serilog)?;
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let ended = replicate(loaded, &logs).await;
    if let Err(error) = &ended {
        // the sinks of logs have to know too
        tracing::error!("the replicator ends: {error}");
    }
    logs.close().await.iter().for_each(|loss| eprintln!("antiphon-replicator: {loss}"));
    ended
}

async fn replicate(loaded: &Loaded, logs: &Shipping) -> Result<u8> {
    let replicator = Replicator::start(&loaded.config, logs).await?;
    let shown = std::io::stderr().is_terminal().then(|| progress::show(replicator.board().clone()));
    let board = replicator.board().clone();
    let ended = replicator.run(shutdown()).await;
    if let Some(shown) = shown {
        shown.abort();
    }
    ended?;
    let parked = board.parked_count();
    if parked == 0 || !loaded.config.settings.run_once {
        return Ok(0);
    }
    let were = if parked == 1 { "event was" } else { "events were" };
    eprintln!(
        "antiphon-replicator: {parked} {were} parked in this run: see `antiphon-replicator park list`"
    );
    Ok(PARKED)
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
