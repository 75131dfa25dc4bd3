//! Frozen servers, and networks that drop everything: noticed within the configured times,
//! recovered without help.

use antiphon_eventstore_testserver::{Proxy, TestServer};

use crate::server_process::ServerProcess;
use crate::support::{Setup, append, client, count, event, server, signal, wait_for};

/// Parameters that make a client notice a failure within a second.
const IMPATIENT: &str = "&keepAliveInterval=300&keepAliveTimeout=300&defaultDeadline=1000";

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_source_is_noticed_and_goes_on_when_it_thaws() {
    let (source, destination) = (ServerProcess::start().await, server().await);
    let (from, to) = (client(&source.connection), client(&destination.connection_string()));
    append(&from, "order-1", vec![event("before")]).await;
    let mut setup =
        Setup::new(&format!("{}{IMPATIENT}", source.connection), &destination.connection_string());
    setup.group("$ce-order", "frozen");
    let mut replicator = setup.start();
    wait_for("the first event", async || count(&to, "order-1").await == 1).await;

    signal(source.child.id().unwrap(), "STOP").await;
    wait_for("not ready", async || !replicator.is_ready().await).await;
    signal(source.child.id().unwrap(), "CONT").await;
    wait_for("ready again", async || replicator.is_ready().await).await;

    append(&from, "order-1", vec![event("after")]).await;
    wait_for("the second event", async || count(&to, "order-1").await == 2).await;
    replicator.stop().await;
    assert!(setup.verify().await.is_equal());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_destination_is_noticed_and_gets_everything_when_it_thaws() {
    let (source, destination) = (server().await, ServerProcess::start().await);
    let (from, to) = (client(&source.connection_string()), client(&destination.connection));
    append(&from, "order-1", vec![event("before")]).await;
    let destination_string = format!("{}{IMPATIENT}", destination.connection);
    let mut setup = Setup::new(&source.connection_string(), &destination_string);
    setup.catch_up("category", "order").set("Settings__WriteTimeout", "00:00:01");
    let mut replicator = setup.start();
    wait_for("the first event", async || count(&to, "order-1").await == 1).await;

    signal(destination.child.id().unwrap(), "STOP").await;
    append(&from, "order-1", (0..50).map(|n| event(&n.to_string())).collect()).await;
    wait_for("not ready", async || !replicator.is_ready().await).await;
    signal(destination.child.id().unwrap(), "CONT").await;

    wait_for("all events", async || count(&to, "order-1").await == 51).await;
    wait_for("ready again", async || replicator.is_ready().await).await;
    replicator.stop().await;
    assert!(setup.verify().await.is_equal());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_swallows_everything_is_noticed_on_both_sides() {
    let (source, destination) = (server().await, server().await);
    let before = async |server: &TestServer| Proxy::before(server.address()).await.unwrap();
    let proxies = (before(&source).await, before(&destination).await);
    let through = |proxy: &Proxy| format!("esdb://{}?tls=false{IMPATIENT}", proxy.address());
    let (from, to) =
        (client(&source.connection_string()), client(&destination.connection_string()));
    let mut setup = Setup::new(&through(&proxies.0), &through(&proxies.1));
    setup.catch_up("category", "order").set("Settings__WriteTimeout", "00:00:01");
    append(&from, "order-1", vec![event("before")]).await;
    let mut replicator = setup.start();
    wait_for("the first event", async || count(&to, "order-1").await == 1).await;

    for (round, proxy) in [&proxies.0, &proxies.1].into_iter().enumerate() {
        proxy.swallow(true);
        append(&from, "order-1", vec![event("while it swallows")]).await;
        wait_for("not ready", async || !replicator.is_ready().await).await;
        proxy.swallow(false);
        wait_for("the event", async || count(&to, "order-1").await == round + 2).await;
        wait_for("ready again", async || replicator.is_ready().await).await;
    }
    replicator.stop().await;
    assert!(setup.verify().await.is_equal());
}
