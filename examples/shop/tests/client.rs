//! A program outside the cluster with typed references, over real processes.

use std::path::Path;
use std::time::Duration;

use antiphon::app::cluster::{LocalCluster, LocalClusterSettings, LocalJournals};
use antiphon::client::{AccessArguments, Cluster};
use antiphon::prelude::*;
use antiphon_shop::{CartCommand, StockCommand};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(120);

async fn nodes(folder: &Path, count: usize, extra: &str) -> LocalCluster {
    places(folder, &["DC-A"], count, extra).await
}

async fn places(folder: &Path, names: &[&str], count: usize, extra: &str) -> LocalCluster {
    let cluster = LocalCluster::start(LocalClusterSettings {
        data_dir: folder.to_path_buf(),
        replicas: names.iter().map(|name| (*name).to_owned()).collect(),
        nodes_per_replica: count,
        journals: LocalJournals::default(),
        tls: false,
        extra: extra.to_owned(),
        binary: env!("CARGO_BIN_EXE_shop").into(),
        start_timeout: PATIENCE,
    });
    cluster.await.expect("a place")
}

fn put(count: u32) -> impl FnOnce(ReplyTo<u64>) -> StockCommand {
    move |reply_to| StockCommand::Put { count, reply_to }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_outside_asks_through_the_kill_and_the_return_of_nodes() {
    let folder = TempDir::new().expect("a folder");
    let settings = "[shop]\nitems_max = 5\n";
    let mut cluster = nodes(folder.path(), 2, settings).await;
    let addresses: Vec<String> = cluster.nodes().iter().map(|node| node.http.clone()).collect();
    let outside = Cluster::new(addresses.clone()).expect("addresses").with_ask_timeout(PATIENCE);
    let stock = outside.entity::<StockCommand>("stock", "pen").expect("a reference");
    let cart = outside.entity::<CartCommand>("cart", "c/1 ü").expect("a reference");
    assert_eq!(stock.ask(put(10)).await, Ok(10));
    let add = |count| move |reply_to| CartCommand::Add { item: "pen".to_owned(), count, reply_to };
    let contents = cart.try_ask(add(5)).await.expect("room for five");
    assert_eq!(contents.items["pen"], 5);
    let refused = AskFailure::Refused("a cart has room for 5 items".to_owned());
    assert_eq!(cart.try_ask(add(1)).await.expect_err("a full cart"), refused);
    let (reply_to, _) = antiphon::persistence::reply::reply_channel();
    cart.tell(&CartCommand::CheckOut { reply_to }).await.expect("the handler has it");
    let sold = cart.try_ask(|reply_to| CartCommand::CheckOut { reply_to }).await;
    assert_eq!(sold, Ok(0), "pens have no price here");

    let unknown = outside.entity::<StockCommand>("basket", "x").expect("a reference");
    let error = unknown.ask(put(1)).await.expect_err("no such type");
    assert!(matches!(&error, AskError::Rejected(why) if why.contains("`basket`")), "{error:?}");
    let other = outside.entity::<u8>("stock", "pen").expect("a reference");
    let error = other.tell(&200).await.expect_err("no command of this type");
    assert!(matches!(error, AskError::Rejected(_)), "{error:?}");

    // the node that has answered dies: the other address has the entity after the fail-over
    let names: Vec<String> = cluster.nodes().iter().map(|node| node.name.clone()).collect();
    for (name, address) in names.iter().zip(&addresses) {
        let file = cluster.config(name);
        let text = std::fs::read_to_string(&file).expect("a configuration");
        let here = format!("http_bind = {address:?}");
        let text = text.replace("http_bind = \"127.0.0.1:0\"", &here);
        std::fs::write(&file, text).expect("written");
    }
    cluster.kill(&names[0]).await.expect("a node to kill");
    assert_eq!(stock.ask(put(1)).await, Ok(6));

    // nobody is there: certainly without effect, and in time
    cluster.kill(&names[1]).await.expect("a node to kill");
    let hasty = stock.clone().with_ask_timeout(Duration::from_millis(300));
    let error = hasty.ask(put(1)).await.expect_err("nobody is there");
    assert!(matches!(error, AskError::Expired(_)), "{error:?}");

    // a command waits for the return of a node
    let (returned, answer) = tokio::join!(cluster.restart(&names[0]), stock.ask(put(1)));
    returned.expect("the node comes back");
    assert_eq!(answer, Ok(7), "each command was handled once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_outside_reads_its_own_cart_at_the_other_place_by_a_session_token() {
    let folder = TempDir::new().expect("a folder");
    // no event comes by itself
    let silent = "[sharding]\nevent_publishing = false\nloop_interval = \"1h\"\nloop_interval_max = \"1h\"\n";
    let cluster = places(folder.path(), &["DC-A", "DC-B"], 1, silent).await;
    let addresses = cluster.nodes().iter().map(|node| node.http.clone());
    let outside = Cluster::new(addresses).expect("addresses").with_ask_timeout(PATIENCE);
    let stock = outside.entity::<StockCommand>("stock", "pen").expect("a reference");
    assert_eq!(stock.ask(put(10)).await, Ok(10));
    for number in 0..4 {
        let id = format!("c-{number}");
        let cart = outside.entity::<CartCommand>("cart", &id).expect("a reference");
        let add = |reply_to| CartCommand::Add { item: "pen".to_owned(), count: 2, reply_to };
        let (added, token) = cart.ask_with_version(add).await.expect("an answer");
        assert_eq!(added.expect("room").items["pen"], 2);
        for place in ["DC-A", "DC-B"] {
            let replica = ReplicaId::new(place).expect("a name");
            let there = cart.clone().with_replica(&replica).after(&token);
            let read = there.ask(|reply_to| CartCommand::Get { reply_to }).await;
            assert_eq!(read.expect("the cart").items["pen"], 2, "{id} at {place}");
        }
        let other = outside.entity::<CartCommand>("cart", "another").expect("a reference");
        let error = other.after(&token).ask(|reply_to| CartCommand::Get { reply_to }).await;
        assert!(matches!(error, Err(AskError::Rejected(why)) if why.contains(&id)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_outside_needs_the_authority_and_the_right_of_entities() {
    let folder = TempDir::new().expect("a folder");
    let shop = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_shop"));
        let made = command.args(arguments).current_dir(folder.path()).output();
        assert!(made.expect("it runs").status.success(), "{arguments:?}");
    };
    shop(&["cert", "--dir", "certs", "DC-A/dc-a-1@127.0.0.1"]);
    let at = |name: &str| folder.path().join(name);
    let believes = || AccessArguments { ca_file: Some(at("certs/ca.pem")), ..Default::default() };
    let token = |name: &str, right: &str| {
        let file = ["--file", "tokens.toml", "--token-file", name];
        shop(&[&["token", "--name", name, "--rights", right], &file[..]].concat());
        AccessArguments { token_file: Some(at(name)), ..believes() }.read().expect("a token")
    };
    let (reads, writes) = (token("reader", "read"), token("writer", "entities"));
    let (cert, key) = (at("certs/dc-a-1.pem"), at("certs/dc-a-1.key"));
    let extra = format!(
        "[http]\ntokens_file = {:?}\ntls = {{ cert_file = {cert:?}, key_file = {key:?} }}\n",
        at("tokens.toml")
    );
    let cluster = nodes(&folder.path().join("data"), 1, &extra).await;
    let outside = Cluster::new([cluster.nodes()[0].http.clone()]).expect("an address");
    let outside = outside.with_ask_timeout(PATIENCE);
    let asks = async |outside: Cluster| {
        outside.entity::<StockCommand>("stock", "pen").expect("a reference").ask(put(1)).await
    };
    let plain = asks(outside.clone().with_ask_timeout(Duration::from_secs(5))).await;
    assert!(plain.is_err(), "plain HTTP to the port of HTTPS: {plain:?}");
    let outside = outside.with_access(believes().read().expect("an authority")).expect("HTTPS");
    let refused = asks(outside.clone()).await.expect_err("no token");
    assert!(matches!(&refused, AskError::Rejected(why) if why.contains("401")), "{refused:?}");
    let refused = asks(outside.clone().with_access(reads).expect("HTTPS")).await;
    let refused = refused.expect_err("another right");
    assert!(matches!(&refused, AskError::Rejected(why) if why.contains("403")), "{refused:?}");
    assert_eq!(asks(outside.with_access(writes).expect("HTTPS")).await, Ok(1));
}
