//! A story about counters at two places: copy it, and put your entity in place of the counter.

use antiphon_counter::{Command, Counter};
use antiphon_testkit::TestCluster;

#[test]
fn two_places_agree_after_a_cut_and_the_loss_of_a_node() {
    TestCluster::builder().place("eu", 2).place("us", 1).entity(Counter::provider()).run(
        async |cluster| {
            let add = |delta| move |reply_to| Command::Add { delta, reply_to };
            let get = |reply_to| Command::Get { reply_to };
            cluster.ask::<Counter, _>("eu-0", "c-1", add(1)).await?;

            // the other node of the place takes over
            cluster.kill("eu-0")?;
            cluster
                .until("eu-1 has the counter", async || {
                    cluster.ask::<Counter, _>("eu-1", "c-1", get).await.is_ok_and(|sum| sum == 1)
                })
                .await?;

            // both places write while they are cut from each other
            cluster.cut_places("eu", "us")?;
            cluster.ask::<Counter, _>("eu-1", "c-1", add(10)).await?;
            cluster.ask::<Counter, _>("us-0", "c-1", add(100)).await?;
            cluster.heal();
            assert_eq!(*cluster.until_agreed::<Counter>("c-1").await?.state(), 111);
            Ok(())
        },
    );
}
