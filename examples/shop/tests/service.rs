//! The shop as processes: `shop demo` and the clients of its routes, and refused configurations.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use antiphon::app::client::Client;
use antiphon::app::cluster::{LocalCluster, LocalClusterSettings, LocalJournals};
use antiphon::base::time::{Clock, SystemClock};
use serde_json::{Value, json};
use tempfile::TempDir;

const SHOP: &str = env!("CARGO_BIN_EXE_shop");
const PATIENCE: Duration = Duration::from_secs(120);
const SETTINGS: &str = "[shop]\nitems_max = 5\n[shop.prices]\npen = 120\n[sharding.types.cart]\npassivate_after = \"90s\"\n";

async fn two_places(folder: &TempDir) -> LocalCluster {
    let cluster = LocalCluster::start(LocalClusterSettings {
        data_dir: folder.path().to_path_buf(),
        replicas: vec!["DC-A".to_owned(), "DC-B".to_owned()],
        nodes_per_replica: 1,
        journals: LocalJournals::default(),
        tls: false,
        extra: SETTINGS.to_owned(),
        binary: SHOP.into(),
        start_timeout: PATIENCE,
    });
    cluster.await.expect("two places")
}

/// Posts until the place takes commands.
async fn post(client: &mut Client, path: &str, body: &Value) -> (u16, Value) {
    let until = SystemClock.now() + PATIENCE;
    loop {
        let (status, answer) = client.post(path, &[], body).await.expect("an answer");
        if status.as_u16() != 503 || SystemClock.now() > until {
            return (status.as_u16(), serde_json::from_slice(&answer).expect("JSON"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shop_has_its_entities_routes_settings_and_metrics() {
    let folder = TempDir::new().expect("a folder");
    let mut cluster = two_places(&folder).await;
    let mut a = Client::new(cluster.nodes()[0].http.clone()).with_timeout(PATIENCE);
    let mut b = Client::new(cluster.nodes()[1].http.clone()).with_timeout(PATIENCE);
    let put = json!({ "put": 10 });
    assert_eq!(post(&mut a, "/entities/stock/pen", &put).await, (200, json!(10)));
    let add = json!({ "add": { "item": "pen", "count": 3 } });
    let (status, cart) = post(&mut a, "/entities/cart/c-1", &add).await;
    assert_eq!((status, &cart["items"]["pen"]), (200, &json!(3)));
    let (status, refused) = post(&mut a, "/entities/cart/c-1", &add).await;
    assert_eq!(status, 409, "`shop.items_max`: {refused}");
    assert_eq!(refused, json!({ "refused": "a cart has room for 5 items" }));

    let sold = (200, json!({ "cents": 360, "missing": [] }));
    assert_eq!(post(&mut a, "/checkout/c-1", &Value::Null).await, sold);
    let (status, closed) = post(&mut a, "/entities/cart/c-1", &add).await;
    assert_eq!((status, closed), (409, json!({ "refused": "the cart is closed" })));
    // a client that got no answer repeats the checkout
    assert_eq!(post(&mut a, "/checkout/c-1", &Value::Null).await, sold);
    // the sale reaches the stock behind the answer, and the other replica later
    let levels = json!({ "free": 7, "reserved": 0, "sold": 3 });
    let until = SystemClock.now() + PATIENCE;
    for place in ["DC-A", "DC-B"] {
        loop {
            let read = a.get("/entities/stock/pen", &[("antiphon-replica", place)]).await;
            let read: Value = serde_json::from_slice(&read.expect("levels").1).expect("JSON");
            if read == levels {
                break;
            }
            assert!(SystemClock.now() < until, "{read}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let (_, metrics) = a.get("/metrics", &[]).await.expect("metrics");
    let metrics = String::from_utf8_lossy(&metrics).into_owned();
    for line in ["shop_checkouts_total{outcome=\"sold\"} 2", "antiphon_node_live 1"] {
        assert!(metrics.contains(line), "{line}");
    }

    // the other place has the cart and the stock too, also after its node was killed
    let name = cluster.nodes()[1].name.clone();
    cluster.kill(&name).await.expect("a node to kill");
    cluster.restart(&name).await.expect("the node comes back");
    let mut b_again = Client::new(cluster.nodes()[1].http.clone()).with_timeout(PATIENCE);
    std::mem::swap(&mut b, &mut b_again);
    let until = SystemClock.now() + PATIENCE;
    loop {
        let read = b.get("/entities/cart/c-1", &[("antiphon-replica", "DC-B")]).await;
        let (_, cart) = read.expect("an answer");
        let cart: Value = serde_json::from_slice(&cart).expect("JSON");
        if cart["stage"] == json!("sold") {
            break;
        }
        assert!(SystemClock.now() < until, "{cart}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (status, unknown) = b.get("/nowhere", &[]).await.expect("an answer");
    assert_eq!(status.as_u16(), 404, "{}", String::from_utf8_lossy(&unknown));
}

fn shop(folder: &Path, config: &str, arguments: &[&str]) -> Output {
    std::fs::write(folder.join("shop.toml"), config).expect("written");
    let mut command = Command::new(SHOP);
    command.args(arguments).args(["--config", "shop.toml"]).current_dir(folder);
    command.output().expect("the program runs")
}

#[test]
fn wrong_settings_of_the_shop_are_named() {
    let folder = TempDir::new().expect("a folder");
    for (config, expected) in [
        (
            "[shop]\nitem_max = 5",
            vec!["line 2", "`shop`", "unknown field `item_max`", "`items_max`"],
        ),
        ("[shop]\nitems_max = \"many\"", vec!["line 2", "`shop`", "`items_max`", "u32"]),
        (
            "[shop]\nitems_max = 0",
            vec!["line 2", "`shop`", "`items_max`: expected 1 to 10000, actual 0"],
        ),
        (
            "[shop]\nexpires_after = \"10ms\"",
            vec!["line 2", "`shop`", "`expires_after`: expected 1s to 30 days, actual 10ms"],
        ),
        ("[stop]\nitems_max = 1", vec!["line 1", "unknown field `stop`", "`shop`", "`sharding`"]),
        ("[sharding.types.basket]\n", vec!["line 1", "`sharding.types.basket`", "`stock`, `cart`"]),
        (
            "[sharding.types.cart]\npasivate_after = \"1s\"",
            vec!["line 2", "`sharding.types.cart`", "unknown field `pasivate_after`"],
        ),
        (
            "[sharding.types.cart]\npassivate_after = \"soon\"",
            vec!["line 2", "`sharding.types.cart`", "`passivate_after`"],
        ),
    ] {
        let output = shop(folder.path(), config, &["check"]);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{config}: {message}");
        for part in expected {
            assert!(message.contains(part), "{config}: {message} lacks {part}");
        }
    }
}

#[test]
fn the_checked_configuration_has_every_key_and_can_be_read_again() {
    let folder = TempDir::new().expect("a folder");
    let shown = shop(folder.path(), SETTINGS, &["check"]);
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    let text = String::from_utf8(shown.stdout).expect("UTF-8");
    for part in ["items_max = 5", "pen = 120", "[sharding.types.cart]", "passivate_after = \"90s\""]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let again = shop(folder.path(), &text, &["check"]);
    assert_eq!(String::from_utf8(again.stdout).expect("UTF-8"), text);
}

#[test]
fn the_shop_has_a_command_of_its_own_beside_those_of_every_node() {
    let folder = TempDir::new().expect("a folder");
    let prices = shop(folder.path(), SETTINGS, &["prices"]);
    assert_eq!(String::from_utf8_lossy(&prices.stdout), "pen 120\n");
    let help = Command::new(SHOP).arg("--help").output().expect("the program runs");
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let commands =
        ["Carts, stock and tickets", "prices", "node", "check", "cert", "token", "status", "demo"];
    for command in commands {
        assert!(help.contains(command), "{command}: {help}");
    }
}

#[test]
fn the_demo_runs_two_places_of_this_program_until_a_signal_and_they_leave() {
    for signal in ["-INT", "-TERM"] {
        demo_until(signal);
    }
}

fn demo_until(signal: &str) {
    let folder = TempDir::new().expect("a folder");
    let extra = folder.path().join("extra.toml");
    std::fs::write(&extra, SETTINGS).expect("written");
    let mut command = Command::new(SHOP);
    command.args(["demo", "--nodes", "1", "--extra"]).arg(&extra);
    command.arg("--data-dir").arg(folder.path().join("data"));
    let mut demo = command.stdout(std::process::Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(demo.stdout.take().expect("piped")).lines();
    let told = until(&mut lines, "ctrl-c");
    let places = told.iter().filter(|line| line.contains("http://127.0.0.1:")).count();
    assert_eq!(places, 2, "{told:?}");
    // a node that is killed is told, and comes back
    let (_, victim) = told[1].split_once(", process ").expect("the id of the process");
    assert!(Command::new("kill").args(["-KILL", victim]).status().expect("kill").success());
    let ended = until(&mut lines, "has ended");
    assert!(ended[0].contains("dc-b-1 has ended (signal: 9"), "{ended:?}");
    let back = until(&mut lines, "process");
    assert!(back[0].starts_with("dc-b-1 of DC-B: http://127.0.0.1:"), "{back:?}");
    let process = demo.id().to_string();
    assert!(Command::new("kill").args([signal, &process]).status().expect("kill").success());
    assert!(demo.wait().expect("it ends").success());
    for name in ["dc-a-1", "dc-b-1"] {
        let log = std::fs::read_to_string(folder.path().join(format!("data/{name}.log")));
        let log = log.expect("the log of a node");
        assert!(log.contains("leaving") && log.contains("CloseLinks"), "{signal}: {name}: {log}");
    }
}

/// The lines up to the one that has this text.
fn until(lines: &mut impl Iterator<Item = std::io::Result<String>>, part: &str) -> Vec<String> {
    let mut told = Vec::new();
    while !told.last().is_some_and(|line: &String| line.contains(part)) {
        told.push(lines.next().expect("a line before the end").expect("text"));
    }
    told
}
