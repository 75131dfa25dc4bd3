//! Random numbers, histories and settings of simulated worlds.

use std::collections::BTreeMap;
use std::time::Duration;

use uuid::Uuid;

use super::super::*;
use super::SourceKind;
use crate::event::Event;

/// A splitmix generator: the only source of randomness in the simulation.
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(super) fn permille(&mut self, chance: u64) -> bool {
        self.below(1000) < chance
    }
}

pub(super) fn history(chance: &mut Chance) -> Vec<Event> {
    let stream_count = 1 + chance.below(12);
    let count = 20 + chance.below(200);
    let mut revisions = BTreeMap::new();
    (0..count)
        .map(|_| {
            let stream = format!("customer-{}", chance.below(stream_count));
            let revision = revisions.entry(stream.clone()).or_insert(0);
            *revision += 1;
            let id = Uuid::from_u64_pair(chance.next(), chance.next());
            Event { id, ..Event::example(&stream, *revision - 1, "") }
        })
        .collect()
}

pub(super) fn settings(chance: &mut Chance, kind: SourceKind) -> PipelineSettings {
    let is_group = kind == SourceKind::Group;
    let is_tame = chance.permille(500);
    let held_count_max = usize::try_from(4 + chance.below(60)).unwrap();
    PipelineSettings {
        lane_count: usize::try_from(1 + chance.below(8)).unwrap(),
        lane_order: if chance.permille(500) { LaneOrder::Arrival } else { LaneOrder::PerStream },
        neighbours: if chance.permille(800) { Neighbours::GoOn } else { Neighbours::Wait },
        lane_writes_max: usize::try_from(1 + chance.below(4)).unwrap(),
        batch_count_max: usize::try_from(1 + chance.below(16)).unwrap(),
        mixes_streams: chance.permille(300),
        held_count_max,
        blocked_count_max: held_count_max / 2 + 1,
        blocked_wait_max: Duration::from_secs(if is_tame { 1000 } else { 3 }),
        retry_count_max: if is_tame { 50 } else { 2 },
        missing_wait_max: Duration::from_secs(if is_tame { 1000 } else { 10 }),
        parking: if is_group && chance.permille(500) { Parking::Source } else { Parking::Own },
        broken_memory: Duration::from_secs(1 + chance.below(60)),
        throttle: Duration::from_millis(if chance.permille(100) { 5 } else { 0 }),
        renew_after: is_group.then_some(Duration::from_secs(20)),
        suspend_after: (is_group && chance.permille(500)).then_some(Duration::from_secs(5)),
        checkpoint_interval: Duration::from_millis(100 + chance.below(5000)),
        checkpoint_event_count: 1 + chance.below(50),
        source_settles: is_group,
        ..PipelineSettings::default()
    }
}
