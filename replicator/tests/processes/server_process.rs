//! A server in a separate process, so that a signal can freeze it. The process is this test
//! program, started with a variable that makes it a server.

use std::process::Stdio;

use antiphon_eventstore_testserver::{ServerSettings, TestServer};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const VARIABLE: &str = "REPLICATOR_TEST_IS_SERVER";

/// The server process, started by [`ServerProcess::start`]. As an ordinary test it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn serves_when_it_is_started_as_a_server() {
    if std::env::var_os(VARIABLE).is_none() {
        return;
    }
    let settings = ServerSettings { listen: "127.0.0.1:0".into(), ..ServerSettings::default() };
    let server = TestServer::start(settings).await.unwrap();
    println!("serving {}", server.connection_string());
    // until the process is killed
    std::future::pending::<()>().await;
}

pub(crate) struct ServerProcess {
    pub(crate) child: Child,
    pub(crate) connection: String,
}

impl ServerProcess {
    pub(crate) async fn start() -> Self {
        let program = std::env::current_exe().unwrap();
        let mut child = Command::new(program)
            .args(["--exact", "server_process::serves_when_it_is_started_as_a_server"])
            .arg("--nocapture")
            .env(VARIABLE, "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            if let Some((_, connection)) = line.split_once("serving ") {
                return Self { child, connection: connection.to_owned() };
            }
        }
        panic!("the server process said nothing");
    }
}
