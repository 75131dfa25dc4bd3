//! Comparison of one stream on both sides.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::pages::{Pages, Side};
use super::report::{Difference, StreamReport};
use crate::Result;
use crate::event::Event;
use crate::filter::{Shaped, Shaping};

/// Largest number of events read ahead to tell a missing event from one that is out of order.
const LOOK_AHEAD_MAX: usize = 10_000;

pub(super) async fn stream(
    source: Side<'_>,
    destination: Side<'_>,
    stream: &str,
    shaping: &Shaping,
) -> Result<StreamReport> {
    let mut report = StreamReport::default();
    let mut wanted = Pages::new(source, stream);
    let mut pages = Pages::new(destination, &shaping.stream_name(stream));
    let mut begins = [None, None];
    // ids that the settings exclude, where the other link of the two places brought them
    let mut excluded = BTreeSet::new();
    // events of the destination that were skipped in the search for a later one
    let mut passed: BTreeMap<Uuid, Event> = BTreeMap::new();
    while let Some(event) = wanted.pop().await? {
        if shaping.excludes(&event).is_some() {
            if shaping.prevents_loops() {
                excluded.insert(event.id);
            }
            continue;
        }
        let Shaped::Event(event) = shaping.shape(&event) else { continue };
        let event = destination.expected(event)?;
        begins[0].get_or_insert(event.revision);
        if let Some(found) = passed.remove(&event.id) {
            report.add(Difference::OutOfOrder(found.revision, found.id));
            continue;
        }
        pages.fill(1).await?;
        begins[1] = begins[1].or(pages.events.front().map(|first| first.revision));
        if pages.events.front().is_some_and(|first| first.id != event.id) {
            pages.fill(LOOK_AHEAD_MAX).await?;
        }
        match pages.events.iter().position(|other| other.id == event.id) {
            None => report.add(Difference::Missing(event.revision, event.id)),
            Some(place) => {
                let skipped: Vec<Event> = pages.events.drain(..place).collect();
                passed.extend(skipped.into_iter().map(|event| (event.id, event)));
                if let Some(found) = pages.events.pop_front() {
                    compare(&mut report, destination.data(), &event, &found);
                }
            }
        }
    }
    let mut rest: Vec<Event> = passed.into_values().collect();
    while let Some(event) = pages.pop().await? {
        rest.push(event);
    }
    // events that the source received meanwhile may be at the destination
    wanted.go_on();
    let mut newer = excluded;
    while !rest.is_empty()
        && let Some(event) = wanted.pop().await?
    {
        newer.insert(event.id);
    }
    for event in rest.into_iter().filter(|event| !newer.contains(&event.id)) {
        report.add(Difference::Extra(event.revision, event.id));
    }
    if let [Some(source), Some(destination)] = begins
        && source != destination
        && report.missing + report.extra > 0
    {
        report.add(Difference::Begins(source, destination));
    }
    Ok(report)
}

fn compare(report: &mut StreamReport, data: &'static str, wanted: &Event, found: &Event) {
    let parts = [
        ("the type", wanted.event_type == found.event_type),
        ("the content type", wanted.is_json == found.is_json),
        (data, wanted.data == found.data),
        ("the metadata", wanted.metadata == found.metadata),
    ];
    match parts.iter().find(|(_, is_same)| !is_same) {
        None => report.same += 1,
        Some((part, _)) => report.add(Difference::Different(found.revision, found.id, part)),
    }
}
