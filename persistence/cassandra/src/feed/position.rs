//! The position of a reader of the change feed, as JSON:
//! `{"lanes":{"node-1#5":[[0,17,0],[0,9,2]]}}`. It has an entry for each lane:
//! `[part, round, appends of the next round]`.

use std::collections::BTreeMap;
use std::sync::Arc;

use antiphon_base::{Error, Result};
use antiphon_persistence::store::Offset;
use serde::{Deserialize, Serialize};

use crate::tables::{LaneId, LanePosition};

/// The content of an offset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Position {
    lanes: BTreeMap<Arc<str>, Vec<LaneOffset>>,
    /// The last stream that the scan read; empty at its start. `None` when no scan is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) scan: Option<String>,
}

/// A part, the last round of it that was read, and the count of appends read from the next round.
type LaneOffset = (u64, u64, usize);

impl Position {
    pub(super) fn parse(offset: &Offset) -> Result<Self> {
        if offset.is_start() {
            return Ok(Self::default());
        }
        serde_json::from_str(offset.as_str()).map_err(|error| {
            Error::rejected(format!(
                "offset `{offset}`: expected the position of a Cassandra journal: {error}"
            ))
        })
    }

    pub(super) fn offset(&self) -> Result<Offset> {
        if *self == Self::default() {
            return Ok(Offset::start());
        }
        serde_json::to_string(self)
            .map(Offset::new)
            .map_err(|error| Error::bug(format!("a position cannot be encoded: {error}")))
    }

    pub(super) fn of(&self, lane: &LaneId) -> (LanePosition, usize) {
        let lanes = self.lanes.get(&lane.writer);
        let (part, nr, done) =
            lanes.and_then(|lanes| lanes.get(usize::from(lane.lane))).copied().unwrap_or_default();
        (LanePosition { part, nr }, done)
    }

    /// A position at the start of a scan.
    pub(super) fn scanning() -> Self {
        Self { scan: Some(String::new()), ..Self::default() }
    }

    pub(super) fn set(&mut self, lane: &LaneId, at: LanePosition, done: usize) {
        let lanes = self.lanes.entry(lane.writer.clone()).or_default();
        let index = usize::from(lane.lane);
        if lanes.len() <= index {
            lanes.resize(index + 1, (0, 0, 0));
        }
        lanes[index] = (at.part, at.nr, done);
    }
}
