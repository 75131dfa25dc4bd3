//! Two nodes of a place, of which the second is attacked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use antiphon::app::client::Client;
use antiphon::app::cluster::{LocalCluster, LocalClusterSettings, LocalJournals};
use antiphon_base::task;
use antiphon_base::time::{Clock, SystemClock};
use antiphon_tests::antiphon_binary;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::wire::COOKIE;

/// Longest time that the test waits for something.
const PATIENCE: Duration = Duration::from_secs(120);
/// Most memory that an attack may take, in KiB.
pub(crate) const MEMORY_MAX: u64 = 64 * 1024;
/// The node that is attacked. The other node dials it, because its id is smaller.
const ATTACKED: usize = 1;

/// The nodes.
pub(crate) struct Target {
    cluster: LocalCluster,
    client: Client,
    _folder: TempDir,
    // one attack at a time: others would take the processor from its node
    _turn: tokio::sync::MutexGuard<'static, ()>,
}

/// Looks at the memory of a process again and again.
pub(crate) struct Watch {
    most: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Target {
    /// Starts the nodes, with certificates or with a cookie; `links` is added to their table of
    /// that name.
    pub(crate) async fn start(tls: bool, links: &str) -> Self {
        static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        let turn = TURN.lock().await;
        more_descriptors();
        let folder = TempDir::new().expect("a temporary folder");
        let cookie = if tls { "" } else { COOKIE };
        let extra = format!("[links]\ncookie = {cookie:?}\n{links}\n");
        let cluster = LocalCluster::start(LocalClusterSettings {
            data_dir: folder.path().to_path_buf(),
            replicas: vec!["DC-A".to_owned()],
            nodes_per_replica: 2,
            journals: LocalJournals::default(),
            tls,
            extra,
            binary: antiphon_binary(),
            start_timeout: PATIENCE,
        });
        let cluster = cluster.await.expect("a cluster");
        let client = Client::new(cluster.nodes()[ATTACKED].http.clone()).with_timeout(PATIENCE);
        let mut target = Self { cluster, client, _folder: folder, _turn: turn };
        target.linked().await;
        target
    }

    /// The address of the attacked port.
    pub(crate) fn links(&self) -> String {
        self.cluster.nodes()[ATTACKED].links.clone()
    }

    /// The HTTP addresses of all nodes.
    pub(crate) fn http(&self) -> Vec<String> {
        self.cluster.nodes().iter().map(|node| node.http.clone()).collect()
    }

    /// The log of the attacked node.
    pub(crate) fn log(&self) -> String {
        let name = &self.cluster.nodes()[ATTACKED].name;
        std::fs::read_to_string(self.cluster.log(name)).unwrap_or_default()
    }

    fn process(&self) -> u32 {
        self.cluster.nodes()[ATTACKED].process_id().expect("a node that runs")
    }

    /// The resident memory of the attacked node, in KiB.
    pub(crate) fn memory(&self) -> u64 {
        memory_of(self.process()).expect("a node that runs")
    }

    /// Notes the most memory of the attacked node from now on.
    pub(crate) fn watch(&self) -> Watch {
        let (most, process) = (Arc::new(AtomicU64::new(0)), self.process());
        let seen = most.clone();
        let task = task::spawn("memory", async move {
            loop {
                seen.fetch_max(memory_of(process).unwrap_or_default(), Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        Watch { most, task }
    }

    /// A number of `/metrics`; zero when it is not there.
    pub(crate) async fn metric(&mut self, name: &str) -> u64 {
        let (_, text) = self.client.get("/metrics", &[]).await.expect("an answer");
        let text = String::from_utf8_lossy(&text).into_owned();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0, |value| value.trim().parse().expect("a number"))
    }

    async fn wait_for(&mut self, what: &str, expected: &[(&str, u64)]) {
        let until = SystemClock.now() + PATIENCE;
        loop {
            let mut actual = Vec::new();
            for (name, _) in expected {
                actual.push((*name, self.metric(name).await));
            }
            if actual == expected {
                return;
            }
            assert!(SystemClock.now() < until, "{what}: {actual:?}, expected {expected:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn linked(&mut self) {
        self.wait_for("a link", &[("antiphon_gate_links_up", 1)]).await;
    }

    /// Waits until the attacked node has nothing left of the attackers.
    pub(crate) async fn idle(&mut self) {
        let nothing = [
            ("antiphon_links_greeting", 0),
            ("antiphon_links_strangers", 0),
            ("antiphon_gate_links_up", 1),
        ];
        self.wait_for("no attacker is left", &nothing).await;
    }

    /// Kills the other node, which must get in again. Its new incarnation dials the attacked port.
    pub(crate) async fn member_starts_again(&mut self) {
        let name = self.cluster.nodes()[0].name.clone();
        self.cluster.kill(&name).await.expect("a node");
        self.cluster.restart(&name).await.expect("a node that comes back");
        self.linked().await;
    }
}

impl Watch {
    /// The most memory, in KiB.
    pub(crate) fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn memory_of(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Raises the limit of open files of this process, which holds the other ends.
fn more_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
