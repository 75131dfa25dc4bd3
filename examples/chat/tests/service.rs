//! The chat as processes: members of two places hear each other, through the kill of a node.

use std::time::Duration;

use antiphon::app::client::Client;
use antiphon::app::cluster::{LocalCluster, LocalClusterSettings, LocalJournals};
use antiphon::base::time::{Clock, SystemClock};
use serde_json::{Value, json};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(120);

async fn get(client: &mut Client, path: &str) -> Value {
    let (_, body) = client.get(path, &[]).await.expect("an answer");
    serde_json::from_slice(&body).expect("JSON")
}

/// Posts until the node has taken it.
async fn post(client: &mut Client, path: &str, body: &Value) -> Value {
    let until = SystemClock.now() + PATIENCE;
    loop {
        let (status, answer) = client.post(path, &[], body).await.expect("an answer");
        let answer = serde_json::from_slice(&answer).expect("JSON");
        if status.as_u16() == 200 {
            return answer;
        }
        assert!(status.as_u16() == 503 && SystemClock.now() < until, "{status}: {answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Reads until the answer is good; returns the time that it took.
async fn until(client: &mut Client, path: &str, is_good: impl Fn(&Value) -> bool) -> Duration {
    let began = SystemClock.now();
    loop {
        let answer = get(client, path).await;
        if is_good(&answer) {
            return SystemClock.now() - began;
        }
        assert!(SystemClock.now() < began + PATIENCE, "{path}: {answer}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn has(text: &str) -> impl Fn(&Value) -> bool {
    let text = text.to_owned();
    move |lines| lines.as_array().is_some_and(|all| all.iter().any(|line| line["text"] == *text))
}

fn line(text: &str) -> Value {
    json!({ "from": "ann", "text": text })
}

#[tokio::test(flavor = "multi_thread")]
async fn members_at_two_places_hear_each_other_through_the_kill_of_a_node() {
    let folder = TempDir::new().expect("a folder");
    let cluster = LocalCluster::start(LocalClusterSettings {
        data_dir: folder.path().to_path_buf(),
        replicas: vec!["DC-A".to_owned(), "DC-B".to_owned()],
        nodes_per_replica: 2,
        journals: LocalJournals::default(),
        tls: false,
        extra: String::new(),
        binary: env!("CARGO_BIN_EXE_chat").into(),
        start_timeout: PATIENCE,
    });
    let mut cluster = cluster.await.expect("two places");
    let clients = cluster.nodes().iter().map(|node| Client::new(node.http.clone()));
    let mut clients: Vec<Client> = clients.map(|client| client.with_timeout(PATIENCE)).collect();
    let [a_1, a_2, b_1, b_2] = &mut clients[..] else { panic!("four nodes") };
    for (client, name) in [(&mut *a_1, "ann"), (&mut *b_1, "bob"), (&mut *b_2, "cat")] {
        post(client, &format!("/rooms/tea/members/{name}"), &Value::Null).await;
    }
    // the node of the room may be any of its place
    for client in [&mut *a_1, &mut *a_2, &mut *b_1, &mut *b_2] {
        until(client, "/rooms/tea/members", |count| *count == 3).await;
    }
    post(a_1, "/entities/room/tea", &line("hello")).await;
    for (client, name) in [(&mut *a_1, "ann"), (&mut *b_1, "bob"), (&mut *b_2, "cat")] {
        until(client, &format!("/rooms/tea/members/{name}"), has("hello")).await;
    }

    let name = cluster.nodes()[2].name.clone();
    cluster.kill(&name).await.expect("a node to kill");
    let took = until(a_1, "/rooms/tea/members", |count| *count == 2).await;
    println!("a killed node has left all groups after {took:?}");
    assert!(took < Duration::from_secs(3), "{took:?}");
    post(a_1, "/entities/room/tea", &line("without bob")).await;
    for (client, name) in [(&mut *a_1, "ann"), (&mut *b_2, "cat")] {
        until(client, &format!("/rooms/tea/members/{name}"), has("without bob")).await;
    }

    // the one who was away finds the line in the room
    cluster.restart(&name).await.expect("the node comes back");
    let mut b_1 = Client::new(cluster.nodes()[2].http.clone()).with_timeout(PATIENCE);
    until(&mut b_1, "/entities/room/tea", has("without bob")).await;
    post(&mut b_1, "/rooms/tea/members/bob", &Value::Null).await;
    until(&mut b_1, "/rooms/tea/members/bob", has("without bob")).await;
    for client in [&mut *a_1, &mut *a_2] {
        until(client, "/rooms/tea/members", |count| *count == 3).await;
    }
    post(a_1, "/entities/room/tea", &line("welcome")).await;
    until(&mut b_1, "/rooms/tea/members/bob", has("welcome")).await;
}
