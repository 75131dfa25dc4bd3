//! Cases of reading back: metadata and payload are equal to the bit, also after reopening.

use std::sync::Arc;

use antiphon_base::ErrorKind;
use antiphon_base::task::spawn;
use antiphon_base::time::Timestamp;
use antiphon_persistence::event::{
    EventMeta, Labels, METADATA_BYTES_MAX, METADATA_COUNT_MAX, METADATA_KEY_BYTES_MAX, Metadata,
    Payload, SequenceNr, StoredEvent, TAGS_MAX, Tags,
};
use antiphon_persistence::store::{Append, OffsetKey};
use bytes::Bytes;

use crate::kit::{assert_kind, event, events, id, nr, numbers, replica, seal};
use crate::{Generator, Kit};

/// A stored event must be read back equal, metadata and payload, to the bit: an event with every
/// field set, against literal values.
pub async fn the_golden_event_is_read_back_to_the_bit(kit: Kit) {
    let golden = || StoredEvent {
        sequence_nr: nr(1),
        meta: EventMeta {
            origin: replica("DC-B"),
            version: [(replica("DC-A"), 7), (replica("DC-B"), u64::MAX), (replica("é☃"), 1)]
                .into_iter()
                .collect(),
            source_seq: SequenceNr::MAX,
            concurrent: true,
            timestamp: Timestamp::from_micros(u64::MAX),
            labels: Labels::none(),
        },
        payload: Payload {
            codec: 255,
            manifest: "item\0added ☃".into(),
            version: u16::MAX,
            bytes: Bytes::from_static(b"\x00\x01\x7f\x80\xfe\xff{}\"'\n\0"),
        },
    };
    let pen = kit.writer("writer-1").await;
    let id = id("cart|c-1|DC-A");
    pen.try_append_events(&id, 0, vec![golden()]).await.expect("append");
    kit.assert_same(&kit.replay_all(&id).await, &[golden()]);
}

/// The metadata and the tags of an event must be read back equal, also after reopening, and beside
/// events without them: with the most entries, tags and bytes that there can be, and with each
/// alone.
pub async fn the_metadata_and_tags_of_an_event_are_read_back(kit: Kit) {
    if !kit.can(kit.capabilities.metadata, "metadata") {
        return;
    }
    let value = "v".repeat(METADATA_BYTES_MAX - METADATA_KEY_BYTES_MAX);
    let long = Metadata::new().with("k".repeat(METADATA_KEY_BYTES_MAX), value);
    let many = (0..METADATA_COUNT_MAX)
        .try_fold(Metadata::new(), |all, index| all.with(format!("k-{index}"), "\0 ☃ '\""));
    let tags = || -> Tags { (0..TAGS_MAX).map(|tag| format!("{tag:0128}")).collect() };
    let one = Metadata::new().with("traceparent", "00-0af7651916cd43dd-b7ad6b7169203331-01");
    let all = [
        (long.expect("metadata"), tags()),
        (Metadata::new(), Tags::none()),
        (many.expect("metadata"), Tags::from(["☃"])),
        (Metadata::new(), tags()),
        (one.expect("metadata"), Tags::none()),
    ];
    let mut written = events(1, all.len() as u64);
    for (event, (metadata, tags)) in written.iter_mut().zip(all) {
        event.meta.labels = Labels::new(metadata, tags).expect("labels within their bounds");
    }
    let pen = kit.writer("writer-1").await;
    let id = id("cart|c-1|DC-A");
    pen.try_append_events(&id, 0, written[..2].to_vec()).await.expect("append");
    pen.try_append_events(&id, 2, written[2..].to_vec()).await.expect("append");
    kit.assert_same(&kit.replay_all(&id).await, &written);
    drop(pen);
    if kit.can(kit.capabilities.reopens, "reopens") {
        let kit = kit.reopen().await;
        kit.assert_same(&kit.replay_all(&id).await, &written);
    }
}

/// A stored event must be read back equal, metadata and payload, to the bit: random events, at any
/// place of an append.
pub async fn random_events_are_read_back_to_the_bit(kit: Kit) {
    let mut random = Generator::new(1);
    let pen = kit.writer("writer-1").await;
    let mut written: Vec<Vec<StoredEvent>> = vec![Vec::new(); 10];
    for _ in 0..100 {
        let stream = usize::try_from(random.below(10)).expect("small");
        let stored = &mut written[stream];
        let count = random.below(6) + 1;
        let new = random.events(stored.len() as u64 + 1, count, kit.capabilities.payload_bytes_max);
        let id = id(&format!("cart|c-{stream}|DC-A"));
        let outcome = pen.try_append_events(&id, stored.len() as u64, new.clone()).await;
        outcome.expect("append");
        stored.extend(new);
    }
    for (stream, written) in written.iter().enumerate() {
        let id = id(&format!("cart|c-{stream}|DC-A"));
        kit.assert_same(&kit.replay_all(&id).await, written);
    }
}

