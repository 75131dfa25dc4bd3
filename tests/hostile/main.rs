//! Programs that attack the link port of a real node, while honest clients ask it over HTTP.
//!
//! ```bash
//! cargo test -p antiphon-tests --test hostile         # the short form, in `make check`
//! make soak-hostile                                   # 1 GB of noise, 10,000 silent connections
//! HALF_OPEN=2000 NOISE_MB=100 ATTACK_SECONDS=60       # the sizes, one by one
//! NODE_BINARY=target/release/antiphon                 # nodes of an existing binary
//! ```
//!
//! Strangers attack nodes whose links have certificates. Liars know the cookie of nodes without
//! certificates, and speak the protocol. In all runs: each honest ask is answered, nothing panics,
//! the memory of the node stays within 64 MiB, a node that starts again gets in, each refusal is
//! counted with its reason, and nothing is kept when the attack is over. In the long form, the
//! asks also keep their times: their p99 is less than twice that of the calm time.

mod liars;
mod load;
mod strangers;
mod target;
mod wire;

use std::time::Duration;

use antiphon_base::task;
use antiphon_base::time::{Clock, SystemClock};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use load::{Load, Times};
use target::{MEMORY_MAX, Target};

/// The sizes of an attack.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    /// Bytes of noise.
    noise_bytes: usize,
    /// Connections that stay silent, and are made again when they are closed.
    half_open: usize,
    /// Time of the attack, and of the calm before it.
    time: Duration,
    /// True when the times of honest asks are asserted.
    is_timed: bool,
}

fn number<T: std::str::FromStr>(name: &str, default: T) -> T {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => {
            text.parse().unwrap_or_else(|_| panic!("{name}: expected a number, actual {text}"))
        }
        _ => default,
    }
}

impl Sizes {
    fn of_environment() -> Self {
        Self {
            noise_bytes: number("NOISE_MB", 16) << 20,
            half_open: number("HALF_OPEN", 500),
            time: Duration::from_secs(number("ATTACK_SECONDS", 6)),
            is_timed: number("TIMED", 0) > 0,
        }
    }
}

/// Least p99 of the calm time: below, a pause of the scheduler decides and not the node.
const CALM_FLOOR: Duration = Duration::from_millis(3);

/// Runs the attackers, each in a task, beside honest asks, and checks what all attacks have in
/// common.
async fn attack(mut target: Target, sizes: Sizes, start: impl FnOnce(&mut JoinSet<()>)) -> Target {
    let load = Load::start(&target.http());
    let calm = load.during(sizes.time).await;
    let before = target.memory();
    let watch = target.watch();
    let mut attackers = JoinSet::new();
    let elsewhere = other_machines();
    {
        let _entered = elsewhere.enter();
        start(&mut attackers);
    }
    let hot = load.during(sizes.time).await;
    // those that have a number of bytes to send go on to their end
    let clock = SystemClock;
    let began = clock.now();
    let ended = async {
        while let Some(ended) = attackers.join_next().await {
            ended.expect("an attacker without a panic");
        }
    };
    let more = load.until(ended).await;
    elsewhere.shutdown_background();
    println!("calm: {calm}\nattacked: {hot}\nrest, {:?}: {more}", clock.now() - began);
    let failed: Vec<String> = load.stop().await;
    assert!(failed.is_empty(), "{} honest asks failed: {:?}", failed.len(), failed.first());
    assert!(calm.count() > 0 && hot.count() > 0, "honest asks");
    if sizes.is_timed {
        in_time(&calm, &hot);
    }
    target.idle().await;
    let (most, after) = (watch.most(), target.memory());
    println!("memory: before {before} KiB, at most {most} KiB, after {after} KiB");
    for memory in [most, after] {
        assert!(memory < before + MEMORY_MAX, "{memory} KiB, before {before} KiB");
    }
    assert_eq!(target.metric("antiphon_gate_service_panics_total").await, 0);
    assert!(!target.log().contains("panicked"), "{}", target.log());
    target
}

/// A runtime for the attackers. They stand for other machines, so their threads have the lowest
/// priority: the work that they make for the node counts, and their own does not.
fn other_machines() -> Runtime {
    let lowest = || {
        rustix::process::setpriority_process(None, 19).expect("a lower priority is always allowed");
    };
    let mut threads = tokio::runtime::Builder::new_multi_thread();
    let runtime = threads.worker_threads(2).enable_all().on_thread_start(lowest).build();
    runtime.expect("a runtime")
}

