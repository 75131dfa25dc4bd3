//! A replicator process, servers, and waiting for conditions.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use antiphon_base::task;
use antiphon_eventstore as es;
use antiphon_eventstore_testserver::{ServerSettings, TestServer};
use antiphon_replicator::config;
use antiphon_replicator::verify::{self, Report};
use bytes::Bytes;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// Time limit of every step, on a machine with other work.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn wait_for<F: Future<Output = bool>>(what: &str, is_there: impl Fn() -> F) {
    let wait = async {
        while !is_there().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "waited in vain for {what}");
}

pub(crate) async fn server() -> TestServer {
    server_with(ServerSettings::default()).await
}

pub(crate) async fn server_with(settings: ServerSettings) -> TestServer {
    TestServer::start(ServerSettings { listen: "127.0.0.1:0".into(), ..settings }).await.unwrap()
}

/// A client with default settings.
pub(crate) fn client(connection: &str) -> es::EventStoreClient {
    let connection = es::ConnectionString::parse(connection).unwrap();
    es::EventStoreClient::new(connection, es::ClientSettings::default()).unwrap()
}

pub(crate) async fn append(client: &es::EventStoreClient, stream: &str, events: Vec<es::NewEvent>) {
    client.append(stream, es::ExpectedRevision::Any, events).await.unwrap();
}

pub(crate) fn event(text: &str) -> es::NewEvent {
    es::NewEvent::json("Happened", Bytes::from(format!(r#"{{"text":"{text}"}}"#)))
        .with_metadata(Bytes::from_static(br#"{"by":"test"}"#))
}

pub(crate) async fn read(client: &es::EventStoreClient, stream: &str) -> Vec<es::RecordedEvent> {
    let (forwards, start) = (es::Direction::Forwards, es::ReadFrom::Start);
    let events = client.read_if_there(stream, forwards, start, u64::MAX).await;
    events.unwrap_or_default().into_iter().filter_map(|one| one.link.or(one.event)).collect()
}

pub(crate) async fn count(client: &es::EventStoreClient, stream: &str) -> usize {
    read(client, stream).await.len()
}

/// Two servers with a client of each, and a replicator between them.
pub(crate) struct Pair {
    pub(crate) source: TestServer,
    pub(crate) destination: TestServer,
    pub(crate) from: es::EventStoreClient,
    pub(crate) to: es::EventStoreClient,
    pub(crate) setup: Setup,
}

pub(crate) async fn pair() -> Pair {
    pair_with(ServerSettings::default()).await
}

/// A pair whose destination has these settings.
pub(crate) async fn pair_with(destination: ServerSettings) -> Pair {
    let (source, destination) = (server().await, server_with(destination).await);
    let strings = (source.connection_string(), destination.connection_string());
    let (from, to) = (client(&strings.0), client(&strings.1));
    Pair { source, destination, from, to, setup: Setup::new(&strings.0, &strings.1) }
}

/// Settings of a replicator, as `Ditto_` variables, and its working folder.
pub(crate) struct Setup {
    pub(crate) folder: TempDir,
    pub(crate) variables: BTreeMap<String, String>,
}

impl Setup {
    pub(crate) fn new(source: &str, destination: &str) -> Self {
        let mut setup = Self { folder: tempfile::tempdir().unwrap(), variables: BTreeMap::new() };
        setup.set("Settings__SourceEventStoreConnectionString", source);
        setup.set("Settings__DestinationEventStoreConnectionString", destination);
        setup.set("Metrics__Enabled", "true");
        setup.set("Metrics__Host", "localhost");
        setup.set("Metrics__Port", "0");
        setup.set("Settings__Checkpoint__Interval", "00:00:00.050");
        setup
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.variables.insert(format!("Ditto_{name}"), value.to_owned());
        self
    }

    pub(crate) fn group(&mut self, stream: &str, group: &str) -> &mut Self {
        self.set("Settings__Subscriptions__0__StreamName", stream);
        self.set("Settings__Subscriptions__0__GroupName", group);
        self.set("Settings__Subscriptions__0__CreateGroup", "true")
    }

    pub(crate) fn catch_up(&mut self, kind: &str, stream: &str) -> &mut Self {
        self.set("Settings__Subscriptions__0__Kind", kind);
        self.set("Settings__Subscriptions__0__Name", "it");
        if kind != "all" {
            self.set("Settings__Subscriptions__0__StreamName", stream);
        }
        self
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_antiphon-replicator"));
        command.args(arguments).current_dir(self.folder.path());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("Ditto_")) {
            command.env_remove(name);
        }
        command.envs(&self.variables).stdin(Stdio::null()).kill_on_drop(true);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub(crate) fn start(&self) -> Replicator {
        let mut child = self.command(&["run"]).spawn().unwrap();
        let output = watch::Sender::new(String::new());
        collect(child.stdout.take().unwrap(), output.clone());
        collect(child.stderr.take().unwrap(), output.clone());
        Replicator { child, output }
    }

    /// Runs a command to its end. Returns the exit code and the whole output.
    pub(crate) async fn execute(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = tokio::time::timeout(PATIENCE, self.command(arguments).output());
        let output = output.await.expect("the command ends").unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }

    pub(crate) async fn verify(&self) -> Report {
        let loaded = config::load(self.folder.path(), self.variables.clone()).unwrap();
        verify::verify(&loaded.config).await.unwrap()
    }
}

fn collect(stream: impl AsyncRead + Unpin + Send + 'static, output: watch::Sender<String>) {
    task::spawn("output", async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            output.send_modify(|output| *output += &format!("{line}\n"));
        }
    });
}

pub(crate) struct Replicator {
    pub(crate) child: Child,
    output: watch::Sender<String>,
}

impl Replicator {
    pub(crate) fn output(&self) -> String {
        self.output.borrow().clone()
    }

    pub(crate) async fn wait_for_line(&self, text: &str) {
        let mut lines = self.output.subscribe();
        let is_there = lines.wait_for(|output| output.contains(text));
        let waited = tokio::time::timeout(PATIENCE, is_there).await.is_ok();
        assert!(waited, "waited in vain for `{text}` in:\n{}", self.output());
    }

    /// The address of the HTTP interface.
    pub(crate) async fn http(&self) -> String {
        self.wait_for_line("metrics and health at http://").await;
        let output = self.output();
        let rest = output.split("metrics and health at http://").nth(1).unwrap();
        rest.split_whitespace().next().unwrap().to_owned()
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        antiphon_replicator::http::get(&self.http().await, path).await.unwrap()
    }

    pub(crate) async fn is_ready(&self) -> bool {
        self.get("/health/ready").await.0 == 200
    }

    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Waits until the process ends by itself. Returns the exit code.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        status.unwrap_or_else(|_| panic!("it does not end:\n{}", self.output())).unwrap().code()
    }

    /// Sends SIGTERM. Returns the exit code.
    pub(crate) async fn terminate(&mut self) -> Option<i32> {
        signal(self.child.id().unwrap(), "TERM").await;
        self.ended().await
    }

    /// Waits until the process has ended by itself, without an error.
    pub(crate) async fn succeeds(&mut self) {
        assert_eq!(self.ended().await, Some(0), "{}", self.output());
    }

    /// Ends the process, which must have no error.
    pub(crate) async fn stop(&mut self) {
        assert_eq!(self.terminate().await, Some(0), "{}", self.output());
    }
}

pub(crate) async fn signal(process: u32, name: &str) {
    let status =
        Command::new("kill").arg(format!("-{name}")).arg(process.to_string()).status().await;
    assert!(status.unwrap().success());
}
