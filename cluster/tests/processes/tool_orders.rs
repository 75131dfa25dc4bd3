//! Orders for the receptionist, topics, routers and singletons of a node.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use antiphon_cluster::{
    Receptionist, Router, ServiceKey, Singleton, SingletonProxy, Topic, TopicSubscription,
    json_message,
};
use antiphon_runtime::Node;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use ractor_cluster::RactorClusterMessage;
use serde::{Deserialize, Serialize};

const LIMIT: Duration = Duration::from_secs(2);

#[derive(RactorClusterMessage)]
enum Who {
    /// Answered with the name of the actor's node, and the token of a singleton.
    #[rpc]
    Ask(RpcReplyPort<String>),
}

struct Named(String);

impl Actor for Named {
    type Msg = Who;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Who>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Who>,
        Who::Ask(reply): Who,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        // the caller may have given up
        let _ = reply.send(self.0.clone());
        Ok(())
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct News(u64);

json_message!(News);

/// The tools of one node.
pub(crate) struct ToolOrders {
    node: Node,
    heard: BTreeMap<String, TopicSubscription<News>>,
    routers: BTreeMap<String, Arc<Router<Who>>>,
    singletons: BTreeMap<String, SingletonProxy<Who>>,
}

impl ToolOrders {
    pub(crate) fn new(node: Node) -> Self {
        let (heard, routers, singletons) = Default::default();
        Self { node, heard, routers, singletons }
    }

    pub(crate) async fn obey(&mut self, words: &[&str]) -> String {
        match words {
            ["register", key] => {
                let named = Named(self.node.id().name().to_owned());
                let (actor, _) = Actor::spawn(None, named, ()).await.expect("an actor");
                let registered = Receptionist::of(&self.node).register(&self.key(key), &actor);
                registered.map_or_else(|error| error.to_string(), |()| "registered".into())
            }
            ["find", key] => {
                let found = Receptionist::of(&self.node).find(&self.key(key));
                found.map_or_else(|error| error.to_string(), |found| found.len().to_string())
            }
            ["find-other", key] => {
                let key = ServiceKey::<News>::new(key).expect("a key");
                let found = Receptionist::of(&self.node).find(&key);
                found.map_or_else(|error| error.to_string(), |found| found.len().to_string())
            }
            ["owners", key, count] => self.owners(key, count.parse().expect("a number")).await,
            ["subscribe", topic] => {
                let heard = self.topic(topic).subscribe().expect("a subscription");
                self.heard.insert((*topic).to_owned(), heard);
                "subscribed".into()
            }
            ["publish", topic, number] => {
                let number = number.parse().expect("a number");
                let sent = self.topic(topic).publish(News(number));
                format!("{} {}", sent.subscribers, sent.nodes)
            }
            ["heard", topic] => self.heard(topic).await,
            ["singleton", name] => {
                let proxy = Singleton::start(&self.node, name, |lease| {
                    let node = lease.node().id().name();
                    (Named(format!("{node} {}", lease.token().0)), ())
                });
                self.singletons.insert((*name).to_owned(), proxy.expect("a singleton"));
                "started".into()
            }
            ["where", name] => {
                let called = self.singletons[*name].call(LIMIT, Who::Ask).await;
                called.unwrap_or_else(|error| error.to_string())
            }
            _ => panic!("an order: {words:?}"),
        }
    }

    fn key(&self, key: &str) -> ServiceKey<Who> {
        ServiceKey::new(key).expect("a key")
    }

    fn topic(&self, name: &str) -> Topic<News> {
        Topic::of(&self.node, name).expect("a topic")
    }

    /// The nodes of the actors that own so many keys, one letter each.
    async fn owners(&mut self, key: &str, count: usize) -> String {
        let service = self.key(key);
        let router = self
            .routers
            .entry(key.to_owned())
            .or_insert_with(|| Arc::new(Router::new(&self.node, &service).expect("a router")));
        let mut owners = String::new();
        for number in 0..count {
            let owner = router.call_by(&format!("key {number}"), LIMIT, Who::Ask).await;
            owners.push_str(&owner.unwrap_or_else(|error| format!("({error})")));
        }
        owners
    }

    /// The numbers that were heard, until nothing comes for a moment.
    async fn heard(&mut self, topic: &str) -> String {
        let heard = self.heard.get_mut(topic).expect("a subscription");
        let mut numbers = Vec::new();
        while let Ok(Some(news)) =
            tokio::time::timeout(Duration::from_millis(200), heard.next()).await
        {
            numbers.push(news.message.0.to_string());
        }
        numbers.join(",")
    }
}
