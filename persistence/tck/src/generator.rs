//! Random events and snapshots, the same for the same seed.
//!
//! The values lean towards the ends of their ranges, where encodings break: empty, one, largest,
//! not ASCII, zero bytes.

use antiphon_base::time::Timestamp;
use antiphon_persistence::event::{
    EventMeta, Labels, METADATA_COUNT_MAX, Metadata, Payload, RequestId, SequenceNr, StoredEvent,
    TAGS_MAX,
};
use antiphon_persistence::identity::ReplicaId;
use antiphon_persistence::store::{DoneRequest, KeptAnswer, Snapshot};
use antiphon_persistence::version::VersionVector;
use bytes::Bytes;

use crate::kit::replica;

/// A source of random values (SplitMix64, by Steele, Lea and Flood).
#[derive(Debug, Clone)]
pub struct Generator(u64);

impl Generator {
    /// The source for a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    ///
    /// # Panics
    /// If `end` is zero.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// A number up to `largest`: an end of the range, a number next to it, or any other.
    pub fn edge(&mut self, largest: u64) -> u64 {
        match self.below(6) {
            0 => 0,
            1 => 1,
            2 => largest,
            3 => largest - 1,
            4 => self.number() & 0xffff & largest,
            _ => self.number() & largest,
        }
    }

    /// `count` random bytes.
    pub fn bytes(&mut self, count: usize) -> Bytes {
        let mut bytes = Vec::with_capacity(count + 8);
        while bytes.len() < count {
            bytes.extend_from_slice(&self.number().to_le_bytes());
        }
        bytes.truncate(count);
        bytes.into()
    }

    /// A replica id, at times the empty one.
    pub fn replica(&mut self) -> ReplicaId {
        match self.below(8) {
            0 => ReplicaId::empty(),
            1 => replica("Zürich ☃ 1"),
            2 => replica(&"long".repeat(128)),
            _ => replica(&format!("DC-{}", self.below(5))),
        }
    }

    /// A version vector, at times empty or long.
    pub fn version(&mut self) -> VersionVector {
        let count = match self.below(8) {
            0 => 0,
            1 => 40,
            few => few,
        };
        let long = (count == 40).then(|| (0..40).map(|i| replica(&format!("R{i}"))));
        let names: Vec<ReplicaId> =
            long.map_or_else(|| (0..count).map(|_| self.replica()).collect(), Iterator::collect);
        names.into_iter().map(|name| (name, self.edge(u64::MAX))).collect()
    }

    /// The labels of an event: mostly none, at times as many as there can be.
    pub fn labels(&mut self) -> Labels {
        let (entries, tags) = match self.below(8) {
            0..5 => return Labels::none(),
            5 => (self.below(3), self.below(3)),
            6 => (0, TAGS_MAX as u64),
            _ => (METADATA_COUNT_MAX as u64, self.below(2)),
        };
        let with = |all: Metadata, entry| all.with(format!("schlüssel-{entry}"), "☃ \0'\"");
        let metadata = (0..entries).try_fold(Metadata::new(), with).expect("short metadata");
        let tags = (0..tags).map(|tag| format!("tag ☃ {tag}")).collect();
        Labels::new(metadata, tags).expect("short tags")
    }

    /// A payload of at most `bytes_max` bytes.
    pub fn payload(&mut self, bytes_max: usize) -> Payload {
        let manifest = match self.below(4) {
            0 => "",
            1 => "angehängt\0☃",
            _ => "item-added",
        };
        let end = bytes_max.min(if self.below(10) == 0 { 20_000 } else { 200 });
        let size = usize::try_from(self.below(end as u64 + 1)).expect("at most the limit");
        Payload {
            codec: u8::try_from(self.edge(255)).expect("at most 255"),
            manifest: manifest.into(),
            version: u16::try_from(self.edge(65_535)).expect("at most 65,535"),
            bytes: self.bytes(size),
        }
    }

    /// An event with this sequence nr.
    pub fn event(&mut self, sequence_nr: SequenceNr, payload_bytes_max: usize) -> StoredEvent {
        StoredEvent {
            sequence_nr,
            meta: EventMeta {
                origin: self.replica(),
                version: self.version(),
                source_seq: SequenceNr::new(self.edge(u64::MAX)),
                concurrent: self.below(2) == 1,
                timestamp: Timestamp::from_micros(self.edge(u64::MAX)),
                labels: self.labels(),
            },
            payload: self.payload(payload_bytes_max),
        }
    }

    /// `count` events from the number `first` on.
    pub fn events(&mut self, first: u64, count: u64, payload_bytes_max: usize) -> Vec<StoredEvent> {
        let numbers = (first..first + count).map(SequenceNr::new);
        numbers.map(|number| self.event(number, payload_bytes_max)).collect()
    }

    /// A snapshot at this sequence nr.
    pub fn snapshot(&mut self, sequence_nr: SequenceNr, payload_bytes_max: usize) -> Snapshot {
        let position_count = self.below(4);
        Snapshot {
            sequence_nr,
            version: self.version(),
            positions: (0..position_count)
                .map(|_| (self.replica(), SequenceNr::new(self.edge(u64::MAX))))
                .collect(),
            timestamp: Timestamp::from_micros(self.edge(u64::MAX)),
            state: self.payload(payload_bytes_max),
            reminders: Vec::new(),
            metadata: self.labels().metadata().clone(),
            requests: self.requests(),
        }
    }

    fn requests(&mut self) -> Vec<DoneRequest> {
        let count = self.below(4);
        let request = |number| DoneRequest {
            id: RequestId::new(format!("request {number} \u{2603}")).expect("a short id"),
            origin: self.replica(),
            first: self.edge(u64::MAX),
            at: Timestamp::from_micros(self.edge(u64::MAX)),
            answer: match self.below(4) {
                0 => KeptAnswer::None,
                3 => KeptAnswer::Later,
                1 => KeptAnswer::TooLarge(self.edge(u64::MAX)),
                _ => KeptAnswer::Bytes(self.bytes(200)),
            },
        };
        (0..count).map(request).collect()
    }
}
