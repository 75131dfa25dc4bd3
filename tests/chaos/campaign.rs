//! Rounds of faults: after each round everything must work again within a time, both places must be
//! equal, and no rule may be broken.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use antiphon::app::client::Client;
use antiphon::app::cluster::LocalJournals;
use antiphon_base::task;
use antiphon_base::time::{Clock, SystemClock};
use antiphon_runtime::transport::memory::SplitMix64;
use antiphon_tests::files::{copy_journal, remove_journal};
use antiphon_tests::history::{History, Journals, Rewind, check_answers, check_journals};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::disk::Disk;
use crate::load::{Load, entities};
use crate::nemesis::{Menu, Plan, Step, plan};
use crate::nodes::{EACH, NODES, Nodes, PLACES, place_of};
use crate::proxy::Network;
use crate::{journals, planted};

/// The settings of a campaign.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) rounds: u32,
    pub(crate) seed: u64,
    pub(crate) journals: LocalJournals,
    /// True when journals go back to older copies.
    pub(crate) rewinds: bool,
    /// Text that the names of all faults must contain; empty for all faults.
    pub(crate) only: &'static str,
}

/// Rounds that use the same entities.
const GROUP_ROUNDS: u32 = 5;
const CLIENTS: u64 = 8;
/// Shortest duration of a round.
const ROUND_MIN: Duration = Duration::from_secs(4);
/// Time after the last fault within which each shard must answer, through each node.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// Time after the last fault within which both places must have the same events.
const EQUAL_WITHIN: Duration = Duration::from_secs(30);
/// Longest time of the first start, with four processes at once.
const START_WITHIN: Duration = Duration::from_secs(60);
/// Entities that are asked to find out whether each shard answers.
const PROBES: usize = 24;

/// A running campaign.
pub(crate) struct Campaign {
    settings: Settings,
    nodes: Nodes,
    network: Network,
    load: Load,
    disks: Vec<Option<Disk>>,
    backups: BTreeMap<usize, PathBuf>,
    /// By group, the streams at its end.
    done: Vec<(u32, Journals)>,
    slowest: (Duration, Duration),
    // the last field: the disks are unmounted before the folder is deleted
    folder: TempDir,
}

