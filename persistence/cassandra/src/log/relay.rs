//! A single reader for each lane and place: a node that follows the lanes of another place asks the
//! reader of its own place for their rounds. It looks at the lanes itself only when the reader does
//! not answer.
//!
//! A question names the known position of each lane. The answer has the later rounds, from the
//! memory of the asked node, which looks at the lanes first, as often as for its own readers. The
//! asked node never asks another node, so nodes that disagree on the reader do not ask in circles.

use std::sync::Arc;

use antiphon_base::{Error, Result};
use antiphon_persistence::codec::CodecId;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::tables::LaneId;

/// Question of a node about the lanes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Question {
    /// True when the asked node must look at the lanes after the question arrived.
    pub(crate) fresh: bool,
    /// The last known round of each lane; [`SETTLED`] when the lane will never change again.
    pub(crate) known: Vec<(Arc<str>, u16, u64)>,
}

/// Answer to a [`Question`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct News {
    pub(crate) lanes: Vec<LaneNews>,
    /// True when more rounds are left: ask again.
    pub(crate) more: bool,
}

/// News of one lane. Positions are part and round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LaneNews {
    pub(crate) writer: Arc<str>,
    pub(crate) lane: u16,
    /// Position after which `rounds` begin.
    pub(crate) after: (u64, u64),
    /// All of the lane up to this round is in the streams' own partitions.
    pub(crate) copied: u64,
    pub(crate) first_part: u64,
    /// True when the lane is sealed and these rounds reach its end.
    pub(crate) finished: bool,
    pub(crate) rounds: Vec<(u64, u64, Vec<u8>)>,
}

impl LaneNews {
    pub(crate) fn id(&self) -> LaneId {
        LaneId { writer: self.writer.clone(), lane: self.lane }
    }
}

/// The known position of a lane that has ended and is copied.
pub(crate) const SETTLED: u64 = u64::MAX;

/// Bytes of rounds in one answer, which has at least one round. Well below the limit of a message
/// between nodes.
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