fn in_time(calm: &Times, hot: &Times) {
    let limit = 2 * calm.quantile(99).max(CALM_FLOOR);
    assert!(hot.quantile(99) < limit, "p99 {:?}, limit {limit:?}", hot.quantile(99));
}

/// The number of times that something was refused for each of these reasons: never zero.
async fn refused(target: &mut Target, reasons: &[&str]) {
    for reason in reasons {
        let name = format!("antiphon_links_refused_total{{reason=\"{reason}\"}}");
        let count = target.metric(&name).await;
        println!("{name} {count}");
        assert!(count > 0, "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_without_a_certificate_harm_nobody() {
    let sizes = Sizes::of_environment();
    let target = Target::start(true, "").await;
    let links = target.links();
    let mut target = attack(target, sizes, |attackers| {
        let until = SystemClock.now() + sizes.time;
        attackers.spawn(strangers::noise(links.clone(), sizes.noise_bytes));
        attackers.spawn(strangers::half_open(links.clone(), sizes.half_open, until));
        attackers.spawn(strangers::byte_by_byte(links.clone(), until));
        attackers.spawn(strangers::garbage_after_a_tls_head(links.clone(), until));
        attackers.spawn(strangers::reconnects(links, until));
    })
    .await;
    refused(&mut target, &["tls", "closed"]).await;
    if sizes.half_open > 1024 {
        refused(&mut target, &["greeting_full"]).await;
    }
    let flood = task::spawn("flood", {
        let until = SystemClock.now() + Duration::from_secs(3600);
        strangers::half_open(target.links(), sizes.half_open, until)
    });
    target.member_starts_again().await;
    flood.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn liars_that_know_the_cookie_harm_nobody() {
    let sizes = Sizes::of_environment();
    let target = Target::start(false, "").await;
    let links = target.links();
    liars::replayed_hellos(links.clone()).await;
    liars::frames_at_and_over_the_limit(links.clone()).await;
    let mut target = attack(target, sizes, |attackers| {
        let until = SystemClock.now() + sizes.time;
        attackers.spawn(strangers::half_open(links.clone(), sizes.half_open, until));
        attackers.spawn(liars::frames_far_ahead(links.clone(), until));
        attackers.spawn(liars::unfinished_messages(links.clone(), until));
        attackers.spawn(liars::asks_without_reading(links.clone(), until));
        attackers.spawn(liars::honest_hellos(links.clone(), 48));
        // who greets without end displaces other liars: these have half of the time to themselves
        attackers.spawn(async move {
            tokio::time::sleep(sizes.time / 2).await;
            tokio::join!(
                liars::invalid_contents(links.clone(), sizes.noise_bytes, until),
                liars::greetings_without_end(links, until)
            );
        });
    })
    .await;
    refused(&mut target, &["own_id", "cookie", "not_a_node", "frame", "strangers_full"]).await;
    for name in [
        "antiphon_gate_dropped_total{reason=\"malformed_frame\"}",
        "antiphon_gate_dropped_total{reason=\"no_service\"}",
        "antiphon_gate_link_restarts_total{reason=\"malformed_frame\"}",
        "antiphon_gate_link_restarts_total{reason=\"strangers_bytes_max\"}",
        "antiphon_wire_refused_total{reason=\"no_member\"}",
    ] {
        assert!(target.metric(name).await > 0, "{name}");
    }
    target.member_starts_again().await;
}

/// A command of 8 MB that claims as many answers took 335 MB, and hung the node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_of_8_mb_costs_little_more_than_its_bytes() {
    let mut target = Target::start(false, "strangers_bytes_per_second_max = 1073741824").await;
    let before = target.memory();
    let watch = target.watch();
    let began = SystemClock.now();
    liars::long_commands(target.links()).await;
    let most = watch.most();
    println!("{:?}, before {before} KiB, at most {most} KiB", SystemClock.now() - began);
    assert!(most < before + MEMORY_MAX, "{most} KiB, before {before} KiB");
    target.idle().await;
}
