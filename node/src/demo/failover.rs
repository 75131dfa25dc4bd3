//! Kills a node and waits until one of its entities answers from another node.

use std::time::Duration;

use antiphon::base::time::{Clock, SystemClock};
use antiphon::prelude::*;

use antiphon::app::client::Client;
use antiphon::app::cluster::LocalCluster;

/// The node to kill: the first node of the last place.
pub(super) fn victim(cluster: &LocalCluster, replicas: &[String]) -> String {
    let last = replicas.last().map_or("", String::as_str);
    let node = cluster.nodes().iter().find(|node| node.replica == last);
    node.map(|node| node.name.clone()).unwrap_or_default()
}

/// Kills the node with SIGKILL, and returns the time until one of its auctions answers on another
/// node of its place.
pub(super) async fn kill_and_watch(cluster: &mut LocalCluster, victim: &str) -> Result<Duration> {
    let nodes = cluster.nodes();
    let killed = nodes.iter().find(|node| node.name == victim);
    let killed = killed.ok_or_else(|| Error::bug("no node to kill"))?;
    let other = nodes.iter().find(|node| node.replica == killed.replica && node.name != victim);
    let other = other.ok_or_else(|| Error::bug("no other node in the place"))?;
    let replica = killed.replica.clone();
    let mut client = Client::new(other.http.clone()).with_timeout(Duration::from_secs(20));
    let auction = auction_of(&mut client, &replica, &killed.id).await?;
    let headers = [("antiphon-replica", replica.as_str())];
    let path = format!("/entities/auction/{auction}");

    say!("kill -9 of {victim}, which has {auction}")?;
    cluster.kill(victim).await?;
    let clock = SystemClock;
    let killed_at = clock.now();
    loop {
        if let Ok((status, _)) = client.get(&path, &headers).await
            && status.is_success()
        {
            let took = clock.now() - killed_at;
            say!("{auction} answers again after {took:.2?}")?;
            return Ok(took);
        }
        if clock.now() - killed_at > Duration::from_secs(60) {
            return Err(Error::timeout(format!("{auction} does not answer after a minute")));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The id of an auction whose shard has its home on that node.
async fn auction_of(client: &mut Client, replica: &str, node: &str) -> Result<String> {
    let cluster = client.json("/cluster", &[]).await?;
    let shards = cluster["sharding"]["auction"]["shards"].as_array().cloned().unwrap_or_default();
    let count = u16::try_from(
        shards
            .iter()
            .filter(|shard| {
                shard["shard"].as_str().is_some_and(|id| id.starts_with(&format!("{replica}/")))
            })
            .count(),
    )
    .unwrap_or(0);
    for number in 0..200 {
        let auction = format!("a-{number}");
        let slice = antiphon::persistence::identity::Slice::of("auction", &auction);
        let shard = antiphon::sharding::ShardId::number_of(slice, count.max(1));
        let id = format!("{replica}/{shard}");
        let home = shards.iter().find(|shard| shard["shard"] == id.as_str());
        if home.is_some_and(|shard| shard["home"] == node) {
            return Ok(auction);
        }
    }
    Err(Error::unavailable(format!("no auction lives on {node}")))
}
