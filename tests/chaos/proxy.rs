//! The network between the nodes: each node's address belongs to a proxy that passes bytes on, or
//! holds them back.
//!
//! A node listens at 127.0.1.n and tells others 127.0.2.n with the same port, where its proxy
//! listens. The proxy finds out which node has connected from the owner of the other end of the
//! connection (`/proc`), independently of the bytes that the nodes send. A cut holds back the bytes
//! of one direction, as a network that loses packets does; the end of the cut delivers them or
//! breaks the connection.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::task;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// The direction from a node to another node, by their numbers.
pub(crate) type Way = (usize, usize);

#[derive(Default)]
struct State {
    cut: BTreeSet<Way>,
    /// Ways whose connections break when the cut ends.
    breaks: BTreeSet<Way>,
    delay: BTreeMap<Way, Duration>,
    processes: BTreeMap<usize, u32>,
    /// Number of bytes passed on each way.
    passed: BTreeMap<Way, u64>,
}

/// All proxies.
#[derive(Clone)]
pub(crate) struct Network {
    state: Arc<Mutex<State>>,
    changed: Arc<watch::Sender<u64>>,
}

impl Network {
    pub(crate) fn new() -> Self {
        Self { state: Arc::default(), changed: Arc::new(watch::Sender::new(0)) }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state.lock());
        self.changed.send_modify(|version| *version += 1);
        result
    }

    fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.state.lock())
    }

    /// Tells the network the process id of a node.
    pub(crate) fn process(&self, node: usize, process: u32) {
        self.change(|state| state.processes.insert(node, process));
    }

    /// Cuts this way.
    pub(crate) fn cut(&self, way: Way) {
        self.change(|state| state.cut.insert(way));
    }

    /// Delays everything on this way by `delay`.
    pub(crate) fn delay(&self, way: Way, delay: Duration) {
        self.change(|state| state.delay.insert(way, delay));
    }

    /// Sets whether connections of this way break at the end of a cut instead of going on.
    pub(crate) fn break_after_cut(&self, way: Way, breaks: bool) {
        self.change(
            |state| {
                if breaks { state.breaks.insert(way) } else { state.breaks.remove(&way) }
            },
        );
    }

    /// Heals these ways.
    pub(crate) fn heal(&self, ways: &[Way]) {
        self.change(|state| {
            for way in ways {
                state.cut.remove(way);
                state.delay.remove(way);
            }
        });
    }

    /// The number of bytes passed between nodes so far.
    pub(crate) fn passed(&self) -> u64 {
        self.look(|state| state.passed.values().sum())
    }

    /// Opens the proxy of a node, at an address of its own; returns the address.
    pub(crate) async fn open(&self, node: usize) -> SocketAddr {
        let own = format!("127.0.2.{}:0", node + 1);
        let listener = TcpListener::bind(own).await.expect("a loopback address");
        let address = listener.local_addr().expect("an address");
        let network = self.clone();
        task::spawn("proxy", async move {
            loop {
                let Ok((stream, from)) = listener.accept().await else { continue };
                let network = network.clone();
                task::spawn("proxied connection", async move {
                    network.pass(node, stream, from, address).await;
                });
            }
        });
        address
    }

    async fn pass(&self, to: usize, stream: TcpStream, peer: SocketAddr, address: SocketAddr) {
        let processes = self.look(|state| state.processes.clone());
        let Some(from) = owner(peer, address, &processes) else { return };
        // a new connection over a cut way hangs, because its first packet or the answer to it is
        // lost
        for way in [(from, to), (to, from)] {
            self.free(way).await;
        }
        let target = format!("127.0.1.{}:{}", to + 1, address.port());
        let Ok(other) = TcpStream::connect(target).await else { return };
        let (_, _) = (stream.set_nodelay(true), other.set_nodelay(true));
        let ((read, write), (other_read, other_write)) = (stream.into_split(), other.into_split());
        tokio::select! {
            () = self.pump((from, to), read, other_write) => {}
            () = self.pump((to, from), other_read, write) => {}
        }
    }

    async fn pump(&self, way: Way, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut bytes = vec![0; 64 * 1024];
        loop {
            let Ok(count) = from.read(&mut bytes).await else { return };
            if count == 0 {
                return;
            }
            if let Some(delay) = self.look(|state| state.delay.get(&way).copied()) {
                tokio::time::sleep(delay).await;
            }
            let was_cut = self.free(way).await;
            if was_cut && self.look(|state| state.breaks.contains(&way)) {
                return;
            }
            if to.write_all(&bytes[..count]).await.is_err() {
                return;
            }
            let mut state = self.state.lock();
            *state.passed.entry(way).or_default() += count as u64;
        }
    }

    /// Waits until the way is free; returns whether it was cut.
    async fn free(&self, way: Way) -> bool {
        let mut changed = self.changed.subscribe();
        let mut was_cut = false;
        while self.look(|state| state.cut.contains(&way)) {
            was_cut = true;
            if changed.changed().await.is_err() {
                return true;
            }
        }
        was_cut
    }
}

/// The number of the node whose process owns the socket at `peer` that is connected to `address`.
fn owner(peer: SocketAddr, address: SocketAddr, processes: &BTreeMap<usize, u32>) -> Option<usize> {
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let (peer, address) = (hexadecimal(peer)?, hexadecimal(address)?);
    let inode = table.lines().find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let is_it =
            columns.get(1) == Some(&peer.as_str()) && columns.get(2) == Some(&address.as_str());
        is_it.then(|| columns.get(9).map(|inode| format!("socket:[{inode}]"))).flatten()
    })?;
    let has = |process: u32| {
        let Ok(files) = std::fs::read_dir(format!("/proc/{process}/fd")) else { return false };
        let mut targets = files.flatten().flat_map(|file| std::fs::read_link(file.path()));
        targets.any(|target| target.as_os_str() == inode.as_str())
    };
    processes.iter().find(|(_, process)| has(**process)).map(|(node, _)| *node)
}

/// An address as `/proc/net/tcp` writes it.
fn hexadecimal(address: SocketAddr) -> Option<String> {
    let SocketAddr::V4(address) = address else { return None };
    let number = u32::from_le_bytes(address.ip().octets());
    Some(format!("{number:08X}:{:04X}", address.port()))
}
