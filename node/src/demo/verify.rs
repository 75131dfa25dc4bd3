//! The checks at the end, against the entities and against the journals themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use antiphon::base::time::{Clock, SystemClock};
use antiphon::persistence::entity::EventSourced;
use antiphon::persistence::event::SequenceNr;
use antiphon::prelude::*;
use antiphon_auction::{AuctionHouse, Event, RecordedBid};
use serde_json::Value;

use super::places::Places;
use antiphon::app::client::Client;

/// Longest time that a node may take to answer a read.
const READ_LIMIT: Duration = Duration::from_secs(30);

/// The result of the checks of a replica's journal.
#[derive(Debug, Default)]
pub(super) struct JournalCheck {
    pub(super) replica: String,
    pub(super) events: usize,
    /// Acknowledged bids that the journal does not have.
    pub(super) lost: usize,
    /// Events that the journal has twice.
    pub(super) twice: usize,
}

/// The result of the comparison of the replicas.
#[derive(Debug, Default)]
pub(super) struct Converged {
    pub(super) auctions: usize,
    /// Auctions whose winner differs between replicas.
    pub(super) different: usize,
    pub(super) took: Duration,
}

/// Waits until every node is ready.
pub(super) async fn wait_ready(places: &Places, limit: Duration) -> Result<()> {
    let until = SystemClock.now() + limit;
    for node in &places.nodes {
        let mut client = places.client(node);
        loop {
            let answer = client.get("/health/ready", &[]).await;
            if answer.as_ref().is_ok_and(|(status, _)| status.is_success())
                && knows_all_homes(&mut client).await
            {
                break;
            }
            if SystemClock.now() > until {
                let why = answer.map(|(_, body)| String::from_utf8_lossy(&body).into_owned());
                return Err(Error::timeout(format!("node {} is not ready: {why:?}", node.name)));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

/// Returns whether the node knows the homes of the other places too, so that events go there
/// directly.
async fn knows_all_homes(client: &mut Client) -> bool {
    let Ok(cluster) = client.json("/cluster", &[]).await else { return false };
    let shards = cluster["sharding"]["auction"]["shards"].as_array();
    shards.is_some_and(|shards| shards.iter().all(|shard| !shard["home"].is_null()))
}

/// Waits until every auction has the same state at every replica.
pub(super) async fn converged(
    places: &Places,
    bids: &[RecordedBid],
    limit: Duration,
) -> Result<Converged> {
    let auctions: BTreeSet<&str> = bids.iter().map(|bid| bid.auction.as_str()).collect();
    let began = SystemClock.now();
    let mut clients = clients(places)?;
    let mut open: Vec<&str> = auctions.iter().copied().collect();
    while !open.is_empty() && SystemClock.now() - began < limit {
        open = different(&mut clients, open).await?;
        if !open.is_empty() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    let took = SystemClock.now() - began;
    Ok(Converged { auctions: auctions.len(), different: open.len(), took })
}

/// Number of auctions whose state differs between replicas at this moment.
pub(super) async fn apart(places: &Places, bids: &[RecordedBid]) -> Result<usize> {
    let auctions: BTreeSet<&str> = bids.iter().map(|bid| bid.auction.as_str()).collect();
    let auctions = auctions.into_iter().collect();
    Ok(different(&mut clients(places)?, auctions).await?.len())
}

/// A client of one node of each replica.
fn clients(places: &Places) -> Result<Vec<(String, Client)>> {
    let client = |replica: &String| {
        let node = places.nodes.iter().find(|node| node.replica == *replica && node.is_running);
        let node = node.ok_or_else(|| Error::bug("a place without a node"))?;
        Ok((replica.clone(), places.client(node)))
    };
    places.replicas().map(client).collect()
}

async fn different<'a>(
    clients: &mut [(String, Client)],
    auctions: Vec<&'a str>,
) -> Result<Vec<&'a str>> {
    let mut different = Vec::new();
    for auction in auctions {
        let mut states: Vec<Value> = Vec::new();
        for (replica, client) in &mut *clients {
            let headers = [("antiphon-replica", replica.as_str())];
            states
                .push(patiently(client, &format!("/entities/auction/{auction}"), &headers).await?);
        }
        if states.windows(2).any(|pair| pair[0] != pair[1]) {
            different.push(auction);
        }
    }
    Ok(different)
}

/// Reads JSON from a node that may be busy, or without its place's database, for a moment.
async fn patiently(client: &mut Client, path: &str, headers: &[(&str, &str)]) -> Result<Value> {
    let until = SystemClock.now() + READ_LIMIT;
    loop {
        match client.json(path, headers).await {
            Ok(value) => return Ok(value),
            Err(error) if SystemClock.now() > until => return Err(error),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Reads every stream of every journal.
pub(super) async fn journals(
    places: &Places,
    acknowledged: &BTreeSet<u64>,
) -> Result<Vec<JournalCheck>> {
    let mut checks = Vec::new();
    for (replica, journal) in &places.journals {
        let stores = journal.open(true).await?.stores();
        let mut check = JournalCheck { replica: replica.clone(), ..JournalCheck::default() };
        let mut bids: BTreeSet<u64> = BTreeSet::new();
        let mut after = None;
        loop {
            let ids = stores.read_journal.persistence_ids("auction", after.as_ref(), 100).await?;
            let Some(last) = ids.last().cloned() else { break };
            for id in ids {
                let mut seen: BTreeMap<ReplicaId, BTreeSet<u64>> = BTreeMap::new();
                let mut first = SequenceNr::new(1);
                loop {
                    let events = stores.journal.replay(&id, first, SequenceNr::MAX, 1000).await?;
                    let Some(newest) = events.last() else { break };
                    first = newest.sequence_nr.next();
                    for event in &events {
                        check.events += 1;
                        let numbers = seen.entry(event.meta.origin.clone()).or_default();
                        if !numbers.insert(event.meta.origin_nr()) {
                            check.twice += 1;
                        }
                        for event in AuctionHouse.from_journal(&event.payload)? {
                            if let Event::Placed(bid) = event {
                                bids.insert(bid.number);
                            }
                        }
                    }
                }
            }
            after = Some(last);
        }
        check.lost = acknowledged.difference(&bids).count();
        checks.push(check);
    }
    Ok(checks)
}
