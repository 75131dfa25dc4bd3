//! One reader a lane and place: a node that follows another place's lanes asks the node of its own place that reads them, and looks itself
//! only when that does not answer.
//!
//! A question names how far each lane is known; the answer has the rounds after that from the memory of the asked one, which looks at the
//! lanes first, as often as its own readers would. It never asks on, so nodes that disagree on who reads do not go round in circles.

use std::sync::Arc;

use antiphon_persistence::codec::CodecId;
use antiphon_persistence::{Error, Result};
use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::tables::LaneId;

/// Takes questions to the node that reads the lanes.
#[async_trait]
pub trait LaneRelay: Send + Sync + 'static {
    /// The answer, made by [`CassandraStores::lane_news`](crate::CassandraStores::lane_news); `None` when this node is the reader, or when
    /// there is no answer.
    async fn ask(&self, question: Bytes) -> Option<Bytes>;
}

/// What a node wants to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Question {
    /// Whether the lanes have to be looked at after the question came.
    pub(crate) fresh: bool,
    /// How far each lane is known; [`SETTLED`] when nothing of it will ever change.
    pub(crate) known: Vec<(Arc<str>, u16, u64)>,
}

/// What is new.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct News {
    pub(crate) lanes: Vec<LaneNews>,
    /// There is more: ask again.
    pub(crate) more: bool,
}

/// What is new of a lane. Positions are part and round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LaneNews {
    pub(crate) writer: Arc<str>,
    pub(crate) lane: u16,
    /// The rounds follow this one.
    pub(crate) after: (u64, u64),
    /// All of the lane up to this round is in the streams' own partitions.
    pub(crate) copied: u64,
    pub(crate) first_part: u64,
    /// It is sealed, and this is its end.
    pub(crate) finished: bool,
    pub(crate) rounds: Vec<(u64, u64, Vec<u8>)>,
}

impl LaneNews {
    pub(crate) fn id(&self) -> LaneId {
        LaneId { writer: self.writer.clone(), lane: self.lane }
    }
}

/// How far a lane is known that has ended and is copied.
pub(crate) const SETTLED: u64 = u64::MAX;

/// Bytes of rounds in one answer, over at least one round; well below what a message between nodes may have.
pub(crate) const NEWS_BYTES_MAX: usize = 1 << 20;

pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Bytes> {
    Ok(CodecId::Bincode.encode(value)?.into())
}

pub(crate) fn decode_question(bytes: &[u8]) -> Result<Question> {
    CodecId::Bincode.decode(bytes).map_err(|error| {
        Error::rejected(format!("a question for lanes cannot be read: {error}")).with_source(error)
    })
}

pub(crate) fn decode_news(bytes: &[u8]) -> Result<News> {
    CodecId::Bincode.decode(bytes).map_err(|error| {
        Error::corrupt(format!("news of lanes cannot be read: {error}")).with_source(error)
    })
}
