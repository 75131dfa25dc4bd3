//! Replay of one stream, beside two bare paged selects: of the journal's rows, which hold up to 256
//! events each and are not decoded, and of a table with one event in each row, as other journals
//! have.

use antiphon_persistence::event::SequenceNr;
use antiphon_persistence::identity::PersistenceId;
use antiphon_persistence::store::{Journal, WriterId};

use super::super::appends::append;
use super::{RUNS, new_place, point, stores_of};
use crate::baseline::cassandra;
use crate::process::runtime;
use crate::report::Report;
use crate::stats::{Runs, Stopwatch};

/// Reads of the stream in one run: a single read takes 40 ms.
const TIMES: u64 = 50;

pub(crate) fn replay(report: &mut Report) {
    let (mut ours, mut bare, mut rows) = (Runs::default(), Runs::default(), Runs::default());
    let events = 100_000;
    runtime().block_on(async {
        let place = new_place();
        let stores = stores_of(&place).await;
        let writer = WriterId::new("bench@1").expect("a name");
        stores.open_writer(&writer).await.expect("a new writer");
        let id = PersistenceId::parse("bench|e-1|A").expect("an id");
        let mut highest = 0;
        while highest < events {
            let mut next = append(&id, highest);
            next.events = (highest..highest + 100).flat_map(|nr| append(&id, nr).events).collect();
            stores.append(&writer, next).await.expect("an append");
            highest += 100;
        }
        // the seal copies all events
        stores.seal(&writer).await.expect("a seal");
        for _ in 0..RUNS {
            let watch = Stopwatch::start();
            for _ in 0..TIMES {
                let mut read = 0;
                while read < events {
                    let first = SequenceNr::new(read + 1);
                    let page = stores.replay(&id, first, SequenceNr::MAX, 10_000).await;
                    read += page.expect("events").len() as u64;
                }
            }
            ours.push(watch.rate(usize::try_from(TIMES * events).expect("small")));
            bare.push(cassandra::select_per_second(&point(), &place, TIMES).await);
            rows.push(cassandra::rows_per_second(&point(), events).await);
        }
    });
    let case = "100,000 events";
    let blobs = ("bare paged select of the same rows, not decoded", &bare);
    report.compare("cassandra-replay", case, "events/s", &ours, blobs);
    let each = ("bare paged select, a row an event", &rows);
    report.compare("cassandra-replay", case, "events/s", &ours, each);
}
