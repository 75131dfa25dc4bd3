//! The parts of a subscription, which a configuration decides.

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::Clock;

use crate::checkpoint::CheckpointStore;
use crate::filter::Shaping;
use crate::health::Monitor;
use crate::park::ParkingLot;
use crate::pipeline::PipelineSettings;
use crate::sink::Sink;
use crate::source::Source;

/// The parts of a subscription.
pub struct Parts {
    /// The source of its events.
    pub source: Arc<dyn Source>,
    /// The destination of its events.
    pub sink: Arc<dyn Sink>,
    /// The store of its position.
    pub checkpoints: Arc<dyn CheckpointStore>,
    /// The store of its parked events.
    pub parking: Arc<ParkingLot>,
    /// The rules that exclude events.
    pub shaping: Arc<Shaping>,
    /// The observer of all its events and states.
    pub monitor: Arc<Monitor>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The rules.
    pub pipeline: PipelineSettings,
    /// Largest number of bytes held. Reading pauses above it.
    pub held_bytes_max: usize,
    /// Interval at which the source is asked for its newest event.
    pub head_interval: Duration,
    /// True when it ends as soon as all events that were there at the start are done.
    pub run_once: bool,
    /// True when no verdict is sent to the source.
    pub settles_nothing: bool,
}
