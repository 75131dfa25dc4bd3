//! Rounds, rows of events and news of lanes, for the fuzzing in `fuzz`.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use antiphon_base::fuzzing::{Bounds, Check, Decoder, nothing_more, round_trip};
use antiphon_persistence::fuzzing::event;
use antiphon_persistence::record::batch;
use antiphon_persistence::store::{Append, FeedRelay};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::View;
use super::news::news;
use crate::log::entry::{decode_events, encode_entry};
use crate::log::relay::{LaneNews, News, Question, decode_news, decode_question, encode};
use crate::log::{event_row, round};

/// The answers of a server and of other nodes about the log.
pub const LOG: &[Decoder] = &[
    Decoder {
        name: "round",
        decode: |bytes| {
            let entries = round::decode(&Bytes::copy_from_slice(bytes)).ok()?;
            let events = entries.iter().filter_map(|entry| entry.decode().ok());
            let events: usize = events.map(|events| events.len()).sum();
            assert!(events <= bytes.len() / 8, "{events} events in {} bytes", bytes.len());
            let written = round::encode_read(&entries);
            let again = |bytes: Vec<u8>| {
                let entries = round::decode(&bytes.into()).ok()?;
                Some(round::encode_read(&entries))
            };
            Some(round_trip(written, Vec::clone, again))
        },
        seeds: || vec![a_round()],
        // the names of streams are kept in three parts; an event is a structure of 200 bytes
        bounds: Bounds::new(16 * 1024, 256),
    },
    Decoder {
        name: "event_row",
        decode: |bytes| {
            let row = event_row::sealed(&"c|1|A".into(), 0, (5, 6), bytes.to_vec());
            let events = event_row::events_of(&row).ok()?;
            let events = decode_events("c|1|A", row.first, row.last, &events).ok()?;
            assert_eq!(events.len(), 2, "the events of the row");
            Some(nothing_more(events))
        },
        seeds: || vec![batch::encode(&[event(5), event(6)])],
        bounds: Bounds::new(16 * 1024, 128),
    },
    Decoder {
        name: "question",
        decode: |bytes| {
            let question = decode_question(bytes).ok()?;
            let view = View::new(1 << 20);
            let answer = news(&view.state(), &question);
            assert_eq!(answer, News::default(), "nothing is known");
            let again = |bytes: Bytes| decode_question(&bytes).ok();
            Some(round_trip(question, |question| encode(question).expect("encoded"), again))
        },
        seeds: || {
            let question = Question { fresh: true, known: vec![("node-1".into(), 2, 7)] };
            vec![encode(&question).expect("encoded").to_vec()]
        },
        bounds: Bounds::new(16 * 1024, 128),
    },
    Decoder {
        name: "news",
        decode: learn,
        seeds: || {
            let rounds = vec![(0, 8, a_round()), (0, 9, a_round())];
            let lane = LaneNews {
                writer: "node-1".into(),
                lane: 0,
                after: (0, 7),
                copied: 7,
                first_part: 0,
                finished: true,
                rounds,
            };
            let news = News { lanes: vec![lane], more: false };
            vec![encode(&news).expect("encoded").to_vec()]
        },
        bounds: Bounds::new(64 * 1024, 512),
    },
    crate::feed::fuzzing::POSITION,
];

fn a_round() -> Vec<u8> {
    let append = Append {
        persistence_id: antiphon_persistence::identity::PersistenceId::parse("c|1|A")
            .expect("an id"),
        expected: antiphon_persistence::event::SequenceNr::new(4),
        events: vec![event(5), event(6)],
    };
    let record = encode_entry(&append).take_record();
    [&[1, 2][..], &record, &record].concat()
}

/// A node that gives one answer.
struct Teller(Mutex<Option<Bytes>>);

#[async_trait]
impl FeedRelay for Teller {
    async fn ask(&self, _question: Bytes) -> Option<Bytes> {
        self.0.lock().take()
    }
}

/// The news of another node, as a view learns them.
fn learn(bytes: &[u8]) -> Option<Check> {
    let news = decode_news(bytes).ok()?;
    let view = View::new(1024);
    let teller = Teller(Mutex::new(Some(Bytes::copy_from_slice(bytes))));
    let asked = pin!(view.ask(&teller, true)).poll(&mut Context::from_waker(Waker::noop()));
    assert!(asked.is_ready(), "nothing waits");
    {
        let mut state = view.state();
        let streams = state.tail_streams("c");
        let tail: usize = streams.iter().map(|stream| state.tail(stream).len()).sum();
        assert!(tail <= bytes.len(), "{tail} entries of {} bytes", bytes.len());
    }
    let is_learned = matches!(asked, Poll::Ready(Ok(true)));
    let again = |bytes: Bytes| decode_news(&bytes).ok();
    is_learned.then(|| round_trip(news, |news| encode(news).expect("encoded"), again))
}
