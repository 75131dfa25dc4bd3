//! The state of a post, and the events that make it.
//!
//! Places edit a post at the same time. Of two titles the later one stays: nobody misses a title.
//! Of two bodies both stay until somebody has merged them, since a lost body is lost work. A tag
//! that one place adds stays when another one removes it at the same time. A post that is published
//! anywhere is published.

use antiphon::prelude::crdt::{
    LwwRegister, LwwTime, LwwUpdated, MultiValueOp, MultiValueRegister, Observed, OperationContext,
    OrSet, OrSetOp,
};
use antiphon::prelude::*;
use serde::{Deserialize, Serialize};

/// The events of a post, version 2.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PostEvent {
    /// The post was begun, with its first text.
    Drafted {
        /// The title.
        title: String,
        /// The body.
        body: String,
    },
    /// The title was changed.
    Retitled(LwwUpdated<String>),
    /// The body was edited, or several bodies were merged.
    BodyWritten(MultiValueOp<String>),
    /// Tags were added and removed.
    TagsChanged {
        /// The tags that are new.
        added: OrSetOp<String>,
        /// The tags that go.
        removed: OrSetOp<String>,
    },
    /// Readers may see the post.
    Published,
}

/// The state of a post.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PostState {
    is_drafted: bool,
    title: LwwRegister<String>,
    body: MultiValueRegister<String>,
    tags: OrSet<String>,
    is_published: bool,
}

/// A post as its writers and readers see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Article {
    /// The title.
    pub title: String,
    /// The body; several when places have edited it at the same time and nobody has merged them.
    pub bodies: Vec<String>,
    /// The tags, sorted.
    pub tags: Vec<String>,
    /// True when readers may see the post.
    pub is_published: bool,
}

impl PostState {
    /// The post; `None` before its draft.
    pub fn article(&self) -> Option<Article> {
        self.is_drafted.then(|| Article {
            title: self.title.value().clone(),
            bodies: self.body.values().cloned().collect(),
            tags: self.tags.elements().cloned().collect(),
            is_published: self.is_published,
        })
    }

    /// The title, for those who change it.
    pub fn title(&self) -> &LwwRegister<String> {
        &self.title
    }

    /// The bodies, for those who change them.
    pub fn body(&self) -> &MultiValueRegister<String> {
        &self.body
    }

    /// The tags, for those who change them.
    pub fn tags(&self) -> &OrSet<String> {
        &self.tags
    }

    /// Applies an event that was written at `time`.
    pub fn apply(&mut self, time: Timestamp, event: &PostEvent, context: &dyn OperationContext) {
        match event {
            // made of the event alone, so that they are the same at every replica
            PostEvent::Drafted { title, body } => {
                let time = LwwTime::new(time, context.origin().clone());
                self.is_drafted = true;
                self.title.apply(&LwwUpdated { value: title.clone(), time }, context);
                let seen = Observed::default();
                self.body.apply(&MultiValueOp::Written { value: body.clone(), seen }, context);
            }
            PostEvent::Retitled(operation) => self.title.apply(operation, context),
            PostEvent::BodyWritten(operation) => self.body.apply(operation, context),
            PostEvent::TagsChanged { added, removed } => {
                self.tags.apply(removed, context);
                self.tags.apply(added, context);
            }
            PostEvent::Published => self.is_published = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use antiphon::prelude::crdt::StandaloneContext;

    use super::*;

    /// The events of two places, each with its own, in both orders.
    fn at_both(here: &[PostEvent], there: &[PostEvent], before: &PostState) -> [Article; 2] {
        let replica = |name: &str| ReplicaId::new(name).unwrap();
        let apply = |state: &mut PostState, name: &str, events: &[PostEvent]| {
            for (number, event) in (10..).zip(events) {
                let context = StandaloneContext::new(replica(name), number);
                state.apply(Timestamp::from_micros(5), event, &context);
            }
        };
        let (mut first, mut second) = (before.clone(), before.clone());
        apply(&mut first, "A", here);
        apply(&mut first, "B", there);
        apply(&mut second, "B", there);
        apply(&mut second, "A", here);
        [first, second].map(|state| state.article().unwrap())
    }

    fn drafted() -> PostState {
        let mut state = PostState::default();
        let event = PostEvent::Drafted { title: "title".into(), body: "body".into() };
        let context = StandaloneContext::new(ReplicaId::new("A").unwrap(), 1);
        state.apply(Timestamp::from_micros(1), &event, &context);
        state
    }

    #[test]
    fn of_two_titles_the_later_one_stays_and_of_two_bodies_both() {
        let state = drafted();
        let replicas = ["A", "B"].map(|name| ReplicaId::new(name).unwrap());
        let edits = [("one", 7), ("two", 9)].map(|(text, micros)| {
            let origin = &replicas[usize::from(text == "two")];
            let title = state.title().set(text.into(), Timestamp::from_micros(micros), origin);
            [PostEvent::Retitled(title), PostEvent::BodyWritten(state.body().write(text.into()))]
        });
        let [here, there] = at_both(&edits[0], &edits[1], &state);
        assert_eq!(here, there);
        assert_eq!((&*here.title, here.bodies), ("two", vec!["one".into(), "two".into()]));
    }

    #[test]
    fn a_tag_that_one_place_adds_stays_when_the_other_one_removes_it() {
        let mut state = drafted();
        let here = ReplicaId::new("A").unwrap();
        let add = |state: &PostState| PostEvent::TagsChanged {
            added: state.tags().add_all(["rust".to_owned()], &here),
            removed: state.tags().remove_all([]),
        };
        let added = add(&state);
        let context = StandaloneContext::new(here.clone(), 2);
        state.apply(Timestamp::from_micros(2), &added, &context);
        let removed = PostEvent::TagsChanged {
            added: state.tags().add_all([], &ReplicaId::new("B").unwrap()),
            removed: state.tags().remove(&"rust".to_owned()),
        };
        let [here, there] = at_both(&[add(&state)], &[removed], &state);
        assert_eq!((&here, &*here.tags), (&there, &["rust".to_owned()][..]));
    }

    #[test]
    fn two_drafts_of_one_post_leave_one_title_and_both_bodies() {
        let draft = |text: &str| PostEvent::Drafted { title: text.into(), body: text.into() };
        let [here, there] = at_both(&[draft("a")], &[draft("b")], &PostState::default());
        assert_eq!((&here, here.bodies.len()), (&there, 2));
    }
}
