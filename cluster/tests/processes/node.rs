//! A node in a process of its own: this program again, which takes orders from its standard input.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_cluster::{ActorSettings, Actors};
use antiphon_runtime::transport::tcp::{TcpSettings, TcpTransport};
use antiphon_runtime::{Metrics, Node, NodeId, NodeParts, NodeSettings};
use antiphon_sqlite::{SqliteSettings, SqliteStores};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, pg, registry};
use ractor_cluster::RactorClusterMessage;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::tool_orders::ToolOrders;

/// The sign in front of the answers, apart from the lines of the test harness.
pub(crate) const ANSWER: &str = "@";
const PLACE: &str = "p";

#[derive(RactorClusterMessage)]
pub(crate) enum Message {
    /// Answered with a text of that many bytes.
    #[rpc]
    Echo(String, u64, RpcReplyPort<String>),
    /// Ends the actor, without an answer.
    #[rpc]
    End(RpcReplyPort<String>),
    /// Never answered.
    #[rpc]
    Keep(RpcReplyPort<String>),
}

/// The messages of a newer release: the actors do not know the second one.
#[derive(RactorClusterMessage)]
enum Newer {
    #[rpc]
    Echo(String, u64, RpcReplyPort<String>),
    #[rpc]
    Unknown(RpcReplyPort<String>),
}

struct Echo;

impl Actor for Echo {
    type Msg = Message;
    type State = Vec<RpcReplyPort<String>>;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ActorRef<Message>,
        (): (),
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(Vec::new())
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        kept: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Echo(_, bytes, reply) => {
                let _ = reply.send("x".repeat(usize::try_from(bytes)?));
            }
            Message::End(reply) => {
                kept.push(reply);
                myself.stop(None);
            }
            Message::Keep(reply) => kept.push(reply),
        }
        Ok(())
    }
}

/// Takes orders until the end of the standard input.
pub(crate) async fn run(name: &str, journal: &str, address: &str) {
    let (node, port) = start(name, journal, address).await;
    let settings = ActorSettings {
        frame_bytes_max: 64 * 1024,
        // the waits after sessions that do not last, in a test with sixty of them
        retry_max: Duration::from_millis(200),
        ..ActorSettings::default()
    };
    let actors = Actors::start(&node, settings).expect("actors");
    answer(&port.to_string());
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let tools = ToolOrders::new(node.clone());
    let mut orders = Orders { node, actors, tools };
    while let Ok(Some(line)) = lines.next_line().await {
        let words: Vec<&str> = line.split(' ').collect();
        let told = orders.obey(&words).await;
        answer(&told);
        if words[0] == "leave" {
            return;
        }
    }
}

fn answer(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "\n{ANSWER}{text}");
    let _ = out.flush();
}

async fn start(name: &str, journal: &str, address: &str) -> (Node, u16) {
    let incarnation = SystemClock.wall().as_micros();
    let id = NodeId::new(name, incarnation).expect("a name");
    let bind = "127.0.0.1:0".parse().expect("an address");
    let tcp = TcpSettings { place: PLACE.into(), ..TcpSettings::default() };
    let transport = TcpTransport::bind(id, bind, tcp).expect("a port");
    let port = transport.local_address().port();
    let journal = SqliteStores::open(journal, SqliteSettings::default()).expect("a journal");
    // the proxy must know the port before the first connection
    answer(&port.to_string());
    let parts = NodeParts {
        clock: Arc::new(SystemClock),
        stores: journal.stores(),
        transport,
        address: address.to_owned(),
        http_address: None,
        peers: Vec::new(),
        incarnation,
        metrics: Arc::new(Metrics::new()),
    };
    let mut settings =
        NodeSettings { name: name.into(), place: PLACE.into(), ..NodeSettings::default() };
    settings.shutdown_timeouts.announce = Some(Duration::ZERO);
    (Node::start(settings, parts).await.expect("a node"), port)
}

struct Orders {
    node: Node,
    actors: Actors,
    tools: ToolOrders,
}

impl Orders {
    async fn obey(&mut self, words: &[&str]) -> String {
        match words {
            ["tool", order @ ..] => self.tools.obey(order).await,
            ["sessions"] => self.actors.sessions().borrow().len().to_string(),
            ["members", group] => pg::get_members(&(*group).to_owned()).len().to_string(),
            ["groups"] => pg::which_groups().len().to_string(),
            ["join", group] => {
                let (actor, _) = Actor::spawn(None, Echo, ()).await.expect("an actor");
                pg::join((*group).to_owned(), vec![actor.get_cell()]);
                "joined".into()
            }
            ["many", actors, groups] => many(number(actors), number(groups)).await,
            ["named", name] => {
                let spawned = Actor::spawn(Some((*name).to_owned()), Echo, ()).await;
                let (actor, _) = spawned.expect("an actor");
                pg::join((*name).to_owned(), vec![actor.get_cell()]);
                "named".into()
            }
            ["has", name] => registry::where_is(*name).is_some().to_string(),
            ["stop-local", group] => {
                let local = pg::get_local_members(&(*group).to_owned());
                local.iter().for_each(|actor| actor.stop(None));
                "stopped".into()
            }
            ["metric", name] => {
                let text = self.node.metrics().text();
                let values = text.lines().filter_map(|line| line.strip_prefix(name));
                let line = values.into_iter().find(|value| value.starts_with(' '));
                line.map_or("0", str::trim).to_owned()
            }
            ["memory"] => memory(),
            ["leave"] => format!("{:?}", self.node.leave().await),
            ["rate", group, calls] => self.rate(group, number(calls)).await,
            _ => self.call(words).await,
        }
    }

