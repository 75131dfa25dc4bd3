//! A node that leaves: no request of a load balancer that checks the readiness is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use antiphon::app::client::Client;
use antiphon_base::task;
use serde_json::json;

use crate::support::{Processes, wait_for};

/// A load balancer: asks each node every second whether it is ready, and sends requests to the
/// ready nodes.
struct Balancer {
    is_ready: Vec<Arc<AtomicBool>>,
    sent: AtomicU64,
    refused: AtomicU64,
    is_over: AtomicBool,
}

impl Balancer {
    fn start(addresses: &[String]) -> Arc<Self> {
        let balancer = Arc::new(Self {
            is_ready: addresses.iter().map(|_| Arc::default()).collect(),
            sent: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        for (index, address) in addresses.iter().enumerate() {
            let (balancer, address) = (balancer.clone(), address.clone());
            task::spawn("readiness", async move {
                let second = Duration::from_secs(1);
                while !balancer.is_over.load(Ordering::SeqCst) {
                    let mut client = Client::new(&address).with_timeout(second);
                    let answer = client.get("/health/ready", &[]).await;
                    let is_ready = answer.is_ok_and(|(status, _)| status.is_success());
                    balancer.is_ready[index].store(is_ready, Ordering::SeqCst);
                    tokio::time::sleep(second).await;
                }
            });
        }
        for sender in 0..4 {
            let (balancer, addresses) = (balancer.clone(), addresses.to_vec());
            task::spawn("sender", async move { balancer.send(sender, &addresses).await });
        }
        balancer
    }

    async fn send(&self, sender: usize, addresses: &[String]) {
        let mut clients: Vec<Client> = addresses
            .iter()
            .map(|address| Client::new(address).with_timeout(Duration::from_secs(8)))
            .collect();
        let mut turn = sender;
        while !self.is_over.load(Ordering::SeqCst) {
            turn += 1;
            tokio::time::sleep(Duration::from_millis(5)).await;
            let index = turn % addresses.len();
            if !self.is_ready[index].load(Ordering::SeqCst) {
                continue;
            }
            let path = format!("/entities/counter/c-{}", turn % 200);
            let answer = clients[index].post(&path, &[], &json!({ "add": 1 })).await;
            self.sent.fetch_add(1, Ordering::SeqCst);
            if !answer.as_ref().is_ok_and(|(status, _)| status.is_success()) {
                eprintln!("refused by node {index}: {answer:?}");
                self.refused.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    async fn sends(&self, count: u64) {
        let until = self.sent.load(Ordering::SeqCst) + count;
        wait_for("commands are sent", async || self.sent.load(Ordering::SeqCst) >= until).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_refuses_nothing_to_a_client_that_asks_for_the_readiness() {
    let extra = "[node.shutdown_timeouts]\nannounce = \"2s\"\n";
    let mut processes = Processes::start(&["DC-A"], 2, extra).await;
    // the ports must stay the same over restarts
    for index in 0..2 {
        let (name, http) = (processes.name(index), processes.http(index));
        let path = processes.folder.path().join(format!("{name}.toml"));
        let text = std::fs::read_to_string(&path).expect("the configuration");
        let text = text.replace("http_bind = \"127.0.0.1:0\"", &format!("http_bind = \"{http}\""));
        std::fs::write(&path, text).expect("written");
    }
    let balancer = Balancer::start(&[processes.http(0), processes.http(1)]);
    balancer.sends(100).await;
    for index in 0..2 {
        let name = processes.name(index);
        processes.cluster.signal(&name, "TERM").await.expect("sent");
        let mut client = processes.client(index);
        wait_for("it says that it leaves", async || {
            client.get("/health/ready", &[]).await.is_ok_and(|(status, body)| {
                !status.is_success() && String::from_utf8_lossy(&body).contains("leaving")
            })
        })
        .await;
        let ended_well = processes.cluster.ended(&name, Duration::from_secs(40)).await;
        assert!(ended_well.expect("it ends"), "{name}");
        balancer.sends(50).await;
        processes.cluster.restart(&name).await.expect("it comes back");
        processes.ready(index).await;
        wait_for("it is sent to again", async || balancer.is_ready[index].load(Ordering::SeqCst))
            .await;
        balancer.sends(50).await;
    }
    balancer.is_over.store(true, Ordering::SeqCst);
    let (sent, refused) = (&balancer.sent, &balancer.refused);
    assert_eq!(refused.load(Ordering::SeqCst), 0, "of {}", sent.load(Ordering::SeqCst));
}
