//! The state of a pipeline, its one entry point, and its invariants.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::Instant;

use super::broken::BrokenStreams;
use super::lifecycle::{Checkpoint, Phase, SinkState, SourceState};
use super::queue::{Item, Lane, StreamQueue};
use super::watermark::Watermark;
use super::{Effect, Input, Note, Now, PipelineSettings, Seq, WriteId};
use crate::source::{Position, Token, Verdict};

/// The rules of one subscription. See the [module documentation](super).
#[derive(Debug)]
pub struct Pipeline {
    pub(super) settings: PipelineSettings,
    pub(super) watermark: Watermark,
    pub(super) streams: BTreeMap<Arc<str>, StreamQueue>,
    pub(super) lanes: Vec<Lane>,
    pub(super) writes: BTreeMap<WriteId, Write>,
    pub(super) parking: BTreeMap<Seq, ParkedItem>,
    pub(super) broken: BrokenStreams,
    pub(super) timers: BTreeSet<(Instant, Timer)>,
    pub(super) source: SourceState,
    /// Number of failures in a row to keep the source open.
    pub(super) source_failures: u32,
    /// True once the source has delivered, or has stayed open for a while. Its settings are right
    /// then, so it is opened again after any error.
    pub(super) source_was_sound: bool,
    pub(super) source_opened: Option<Instant>,
    pub(super) sink: SinkState,
    pub(super) checkpoint: Checkpoint,
    pub(super) phase: Phase,
    /// Streams that are blocked. The one with the most waiting events is searched here.
    pub(super) blocked: BTreeSet<Arc<str>>,
    /// Number of events that wait in blocked streams.
    pub(super) blocked_count: usize,
    /// No write starts before this time, because of the throttle.
    pub(super) quiet_until: Option<Instant>,
    pub(super) next_write: u64,
    pub(super) next_generation: u64,
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

/// Reason to look at the state at a given time. The state, not the timer, says if anything is due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Unblock(Arc<str>),
    Renew(Arc<str>, Seq),
    ParkAgain(Seq),
    Reopen,
    Sink,
    Checkpoint,
    Throttle,
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
            lanes: (0..settings.lane_count).map(|_| Lane::default()).collect(),
            watermark: Watermark::starting_at(checkpoint.clone()),
            checkpoint: Checkpoint { saved: checkpoint, ..Checkpoint::default() },
            settings,
            streams: BTreeMap::new(),
            writes: BTreeMap::new(),
            parking: BTreeMap::new(),
            broken: BrokenStreams::default(),
            timers: BTreeSet::new(),
            source: SourceState::Idle,
            source_failures: 0,
            source_was_sound: false,
            source_opened: None,
            sink: SinkState::Up,
            phase: Phase::Running,
            blocked: BTreeSet::new(),
            blocked_count: 0,
            quiet_until: None,
            next_write: 0,
            next_generation: 0,
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
        self.timers.first().map(|(at, _)| *at)
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
        matches!(self.source, SourceState::Open(_))
            && matches!(self.sink, SinkState::Up)
            && self.phase == Phase::Running
    }

    pub(super) fn set_timer(&mut self, at: Instant, timer: Timer) {
        self.timers.insert((at, timer));
    }

    fn fire(&mut self, now: Now, out: &mut Out) {
        self.broken.expire(now.at);
        while let Some((at, _)) = self.timers.first()
            && *at <= now.at
        {
            let Some((_, timer)) = self.timers.pop_first() else { break };
            match timer {
                Timer::Unblock(key) => self.unblock_when_due(now, &key, out),
                Timer::Renew(key, seq) => self.renew(now, &key, seq, out),
                Timer::ParkAgain(seq) => self.park_again(seq, out),
                Timer::Reopen => self.reopen(out),
                Timer::Sink => self.look_at_sink(now, out),
                Timer::Checkpoint => self.checkpoint.is_due = true,
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
        let waiting: usize = self.streams.values().map(|queue| queue.waiting.len()).sum();
        let writing: usize = self.writes.values().map(|write| write.items.len()).sum();
        assert_eq!(
            waiting + writing + self.parking.len(),
            self.watermark.pending_count(),
            "every pending event waits, is written or is parked"
        );
        let mut blocked = 0;
        for (key, queue) in &self.streams {
            assert!(
                queue.writing.is_some() || !queue.waiting.is_empty(),
                "`{key}` is kept though nothing of it is left"
            );
            let can_go = queue.writing.is_none() && queue.blocked.is_none();
            assert_eq!(queue.ready.is_some(), can_go, "`{key}` is ready when it can go");
            assert_eq!(queue.blocked.is_some(), self.blocked.contains(key), "`{key}` is blocked");
            if queue.blocked.is_some() {
                blocked += queue.waiting.len();
            }
            let later = queue.waiting.iter().zip(queue.waiting.iter().skip(1));
            for (one, next) in later {
                let (one, next) = (&one.envelope.event, &next.envelope.event);
                assert!(
                    one.stream != next.stream || one.revision < next.revision,
                    "`{key}` waits out of order: #{} before #{}",
                    one.revision,
                    next.revision
                );
            }
        }
        assert_eq!(blocked, self.blocked_count, "events that wait in blocked streams");
        let lane_writes: usize = self.lanes.iter().map(|lane| lane.writes).sum();
        assert_eq!(lane_writes, self.writes.len(), "writes of all lanes");
    }
}
