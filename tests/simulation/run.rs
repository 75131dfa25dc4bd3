//! The run of a seed: trouble for a while, then calm, then every node must answer and all replicas
//! must be equal.

use std::cell::RefCell;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_persistence::entity::EntitySettings;
use antiphon_runtime::transport::memory::SplitMix64;
use antiphon_sharding::ShardingSettings;
use antiphon_testkit::harness::panics;
use tokio::task::LocalSet;
use tokio::time::Instant;

use crate::clients::{self, History};
use crate::cluster::{Cluster, cluster};
use crate::form::Form;
use crate::place::model_of;
use crate::rewind::Rewinds;
use crate::trace::Trace;
use crate::user::PLANNED;
use crate::{faults, invariants};

/// The result of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) verdict: Result<(), String>,
    pub(crate) trace: Vec<String>,
    /// The times after the last fault until every entity answered, and until all replicas were
    /// equal.
    pub(crate) took: (Duration, Duration),
}

/// Duration of the trouble.
const TROUBLE: Duration = Duration::from_secs(12);
/// Time after the last fault within which each replica of each entity must answer through each
/// node.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// Time after that within which all replicas must have the same events.
const EQUAL_WITHIN: Duration = Duration::from_secs(30);
/// Time after that within which every reminder that is due must have fired, and every event of
/// another replica must have its reaction.
const ACTS_WITHIN: Duration = Duration::from_secs(45);

/// Settings with short times, so that a run has many changes.
pub(crate) fn settings() -> ShardingSettings {
    ShardingSettings {
        entity: EntitySettings {
            snapshot_every: 7,
            // a command that hangs may arrive after the last fault: its entity answers again soon
            asynchronous_timeout: Duration::from_secs(2),
            // an entity that has failed often is tried again long before it must answer, also if
            // a statement of its recovery fails again: some fail in the calm too
            restart_max: Duration::from_secs(2),
            ..EntitySettings::default()
        },
        passivate_after: Duration::from_secs(4),
        loop_interval: Duration::from_secs(1),
        loop_interval_max: Duration::from_secs(3),
        loop_retell: Duration::from_secs(3),
        home_timeout: Duration::from_secs(4),
        // an entity that hangs is killed long before every shard must answer again
        stop_timeout: Duration::from_secs(3),
        reminder_interval: Duration::from_millis(300),
        reminder_retry_min: Duration::from_millis(500),
        reminder_retry_max: Duration::from_secs(2),
        // few, so that a run meets the bound
        reminders_in_flight_max: 8,
        ..ShardingSettings::default()
    }
}

/// Runs a seed to its end.
pub(crate) fn simulate(seed: u64) -> Outcome {
    panics::watch(Some(PLANNED));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let local = LocalSet::new();
    // a panic here, for example of an invariant that cannot read a journal, is reported with its
    // seed
    let run = AssertUnwindSafe(|| local.block_on(&runtime, run(seed)));
    let mut outcome = std::panic::catch_unwind(run).unwrap_or_else(|_| Outcome {
        verdict: Err("the run panicked".into()),
        trace: Vec::new(),
        took: (Duration::ZERO, Duration::ZERO),
    });
    drop(local);
    if let Some(panic) = panics::end() {
        outcome.verdict = Err(format!("a task panicked: {panic}"));
    }
    outcome
}

