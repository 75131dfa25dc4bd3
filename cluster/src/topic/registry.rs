//! The topics of a node, by name.

use std::any::{Any, type_name};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use antiphon_runtime::Node;
use parking_lot::Mutex;

use super::Inner;
use crate::ToolError;

struct Entry {
    message: &'static str,
    topic: Weak<dyn Any + Send + Sync>,
}

#[derive(Default)]
struct State {
    /// The topics that somebody holds.
    topics: BTreeMap<Arc<str>, Entry>,
    /// Those with subscribers.
    subscribed: BTreeSet<Arc<str>>,
    clean_at: usize,
}

/// The topics of a node.
#[derive(Default)]
pub(super) struct Topics(Mutex<State>);

impl Topics {
    pub(super) fn of(node: &Node) -> Arc<Self> {
        node.extension(|| Arc::new(Self::default()))
    }

    /// The topic of that name; `make` makes it, if nobody has it yet.
    pub(super) fn get<M: Send + Sync + 'static>(
        &self,
        name: &str,
        make: impl FnOnce() -> Inner<M>,
    ) -> Result<Arc<Inner<M>>, ToolError>
    where
        Inner<M>: Send + Sync,
    {
        // made before the lock is taken: it asks the node for other parts
        let made = Arc::new(make());
        let mut state = self.0.lock();
        let known = state.topics.get(name);
        let known = known.and_then(|entry| Some((entry.message, entry.topic.upgrade()?)));
        if let Some((actual, topic)) = known {
            return topic.downcast().map_err(|_| ToolError::OtherType {
                key: name.to_owned(),
                expected: type_name::<M>().to_owned(),
                actual: actual.to_owned(),
            });
        }
        if state.topics.len() >= state.clean_at {
            state.topics.retain(|_, entry| entry.topic.strong_count() > 0);
            state.clean_at = 64 + 2 * state.topics.len();
        }
        let topic: Arc<dyn Any + Send + Sync> = made.clone();
        let entry = Entry { message: type_name::<M>(), topic: Arc::downgrade(&topic) };
        state.topics.insert(name.into(), entry);
        Ok(made)
    }

    /// Notes that a topic has subscribers now.
    pub(super) fn begin(&self, name: &Arc<str>, max: usize) -> Result<(), ToolError> {
        let mut state = self.0.lock();
        if state.subscribed.len() >= max {
            return Err(ToolError::Full { key: name.to_string(), setting: "topics_max", max });
        }
        state.subscribed.insert(name.clone());
        Ok(())
    }

    /// Notes that a topic has no subscribers any more.
    pub(super) fn end(&self, name: &Arc<str>) {
        self.0.lock().subscribed.remove(name);
    }
}
