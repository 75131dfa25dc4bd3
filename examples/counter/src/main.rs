//! Two places in one process: a counter is raised at both, and both arrive at the same sum.

use antiphon::LocalPlace;
use antiphon::prelude::*;
use antiphon_counter::{Command, provider};

#[tokio::main]
async fn main() -> Result<()> {
    let [place_a, place_b] = LocalPlace::connected(["DC-A", "DC-B"]);
    let replicas = vec![ReplicaId::new("DC-A")?, ReplicaId::new("DC-B")?];
    let (node_a, node_b) = (place_a.start("node-a").await?, place_b.start("node-b").await?);
    // both nodes run the type; each node reaches both replicas
    let counters = ReplicatedSharding::init(&node_a, provider(replicas.clone())).await?;
    let _hosted = ReplicatedSharding::init(&node_b, provider(replicas.clone())).await?;

    let refs = counters.entity_refs_for("c-1")?;
    for (replica, counter) in &refs {
        let ask = |reply_to| Command::Add { delta: 1, reply_to };
        let value = counter.ask(ask).await?;
        println!("{replica}: added 1, the value here is {value}");
    }
    for (replica, counter) in &refs {
        loop {
            let value = counter.ask(|reply_to| Command::Get { reply_to }).await.unwrap_or(0);
            if value == 2 {
                println!("{replica}: converged at {value}");
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}
