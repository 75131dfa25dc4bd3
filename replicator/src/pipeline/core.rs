//! The state of a pipeline, its one entry point, and its invariants.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::broken::BrokenStreams;
use super::checkpoint::Checkpoint;
use super::queue::Item;
use super::sink_state::SinkState;
use super::source_link::SourceLink;
use super::streams::Streams;
use super::timers::{Timer, Timers};
use super::watermark::Watermark;
use super::{Effect, Input, Note, Now, PipelineSettings, Seq, WriteId};
use crate::source::{Position, Token, Verdict};

/// The rules of one subscription. See the [module documentation](super).
#[derive(Debug)]
pub struct Pipeline {
    pub(super) settings: PipelineSettings,
    pub(super) watermark: Watermark,
    pub(super) streams: Streams,
    pub(super) writes: BTreeMap<WriteId, Write>,
    pub(super) parking: BTreeMap<Seq, ParkedItem>,
    pub(super) broken: BrokenStreams,
    pub(super) timers: Timers,
    pub(super) source: SourceLink,
    pub(super) sink: SinkState,
    pub(super) checkpoint: Checkpoint,
    pub(super) phase: Phase,
    /// No write starts before this time, because of the throttle.
    pub(super) quiet_until: Option<Instant>,
    pub(super) next_write: u64,
}

/// The phase of the subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Running,
    Draining,
    Ended,
}

/// A write in progress.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) lane: usize,
    pub(super) items: Vec<Item>,
}

/// An event on its way into the replicator's own parking lot.
#[derive(Debug)]
pub(super) struct ParkedItem {
    pub(super) item: Item,
    pub(super) reason: String,
    pub(super) failures: u32,
}

/// Collects the effects of one step.
#[derive(Debug, Default)]
pub(super) struct Out {
    pub(super) effects: Vec<Effect>,
    pub(super) verdicts: Vec<(Token, Verdict)>,
}

impl Out {
    pub(super) fn note(&mut self, note: Note) {
        self.effects.push(Effect::Note(note));
    }

    pub(super) fn settle(&mut self, token: Option<Token>, verdict: Verdict) {
        if let Some(token) = token {
            self.verdicts.push((token, verdict));
        }
    }
}

impl Pipeline {
    /// Creates a pipeline that continues after `checkpoint`.
    ///
    /// # Errors
    /// `Rejected` when a setting is out of its range.
    pub fn new(settings: PipelineSettings, checkpoint: Option<Position>) -> crate::Result<Self> {
        settings.validate()?;
        Ok(Self {
            watermark: Watermark::starting_at(checkpoint.clone()),
            checkpoint: Checkpoint::saved_at(checkpoint),
            streams: Streams::new(settings.lane_count),
            settings,
            writes: BTreeMap::new(),
            parking: BTreeMap::new(),
            broken: BrokenStreams::default(),
            timers: Timers::default(),
            source: SourceLink::new(),
            sink: SinkState::Up,
            phase: Phase::Running,
            quiet_until: None,
            next_write: 0,
        })
    }

    /// Advances the pipeline by one input.
    pub fn step(&mut self, now: Now, input: Input) -> Vec<Effect> {
        let held_before = self.watermark.pending_count();
        let mut delivered = 0;
        let mut out = Out::default();
        self.fire(now, &mut out);
        match input {
            Input::Start => self.open(&mut out),
            Input::Opened(generation) => self.opened(now, generation, &mut out),
            Input::WentBack(generation, position) => self.went_back(generation, position),
            Input::OpenFailed { generation, reason, is_final } => {
                self.open_failed(now, generation, reason, is_final, &mut out);
            }
            Input::Arrived(generation, deliveries) => {
                delivered = deliveries.len();
                self.arrived(now, generation, deliveries, &mut out);
            }
            Input::SourceLost { generation, reason, is_final } => {
                self.source_lost(now, generation, reason, is_final, &mut out);
            }
            Input::Written(write, outcomes) => self.written(now, write, outcomes, &mut out),
            Input::Parked(seq, result) => self.parked(now, seq, result, &mut out),
            Input::CheckpointSaved(result) => self.checkpoint_saved(now, result, &mut out),
            Input::Probed(result) => self.probed(now, result, &mut out),
            Input::Tick => {}
            Input::Drain => self.drain(),
        }
        self.give_up_excess(now, &mut out);
        self.schedule(now, &mut out);
        self.keep_checkpoint(now, &mut out);
        let held_after = self.watermark.pending_count();
        let released = held_before + delivered - held_after;
        self.finish(out, released)
    }

    /// The time at which [`step`](Self::step) must be called with [`Input::Tick`], if there is no
    /// other input before.
    pub fn next_wake(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Number of events that are held: delivered, but neither written nor parked.
    pub fn held_count(&self) -> usize {
        self.watermark.pending_count()
    }

    /// Number of bytes of the held events.
    pub fn held_bytes(&self) -> usize {
        self.watermark.pending_bytes()
    }

    /// Position up to which every event is done.
    pub fn position(&self) -> Option<&Position> {
        self.watermark.position()
    }

    /// True when the source is open, the sink is reachable and the subscription has not failed.
    pub fn is_up(&self) -> bool {
        self.source.is_open() && self.sink.is_up() && self.phase == Phase::Running
    }

    fn fire(&mut self, now: Now, out: &mut Out) {
        self.broken.expire(now.at);
        while let Some(timer) = self.timers.take_due(now.at) {
            match timer {
                Timer::Unblock(key) => self.unblock_when_due(now, &key, out),
                Timer::Renew(key, seq) => self.renew(now, &key, seq, out),
                Timer::ParkAgain(seq) => self.park_again(seq, out),
                Timer::Reopen => self.reopen(out),
                Timer::Sink => self.look_at_sink(now, out),
                Timer::Checkpoint => self.checkpoint.is_due(),
                Timer::Throttle => {}
            }
        }
    }

    fn finish(&mut self, out: Out, released: usize) -> Vec<Effect> {
        let Out { mut effects, verdicts } = out;
        if !verdicts.is_empty() {
            effects.push(Effect::Settle(verdicts));
        }
        if released > 0 {
            effects.push(Effect::Release(released));
        }
        if self.is_drained() {
            self.phase = Phase::Ended;
            effects.push(Effect::Drained);
        }
        if cfg!(debug_assertions) {
            self.check();
        }
        effects
    }

    /// Asserts the invariants that hold after every step.
    pub(super) fn check(&self) {
        let waiting = self.streams.check();
        let writing: usize = self.writes.values().map(|write| write.items.len()).sum();
        assert_eq!(
            waiting + writing + self.parking.len(),
            self.watermark.pending_count(),
            "every pending event waits, is written or is parked"
        );
        let lane_writes: usize = self.streams.lanes.iter().map(|lane| lane.writes).sum();
        assert_eq!(lane_writes, self.writes.len(), "writes of all lanes");
    }
}
