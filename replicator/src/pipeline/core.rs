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

/// The rules of one subscription. See the [module](super).
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
    /// How often the source was lost, or not opened, in a row.
    pub(super) source_failures: u32,
    /// Whether the source ever delivered, or was open for a while: then it is known to be right, and is opened again whatever it says.
    pub(super) source_was_sound: bool,
    pub(super) source_opened: Option<Instant>,
    pub(super) sink: SinkState,
    pub(super) checkpoint: Checkpoint,
    pub(super) phase: Phase,
    /// Blocked streams, for the search of the one with the most waiting events.
    pub(super) blocked: BTreeSet<Arc<str>>,
    /// Events that wait in blocked streams.
    pub(super) blocked_count: usize,
    /// No write starts before this, because of the throttle.
    pub(super) quiet_until: Option<Instant>,
    pub(super) next_write: u64,
    pub(super) next_generation: u64,
}

/// A write that is under way.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) lane: usize,
    pub(super) items: Vec<Item>,
}

/// An event on its way into the own parking lot.
#[derive(Debug)]
pub(super) struct ParkedItem {
    pub(super) item: Item,
    pub(super) reason: String,
    pub(super) failures: u32,
}

/// What happens at a time. A timer says only "look": whether there is something to do is seen in the state.
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
    /// A pipeline that goes on after `checkpoint`.
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

    /// When to call [`step`](Self::step) with [`Input::Tick`], if nothing else happens before.
    pub fn next_wake(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Events that are held: delivered, and neither written nor put aside.
    pub fn held_count(&self) -> usize {
        self.watermark.pending_count()
    }

    /// Bytes of those events.
    pub fn held_bytes(&self) -> usize {
        self.watermark.pending_bytes()
    }

    /// Everything up to here is done.
    pub fn position(&self) -> Option<&Position> {
        self.watermark.position()
    }

    /// Whether the source is open, the sink reachable, and nothing failed for good.
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

    /// What must hold after every step.
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