    /// A remote actor of the group.
    fn remote(&self, group: &str) -> Option<ActorRef<Message>> {
        let found = pg::get_members(&group.to_owned());
        found.into_iter().find(|actor| !actor.get_id().is_local()).map(ActorRef::from)
    }

    /// Calls a remote actor of a group, with a time limit of 2 s.
    async fn call(&self, words: &[&str]) -> String {
        let limit = Duration::from_secs(2);
        let Some(actor) = self.remote(words[1]) else { return "nobody".into() };
        let (actors, began) = (&self.actors, SystemClock.now());
        let answered = match words {
            ["echo", _, sent, back] => {
                let (text, back) = ("x".repeat(number(sent)), number(back) as u64);
                actors.call(&actor, |reply| Message::Echo(text, back, reply), limit).await
            }
            ["end", _] => actors.call(&actor, Message::End, limit).await,
            ["keep", _] => actors.call(&actor, Message::Keep, Duration::from_secs(60)).await,
            ["unknown", _] => {
                let newer: ActorRef<Newer> = actor.get_cell().into();
                actors.call(&newer, Newer::Unknown, limit).await
            }
            _ => panic!("an order: {words:?}"),
        };
        let took = (SystemClock.now() - began).as_millis();
        match answered {
            Ok(text) => format!("ok {} {took}", text.len()),
            Err(error) => format!("{:?} {took} {error}", error.kind()),
        }
    }

    /// Calls with 64 in flight. Returns the calls in a second.
    async fn rate(&self, group: &str, calls: usize) -> String {
        let actor = self.remote(group).expect("a remote actor");
        rate(&actor, calls).await
    }
}

/// Calls with 64 in flight. Returns the calls in a second.
pub(crate) async fn rate(actor: &ActorRef<Message>, calls: usize) -> String {
    let began = SystemClock.now();
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let actor = actor.clone();
            antiphon_base::task::spawn("caller", async move {
                for _ in 0..calls / 64 {
                    let call = |reply| Message::Echo(String::new(), 8, reply);
                    let called = actor.call(call, Some(Duration::from_secs(20))).await;
                    assert!(called.is_ok_and(|answer| answer.is_success()));
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("a caller");
    }
    let seconds = (SystemClock.now() - began).as_secs_f64();
    format!("{:.0}", (calls / 64 * 64) as f64 / seconds)
}

/// Spawns actors, and joins them to that many groups, one actor in each.
async fn many(actors: usize, groups: usize) -> String {
    let mut cells = Vec::new();
    for _ in 0..actors {
        let (actor, _) = Actor::spawn(None, Echo, ()).await.expect("an actor");
        cells.push(actor.get_cell());
    }
    for group in 0..groups {
        pg::join(format!("many-{group}"), vec![cells[group % actors].clone()]);
    }
    "spawned".into()
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}

/// The memory of this process in KiB.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap_or("0").trim().trim_end_matches(" kB").to_owned()
}

/// Two of ractor_cluster's own servers over loopback, for a figure: this process calls, and
/// `address` is the other one's. Without an address, this process answers.
pub(crate) async fn alone(address: Option<String>) {
    use ractor_cluster::NodeServer;
    let name = if address.is_some() { "caller" } else { "answers" };
    let loopback = std::net::IpAddr::from([127, 0, 0, 1]);
    let port = std::net::TcpListener::bind((loopback, 0))
        .and_then(|listener| listener.local_addr())
        .expect("a port")
        .port();
    let host = "127.0.0.1".to_owned();
    let server = NodeServer::new(port, "cookie".into(), name.into(), host, None, None)
        .with_listen_addr(loopback);
    let (server, _) = Actor::spawn(None, server, ()).await.expect("a server");
    let Some(address) = address else {
        let (actor, _) = Actor::spawn(None, Echo, ()).await.expect("an actor");
        pg::join("alone".into(), vec![actor.get_cell()]);
        answer(&port.to_string());
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        while let Ok(Some(_)) = lines.next_line().await {}
        return;
    };
    ractor_cluster::client_connect(&server, &address).await.expect("a connection");
    let actor = loop {
        match pg::get_members(&"alone".to_owned()).pop() {
            Some(actor) => break actor,
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    };
    let actor: ActorRef<Message> = actor.into();
    rate(&actor, 6400).await;
    answer(&rate(&actor, 64_000).await);
}
