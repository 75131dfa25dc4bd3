//! Nodes in processes of their own, behind proxies that cut their connections.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use parking_lot::Mutex;
use tempfile::TempDir;

use crate::node::ANSWER;

/// Longest time that a test waits for something.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A process that takes orders.
pub(crate) struct Process {
    child: Child,
    orders: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Process {
    /// Starts this program again, with these variables.
    pub(crate) fn spawn(variables: &[(&str, &str)]) -> Self {
        let program = std::env::current_exe().expect("this program");
        let mut child = Command::new(program)
            .args(["--exact", "a_process_of_another_test", "--nocapture"])
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let (told, answers) = channel();
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(answer) = line.strip_prefix(ANSWER) {
                    let _ = told.send(answer.to_owned());
                }
            }
        });
        Self { orders: child.stdin.take(), child, answers }
    }

    /// Waits for an answer.
    pub(crate) fn answer(&self) -> String {
        self.answers.recv_timeout(PATIENCE).expect("an answer in time")
    }

    pub(crate) fn order(&mut self, order: &str) {
        let orders = self.orders.as_mut().expect("until the end");
        writeln!(orders, "{order}").and_then(|()| orders.flush()).expect("a process that lives");
    }

    pub(crate) fn ask(&mut self, order: &str) -> String {
        self.order(order);
        self.answer()
    }

    pub(crate) fn number(&mut self, order: &str) -> i64 {
        let answer = self.ask(order);
        answer.parse().unwrap_or_else(|_| panic!("{order}: {answer}"))
    }

    /// Sends a signal to the process.
    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().expect("kill");
        assert!(sent.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A node behind its proxy.
pub(crate) struct NodeProcess {
    pub(crate) process: Process,
    pub(crate) proxy: Proxy,
}

/// Nodes of one place.
pub(crate) struct Nodes {
    pub(crate) nodes: Vec<NodeProcess>,
    _folder: TempDir,
}

impl Nodes {
    /// Starts nodes `a`, `b`, .., and waits until all sessions are in step.
    pub(crate) fn start(count: u8) -> Self {
        let folder = TempDir::new().expect("a folder");
        let journal = folder.path().join("p.db");
        let names = (0..count).map(|index| char::from(b'a' + index).to_string());
        let nodes = names.map(|name| {
            let proxy = Proxy::start();
            let address = proxy.address.to_string();
            let process = Process::spawn(&[
                ("ANTIPHON_TEST_NODE", &name),
                ("ANTIPHON_TEST_JOURNAL", &journal.to_string_lossy()),
                ("ANTIPHON_TEST_ADDRESS", &address),
            ]);
            *proxy.target.lock() = Some(process.answer().parse().expect("a port"));
            process.answer();
            NodeProcess { process, proxy }
        });
        let mut nodes = Self { nodes: nodes.collect(), _folder: folder };
        for index in 0..nodes.nodes.len() {
            nodes.until(index, "sessions", i64::from(count) - 1);
        }
        nodes
    }

    pub(crate) fn ask(&mut self, index: usize, order: &str) -> String {
        self.nodes[index].process.ask(order)
    }

    pub(crate) fn number(&mut self, index: usize, order: &str) -> i64 {
        self.nodes[index].process.number(order)
    }

    /// Waits until the order is answered with this number. Returns how long it took.
    pub(crate) fn until(&mut self, index: usize, order: &str, expected: i64) -> Duration {
        let began = SystemClock.now();
        let mut last = self.number(index, order);
        while last != expected {
            let took = SystemClock.now() - began;
            assert!(took < PATIENCE, "node {index}: {order}: expected {expected}, actual {last}");
            // nothing is sent to this channel: a pause, so that the nodes get the processor
            let (_sender, pause) = channel::<()>();
            let _ = pause.recv_timeout(Duration::from_millis(10));
            last = self.number(index, order);
        }
        SystemClock.now() - began
    }
}

/// A proxy in front of a node, which cuts its connections.
pub(crate) struct Proxy {
    address: SocketAddr,
    target: Arc<Mutex<Option<u16>>>,
    open: Arc<Mutex<Vec<Open>>>,
}

/// One end of a connection through a proxy.
struct Open {
    /// True for a stream of bytes, false for a link.
    is_stream: bool,
    end: TcpStream,
}

impl Proxy {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (target, open) = (Arc::new(Mutex::new(None)), Arc::new(Mutex::new(Vec::new())));
        let (to, kept) = (target.clone(), open.clone());
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Some(port) = *to.lock() else { continue };
                let Ok(far) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let copies = [near.try_clone(), far.try_clone(), near.try_clone(), far.try_clone()];
                let [Ok(near_in), Ok(far_in), Ok(near_kept), Ok(far_kept)] = copies else {
                    continue;
                };
                let is_stream = is_stream(&near_in);
                let ends = [near_kept, far_kept].map(|end| Open { is_stream, end });
                kept.lock().extend(ends);
                pump(near_in, far);
                pump(far_in, near);
            }
        });
        Self { address, target, open }
    }

    /// Breaks all connections to the node; new ones can be made.
    pub(crate) fn cut(&self) {
        for Open { end, .. } in self.open.lock().drain(..) {
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    /// Breaks the streams, and no links.
    pub(crate) fn cut_streams(&self) {
        self.open.lock().retain(|open| {
            if open.is_stream {
                let _ = open.end.shutdown(Shutdown::Both);
            }
            !open.is_stream
        });
    }
}

/// Returns whether a connection is a stream, by the version in the first hello.
fn is_stream(connection: &TcpStream) -> bool {
    let mut head = [0; 10];
    while connection.peek(&mut head).is_ok_and(|read| read > 0 && read < head.len()) {}
    head[8] == 4
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    let _ = to.set_nodelay(true);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Both);
        let _ = from.shutdown(Shutdown::Both);
    });
}
