//! Cases of [`OffsetStore`](antiphon_persistence::store::OffsetStore).

use antiphon_base::task::spawn;
use antiphon_persistence::store::{Offset, OffsetKey};

use crate::Kit;

fn key(reader: &str, part: &str) -> OffsetKey {
    OffsetKey { reader: reader.into(), part: part.into() }
}

async fn save(kit: &Kit, key: &OffsetKey, offset: &str) {
    kit.stores.offsets.save_offset(key, &Offset::new(offset)).await.expect("save");
}

async fn load(kit: &Kit, key: &OffsetKey) -> Offset {
    kit.stores.offsets.load_offset(key).await.expect("load")
}

/// `load_offset` must return the start when nothing was saved.
pub async fn an_unknown_reader_is_at_the_start(kit: Kit) {
    save(&kit, &key("r", "p"), "1").await;
    assert_eq!(load(&kit, &key("r", "q")).await, Offset::start());
    assert_eq!(load(&kit, &key("q", "p")).await, Offset::start());
}

/// `load_offset` must return what the last `save_offset` of the key stored, whatever its text; it
/// may go back.
pub async fn the_last_saved_offset_is_loaded(kit: Kit) {
    let other = kit.other_session().await;
    for text in ["1", "2", "1", "☃ 'any' text \0", &"long".repeat(500), ""] {
        save(&kit, &key("r", "p"), text).await;
        assert_eq!(load(&kit, &key("r", "p")).await.as_str(), text);
        let seen = other.offsets.load_offset(&key("r", "p")).await.expect("load");
        assert_eq!(seen.as_str(), text);
    }
}

/// Keys that differ in either part are different keys.
pub async fn keys_are_kept_apart(kit: Kit) {
    let keys = [
        ("ab", "c"),
        ("a", "bc"),
        ("", "abc"),
        ("abc", ""),
        ("AB", "c"),
        ("a|b", "c"),
        ("a", "b|c"),
    ];
    for (reader, part) in keys {
        save(&kit, &key(reader, part), &format!("{reader}/{part}")).await;
    }
    for (reader, part) in keys {
        assert_eq!(load(&kit, &key(reader, part)).await.as_str(), format!("{reader}/{part}"));
    }
}

/// Of offsets that are saved at once for one key, one stays; each other key has its own.
pub async fn offsets_can_be_saved_at_once(kit: Kit) {
    let mut tasks = Vec::new();
    for index in 0..100 {
        let store = kit.stores.offsets.clone();
        tasks.push(spawn("tck", async move {
            let own = key("own", &index.to_string());
            store.save_offset(&own, &Offset::new(index.to_string())).await?;
            store.save_offset(&key("shared", ""), &Offset::new(index.to_string())).await
        }));
    }
    for task in tasks {
        task.await.expect("no panic").expect("save");
    }
    for index in 0..100 {
        assert_eq!(load(&kit, &key("own", &index.to_string())).await.as_str(), index.to_string());
    }
    let shared = load(&kit, &key("shared", "")).await;
    assert!(shared.as_str().parse::<u64>().expect("a number") < 100);
}
