//! Attempts of one command, and the access of its connections.

use super::*;

#[test]
fn addresses_without_a_port_and_wrong_names_are_refused() {
    for wrong in [&[][..], &["a-1"], &["a-1:x"], &[":80"], &["a-1:0"], &["a-1:80", "b"]] {
        let message = Cluster::new(wrong.iter().copied()).unwrap_err().to_string();
        assert!(message.contains("`addresses`"), "{wrong:?}: {message}");
    }
    let cluster = Cluster::new(["[::1]:80", "a-1.example:80"]).unwrap();
    assert!(cluster.entity::<u8>("counter", "").is_err());
    assert!(cluster.clone().with_requests_max(0).is_err());
    assert!(cluster.entity::<u8>("counter", "c/1").is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_no_node_took_has_expired() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let cluster = Cluster::new([port.to_string()]).unwrap();
    let cluster = cluster.with_ask_timeout(Duration::from_millis(50));
    let entity = cluster.entity::<u64>("counter", "c-1").unwrap();
    let error = entity.tell(&1).await.unwrap_err();
    assert!(matches!(&error, AskError::Expired(why) if why.contains("50ms")), "{error:?}");
    assert!(error.to_string().contains(&port.to_string()), "the reason of the node: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_answer_is_lost_is_not_sent_again() {
    use tokio::io::AsyncReadExt;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = crate::base::task::spawn("test", async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let read = stream.read(&mut [0; 4096]).await.unwrap();
        assert_ne!(read, 0);
        drop(stream);
        listener.accept().await.map(drop)
    });
    let cluster = Cluster::new([address]).unwrap();
    let error = cluster.entity::<u64>("counter", "c-1").unwrap().tell(&1).await.unwrap_err();
    assert!(matches!(error, AskError::Unreachable(_)), "{error:?}");
    assert!(!error.is_without_effect() && !serving.is_finished(), "no second connection");
    serving.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_node_that_is_silent_the_next_command_goes_to_another_one() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let answers = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addresses = [&silent, &answers].map(|node| node.local_addr().unwrap().to_string());
    let serving = crate::base::task::spawn("test", async move {
        let (mut stream, _) = answers.accept().await.unwrap();
        assert_ne!(stream.read(&mut [0; 4096]).await.unwrap(), 0);
        let answer = answer_with(200, ANSWER_TYPE, "");
        stream.write_all(answer.as_bytes()).await.unwrap();
    });
    let cluster = Cluster::new(addresses).unwrap();
    let entity = cluster.entity::<u64>("counter", "c-1").unwrap();
    let hasty = entity.clone().with_ask_timeout(Duration::from_millis(50));
    assert_eq!(hasty.tell(&1).await, Err(AskError::Timeout));
    assert_eq!(entity.tell(&2).await, Ok(()));
    serving.await.unwrap();
}

fn answer_with(status: u16, kind: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status} x\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}")
}

