//! Kills in a loop, with random failures on both sides: no event is lost or duplicated, order is
//! kept, and deletions, truncation and metadata arrive as they were. The destination is compared
//! with a model event by event.
//!
//! A few rounds by default; `REPLICATOR_KILL_ROUNDS=200` for the campaign, and
//! `REPLICATOR_KILL_SEED=7` for other choices; `REPLICATOR_KILL_CHANGES=delete,count` for some of
//! the changes to streams only. The choices follow the seed, but the state at each kill does not. A
//! failure tells the seed, the round and the first difference.

use std::time::Duration;

use antiphon_eventstore_testserver::TestServer;

use crate::model::Model;
use crate::support::{PATIENCE, Pair, Setup, event, pair};

const STREAMS: u64 = 12;
/// Number of appends in a round.
const APPENDS: u64 = 60;
/// Number of rounds after which the destination must have everything.
const COMPARE_AFTER: u64 = 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_catch_up_that_is_killed_in_a_loop_is_exact() {
    campaign(1, &[], |setup| {
        setup.catch_up("all", "").set("Settings__Lanes", "4");
        setup.set("Settings__LaneOrder", "stream");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_killed_in_a_loop_is_exact() {
    campaign(2, &[], |setup| {
        setup.group("$ce-order", "loop").set("Settings__PersistentSubscriptionBufferSize", "50");
        // each kill and each fault costs the unanswered messages one delivery
        setup.set("Settings__Subscriptions__0__GroupRetryCountMax", "1000000");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_truncation_and_metadata_are_exact_when_it_is_killed_in_a_loop() {
    campaign(3, &changes(), |setup| {
        setup.catch_up("all", "").set("Settings__Lanes", "4");
        setup.set("Settings__LaneOrder", "stream");
        setup.set("Settings__CopyDeletes", "true").set("Settings__CopyStreamMetadata", "true");
    })
    .await;
}

/// A change to a stream, beside appends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Delete,
    Tombstone,
    /// A `$maxCount`.
    Count,
    /// A `$tb`.
    Before,
    /// Numbers and an order of properties that must not change on the way.
    Odd,
    /// Metadata without a property.
    Empty,
}

const CHANGES: [(&str, Change); 6] = [
    ("delete", Change::Delete),
    ("tombstone", Change::Tombstone),
    ("count", Change::Count),
    ("before", Change::Before),
    ("odd", Change::Odd),
    ("empty", Change::Empty),
];

fn changes() -> Vec<Change> {
    let given = std::env::var("REPLICATOR_KILL_CHANGES").ok();
    let Some(given) = given.filter(|given| !given.is_empty()) else {
        return CHANGES.map(|(_, change)| change).to_vec();
    };
    let known = |name: &str| {
        let found = CHANGES.iter().find(|(known, _)| *known == name);
        let words = CHANGES.map(|(known, _)| known).join(", ");
        found
            .unwrap_or_else(|| panic!("REPLICATOR_KILL_CHANGES: expected {words}, actual `{name}`"))
    };
    given.split(',').map(|name| known(name.trim()).1).collect()
}

fn number(variable: &str, default: u64) -> u64 {
    let given = std::env::var(variable).ok();
    given.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}: a number")))
}

async fn campaign(seed: u64, changes: &[Change], shape: impl Fn(&mut Setup)) {
    let seed = seed + 1000 * number("REPLICATOR_KILL_SEED", 0);
    let rounds = number("REPLICATOR_KILL_ROUNDS", 5);
    let Pair { source, destination, mut setup, .. } = pair().await;
    shape(&mut setup);
    setup.set("Serilog__MinimumLevel__Default", "Information");
    setup.set("Settings__RetryAttemptsMax", "1000000").set("Settings__MissingWaitMax", "01:00:00");
    setup
        .set("Settings__BlockedWaitMax", "01:00:00")
        .set("Settings__ReopenDelayMax", "00:00:00.200");
    let mut writer = Writer::new(seed, changes);
    let mut chance = Chance(seed);
    for round in 1..=rounds {
        let replicator = setup.start();
        let after = destination.log_length() + usize::try_from(chance.below(APPENDS)).unwrap();
        writer.write(&source);
        [&source, &destination].into_iter().for_each(|server| fail(server, &mut chance));
        // killed in the middle: after some events arrived, with more failures on their way
        let mut arrived = destination.log_length();
        while arrived < after {
            arrived += 1 + usize::try_from(chance.below(30)).unwrap();
            let grown = destination.grows_to(arrived.min(after));
            let grown = tokio::time::timeout(PATIENCE, grown).await;
            let output = replicator.output();
            assert!(grown.is_ok(), "seed {seed}, round {round}: events arrive\n{output}");
            fail(&destination, &mut chance);
            fail(&source, &mut chance);
        }
        replicator.kill().await;
        if round % COMPARE_AFTER == 0 || round == rounds {
            compare(seed, round, &writer, &source, &destination, &setup).await;
        }
    }

    // the next event shows the numbers that a deletion hides
    writer.append_to_all(&source);
    compare(seed, rounds + 1, &writer, &source, &destination, &setup).await;
    if changes.is_empty() {
        let report = setup.verify().await;
        let same: u64 = report.streams.values().map(|one| one.same).sum();
        assert!(report.is_equal(), "{}", report.table());
        assert_eq!(same, writer.model.event_count() as u64, "{}", report.table());
    }
}

/// Runs the replicator without faults until the destination is as the model.
async fn compare(
    seed: u64,
    round: u64,
    writer: &Writer,
    source: &TestServer,
    destination: &TestServer,
    setup: &Setup,
) {
    source.faults().clear();
    destination.faults().clear();
    let at = format!("seed {seed}, round {round}");
    if let Err(difference) = writer.model.compare(source).await {
        panic!("{at}: the source is not as the model: {difference}");
    }
    let mut replicator = setup.start();
    let mut last = Ok(());
    let equal = async {
        loop {
            last = writer.model.compare(destination).await;
            if last.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, equal).await;
    let parked = setup.execute(&["park", "list"]).await.1;
    if let (Err(_), Err(difference)) = (waited, last) {
        let output = replicator.output();
        let end = output.len().saturating_sub(3000);
        let end = output.get(end..).unwrap_or(&output);
        panic!("{at}: {difference}\n\nparked:\n{parked}\nthe replicator said at last:\n{end}");
    }
    assert!(parked.contains("0 events in parking lots"), "{at}: {parked}");
    replicator.stop().await;
}

/// Writes to the source, and to the model.
struct Writer {
    model: Model,
    chance: Chance,
    changes: Vec<Change>,
    /// How often each stream was buried: a stream with a tombstone is followed by another.
    buried: [u64; STREAMS as usize],
    written: u64,
}

impl Writer {
    fn new(seed: u64, changes: &[Change]) -> Self {
        let buried = [0; STREAMS as usize];
        let (model, chance, changes) = (Model::default(), Chance(seed), changes.to_vec());
        Self { model, chance, changes, buried, written: 0 }
    }

    /// The appends and changes of a round.
    fn write(&mut self, source: &TestServer) {
        for _ in 0..APPENDS {
            let number = usize::try_from(self.chance.below(STREAMS)).unwrap();
            let name = self.name(number);
            let event = self.event();
            self.model.append(source, &name, event);
            if !self.changes.is_empty() && self.chance.below(5) == 0 {
                self.change(source, number, &name);
            }
        }
    }

    fn append_to_all(&mut self, source: &TestServer) {
        for name in self.model.living() {
            let event = self.event();
            self.model.append(source, &name, event);
        }
    }

    fn change(&mut self, source: &TestServer, number: usize, name: &str) {
        let which = usize::try_from(self.chance.below(self.changes.len() as u64)).unwrap();
        let count = 1 + self.chance.below(4);
        let metadata = match self.changes[which] {
            Change::Delete => return self.model.delete(source, name),
            Change::Tombstone => {
                self.buried[number] += 1;
                return self.model.tombstone(source, name);
            }
            Change::Count => format!(r#"{{"$maxCount":{count}}}"#),
            Change::Before => {
                let before = self.model.length(name).saturating_sub(count);
                format!(r#"{{"$tb":{before}}}"#)
            }
            Change::Odd => {
                format!(r#"{{"z":12345678901234567890123,"a":1.50,"$maxCount":{count}}}"#)
            }
            Change::Empty => "{}".to_owned(),
        };
        self.model.describe(source, name, &metadata);
    }

    fn name(&self, number: usize) -> String {
        match self.buried[number] {
            0 => format!("order-{number}"),
            buried => format!("order-{number}-{buried}"),
        }
    }

    fn event(&mut self) -> antiphon_eventstore::NewEvent {
        self.written += 1;
        event(&self.written.to_string())
    }
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