/// A stored event must be read back equal: the largest payload, and an empty one.
pub async fn the_largest_and_the_empty_payload_are_read_back(kit: Kit) {
    let pen = kit.writer("writer-1").await;
    let id = id("cart|c-1|DC-A");
    let bytes = Generator::new(2).bytes(kit.capabilities.payload_bytes_max);
    let mut written = events(1, 3);
    written[0].payload.bytes = bytes.clone();
    written[1].payload.bytes = Bytes::new();
    written[1].payload.manifest = Arc::from("");
    written[2].payload.bytes = bytes;
    pen.try_append_events(&id, 0, written.clone()).await.expect("append");
    kit.assert_same(&kit.replay_all(&id).await, &written);
}

/// Every allowed persistence id names a stream: also the longest one, and one without a replica.
pub async fn every_allowed_persistence_id_is_a_stream(kit: Kit) {
    let pen = kit.writer("writer-1").await;
    let longest = format!("{}|{}|{}", "t".repeat(512), "é".repeat(256), "R".repeat(512));
    for name in [longest.as_str(), "cart|c-1", "a|b|c", "cart|☃ 'quoted\" -- %|DC A"] {
        pen.append(&id(name), 0, 2).await;
        kit.assert_same(&kit.replay_all(&id(name)).await, &events(1, 2));
        let entity_type = name.split('|').next().expect("a type");
        let listed = kit.stores.read_journal.persistence_ids(entity_type, None, 10).await;
        assert!(listed.expect("ids").contains(&id(name)), "{name}");
    }
}

/// `append` must not return `Ok` before the events are durable: acknowledged events, deletions,
/// seals and opened writers are still there after reopening.
pub async fn a_journal_is_as_before_after_reopening(kit: Kit) {
    if !kit.can(kit.capabilities.reopens, "reopens") {
        return;
    }
    let pen = kit.writer("writer-1").await;
    let sealed = kit.writer("writer-2").await;
    let mut tasks = Vec::new();
    for stream in 0..100 {
        let pen = pen.clone();
        tasks.push(spawn("tck", async move {
            pen.append(&id(&format!("cart|c-{stream}|DC-A")), 0, 3).await;
        }));
    }
    for task in tasks {
        task.await.expect("append");
    }
    kit.stores.journal.delete_to(&id("cart|c-1|DC-A"), nr(2)).await.expect("delete");
    kit.stores.journal.delete_to(&id("cart|c-2|DC-A"), SequenceNr::MAX).await.expect("delete");
    seal(&*kit.stores.journal, &sealed.writer).await;
    let (open, sealed) = (pen.writer.clone(), sealed.writer.clone());
    drop(pen);

    let kit = kit.reopen().await;

    for stream in 0..100 {
        let id = id(&format!("cart|c-{stream}|DC-A"));
        let expected: &[u64] = match stream {
            1 => &[3],
            2 => &[],
            _ => &[1, 2, 3],
        };
        assert_eq!(numbers(&kit.replay_all(&id).await), expected, "stream {stream}");
        assert_eq!(kit.highest(&id).await, 3, "stream {stream}");
    }
    let journal = &kit.stores.journal;
    assert_kind(journal.open_writer(&open).await, ErrorKind::Rejected);
    assert_kind(journal.open_writer(&sealed).await, ErrorKind::Rejected);
    let late =
        Append { persistence_id: id("cart|c-2|DC-A"), expected: nr(3), events: vec![event(4)] };
    assert_kind(journal.append(&sealed, late.clone()).await, ErrorKind::Fenced);
    // a writer belongs to the session that opened it: the next node opens its own
    kit.writer("writer-3").await.append(&late.persistence_id, 3, 1).await;
}

/// Snapshots, offsets and coordination tables are the same after reopening.
pub async fn other_stores_are_as_before_after_reopening(kit: Kit) {
    if !kit.can(kit.capabilities.reopens, "reopens") {
        return;
    }
    let id = id("cart|c-1|DC-A");
    let snapshot = Generator::new(3).snapshot(nr(5), 1000);
    let key = OffsetKey { reader: "r".into(), part: "p".into() };
    kit.stores.snapshots.save_snapshot(&id, &snapshot).await.expect("save");
    let offset = antiphon_persistence::store::Offset::new("17");
    kit.stores.offsets.save_offset(&key, &offset).await.expect("save");
    let value = Some(Bytes::from_static(b"x"));
    let coordination = &kit.stores.coordination;
    coordination.compare_and_set("t", "k", None, value).await.expect("set");
    coordination
        .raise_token("t", antiphon_persistence::store::FencingToken(4))
        .await
        .expect("raise");
    let table = coordination.scan("t").await.expect("scan");

    let kit = kit.reopen().await;

    let highest = SequenceNr::MAX;
    let read = kit.stores.snapshots.latest_snapshot(&id, highest).await.expect("load");
    assert_eq!(read, Some(snapshot));
    assert_eq!(kit.stores.offsets.load_offset(&key).await.expect("load"), offset);
    assert_eq!(kit.stores.coordination.scan("t").await.expect("scan"), table);
}
