//! The test server as a process.

use std::io::Write;
use std::process::ExitCode;

use antiphon_eventstore::Credentials;
use antiphon_eventstore_testserver::{ClusterMember, ServerSettings, TestServer, TlsFiles};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

/// An event store for tests: speaks the gRPC protocol of EventStoreDB and KurrentDB.
#[derive(Parser)]
struct Arguments {
    /// Address to listen at; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:2113")]
    listen: String,
    /// Keep all data in this file, and begin with its content
    #[arg(long)]
    file: Option<String>,
    /// Begin with ten customers, `customer-1` to `customer-10`, unless the file has data
    #[arg(long)]
    seed_customers: bool,
    /// Accept only this user, as `user:password`
    #[arg(long)]
    user: Option<String>,
    /// A certificate in PEM form; needs --key
    #[arg(long, requires = "key")]
    certificate: Option<String>,
    /// The key of the certificate, in PEM form
    #[arg(long, requires = "certificate")]
    key: Option<String>,
    /// HOST:PORT by which other machines reach the server, if not the address to listen at
    #[arg(long)]
    advertise: Option<String>,
    /// The largest append in bytes
    #[arg(long, default_value_t = ServerSettings::default().append_bytes_max)]
    append_bytes_max: usize,
    /// The largest event of an append in bytes
    #[arg(long, default_value_t = ServerSettings::default().event_bytes_max)]
    event_bytes_max: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    let logged = tracing_subscriber::EnvFilter::try_from_default_env();
    tracing_subscriber::fmt()
        .with_env_filter(logged.unwrap_or_else(|_| "info".into()))
        .with_writer(std::io::stderr)
        .init();
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            tracing::error!("{why}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), String> {
    let seed = arguments.seed_customers;
    let mut server =
        TestServer::start(settings(arguments)?).await.map_err(|error| error.to_string())?;
    if seed && server.log_length() == 0 {
        server.seed_customers(10).map_err(|error| error.to_string())?;
    }
    // otherwise the first process of a container ignores the signal; before the line, after which
    // the signal may come
    let mut terminated =
        signal(SignalKind::terminate()).map_err(|error| format!("no signals: {error}"))?;
    say(&format!("listening at {}", server.address()))?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted.map_err(|error| error.to_string())?,
        _ = terminated.recv() => {}
    }
    server.stop().await;
    Ok(())
}

fn settings(arguments: Arguments) -> Result<ServerSettings, String> {
    let credentials = match arguments.user {
        None => None,
        Some(pair) => {
            let (user, password) = pair
                .split_once(':')
                .ok_or("`--user`: expected `user:password`, actual no `:` in it")?;
            Some(Credentials { user: user.to_owned(), password: password.to_owned() })
        }
    };
    let members = arguments.advertise.map(|address| member(&address)).transpose()?;
    let tls = arguments.certificate.zip(arguments.key);
    Ok(ServerSettings {
        listen: arguments.listen,
        file: arguments.file,
        credentials,
        tls: tls.map(|(certificate, key)| TlsFiles { certificate, key }),
        append_bytes_max: arguments.append_bytes_max,
        event_bytes_max: arguments.event_bytes_max,
        members: members.into_iter().collect(),
        ..ServerSettings::default()
    })
}

fn member(address: &str) -> Result<ClusterMember, String> {
    let wrong = || format!("`--advertise`: expected HOST:PORT, actual `{address}`");
    let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    Ok(ClusterMember { host: host.to_owned(), port, is_leader: true, is_alive: true })
}

/// Prints a line for the parent process, which reads the addresses from the first lines.
fn say(line: &str) -> Result<(), String> {
    let mut out = std::io::stdout();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|error| error.to_string())
}
