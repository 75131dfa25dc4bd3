//! The demonstration, for a user who wants to see the replicator at work before trusting it.
//!
//! Two event stores run in this process. A second process of this program replicates `$ce-customer`
//! from one to the other, through a persistent subscription group as Ditto does. The second process
//! is killed half-way, without a chance to clean up, and started again. In the end every stream is
//! compared.

mod child;

use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_eventstore_testserver::{ServerSettings, TestServer};
use child::Child;

use crate::cli::customer_event;
use crate::config;
use crate::say::say;
use crate::verify::{self, Report};
use crate::{Error, Result};

const CUSTOMERS: u32 = 20;
const EVENTS: u32 = 100;
/// Longest time of each phase.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs the demonstration; returns whether every check passed.
///
/// # Errors
/// `Unavailable` when a server or the other process cannot be started.
pub async fn demo() -> Result<bool> {
    let settings = || ServerSettings { listen: "127.0.0.1:0".to_owned(), ..Default::default() };
    let source = TestServer::start(settings()).await.map_err(crate::source::error)?;
    let destination = TestServer::start(settings()).await.map_err(crate::source::error)?;
    let folder =
        std::env::temp_dir().join(format!("antiphon-replicator-demo-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| {
        Error::unavailable(format!("folder `{}`: {error}", folder.display())).with_source(error)
    })?;
    say(&format!("source       {}", source.connection_string()))?;
    say(&format!("destination  {}", destination.connection_string()))?;

    let variables = variables(&source, &destination);
    let result = play(&source, &destination, &folder, &variables).await;
    if let Err(error) = std::fs::remove_dir_all(&folder) {
        tracing::warn!(%error, "the demonstration's folder stays");
    }
    result
}

fn variables(source: &TestServer, destination: &TestServer) -> Vec<(String, String)> {
    let of = |name: &str, value: String| (format!("Ditto_{name}"), value);
    vec![
        of("Settings__SourceEventStoreConnectionString", source.connection_string()),
        of("Settings__DestinationEventStoreConnectionString", destination.connection_string()),
        of("Settings__Subscriptions__0__StreamName", "$ce-customer".to_owned()),
        of("Settings__Subscriptions__0__GroupName", "Ditto".to_owned()),
        of("Settings__Subscriptions__0__CreateGroup", "true".to_owned()),
        of("Settings__PersistentSubscriptionBufferSize", "50".to_owned()),
        of("Serilog__MinimumLevel__Default", "Warning".to_owned()),
    ]
}

async fn play(
    source: &TestServer,
    destination: &TestServer,
    folder: &std::path::Path,
    variables: &[(String, String)],
) -> Result<bool> {
    seed(source, 0..EVENTS / 2)?;
    say(&format!("seeded       {} events in {CUSTOMERS} streams", CUSTOMERS * EVENTS / 2))?;
    let first = Child::start(folder, variables)?;
    let half = usize::try_from(CUSTOMERS * EVENTS / 4).unwrap_or(usize::MAX);
    let before = SystemClock.now();
    let reached = wait_for(|| own_events(destination) >= half).await;
    let at_kill = own_events(destination);
    first.kill().await?;
    say(&format!("killed       the replicator, with about {at_kill} events over"))?;

    seed(source, EVENTS / 2..EVENTS)?;
    let second = Child::start(folder, variables)?;
    let all = usize::try_from(CUSTOMERS * EVENTS).unwrap_or(usize::MAX);
    let arrived = wait_for(|| own_events(destination) >= all).await;
    let seconds = (SystemClock.now() - before).as_secs_f64();
    let stopped = second.terminate(PATIENCE).await?;
    let loaded = config::load(folder, variables.iter().cloned())?;
    let report = verify::verify(&loaded.config).await?;
    show(&report, reached && arrived, stopped, seconds)
}

fn show(report: &Report, arrived: bool, stopped: bool, seconds: f64) -> Result<bool> {
    let events: u64 = report.streams.values().map(|one| one.same).sum();
    let sum = |of: fn(&verify::StreamReport) -> u64| report.streams.values().map(of).sum::<u64>();
    let wanted = u64::from(CUSTOMERS * EVENTS);
    let checks = [
        ("every event arrived", arrived, format!("{events} of {wanted} in {seconds:.1} s")),
        ("nothing is missing", sum(|one| one.missing) == 0, sum(|one| one.missing).to_string()),
        ("nothing is there twice", sum(|one| one.extra) == 0, sum(|one| one.extra).to_string()),
        (
            "order is kept",
            sum(|one| one.out_of_order) == 0,
            sum(|one| one.out_of_order).to_string(),
        ),
        (
            "events are unchanged",
            sum(|one| one.different) == 0,
            sum(|one| one.different).to_string(),
        ),
        ("all were compared", events == wanted, format!("{events}")),
        ("it stopped when told to", stopped, if stopped { "exit code 0" } else { "no" }.to_owned()),
    ];
    say("")?;
    for (what, is_good, value) in &checks {
        say(&format!("{:4} {what:26} {value}", if *is_good { "ok" } else { "FAIL" }))?;
    }
    Ok(checks.iter().all(|(_, is_good, _)| *is_good))
}

fn seed(source: &TestServer, events: std::ops::Range<u32>) -> Result<()> {
    for number in events {
        for customer in 1..=CUSTOMERS {
            let event = customer_event(customer, number);
            source
                .append(&format!("customer-{customer}"), vec![event])
                .map_err(crate::source::error)?;
        }
    }
    Ok(())
}

/// Events at the destination: half of its log, because each is linked to its category.
fn own_events(destination: &TestServer) -> usize {
    destination.log_length() / 2
}

async fn wait_for(is_there: impl Fn() -> bool) -> bool {
    let wait = async {
        while !is_there() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.is_ok()
}
