//! Kills in a loop, with random failures on both sides: no event is lost or duplicated, and order
//! is kept.
//!
//! A few rounds by default; `REPLICATOR_KILL_ROUNDS=200` for the campaign. The seed is fixed, but
//! the state at each kill is not.

use std::time::Duration;

use antiphon_eventstore_testserver::TestServer;

use crate::support::{PATIENCE, Pair, Setup, append, count, event, pair, wait_for};

const STREAMS: u64 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn a_catch_up_that_is_killed_in_a_loop_is_exact() {
    campaign(1, |setup| {
        setup.catch_up("all", "").set("Settings__Lanes", "4");
        setup.set("Settings__LaneOrder", "stream");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_killed_in_a_loop_is_exact() {
    campaign(2, |setup| {
        setup.group("$ce-order", "loop").set("Settings__PersistentSubscriptionBufferSize", "50");
        // each kill and each fault costs the unanswered messages one delivery
        setup.set("Settings__Subscriptions__0__GroupRetryCountMax", "1000000");
    })
    .await;
}

fn rounds() -> u64 {
    let rounds = std::env::var("REPLICATOR_KILL_ROUNDS").ok();
    rounds.map_or(5, |rounds| rounds.parse().expect("REPLICATOR_KILL_ROUNDS is a number"))
}

async fn campaign(seed: u64, shape: impl Fn(&mut Setup)) {
    let Pair { source, destination, from, to, mut setup } = pair().await;
    shape(&mut setup);
    setup.set("Serilog__MinimumLevel__Default", "Information");
    setup.set("Settings__RetryAttemptsMax", "1000000").set("Settings__MissingWaitMax", "01:00:00");
    setup
        .set("Settings__BlockedWaitMax", "01:00:00")
        .set("Settings__ReopenDelayMax", "00:00:00.200");
    let mut chance = Chance(seed);
    let mut written = 0;
    for _ in 0..rounds() {
        let replicator = setup.start();
        let after = destination.log_length() + usize::try_from(chance.below(120)).unwrap();
        for _ in 0..60 {
            let stream = format!("order-{}", chance.below(STREAMS));
            source.append(&stream, vec![event(&written.to_string())]).unwrap();
            written += 1;
        }
        [&source, &destination].into_iter().for_each(|server| fail(server, &mut chance));
        // killed in the middle: after some events arrived, with more failures on their way
        let mut arrived = destination.log_length();
        while arrived < after {
            arrived += 1 + usize::try_from(chance.below(30)).unwrap();
            let grown = destination.grows_to(arrived.min(after));
            tokio::time::timeout(PATIENCE, grown).await.expect("events arrive");
            fail(&destination, &mut chance);
            fail(&source, &mut chance);
        }
        replicator.kill().await;
    }

    source.faults().clear();
    destination.faults().clear();
    append(&from, "order-last", vec![event("last")]).await;
    let mut replicator = setup.start();
    wait_for("the last event", async || count(&to, "order-last").await == 1).await;
    wait_for("everything", async || setup.verify().await.is_equal()).await;
    replicator.stop().await;

    let report = setup.verify().await;
    let same: usize = report.streams.values().map(|one| usize::try_from(one.same).unwrap()).sum();
    assert!(report.is_equal(), "{}", report.table());
    assert_eq!(same, written + 1, "{}", report.table());
    let parked = setup.execute(&["park", "list"]).await.1;
    assert!(parked.contains("0 events in parking lots"), "{parked}");
}

fn fail(server: &TestServer, chance: &mut Chance) {
    let faults = server.faults();
    match chance.below(7) {
        0 => faults.lose_replies(1),
        1 => faults.lose_requests(1),
        2 => faults.unavailable(u32::try_from(chance.below(4)).unwrap()),
        3 => faults.end_streams(),
        4 => faults.reset_connections(),
        5 => faults.refuse_acks(u32::try_from(chance.below(10)).unwrap()),
        _ => faults.slow(Duration::from_millis(chance.below(5))),
    }
}

/// A linear congruential generator, sufficient for the choice of faults.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}
