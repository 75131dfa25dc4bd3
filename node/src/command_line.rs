//! The command line, for the `antiphon` binary and for binaries with other kinds of stores.

use std::path::PathBuf;
use std::process::ExitCode;

use antiphon::persistence::store::Registry;
use antiphon::prelude::*;
use clap::{Parser, Subcommand};

use crate::client::AccessArguments;
use crate::config::ConfigFile;
use crate::{accept_loss, cert, demo, fork, output, run, schema, skip, status, token, verify};

/// Event-sourced entities with a replica in each place.
#[derive(Parser)]
#[command(name = "antiphon", version)]
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
    /// A real two-place cluster on this machine: bids for auctions go to all places, and a node is
    /// killed half-way.
    Demo(demo::DemoArguments),
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

/// Runs the command that the arguments of this process name, with these kinds of stores: the `main`
/// of a binary. A crate with a store of its own gives `antiphon::stores().with(ItsKind)`.
#[must_use]
pub fn run(stores: Registry) -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::complain(format_args!("error: the runtime cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(command(arguments.command, stores));
    runtime.shutdown_background();
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            output::complain(format_args!("error: {error}"));
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                output::complain(format_args!("  because: {cause}"));
                source = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}

/// Returns whether the command has done what it is for.
async fn command(command: Command, stores: Registry) -> Result<bool> {
    let of = |path| ConfigFile::new(path, stores.clone());
    match command {
        Command::Node { config, exit_with_stdin } => run::run(&of(config), exit_with_stdin).await,
        Command::Check { config } => of(config).load_checked().and_then(|config| {
            let text = toml::to_string(&config);
            let text = text.map_err(|error| Error::bug(format!("a configuration: {error}")))?;
            output::print(format_args!("{text}")).map(|()| true)
        }),
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
            skip::skip_event(arguments, stores).await
        }
        Command::Entity { command: EntityCommand::ClearFork { config, id } } => {
            fork::clear(&of(config), &id).await
        }
        Command::Status { node, access } => status::status(&node, &access).await,
        Command::Demo(arguments) => Box::pin(demo::demo(arguments, stores)).await,
    }
}
