//! Moves a journal from SQLite to Cassandra:
//!
//! ```text
//! antiphon-move-to-cassandra --from journal.sqlite --to 127.0.0.1:9042 --keyspace antiphon \
//!     --place place --entity-type counter
//! ```
//!
//! The program follows the journal until Ctrl-C, then compares both journals. With `--once` it ends
//! when it is live. Exit code 0 means that both journals are the same.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use antiphon_cassandra::cql::ServerSettings;
use antiphon_cassandra::{CassandraSettings, CassandraStores};
use antiphon_move_to_cassandra::{Move, compare, follow};
use antiphon_replicator::{Error, Result};
use antiphon_sqlite::{SqliteSettings, SqliteStores};
use clap::Parser;

/// Moves the entities of a running system from SQLite to Cassandra.
#[derive(Debug, Parser)]
struct Arguments {
    /// The SQLite file of the system's journal
    #[arg(long)]
    from: PathBuf,
    /// A server of the Cassandra cluster
    #[arg(long, default_value = "127.0.0.1:9042")]
    to: String,
    /// The keyspace; its tables must exist (`antiphon schema apply`)
    #[arg(long, default_value = "antiphon")]
    keyspace: String,
    /// The place that will use the new journal: `node.place` of the nodes
    #[arg(long)]
    place: String,
    /// The type of the entities
    #[arg(long)]
    entity_type: String,
    /// The replica whose streams are moved; none for entities without replicas
    #[arg(long, default_value = "")]
    replica: String,
    /// Folder of the checkpoint
    #[arg(long, default_value = "move")]
    folder: PathBuf,
    /// End as soon as the move is live
    #[arg(long)]
    once: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match Box::pin(run(Arguments::parse())).await {
        Ok(same) => {
            println!("{same} events are the same in both journals");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<u64> {
    let from = SqliteStores::open(&arguments.from, SqliteSettings::reader())?.stores();
    let server = ServerSettings {
        contact_points: vec![arguments.to],
        keyspace: arguments.keyspace,
        place: arguments.place,
        ..ServerSettings::default()
    };
    let settings = CassandraSettings { server, ..CassandraSettings::default() };
    let to = CassandraStores::open(settings).await?.stores();
    let what = Move {
        entity_type: arguments.entity_type,
        replica: arguments.replica,
        folder: arguments.folder,
        once: arguments.once,
    };
    let mut following = follow(&from, &to, &what).await?;
    println!("following; stop the system when it is live, wait a moment, and press Ctrl-C");
    tokio::select! {
        ended = following.ended() => ended.map_err(Error::rejected)?,
        pressed = tokio::signal::ctrl_c() => {
            pressed.map_err(|error| Error::unavailable("Ctrl-C").with_source(error))?;
            following.stop(Duration::from_secs(30)).await.map_err(Error::rejected)?;
        }
    }
    compare(&from, &to, &what.entity_type).await
}
