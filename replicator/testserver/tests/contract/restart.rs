//! Restarts: of the server while clients use it, and of a process with a file.

use std::process::Stdio;

use antiphon_eventstore::{
    ErrorKind, EventStoreClient, ExpectedRevision, GroupSettings, StreamMetadata,
    SubscriptionMessage,
};
use antiphon_eventstore_testserver::{ServerSettings, TestServer};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::support::{
    append, client, connect, events, next_data, read, server, soon, told, written,
};

#[tokio::test]
async fn a_single_node_that_comes_back_is_used_again() {
    let mut server = server().await;
    let client = client(&server);
    append(&client, "a", 1).await;
    let mut subscription = client.subscribe_stream("a", None, false).await.unwrap();
    assert_eq!(next_data(&mut subscription).await, "0");
    assert_eq!(soon(subscription.next()).await.unwrap(), SubscriptionMessage::CaughtUp);

    server.stop().await;
    assert_eq!(told(soon(subscription.next()).await).0, ErrorKind::Unavailable);
    for _ in 0..3 {
        let refused = soon(client.append("a", ExpectedRevision::Exact(0), events(1))).await;
        assert!(refused.unwrap_err().is_transient());
    }
    server.restart().await.unwrap();
    let outcome = soon(client.append("a", ExpectedRevision::Exact(0), events(1))).await.unwrap();
    assert!(written(1, outcome).is_some());
    let mut subscription = client.subscribe_stream("a", Some(0), false).await.unwrap();
    assert_eq!(next_data(&mut subscription).await, "0");
}

#[tokio::test]
async fn a_file_keeps_everything_and_a_torn_end_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let file = Some(path.display().to_string());
    let settings = || ServerSettings { file: file.clone(), ..ServerSettings::default() };
    let batch = events(2);
    {
        let server = TestServer::start(settings()).await.unwrap();
        let client = client(&server);
        client.append("a-1", ExpectedRevision::NoStream, batch.clone()).await.unwrap();
        client.tombstone_stream("dead", ExpectedRevision::Any).await.unwrap();
        let cut = StreamMetadata::default().with_truncate_before(1);
        client.set_stream_metadata("a-1", ExpectedRevision::Any, &cut.properties).await.unwrap();
        client.create_group("a-1", "g", &GroupSettings::default()).await.unwrap();
    }
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.extend_from_slice(&[9, 0, 0, 0, 1, 2, 3]);
    std::fs::write(&path, bytes).unwrap();

    let server = TestServer::start(settings()).await.unwrap();
    let client = client(&server);
    let again = client.append("a-1", ExpectedRevision::NoStream, batch).await.unwrap();
    assert!(written(1, again).is_some(), "the repetition is recognised");
    let links = read(&client, "$ce-a", true).await;
    assert_eq!(links.len(), 2);
    assert!(links[0].event.is_none() && links[1].event.is_some(), "truncated before 1");
    let dead = client.append("dead", ExpectedRevision::Any, events(1)).await;
    assert_eq!(told(dead).0, ErrorKind::StreamDeleted);
    assert_eq!(client.list_groups().await.unwrap().len(), 1);
    append(&client, "a-1", 1).await;
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_named() {
    let file = Some("/no/such/folder/store".to_owned());
    let refused = TestServer::start(ServerSettings { file, ..ServerSettings::default() }).await;
    let expected = "the file `/no/such/folder/store` of the store cannot be used: No such file or directory (os error 2)";
    assert_eq!(told(refused.map(|_| ())), (ErrorKind::Unavailable, expected.to_owned()));
}

/// The server as a process.
struct Process {
    child: Child,
    address: String,
}

impl Process {
    async fn start(listen: &str, file: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_antiphon-eventstore-testserver"))
            .args(["--listen", listen, "--file", file, "--seed-customers"])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = soon(lines.next_line()).await.unwrap().unwrap();
        let (_, address) = line.rsplit_once(' ').unwrap();
        Self { child, address: address.to_owned() }
    }

    fn client(&self) -> EventStoreClient {
        connect(&format!("esdb://{}?tls=false", self.address))
    }

    async fn signal(&self, name: &str) {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args([name, &id]).status().await.unwrap().success());
    }
}

#[tokio::test]
async fn a_process_that_was_stopped_by_a_signal_is_noticed_and_one_that_was_killed_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store").display().to_string();
    let mut server = Process::start("127.0.0.1:0", &file).await;
    let client = server.client();
    let mut subscription = client.subscribe_stream("$ce-customer", Some(8), true).await.unwrap();
    assert_eq!(next_data(&mut subscription).await, r#"{"id":10,"name":"Margaret"}"#);

    server.signal("-STOP").await;
    let mut end = soon(subscription.next()).await;
    while end.is_ok() {
        end = soon(subscription.next()).await;
    }
    assert_eq!(told(end).0, ErrorKind::Unavailable);
    server.signal("-CONT").await;
    append(&client, "customer-11", 1).await;

    server.child.kill().await.unwrap();
    let _server = Process::start(&server.address, &file).await;
    let mut subscription = client.subscribe_stream("$ce-customer", Some(9), true).await.unwrap();
    assert_eq!(next_data(&mut subscription).await, "0");
}

#[tokio::test]
async fn a_process_that_is_asked_to_end_does_so_and_one_with_wrong_arguments_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store").display().to_string();
    let mut server = Process::start("127.0.0.1:0", &file).await;
    server.signal("-TERM").await;
    assert!(soon(server.child.wait()).await.unwrap().success());

    for (arguments, why) in [
        (["--advertise", "x"], "`--advertise`: expected HOST:PORT, actual `x`"),
        (["--user", "x"], "`--user`: expected `user:password`, actual no `:` in it"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_antiphon-eventstore-testserver"));
        let output = soon(command.args(arguments).output()).await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(why), "{said}");
    }
}
