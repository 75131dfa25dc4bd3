//! Comparison of one stream on both sides.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

use antiphon_eventstore as es;
use uuid::Uuid;

use super::page;
use crate::Result;
use crate::event::Event;
use crate::filter::{Shaped, Shaping};
use crate::source::recorded_event;

/// Largest number of differences shown for one stream.
const EXAMPLES_MAX: usize = 5;
/// Largest number of events read ahead to tell a missing event from one that is out of order.
const LOOK_AHEAD_MAX: usize = 10_000;

/// A difference in one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The event of the source is missing at the destination.
    Missing(u64, Uuid),
    /// The event of the destination is missing at the source.
    Extra(u64, Uuid),
    /// The event is on both sides, but a part of it differs.
    Different(u64, Uuid, &'static str),
    /// The event is on both sides, but not in the same order.
    OutOfOrder(u64, Uuid),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(revision, id) => {
                write!(f, "#{revision} ({id}) is missing at the destination")
            }
            Self::Extra(revision, id) => {
                write!(f, "#{revision} ({id}) of the destination is not at the source")
            }
            Self::Different(revision, id, part) => write!(f, "#{revision} ({id}): {part} differs"),
            Self::OutOfOrder(revision, id) => {
                write!(f, "#{revision} ({id}) is at another place at the destination")
            }
        }
    }
}

/// The result of the comparison of one stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamReport {
    /// Number of equal events.
    pub same: u64,
    /// Number of events of the source that are missing at the destination.
    pub missing: u64,
    /// Number of events of the destination, up to the last one of the source, that are missing at
    /// the source.
    pub extra: u64,
    /// Number of events that differ.
    pub different: u64,
    /// Number of equal events in another order.
    pub out_of_order: u64,
    /// A few of the differences.
    pub examples: Vec<Difference>,
}

impl StreamReport {
    /// True when nothing differs.
    pub fn is_equal(&self) -> bool {
        self.missing + self.extra + self.different + self.out_of_order == 0
    }

    pub(super) fn add(&mut self, difference: Difference) {
        match difference {
            Difference::Missing(..) => self.missing += 1,
            Difference::Extra(..) => self.extra += 1,
            Difference::Different(..) => self.different += 1,
            Difference::OutOfOrder(..) => self.out_of_order += 1,
        }
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(difference);
        }
    }
}

/// Reads a stream in pages.
struct Pages<'a> {
    client: &'a es::EventStoreClient,
    stream: String,
    next: u64,
    events: VecDeque<Event>,
    is_over: bool,
}

impl<'a> Pages<'a> {
    fn new(client: &'a es::EventStoreClient, stream: &str) -> Self {
        let events = VecDeque::new();
        Self { client, stream: stream.to_owned(), next: 0, events, is_over: false }
    }

    async fn fill(&mut self, count: usize) -> Result<()> {
        while self.events.len() < count && !self.is_over {
            let page = page(self.client, &self.stream, self.next).await?;
            match page.last() {
                Some(last) => self.next = last.revision + 1,
                None => self.is_over = true,
            }
            self.events.extend(page.into_iter().map(recorded_event));
        }
        Ok(())
    }

    async fn pop(&mut self) -> Result<Option<Event>> {
        self.fill(1).await?;
        Ok(self.events.pop_front())
    }
}

pub(super) async fn stream(
    source: &es::EventStoreClient,
    destination: &es::EventStoreClient,
    stream: &str,
    shaping: &Shaping,
) -> Result<StreamReport> {
    let mut report = StreamReport::default();
    let mut wanted = Pages::new(source, stream);
    let mut there: Option<Pages<'_>> = None;
    // events of the destination that were skipped in the search for a later one
    let mut passed: BTreeMap<Uuid, Event> = BTreeMap::new();
    while let Some(event) = wanted.pop().await? {
        if shaping.excludes(&event).is_some() {
            continue;
        }
        let Shaped::Event(event) = shaping.shape(&event) else { continue };
        let pages = there.get_or_insert_with(|| Pages::new(destination, &event.stream));
        if let Some(found) = passed.remove(&event.id) {
            report.add(Difference::OutOfOrder(found.revision, found.id));
            continue;
        }
        pages.fill(1).await?;
        if pages.events.front().is_some_and(|first| first.id != event.id) {
            pages.fill(LOOK_AHEAD_MAX).await?;
        }
        match pages.events.iter().position(|other| other.id == event.id) {
            None => report.add(Difference::Missing(event.revision, event.id)),
            Some(place) => {
                let skipped: Vec<Event> = pages.events.drain(..place).collect();
                passed.extend(skipped.into_iter().map(|event| (event.id, event)));
                if let Some(found) = pages.events.pop_front() {
                    compare(&mut report, &event, &found);
                }
            }
        }
    }
    let mut rest: Vec<Event> = passed.into_values().collect();
    while let Some(pages) = &mut there
        && let Some(event) = pages.pop().await?
    {
        rest.push(event);
    }
    // events that the source received meanwhile may be at the destination
    wanted.is_over = false;
    let mut newer = BTreeSet::new();
    while !rest.is_empty()
        && let Some(event) = wanted.pop().await?
    {
        newer.insert(event.id);
    }
    for event in rest.into_iter().filter(|event| !newer.contains(&event.id)) {
        report.add(Difference::Extra(event.revision, event.id));
    }
    Ok(report)
}

fn compare(report: &mut StreamReport, wanted: &Event, found: &Event) {
    let parts = [
        ("the type", wanted.event_type == found.event_type),
        ("the content type", wanted.is_json == found.is_json),
        ("the data", wanted.data == found.data),
        ("the metadata", wanted.metadata == found.metadata),
    ];
    match parts.iter().find(|(_, is_same)| !is_same) {
        None => report.same += 1,
        Some((part, _)) => report.add(Difference::Different(found.revision, found.id, part)),
    }
}