async fn run(seed: u64) -> Outcome {
    let start = SystemClock.now();
    let trace = Trace::new(start);
    let mut random = SplitMix64::new(seed);
    let places: &[&'static str] =
        if random.next_u64().is_multiple_of(3) { &["A", "B", "C"] } else { &["A", "B"] };
    let mut settings = settings();
    settings.direct_replication = !random.next_u64().is_multiple_of(8);
    settings.event_publishing = !random.next_u64().is_multiple_of(8);
    // three nodes, of which two can be cut from each other, are slow to simulate
    let nodes = if places.len() == 2 && random.next_u64().is_multiple_of(4) { 3 } else { 2 };
    let (form, nodes) = Form::of(seed).unwrap_or_else(|| (Form::each_place(places), nodes));
    let mut cluster = cluster(seed, start, form, nodes, model_of(seed), settings);
    for index in 0..cluster.members.len() {
        cluster.begin_start(index);
    }
    let history = Rc::new(RefCell::new(History::default()));
    let rewinds = Rewinds::new(seed, &cluster, start);
    let mut verdict = trouble(&mut cluster, &mut random, rewinds, &history, &trace, start).await;
    let mut took = (Duration::ZERO, Duration::ZERO);
    if verdict.is_ok() {
        verdict = calm(&mut cluster, &history, &trace, &mut took).await;
    }
    trace.say(format!("{:?}", cluster.network.stats()));
    for index in 0..cluster.members.len() {
        cluster.crash(index);
    }
    Outcome { verdict, trace: trace.lines(), took }
}

async fn trouble(
    cluster: &mut Cluster,
    random: &mut SplitMix64,
    mut rewinds: Rewinds,
    history: &Rc<RefCell<History>>,
    trace: &Trace,
    start: Instant,
) -> Result<(), String> {
    let mut strike_at = start + Duration::from_millis(1500);
    while SystemClock.now() - start < TROUBLE {
        cluster.collect();
        cluster.restart_fenced();
        cluster.end_pauses();
        clients::request(cluster, random, history, trace);
        rewinds.step(cluster, history, trace).await;
        invariants::single_home::check(cluster)?;
        invariants::right_role::check(cluster)?;
        invariants::acts::check(cluster)?;
        if SystemClock.now() >= strike_at {
            faults::strike(cluster, random, trace);
            strike_at = SystemClock.now() + Duration::from_millis(100 + random.next_u64() % 900);
        }
        tokio::time::sleep(Duration::from_millis(1 + random.next_u64() % 60)).await;
    }
    Ok(())
}

async fn calm(
    cluster: &mut Cluster,
    history: &Rc<RefCell<History>>,
    trace: &Trace,
    took: &mut (Duration, Duration),
) -> Result<(), String> {
    trace.say("calm".into());
    let since = SystemClock.now();
    let [mut answers, mut equal, mut acts] = [(); 3].map(|()| Err("not asked".to_owned()));
    while answers.is_err() || equal.is_err() || acts.is_err() {
        cluster.collect();
        cluster.restart_fenced();
        faults::calm(cluster);
        invariants::single_home::check(cluster)?;
        invariants::right_role::check(cluster)?;
        let passed = || SystemClock.now() - since;
        if answers.is_err() {
            answers = everybody_works(cluster).await;
            took.0 = passed();
            in_time(&answers, took.0, ANSWERS_WITHIN)?;
        }
        if equal.is_err() {
            equal = invariants::convergence::check(cluster).await;
            took.1 = passed();
            in_time(&equal, took.1, EQUAL_WITHIN)?;
        }
        invariants::acts::check(cluster)?;
        if equal.is_ok() && acts.is_err() {
            acts = invariants::reminders::check_fired(cluster).await;
            if acts.is_ok() {
                acts = invariants::reactions::check_done(cluster).await;
            }
            in_time(&acts, passed(), ACTS_WITHIN)?;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    trace.say("well".into());
    let counts = cluster.user.acts.with(|log| log.counts);
    trace.say(format!("{} calls for reminders, {} reactions", counts.0, counts.1));
    invariants::reminders::check_once(cluster).await?;
    invariants::reactions::check_once(cluster).await?;
    invariants::single_writer::check(cluster)?;
    invariants::exactly_once::check(cluster).await?;
    invariants::no_fork::check(cluster).await?;
    invariants::causal_order::check(cluster).await?;
    let history = std::mem::take(&mut *history.borrow_mut());
    invariants::no_lost_ack::check(cluster, &history).await?;
    invariants::no_stale_read::check(&history)?;
    invariants::true_answer::check(cluster, &history).await?;
    if history.acknowledgements == 0 {
        return Err("a run without one acknowledged command".into());
    }
    Ok(())
}

fn in_time(state: &Result<(), String>, passed: Duration, within: Duration) -> Result<(), String> {
    match state {
        Err(reason) if passed > within => {
            Err(format!("liveness: {passed:?} after the last fault, at most {within:?}: {reason}"))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Checks that each replica of each entity answers through each node. All are asked at once: the
/// first message on a link that lost frames finds that out and is lost, which must not count once
/// for each link.
async fn everybody_works(cluster: &Cluster) -> Result<(), String> {
    if cluster.running().count() < cluster.members.len() {
        return Err("not all nodes are up".into());
    }
    let mut asks = Vec::new();
    for (member, running) in cluster.running() {
        for replica in cluster.replicas() {
            for number in 0..clients::ENTITIES {
                let entity = format!("l-{number}");
                let ledger = running.sharding.entity_ref_for(&entity, &replica);
                let ledger = ledger.map_err(|error| error.to_string())?;
                let name = format!("{entity} at {replica} through {}", member.name);
                asks.push(async move {
                    let answer = ledger.ask(|reply_to| crate::ledger::Command::Read { reply_to });
                    answer.await.map(drop).map_err(|error| format!("{name}: {error}"))
                });
            }
        }
    }
    futures::future::join_all(asks).await.into_iter().collect()
}
