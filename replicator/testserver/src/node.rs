//! State shared by the services of one run of a server.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use antiphon_base::task;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status};

use crate::faults::{Fault, Faults};
use crate::group::{Command, run};
use crate::io::ConnectionHandle;
use crate::refusal;
use crate::settings::ServerSettings;
use crate::store::{EventFilter, GroupKey, GroupRecord, Store};

/// Largest number of commands that wait for a group.
const COMMANDS_MAX: usize = 1024;

/// The state that the services of one run share.
pub(crate) struct Node {
    pub(crate) settings: ServerSettings,
    pub(crate) address: SocketAddr,
    pub(crate) faults: Faults,
    store: Arc<Mutex<Store>>,
    groups: Mutex<BTreeMap<GroupKey, RunningGroup>>,
    consumers: AtomicU64,
}

struct RunningGroup {
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
}

impl Node {
    pub(crate) fn new(
        settings: ServerSettings,
        address: SocketAddr,
        faults: Faults,
        store: Arc<Mutex<Store>>,
    ) -> Self {
        let groups = Mutex::default();
        Self { settings, address, faults, store, groups, consumers: AtomicU64::new(1) }
    }

    pub(crate) fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock()
    }

    /// Admits a request, or returns the refusal. Checks the faults first, then credentials, then
    /// the leader.
    pub(crate) async fn admit<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let mut held = self.faults.held();
        let wait = async {
            // the sender lives as long as the faults
            let _ = held.wait_for(|held| !held).await;
            tokio::time::sleep(self.faults.delay()).await;
        };
        if tokio::time::timeout(self.settings.hold_max, wait).await.is_err() {
            return Err(refusal::not_ready());
        }
        if self.faults.happens(Fault::Unavailable) {
            return Err(refusal::not_ready());
        }
        self.authenticate(request.metadata())?;
        let needs_leader = request.metadata().get("requires-leader");
        if let Some((host, port)) = self.faults.leader()
            && needs_leader.is_none_or(|value| value.as_bytes() != b"false")
        {
            return Err(refusal::not_leader(&host, port));
        }
        Ok(())
    }

    /// Checks that access to a stream is not denied.
    pub(crate) fn allow(&self, stream: &str) -> Result<(), Status> {
        if self.faults.is_denied(stream) { Err(refusal::access_denied()) } else { Ok(()) }
    }

    pub(crate) fn authenticate(&self, headers: &MetadataMap) -> Result<(), Status> {
        let Some(wanted) = &self.settings.credentials else { return Ok(()) };
        let wanted = STANDARD.encode(format!("{}:{}", wanted.user, wanted.password));
        let given = headers.get("authorization").and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| value.split_once(' '));
        match given {
            Some((scheme, pair)) if scheme.eq_ignore_ascii_case("basic") && pair == wanted => {
                Ok(())
            }
            _ => Err(refusal::unauthenticated()),
        }
    }

    /// The name of the user whose requests are admitted.
    pub(crate) fn user(&self) -> String {
        let user = self.settings.credentials.as_ref().map(|known| known.user.clone());
        user.unwrap_or_else(|| "anonymous".to_owned())
    }

    /// The number of the next consumer of a group.
    pub(crate) fn consumer(&self) -> u64 {
        self.consumers.fetch_add(1, Ordering::Relaxed)
    }

    /// Starts the stored groups.
    pub(crate) fn start_groups(&self) {
        let records: Vec<GroupRecord> = self.store().groups().cloned().collect();
        for record in records {
            self.start_group(record);
        }
    }

    pub(crate) fn start_group(&self, record: GroupRecord) {
        let key = record.key();
        // the filter was checked when the group was created
        let filter = record.filter.clone().and_then(|given| EventFilter::from_wire(given).ok());
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let store = Arc::clone(&self.store);
        let run = run(store, self.faults.clone(), record, filter, receiver);
        let task = task::spawn("persistent subscription group", run);
        self.groups.lock().insert(key, RunningGroup { commands, task });
    }

    pub(crate) fn group(&self, key: &GroupKey) -> Option<mpsc::Sender<Command>> {
        self.groups.lock().get(key).map(|group| group.commands.clone())
    }

    /// Stops a group and notifies its consumers.
    pub(crate) async fn drop_group(&self, key: &GroupKey) {
        let group = self.groups.lock().remove(key);
        if let Some(RunningGroup { commands, task }) = group {
            // a task that has ended has notified them already
            let _ = commands.send(Command::Drop).await;
            let _ = task.await;
        }
    }

    /// Aborts the groups as if the process died: nothing more is stored.
    pub(crate) fn abort_groups(&self) {
        let groups = std::mem::take(&mut *self.groups.lock());
        groups.values().for_each(|group| group.task.abort());
    }
}

/// The connection of a request.
pub(crate) fn connection<T>(request: &Request<T>) -> Option<ConnectionHandle> {
    request.extensions().get::<ConnectionHandle>().cloned()
}
