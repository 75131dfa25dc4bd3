//! Requests with an `idempotency-key`: done once, although the client repeats them.

use std::time::Duration;

use antiphon::app::client::Client;
use antiphon::app::cluster::{LocalCluster, LocalClusterSettings, LocalJournals};
use antiphon::base::time::{Clock, SystemClock};
use antiphon::prelude::*;
use antiphon_shop::home;
use serde_json::{Value, json};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(120);
const PLACES: [&str; 2] = ["DC-A", "DC-B"];

async fn two_places(folder: &TempDir) -> LocalCluster {
    let cluster = LocalCluster::start(LocalClusterSettings {
        data_dir: folder.path().to_path_buf(),
        replicas: PLACES.map(str::to_owned).to_vec(),
        nodes_per_replica: 1,
        journals: LocalJournals::default(),
        tls: false,
        extra: "[shop.prices]\npen = 120\n".to_owned(),
        binary: env!("CARGO_BIN_EXE_shop").into(),
        start_timeout: PATIENCE,
    });
    cluster.await.expect("two places")
}

fn client(cluster: &LocalCluster, index: usize) -> Client {
    Client::new(cluster.nodes()[index].http.clone()).with_timeout(PATIENCE)
}

/// Posts with this key until the place takes commands: the repetitions are safe.
async fn post(client: &mut Client, path: &str, key: &str, body: &Value) -> (u16, Value) {
    let until = SystemClock.now() + PATIENCE;
    loop {
        let headers = [("idempotency-key", key)];
        let answer = client.post(path, &headers, body).await;
        if let Ok((status, answer)) = answer
            && ![502, 503, 504].contains(&status.as_u16())
        {
            return (status.as_u16(), serde_json::from_slice(&answer).expect("JSON"));
        }
        assert!(SystemClock.now() < until, "no answer");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The number of repetitions that the carts at a node have known.
async fn known(client: &mut Client) -> f64 {
    let (_, metrics) = client.get("/metrics", &[]).await.expect("metrics");
    let text = String::from_utf8_lossy(&metrics).into_owned();
    let is_counted = |line: &&str| {
        line.contains("\"cart\"")
            && (line.contains("\"commands_repeated\"") || line.contains("\"commands_joined\""))
    };
    let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
    text.lines().filter(is_counted).filter_map(value).sum()
}

/// Waits until the carts at both nodes have known so many repetitions together: the metrics follow
/// the entities.
async fn until_known(a: &mut Client, b: &mut Client, least: f64) {
    let until = SystemClock.now() + PATIENCE;
    loop {
        let known = known(a).await + known(b).await;
        if known >= least {
            return;
        }
        assert!(SystemClock.now() < until, "{known} repetitions, expected {least} at least");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_that_is_repeated_at_both_places_and_over_a_kill_is_done_once() {
    let folder = TempDir::new().expect("a folder");
    let mut cluster = two_places(&folder).await;
    let (mut a, mut b) = (client(&cluster, 0), client(&cluster, 1));
    let replicas = PLACES.map(|name| ReplicaId::new(name).expect("a name"));
    let ids = (0..).map(|number| format!("c-{number}"));
    let cart = ids.into_iter().find(|id| home(&replicas, "cart", id) == &replicas[0]);
    let cart = cart.expect("one of them is at home there");
    let (entity, checkout) = (format!("/entities/cart/{cart}"), format!("/checkout/{cart}"));
    let put = post(&mut a, "/entities/stock/pen", "put-1", &json!({ "put": 10 })).await;
    assert_eq!(put, (200, json!(10)));
    let again = post(&mut a, "/entities/stock/pen", "put-1", &json!({ "put": 10 })).await;
    assert_eq!(again, put, "and not 20");

    // an item is added once, although the client sends it three times
    let add = json!({ "add": { "item": "pen", "count": 3 } });
    for _ in 0..3 {
        let (status, answer) = post(&mut a, &entity, "add-1", &add).await;
        assert_eq!((status, &answer["items"]["pen"]), (200, &json!(3)), "{answer}");
    }

    // a key that another command has used
    let other = json!({ "add": { "item": "pen", "count": 1 } });
    let (status, refused) = post(&mut a, &entity, "add-1", &other).await;
    assert_eq!((status, &refused["without_effect"]), (400, &json!(true)), "{refused}");
    let why = refused["error"].as_str().unwrap_or_default();
    assert!(why.contains("request `add-1` was another command before"), "{why}");

    // two attempts at once, at both places, and a third one
    let sold = (200, json!({ "cents": 360, "missing": [] }));
    let nothing = Value::Null;
    let (one, other) = tokio::join!(
        post(&mut a, &checkout, "order-7", &nothing),
        post(&mut b, &checkout, "order-7", &nothing),
    );
    assert_eq!((&one, &other), (&sold, &sold));
    assert_eq!(post(&mut a, &checkout, "order-7", &nothing).await, sold);
    // two of `add-1`, and one of `order-7` at least
    until_known(&mut a, &mut b, 3.0).await;
    let known_there = known(&mut b).await;

    // the client has lost the answer, and repeats the checkout after the node has died
    let name = cluster.nodes()[0].name.clone();
    cluster.kill(&name).await.expect("a node to kill");
    cluster.restart(&name).await.expect("the node comes back");
    let mut a = client(&cluster, 0);
    assert_eq!(post(&mut a, &checkout, "order-7", &nothing).await, sold);
    // the events say that it was done, at whichever place the request was routed to
    until_known(&mut a, &mut b, known_there + 1.0).await;

    let (status, wrong) = {
        let (status, body) =
            a.post(&checkout, &[("idempotency-key", "")], &nothing).await.expect("an answer");
        (status.as_u16(), String::from_utf8_lossy(&body).into_owned())
    };
    assert!(status == 400 && wrong.contains("`idempotency-key`"), "{status} {wrong}");
}
