//! The promises of the blog, as a sequential model: the events of each post are walked one after
//! the other, and what they must have made is compared with the answers of both places.
//!
//! The model knows nothing of replicated types. It asks of two events whether one had seen the
//! other, by their versions in the journal.

use std::collections::{BTreeMap, BTreeSet};

use antiphon::base::time::Timestamp;
use antiphon::persistence::entity::EventSourced;
use antiphon::persistence::event::StoredEvent;
use antiphon::prelude::crdt::{MultiValueOp, OrSetOp};
use antiphon_blog::{Article, Post, PostEvent};

/// The changes that clients were told to be done, by post.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    pub(crate) titles: BTreeSet<(String, String)>,
    pub(crate) bodies: BTreeSet<(String, String)>,
    pub(crate) tags: BTreeSet<(String, String)>,
    pub(crate) published: BTreeSet<String>,
}

impl Told {
    pub(crate) fn extend(&mut self, other: Self) {
        self.titles.extend(other.titles);
        self.bodies.extend(other.bodies);
        self.tags.extend(other.tags);
        self.published.extend(other.published);
    }
}

/// The events of a post, with the account of the model.
#[derive(Debug, Default)]
struct Walk<'a> {
    title: Option<(Timestamp, String, String)>,
    bodies: Vec<(&'a StoredEvent, String)>,
    tags: Vec<(&'a StoredEvent, String)>,
    is_published: bool,
    /// Every text that was written, with its kind.
    written: BTreeMap<(&'static str, String), usize>,
}

/// Returns whether the writer of `later` had the event `earlier`.
fn has_seen(later: &StoredEvent, earlier: &StoredEvent) -> bool {
    let (meta, is_other) = (&earlier.meta, later.meta != earlier.meta);
    is_other && later.meta.version.get(&meta.origin) >= meta.origin_nr()
}

impl<'a> Walk<'a> {
    fn note(&mut self, kind: &'static str, text: &str) {
        *self.written.entry((kind, text.to_owned())).or_default() += 1;
    }

    /// Of two titles at one time, that of the place that comes first in the alphabet stays.
    fn retitle(&mut self, time: Timestamp, origin: &str, title: &str) {
        self.note("title", title);
        let is_later = self.title.as_ref().is_none_or(|(before, place, _)| {
            time > *before || (time == *before && origin < place.as_str())
        });
        if is_later {
            self.title = Some((time, origin.to_owned(), title.to_owned()));
        }
    }

    fn write(&mut self, stored: &'a StoredEvent, body: &str, is_draft: bool) {
        self.note("body", body);
        // the draft of a place replaces its own earlier draft alone
        self.bodies.retain(|(earlier, _)| {
            let is_own = earlier.meta.origin == stored.meta.origin;
            !has_seen(stored, earlier) || (is_draft && !is_own)
        });
        self.bodies.push((stored, body.to_owned()));
    }

    fn tag(&mut self, stored: &'a StoredEvent, added: &OrSetOp<String>, removed: &OrSetOp<String>) {
        if let OrSetOp::Removed { dots } = removed {
            self.tags
                .retain(|(earlier, tag)| !(dots.contains_key(tag) && has_seen(stored, earlier)));
        }
        if let OrSetOp::AddedAll { elements, .. } = added {
            for tag in elements.keys() {
                self.note("tag", tag);
                self.tags.push((stored, tag.clone()));
            }
        }
    }

    fn step(&mut self, stored: &'a StoredEvent, event: &PostEvent) {
        match event {
            PostEvent::Drafted { title, body } => {
                self.retitle(stored.meta.timestamp, stored.meta.origin.as_str(), title);
                self.write(stored, body, true);
            }
            PostEvent::Retitled(operation) => {
                let (time, origin) = (&operation.time, operation.time.origin.as_str());
                self.retitle(time.timestamp, origin, &operation.value);
            }
            PostEvent::BodyWritten(MultiValueOp::Written { value, .. }) => {
                self.write(stored, value, false);
            }
            PostEvent::BodyWritten(MultiValueOp::Cleared { .. }) => {}
            PostEvent::TagsChanged { added, removed } => self.tag(stored, added, removed),
            PostEvent::Published => self.is_published = true,
        }
    }

    fn article(&self) -> Article {
        let mut bodies: Vec<_> = self.bodies.iter().collect();
        bodies.sort_by_key(|(stored, _)| stored.meta.origin.clone());
        let tags: BTreeSet<_> = self.tags.iter().map(|(_, tag)| tag.clone()).collect();
        Article {
            title: self.title.as_ref().map(|(_, _, title)| title.clone()).unwrap_or_default(),
            bodies: bodies.into_iter().map(|(_, body)| body.clone()).collect(),
            tags: tags.into_iter().collect(),
            is_published: self.is_published,
        }
    }
}

/// Returns every broken promise of a run that has come to rest: `events` of one place by post,
/// `seen` at each place by post.
pub(crate) fn broken(
    events: &BTreeMap<String, Vec<StoredEvent>>,
    told: &Told,
    seen: &[BTreeMap<String, Article>],
) -> Vec<String> {
    let mut found = Vec::new();
    let mut walks: BTreeMap<&str, Walk<'_>> = BTreeMap::new();
    for (post, stored) in events {
        let walk = walks.entry(post).or_default();
        for stored in stored {
            match Post.from_journal(&stored.payload) {
                Ok(events) => events.iter().for_each(|event| walk.step(stored, event)),
                Err(error) => found.push(format!("{post}: {error}")),
            }
        }
        for ((kind, text), count) in &walk.written {
            // titles, bodies and tags of one attempt are written nowhere else
            if *count > 1 && *kind != "tag" {
                found.push(format!("{post}: the {kind} {text:?} is written {count} times"));
            }
        }
        let expected = walk.article();
        for (place, seen) in seen.iter().enumerate() {
            if seen.get(post) != Some(&expected) {
                let seen = seen.get(post);
                found.push(format!("{post}: {expected:?}, and place {place} has {seen:?}"));
            }
        }
    }
    let texts = [("title", &told.titles), ("body", &told.bodies), ("tag", &told.tags)];
    for (kind, texts) in texts {
        for (post, text) in texts {
            let walk = walks.get(&**post);
            if walk.is_none_or(|walk| !walk.written.contains_key(&(kind, text.clone()))) {
                found.push(format!("{post}: the {kind} {text:?} was acknowledged, and is lost"));
            }
        }
    }
    for post in &told.published {
        if walks.get(&**post).is_none_or(|walk| !walk.is_published) {
            found.push(format!("{post}: acknowledged as published, and is not"));
        }
    }
    found
}