/// A server that gives each request this answer, and its address.
async fn server(answer: String) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    crate::base::task::spawn("test", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            crate::base::task::spawn("test", async move {
                while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    address
}

async fn told(addresses: &[&str]) -> std::result::Result<(), AskError> {
    let cluster = Cluster::new(addresses.iter().copied()).unwrap();
    cluster.entity::<u64>("counter", "c-1").unwrap().tell(&1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_something_else_than_a_node_proves_nothing() {
    let page = server(answer_with(200, "text/html", "hello")).await;
    let error = told(&[&page]).await.unwrap_err();
    assert!(matches!(&error, AskError::Unanswered(why) if why.contains("text/html")), "{error:?}");
    assert!(!error.is_without_effect());
    let late = server(answer_with(408, "text/html", "a proxy that gave up")).await;
    let error = told(&[&late]).await.unwrap_err();
    assert!(!error.is_without_effect(), "{error:?}");
    let node = server(answer_with(200, ANSWER_TYPE, "")).await;
    assert_eq!(told(&[&node]).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_refuses_the_token_or_its_own_name_is_followed_by_the_next_one() {
    let body = r#"{"error":"the token is not one of this node's","without_effect":true}"#;
    let node = server(answer_with(200, ANSWER_TYPE, "")).await;
    for status in [401, 421] {
        let old = server(answer_with(status, "application/json", body)).await;
        assert_eq!(told(&[&old, &node]).await, Ok(()), "{status}");
        let error = told(&[&old, &old]).await.unwrap_err();
        assert!(matches!(error, AskError::Rejected(_)), "{status}: {error:?}");
        let unsaid = server(answer_with(status, "application/json", "{}")).await;
        let error = told(&[&unsaid, &node]).await.unwrap_err();
        assert!(!error.is_without_effect(), "{status}: {error:?}");
    }
}

/// An authority, a node on this machine, and the clients `writer` and `nobody`.
fn certificates(dir: &std::path::Path) {
    use clap::Parser;
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: crate::app::commands::cert::CertArguments,
    }
    let dir = dir.to_str().unwrap();
    let words = ["cert", "--dir", dir, "--client", "writer", "--client", "nobody"];
    let line = Line::parse_from(words.into_iter().chain(["A/a-1@127.0.0.1"]));
    crate::app::commands::cert::run(&line.arguments).unwrap();
}

fn access(dir: &std::path::Path, name: &str) -> Access {
    let file = |name: String| Some(dir.join(name));
    let arguments = crate::client::AccessArguments {
        ca_file: file("ca.pem".into()),
        token_file: None,
        cert_file: file(format!("{name}.pem")),
        key_file: file(format!("{name}.key")),
    };
    arguments.read().unwrap()
}

/// The port of a node that starts tells the two apart: 503 with the right, else 403.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_not_used_again_for_a_client_with_another_certificate() {
    use crate::runtime::admin::{AdminServer, HttpSettings, HttpTls};
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    certificates(dir);
    let tokens_file = dir.join("tokens.toml");
    let line = "writer = { rights = [\"entities\"], certificate = \"writer\" }\n";
    std::fs::write(&tokens_file, line).unwrap();
    let settings = HttpSettings {
        tls: Some(HttpTls {
            cert_file: dir.join("a-1.pem"),
            key_file: dir.join("a-1.key"),
            ca_file: Some(dir.join("ca.pem")),
        }),
        tokens_file: Some(tokens_file),
        ..HttpSettings::default()
    };
    let port = AdminServer::bind("127.0.0.1:0".parse().unwrap(), settings, false).unwrap();
    let cluster = Cluster::new([port.local_address().to_string()]).unwrap();
    let writer = cluster.with_access(access(dir, "writer")).unwrap();
    let told = async |cluster: &Cluster| {
        let counter = cluster.entity::<u64>("counter", "c-1").unwrap();
        counter.with_ask_timeout(Duration::from_millis(500)).tell(&1).await.unwrap_err()
    };
    let error = told(&writer).await;
    assert!(error.to_string().contains("starting"), "the writer has the right: {error:?}");
    let nobody = writer.clone().with_access(access(dir, "nobody")).unwrap();
    let error = told(&nobody).await;
    assert!(matches!(error, AskError::Rejected(_)), "{error:?}");
    assert!(error.to_string().contains("right `entities`"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_in_clear_text_is_not_used_again_for_one_with_tls() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serving = crate::base::task::spawn("test", async move {
        let (mut plain, _) = listener.accept().await.unwrap();
        assert_ne!(plain.read(&mut [0; 4096]).await.unwrap(), 0);
        plain.write_all(answer_with(200, ANSWER_TYPE, "").as_bytes()).await.unwrap();
        let mut first = [0];
        tokio::select! {
            again = plain.read(&mut first) => panic!("in clear text: {again:?}"),
            second = listener.accept() => second.unwrap().0.read_exact(&mut first).await.unwrap(),
        };
        first[0]
    });
    let plain = Cluster::new([address]).unwrap();
    let told = async |cluster: &Cluster| {
        let counter = cluster.entity::<u64>("counter", "c-1").unwrap();
        counter.with_ask_timeout(Duration::from_millis(500)).tell(&1).await
    };
    assert_eq!(told(&plain).await, Ok(()));
    let encrypted = plain.clone().with_access(access(folder.path(), "writer")).unwrap();
    told(&encrypted).await.unwrap_err();
    assert_eq!(serving.await.unwrap(), 0x16, "a handshake of TLS");
    drop(plain);
}
