//! Entities and plain actors meet: an effect tells an actor.
//!
//! The other way needs nothing new: an actor asks an entity by its reference.

use antiphon_persistence::entity::{CommandContext, Effect, EventSourced};
use antiphon_runtime::Node;
use ractor::{ActorRef, Message};

use crate::{Receptionist, ServiceKey, Topic};

/// The node on which an entity runs, for its handlers.
pub trait OnNode {
    /// The node; `None` in an `EntityTest`, unless it was given one (`with_extension`).
    fn node(&self) -> Option<&Node>;

    /// The receptionist of the node.
    fn receptionist(&self) -> Option<Receptionist> {
        self.node().map(Receptionist::of)
    }
}

impl OnNode for CommandContext {
    fn node(&self) -> Option<&Node> {
        self.extension()
    }
}

/// Effects that tell plain actors. Each message is made from the state after the events, and sent
/// when they are durable; at most once, and not again at recovery: as
/// [`Effect::then_run`] does.
///
/// ```
/// use antiphon_cluster::{OnNode, TellActors, Topic};
/// use antiphon_persistence::entity::{CommandContext, Effect, EventContext, EventSourced};
///
/// struct Room;
///
/// impl EventSourced for Room {
///     type Command = String;
///     type Event = String;
///     type State = Vec<String>;
///
///     fn on_command(
///         &self,
///         context: &CommandContext,
///         _: &Vec<String>,
///         line: String,
///     ) -> Effect<Self> {
///         let heard = line.clone();
///         let effect = Effect::persist(line);
///         let topic = context.node().map(|node| Topic::<String>::of(node, context.entity_id()));
///         match topic {
///             Some(Ok(topic)) => effect.then_publish(&topic, |_| heard),
///             Some(Err(_)) | None => effect,
///         }
///     }
///
///     fn on_event(&self, _: &EventContext, lines: &mut Vec<String>, line: &String) {
///         lines.push(line.clone());
///     }
/// }
/// ```
pub trait TellActors<S>: Sized {
    /// Tells an actor. An actor that has ended gets nothing.
    #[must_use]
    fn then_tell<M: Message>(
        self,
        actor: &ActorRef<M>,
        message: impl FnOnce(&S) -> M + Send + 'static,
    ) -> Self;

    /// Publishes a message to a topic.
    #[must_use]
    fn then_publish<M: Message + Clone + Sync>(
        self,
        topic: &Topic<M>,
        message: impl FnOnce(&S) -> M + Send + 'static,
    ) -> Self;

    /// Tells all actors under a key, as the receptionist knows them then.
    #[must_use]
    fn then_tell_all<M: Message + Clone>(
        self,
        receptionist: &Receptionist,
        key: &ServiceKey<M>,
        message: impl FnOnce(&S) -> M + Send + 'static,
    ) -> Self;
}

impl<E: EventSourced> TellActors<E::State> for Effect<E> {
    fn then_tell<M: Message>(
        self,
        actor: &ActorRef<M>,
        message: impl FnOnce(&E::State) -> M + Send + 'static,
    ) -> Self {
        let actor = actor.clone();
        // at most once: an actor that has ended gets nothing
        self.then_run(message, move |message| drop(actor.send_message(message)))
    }

    fn then_publish<M: Message + Clone + Sync>(
        self,
        topic: &Topic<M>,
        message: impl FnOnce(&E::State) -> M + Send + 'static,
    ) -> Self {
        let topic = topic.clone();
        self.then_run(message, move |message| {
            topic.publish(message);
        })
    }

    fn then_tell_all<M: Message + Clone>(
        self,
        receptionist: &Receptionist,
        key: &ServiceKey<M>,
        message: impl FnOnce(&E::State) -> M + Send + 'static,
    ) -> Self {
        let (receptionist, key) = (receptionist.clone(), key.clone());
        self.then_run(message, move |message| {
            // actors of other messages get nothing: their registration has told that
            for actor in receptionist.find(&key).unwrap_or_default() {
                drop(actor.send_message(message.clone()));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use antiphon_persistence::entity::EventContext;
    use antiphon_persistence::entity::testkit::EntityTest;

    use super::*;
    use crate::testing::{Place, Text, probe, text, within};

    struct Room(ActorRef<Text>);

    impl EventSourced for Room {
        type Command = String;
        type Event = String;
        type State = Vec<String>;

        fn on_command(
            &self,
            context: &CommandContext,
            _: &Vec<String>,
            line: String,
        ) -> Effect<Self> {
            let node = context.node().unwrap();
            let topic = Topic::<Text>::of(node, context.entity_id()).unwrap();
            let key = ServiceKey::<Text>::new("told_by_an_entity").unwrap();
            let receptionist = Receptionist::of(node);
            Effect::persist(line)
                .then_tell(&self.0, |lines: &Vec<String>| text(&format!("{} lines", lines.len())))
                .then_publish(&topic, |lines: &Vec<String>| text(lines.last().unwrap()))
                .then_tell_all(&receptionist, &key, |_: &Vec<String>| text("all"))
        }

        fn on_event(&self, _: &EventContext, lines: &mut Vec<String>, line: &String) {
            lines.push(line.clone());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_effect_tells_actors_after_its_events() {
        let place = Place::new();
        let node = place.start("a").await;
        let (told, mut texts) = probe::<Text>().await;
        let (one, mut others) = probe::<Text>().await;
        let key = ServiceKey::<Text>::new("told_by_an_entity").unwrap();
        Receptionist::of(&node).register(&key, &one).unwrap();
        let mut heard = Topic::<Text>::of(&node, "r-1").unwrap().subscribe().unwrap();
        let mut room = EntityTest::local(Room(told), "room|r-1|p").with_extension(node.clone());
        room.tell("hello".to_owned());
        assert_eq!(within("told", texts.recv()).await, Some(text("1 lines")));
        assert_eq!(within("heard", heard.next()).await.unwrap().message, text("hello"));
        assert_eq!(within("all", others.recv()).await, Some(text("all")));
        room.restart();
        assert!(texts.try_recv().is_err(), "not again at recovery");
    }
}
