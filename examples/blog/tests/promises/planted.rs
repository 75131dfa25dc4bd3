//! Broken promises, planted in a run that keeps all of them: the model finds each.

use std::collections::BTreeMap;

use antiphon::base::time::Timestamp;
use antiphon::persistence::codec::CodecId;
use antiphon::persistence::event::{EventMeta, Labels, Payload, SequenceNr, StoredEvent};
use antiphon::persistence::version::VersionVector;
use antiphon::prelude::ReplicaId;
use antiphon::prelude::crdt::{MultiValueRegister, OrSet};
use antiphon_blog::{Article, PostEvent, PostEventV1};

use crate::model::{Told, broken};

/// A run: the events of one post, what clients were told, and what the places have.
struct Run {
    events: Vec<StoredEvent>,
    told: Told,
    seen: [Article; 2],
}

/// An event of `origin`, which had seen these numbers of events of A and B, itself included.
fn stored(origin: &str, seen: [u64; 2], version: u16, bytes: Vec<u8>) -> StoredEvent {
    let replicas = ["A", "B"].map(|name| ReplicaId::new(name).expect("a name"));
    let seen = replicas.into_iter().zip(seen).filter(|(_, count)| *count > 0);
    let number = SequenceNr::new(1);
    StoredEvent {
        sequence_nr: number,
        meta: EventMeta {
            origin: ReplicaId::new(origin).expect("a name"),
            version: seen.collect::<VersionVector>(),
            source_seq: number,
            concurrent: false,
            timestamp: Timestamp::from_micros(7),
            labels: Labels::none(),
        },
        payload: Payload {
            codec: CodecId::Bincode as u8,
            manifest: "post".into(),
            version,
            bytes: bytes.into(),
        },
    }
}

fn event(origin: &str, seen: [u64; 2], event: &PostEvent) -> StoredEvent {
    stored(origin, seen, 2, CodecId::Bincode.encode(event).expect("bytes"))
}

/// A post of the first release, with a body and a tag of both places.
fn kept() -> Run {
    let old = PostEventV1::Written { text: "title\nbody".to_owned() };
    let here = ReplicaId::new("A").expect("a name");
    let write =
        |text: &str| PostEvent::BodyWritten(MultiValueRegister::default().write(text.to_owned()));
    let tags = OrSet::<String>::default();
    let tag = PostEvent::TagsChanged {
        added: tags.add_all(["red".to_owned()], &here),
        removed: tags.remove_all([]),
    };
    let article = Article {
        title: "title".to_owned(),
        bodies: vec!["one".to_owned(), "two".to_owned()],
        tags: vec!["red".to_owned()],
        is_published: true,
    };
    let post = |text: &str| [("p".to_owned(), text.to_owned())].into();
    Run {
        events: vec![
            stored("A", [1, 0], 1, CodecId::Bincode.encode(&old).expect("bytes")),
            event("A", [2, 0], &write("one")),
            event("B", [1, 1], &write("two")),
            event("A", [3, 1], &tag),
            event("B", [3, 2], &PostEvent::Published),
        ],
        told: Told {
            titles: post("title"),
            bodies: post("one"),
            tags: post("red"),
            published: ["p".to_owned()].into(),
        },
        seen: [article.clone(), article],
    }
}

fn broken_in(run: &Run) -> Vec<String> {
    let seen = run.seen.clone().map(|article| BTreeMap::from([("p".to_owned(), article)]));
    broken(&[("p".to_owned(), run.events.clone())].into(), &run.told, &seen)
}

#[test]
fn a_run_that_keeps_its_promises_has_none_broken() {
    assert_eq!(broken_in(&kept()), Vec::<String>::new());
}

#[test]
fn each_broken_promise_is_found() {
    type Plant = fn(&mut Run);
    let planted: [(&str, Plant); 7] = [
        ("the body \"one\" was acknowledged, and is lost", |run| drop(run.events.remove(1))),
        ("the tag \"red\" was acknowledged, and is lost", |run| drop(run.events.remove(3))),
        ("acknowledged as published, and is not", |run| drop(run.events.pop())),
        ("the body \"one\" is written 2 times", |run| run.events.push(run.events[1].clone())),
        ("and place 1 has", |run| drop(run.seen[1].bodies.pop())),
        ("and place 0 has", |run| run.seen[0].title.clear()),
        ("an event of another release", |run| run.events[0].payload.version = 3),
    ];
    for (expected, plant) in planted {
        let mut run = kept();
        plant(&mut run);
        let found = broken_in(&run);
        assert!(found.iter().any(|found| found.contains(expected)), "{expected}: {found:?}");
    }
}