impl Campaign {
    pub(crate) async fn start(settings: Settings) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let network = Network::new();
        let is_on_files = settings.journals.file(folder.path(), PLACES[0]).is_some();
        let disk = |place: &&str| {
            is_on_files.then(|| Disk::mount(&folder.path().join(place.to_lowercase()))).flatten()
        };
        let disks = PLACES.iter().map(disk).collect();
        let path = folder.path().to_owned();
        let nodes = Nodes::start(path, settings.journals.clone(), &network).await;
        let load = Load::start(settings.seed, CLIENTS);
        let (backups, done, slowest) = (BTreeMap::new(), Vec::new(), Default::default());
        Self { settings, nodes, network, load, disks, backups, done, slowest, folder }
    }

    /// Runs all rounds.
    ///
    /// # Errors
    /// The first broken rule, with the round, the faults of the round, and the folder of the logs.
    pub(crate) async fn run(mut self) -> Result<(), String> {
        let Settings { rounds, seed, journals, .. } = self.settings.clone();
        println!("{rounds} rounds on {}, SEED={seed}", journals.kind);
        let mut random = SplitMix64::new(seed);
        let menu = self.menu();
        let mut now = "the start".to_owned();
        let mut outcome = self.everything_answers(START_WITHIN).await.map(drop);
        for round in 0..rounds {
            if outcome.is_err() {
                break;
            }
            let plan = plan(&mut random, menu);
            now = format!("round {round}: {plan}");
            println!("{now}");
            let is_last = round + 1 == rounds || (round + 1) % GROUP_ROUNDS == 0;
            outcome = self.round(&plan, is_last).await;
        }
        if outcome.is_ok() {
            outcome = self.nothing_is_lost_later().await;
        }
        let (answers, equal) = self.slowest;
        let (answered, failed) = self.load.counts();
        println!(
            "{answered} operations answered, {failed} not; {} starts; {} kB between nodes; after the last fault of a \
             round all answered within {answers:?}, equal within {equal:?}",
            self.nodes.starts(),
            self.network.passed() / 1000
        );
        let outcome = outcome.map_err(|reason| {
            let kept = self.keep();
            format!("SEED={seed}, {now}\n{reason}\nlogs and journals: {}", kept.display())
        });
        self.load.stop().await;
        self.nodes.stop().await;
        outcome
    }

    fn menu(&self) -> Menu {
        let (disks, is_on_files) =
            (self.disks.iter().all(Option::is_some), self.nodes.is_on_files());
        if is_on_files && !disks {
            println!("left out: full disks need root, who can mount some");
        }
        let server = !is_on_files && std::env::var_os("CASSANDRA_DIR").is_some();
        let (rewinds, only) = (self.settings.rewinds && is_on_files, self.settings.only);
        Menu { disks, rewinds, server, only }
    }

    /// Copies the folder of the run to a folder that stays.
    fn keep(&self) -> PathBuf {
        let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/chaos");
        let target = target.join(self.settings.seed.to_string());
        let _ = std::fs::create_dir_all(&target);
        let copied = std::process::Command::new("cp")
            .args(["-r", "-T"])
            .args([self.folder.path(), &target])
            .status();
        drop(copied);
        target
    }

    fn look_after(&mut self) {
        self.nodes.supervise();
        self.load.addresses(self.nodes.addresses());
    }

    async fn round(&mut self, plan: &Plan, is_last_of_group: bool) -> Result<(), String> {
        self.load.go_on();
        let clock = SystemClock;
        let start = clock.now();
        let mut steps = plan.steps.iter().peekable();
        loop {
            let passed = clock.now() - start;
            while let Some((_, step)) = steps.next_if(|(at, _)| *at <= passed) {
                self.step(step).await?;
            }
            if steps.peek().is_none() && passed > ROUND_MIN {
                break;
            }
            self.look_after();
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        self.settle().await;
        let calm = clock.now();
        let answered = self.everything_answers(ANSWERS_WITHIN).await?;
        self.load.pause().await;
        let entities = entities(self.load.group());
        let (journals, equal) = self.everything_is_equal(calm, &entities).await?;
        self.slowest = (self.slowest.0.max(answered), self.slowest.1.max(equal));
        self.load.history(|history| check(history, &journals))?;
        if is_last_of_group {
            let group = self.load.group();
            let history = self.load.next_group();
            planted::each_is_found(&history, &journals)?;
            self.done.push((group, journals));
        }
        Ok(())
    }

    async fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Kill(node) => self.nodes.kill(*node).await,
            Step::LetGo(node) => self.nodes.let_go(*node),
            Step::Terminate(node) => self.nodes.signal(*node, "TERM").await,
            Step::Freeze(node) => self.nodes.signal(*node, "STOP").await,
            Step::Wake(node) => self.nodes.signal(*node, "CONT").await,
            Step::Cut { ways, breaks } => {
                for way in ways {
                    self.network.break_after_cut(*way, *breaks);
                    self.network.cut(*way);
                }
            }
            Step::Delay { ways, delay } => {
                for way in ways {
                    self.network.delay(*way, *delay);
                }
            }
            Step::Heal(ways) => self.network.heal(ways),
            Step::Fill(place) => {
                if let Some(disk) = &self.disks[*place] {
                    disk.fill();
                }
            }
            Step::Free(place) => {
                if let Some(disk) = &self.disks[*place] {
                    disk.free();
                }
            }
            Step::Server(what) => server(what).await?,
            Step::Backup(place) => self.back_up(*place).await,
            Step::Rewind { place, delete } => self.rewind(*place, *delete).await?,
        }
        Ok(())
    }

    fn of_place(place: usize) -> impl Iterator<Item = usize> {
        (0..NODES).filter(move |node| place_of(*node) == place)
    }

    /// Copies the journal of a place from the disk; the nodes of the place are stopped meanwhile.
    async fn back_up(&mut self, place: usize) {
        for node in Self::of_place(place) {
            self.nodes.signal(node, "STOP").await;
        }
        let copy = self.folder.path().join(format!("backup-{place}"));
        copy_journal(&self.nodes.journal_file(place), &copy);
        self.backups.insert(place, copy);
        for node in Self::of_place(place) {
            self.nodes.signal(node, "CONT").await;
        }
    }

    /// Kills the nodes of a place, replaces its journal by the copy or deletes it, and lets the
    /// nodes start.
    async fn rewind(&mut self, place: usize, delete: bool) -> Result<(), String> {
        for node in Self::of_place(place) {
            self.nodes.kill(node).await;
        }
        let from = self.load.now();
        let entities = entities(self.load.group());
        let mut kept = std::collections::BTreeSet::new();
        for other in (0..PLACES.len()).filter(|other| *other != place) {
            let journals = journals::of_place(&self.nodes, other, &entities).await?;
            kept.extend(journals.values().flatten().filter_map(|event| event.id));
        }
        let file = self.nodes.journal_file(place);
        remove_journal(&file);
        if let (false, Some(copy)) = (delete, self.backups.get(&place)) {
            copy_journal(copy, &file);
        }
        let (until, replica) = (self.load.now(), PLACES[place].to_owned());
        self.load.history(|history| {
            let lost = history.lost_at(&replica, &kept);
            history.rewinds.push(Rewind { replica: replica.clone(), from, until, lost });
        });
        for node in Self::of_place(place) {
            self.nodes.let_go(node);
        }
        Ok(())
    }

    /// Ends every fault.
    async fn settle(&mut self) {
        let ways: Vec<_> = (0..NODES).flat_map(|a| (0..NODES).map(move |b| (a, b))).collect();
        self.network.heal(&ways);
        for disk in self.disks.iter().flatten() {
            disk.free();
        }
        for node in 0..NODES {
            self.nodes.signal(node, "CONT").await;
            self.nodes.let_go(node);
        }
        self.look_after();
    }

    /// Waits until each shard answers at each replica through each node; returns the time that this
    /// took.
    async fn everything_answers(&mut self, within: Duration) -> Result<Duration, String> {
        let clock = SystemClock;
        let start = clock.now();
        let mut silent: Vec<Vec<usize>> = vec![(0..PROBES).collect(); NODES];
        let mut last = (0, "no node has an address".to_owned());
        loop {
            self.look_after();
            let mut asked = Vec::new();
            for (node, _, address) in self.nodes.addresses() {
                let probes = std::mem::take(&mut silent[node]);
                asked.push((node, task::spawn("probe of a node", ask_all(address, probes))));
            }
            for (node, answered) in asked {
                let (left, reason) = answered.await.map_err(|error| error.to_string())?;
                silent[node] = left;
                last = reason.map_or(last, |reason| (node, reason));
            }
            let took = clock.now() - start;
            let is_done = silent.iter().all(Vec::is_empty);
            if took > within {
                let ((node, reason), name) = (&last, self.nodes.name(last.0));
                let (log, rest) = (self.nodes.log_end(*node, 15), silent.concat().len());
                return Err(format!(
                    "liveness: {took:?} after the last fault, at most {within:?}: {rest} entities do not answer; {name}: {reason}\n{log}"
                ));
            }
            if is_done {
                return Ok(took);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until both journals have the same events; returns the journals, and the time that this
    /// took.
    async fn everything_is_equal(
        &mut self,
        since: Instant,
        entities: &[(&str, String)],
    ) -> Result<(Journals, Duration), String> {
        let clock = SystemClock;
        loop {
            self.look_after();
            let passed = clock.now() - since;
            let reason = match journals::of_all(&self.nodes, entities).await {
                Err(reason) => reason,
                Ok(journals) => {
                    let found = check_journals(&History::default(), &journals);
                    let mut found = found.iter().filter(|found| found.rule == "convergence");
                    match found.next() {
                        None => return Ok((journals, passed)),
                        Some(difference) => difference.to_string(),
                    }
                }
            };
            if passed > EQUAL_WITHIN {
                return Err(format!(
                    "liveness: not equal {EQUAL_WITHIN:?} after the last fault: {reason}"
                ));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Checks that the entities of earlier groups still have all their events.
    async fn nothing_is_lost_later(&mut self) -> Result<(), String> {
        for (group, before) in std::mem::take(&mut self.done) {
            let (after, _) = self.everything_is_equal(SystemClock.now(), &entities(group)).await?;
            for (key, stream) in &before {
                let mut events: Vec<_> = after.get(key).cloned().unwrap_or_default();
                let mut expected = stream.clone();
                // a journal that went back has the events in another order
                events.sort();
                expected.sort();
                if events != expected {
                    return Err(format!(
                        "no_lost_ack: {key:?} had {} events, and has {} now",
                        expected.len(),
                        events.len()
                    ));
                }
            }
        }
        Ok(())
    }
}

fn check(history: &History, journals: &Journals) -> Result<(), String> {
    let mut found = check_answers(history);
    found.extend(check_journals(history, journals));
    if found.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = found.iter().take(12).map(ToString::to_string).collect();
    Err(format!("{} rules are broken:\n{}", found.len(), lines.join("\n")))
}

/// Asks entities at each replica through a node, until an entity does not answer. Returns the
/// entities that did not answer yet, and the reason.
async fn ask_all(address: String, mut probes: Vec<usize>) -> (Vec<usize>, Option<String>) {
    while let Some(probe) = probes.last() {
        let [first, second] = PLACES;
        let (first, second) =
            tokio::join!(ask(&address, *probe, first), ask(&address, *probe, second));
        if let Err(reason) = first.and(second) {
            return (probes, Some(reason));
        }
        probes.pop();
    }
    (probes, None)
}

async fn ask(address: &str, probe: usize, replica: &str) -> Result<(), String> {
    let mut client = Client::new(address).with_timeout(Duration::from_secs(3));
    let path = format!("/entities/counter/probe-{probe}");
    let answer = client.json(&path, &[("antiphon-replica", replica)]).await;
    answer.map(drop).map_err(|error| format!("{path} at {replica}: {error}"))
}

/// Sends a command to the server of `deploy/cassandra`; `CASSANDRA_NET` and `CASSANDRA_DIR` name
/// the server.
async fn server(what: &str) -> Result<(), String> {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/cassandra");
    let mut command = tokio::process::Command::new(script);
    command.args([what, "1"]).stdin(std::process::Stdio::null());
    let output = command.output().await.map_err(|error| error.to_string())?;
    let error = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("deploy/cassandra {what}: {error}")) }
}

const _: () = assert!(EACH > 1, "a place must have a neighbour to be cut from");
