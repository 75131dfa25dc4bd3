//! The command line of an application.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use super::builder::{App, Parts};
use super::client::AccessArguments;
use super::commands::{
    accept_loss, cert, fork, migration, places, schema, skip, status, token, verify,
};
use super::config::ConfigFile;
use super::host::Setup;
use super::tools::{OwnCommand, Tools};
use super::{output, run, types};
use crate::prelude::*;

/// Event-sourced entities with a replica in each place.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs one node until it gets SIGTERM or ctrl-c; then it drains.
    Node {
        /// The configuration: TOML, documented in deploy/node.toml. Environment variables override
        /// it.
        #[arg(long)]
        config: PathBuf,
        /// Ends the node when the standard input is closed: for nodes that belong to another
        /// process.
        #[arg(long)]
        exit_with_stdin: bool,
    },
    /// Checks a configuration as `node` does, and prints it with all defaults, without secrets.
    Check {
        /// The configuration.
        #[arg(long)]
        config: PathBuf,
    },
    /// Makes certificates of nodes and clients, for links that are encrypted and prove who each
    /// side is, and for HTTPS.
    Cert(cert::CertArguments),
    /// Makes a token for a client of the HTTP interface, and gives it rights.
    Token(token::TokenArguments),
    /// Checks and repairs the journal of a place.
    Journal {
        #[command(subcommand)]
        command: JournalCommand,
    },
    /// Creates, or prints, the tables of a Cassandra journal.
    Schema {
        #[command(subcommand)]
        command: SchemaCommand,
    },
    /// Commands of an operator for single entities.
    Entity {
        #[command(subcommand)]
        command: EntityCommand,
    },
    /// Shows the members, and the shards that are behind, as a node sees them.
    Status {
        /// The HTTP address of any node.
        #[arg(long, default_value = "127.0.0.1:8080")]
        node: String,
        #[command(flatten)]
        access: AccessArguments,
    },
    /// A cluster of this program on this machine, with two places, until ctrl-c.
    Demo(places::PlacesArguments),
}

#[derive(Subcommand)]
enum EntityCommand {
    /// Skips one event of another replica that this place holds back because it cannot be applied:
    /// the event keeps its place in the stream without its content. The state of that entity
    /// differs between the places from then on; docs/user-code.md says more.
    SkipEvent(skip::SkipArguments),
    /// Clears the record that an entity differs from other places since a loss was accepted, after
    /// the other place was made anew; docs/restore.md says more.
    ClearFork {
        /// The configuration of a node of the place that has the record.
        #[arg(long)]
        config: PathBuf,
        /// The entity as `/cluster` names it, `type|entity|replica`, or `all`; may be repeated.
        #[arg(required = true)]
        id: Vec<String>,
    },
    /// Shows how far a plain entity type has become a replicated one: which replicas have all
    /// events. Nothing is changed, and nodes may run. Exit code 0: complete;
    /// docs/guide/migrate-a-plain-entity.md says more.
    Migration(migration::MigrationArguments),
}

#[derive(Subcommand)]
enum JournalCommand {
    /// Lets a place whose journal may have gone back continue without asking another place for lost
    /// events.
    AcceptLoss {
        /// The configuration of a node.
        #[arg(long)]
        config: PathBuf,
        /// A place that cannot be asked, or `all`; may be repeated.
        #[arg(long, required = true)]
        peer: Vec<String>,
        /// Skips the question for confirmation.
        #[arg(long)]
        yes: bool,
    },
    /// Checks every row for damage and prints the damaged rows; nothing is changed, and nodes may
    /// run. Exit code 0: nothing is damaged.
    Verify {
        /// The configuration of a node.
        #[arg(long)]
        config: PathBuf,
        /// The form of the report.
        #[arg(long, value_enum, default_value_t)]
        output: verify::Output,
    },
}

