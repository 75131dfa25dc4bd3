//! `antiphon status`: members, leases, and shards that are behind.

use antiphon::prelude::*;
use serde_json::Value;

use crate::client::Client;
use crate::output::say;

/// Prints the state of the cluster as a node sees it. Returns whether that node is ready.
///
/// # Errors
/// `Unavailable` when the node does not answer, or the output cannot be written.
pub async fn status(address: &str) -> Result<bool> {
    let mut client = Client::new(address);
    let cluster = client.json("/cluster", &[]).await?;
    say!("node {} of place {}", text(&cluster["node"]), text(&cluster["place"]))?;
    say!("\n{:<32} {:<10} {:<9} {:<7} http", "member", "place", "state", "sealed")?;
    for member in cluster["members"].as_array().into_iter().flatten() {
        say!(
            "{:<32} {:<10} {:<9} {:<7} {}",
            text(&member["id"]),
            text(&member["place"]),
            text(&member["state"]),
            member["sealed"],
            text(&member["http_address"])
        )?;
    }
    for (place, lease) in cluster["leases"].as_object().into_iter().flatten() {
        say!("\ncoordinator of {place}: {} (token {})", text(&lease["holder"]), lease["token"])?;
    }
    for (entity_type, value) in cluster["sharding"].as_object().into_iter().flatten() {
        shards(entity_type, value)?;
    }
    let (status, body) = client.get("/health/ready", &[]).await?;
    let is_ready = status.is_success();
    say!("\nready: {is_ready}")?;
    if !is_ready {
        say!("{}", String::from_utf8_lossy(&body))?;
    }
    let health: Value = serde_json::from_slice(&body).unwrap_or_default();
    for warning in health["warnings"].as_array().into_iter().flatten().filter(|_| is_ready) {
        say!("warning: {}", text(warning))?;
    }
    Ok(is_ready)
}

fn shards(entity_type: &str, value: &Value) -> Result<()> {
    let shards = value["shards"].as_array().map_or(&[][..], Vec::as_slice);
    let homeless = shards.iter().filter(|shard| shard["home"].is_null()).count();
    let entities: u64 = shards.iter().filter_map(|shard| shard["entities"].as_u64()).sum();
    say!(
        "\n{entity_type}: {} shards, {homeless} without a home, {entities} entities here",
        shards.len()
    )?;
    for shard in shards {
        for peer in shard["replication"].as_array().into_iter().flatten() {
            if peer["entities_behind"].as_u64().unwrap_or(0) > 0 {
                say!(
                    "  shard {}: {} entities behind {} for {:.1} s",
                    text(&shard["shard"]),
                    peer["entities_behind"],
                    text(&peer["peer"]),
                    peer["behind_for_seconds"].as_f64().unwrap_or(0.0)
                )?;
            }
        }
    }
    Ok(())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}