#[derive(Subcommand)]
enum SchemaCommand {
    /// Creates the keyspace and the tables that are missing; a repeated call changes nothing.
    Apply {
        /// The configuration of a node.
        #[arg(long)]
        config: PathBuf,
    },
    /// Prints the statements that `apply` would send.
    Show {
        /// The configuration of a node.
        #[arg(long)]
        config: PathBuf,
    },
}

/// Runs the command that the arguments of this process name.
pub(super) fn run(app: App) -> ExitCode {
    if let Err(error) = app.check() {
        return tell(&error);
    }
    let mut line = Arguments::command().name(app.name).bin_name(app.name);
    if let Some(version) = app.version {
        line = line.version(version);
    }
    if let Some(about) = app.about {
        line = line.about(about);
    }
    let (parts, own) = app.into_parts();
    for OwnCommand { command, .. } in &own {
        let name = command.get_name().to_owned();
        line = if line.find_subcommand(&name).is_some() {
            line.mut_subcommand(name, |_| command.clone())
        } else {
            line.subcommand(command.clone())
        };
    }
    let mut matches = line.clone().get_matches();
    let tools = Tools { known: parts.known.clone() };
    let is_own = |own: &OwnCommand| Some(own.command.get_name()) == matches.subcommand_name();
    let running: super::tools::Running = match own.into_iter().find(is_own) {
        Some(own) => {
            let (_, arguments) = matches.subcommand().expect("its name was found");
            match (own.run)(arguments, tools) {
                Ok(running) => running,
                Err(error) => error.format(&mut line).exit(),
            }
        }
        None => match Arguments::from_arg_matches_mut(&mut matches) {
            Ok(arguments) => Box::pin(command(arguments.command, parts)),
            Err(error) => error.format(&mut line).exit(),
        },
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::complain(format_args!("error: the runtime cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(running);
    runtime.shutdown_background();
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => tell(&error),
    }
}

/// Prints an error and its causes.
fn tell(error: &Error) -> ExitCode {
    output::complain(format_args!("error: {error}"));
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        output::complain(format_args!("  because: {cause}"));
        source = cause.source();
    }
    ExitCode::FAILURE
}

/// Returns whether the command has done what it is for.
async fn command(command: Command, parts: Arc<Parts>) -> Result<bool> {
    let known = parts.known.clone();
    let of = |path| ConfigFile::new(path, known.clone());
    match command {
        Command::Node { config, exit_with_stdin } => {
            run::run(&of(config), &parts, exit_with_stdin).await
        }
        Command::Check { config } => {
            let config = of(config).load_checked()?;
            types::prepare(&parts.types, &config, &Setup::new(&config)?).await?;
            let text = toml::to_string(&config);
            let text = text.map_err(|error| Error::bug(format!("a configuration: {error}")))?;
            output::print(format_args!("{text}")).map(|()| true)
        }
        Command::Cert(arguments) => cert::run(&arguments),
        Command::Token(arguments) => token::run(&arguments),
        Command::Journal { command: JournalCommand::Verify { config, output } } => {
            Box::pin(verify::verify(&of(config), output)).await
        }
        Command::Schema { command: SchemaCommand::Apply { config } } => {
            schema::apply(&of(config)).await
        }
        Command::Schema { command: SchemaCommand::Show { config } } => schema::show(&of(config)),
        Command::Journal { command: JournalCommand::AcceptLoss { config, peer, yes } } => {
            accept_loss::accept(&of(config), &peer, yes).await
        }
        Command::Entity { command: EntityCommand::SkipEvent(arguments) } => {
            skip::skip_event(arguments, &known).await
        }
        Command::Entity { command: EntityCommand::ClearFork { config, id } } => {
            fork::clear(&of(config), &id).await
        }
        Command::Entity { command: EntityCommand::Migration(arguments) } => {
            Box::pin(migration::migration(arguments, &known)).await
        }
        Command::Status { node, access } => status::status(&node, &access).await,
        Command::Demo(arguments) => Box::pin(places::run(arguments, &known)).await,
    }
}
