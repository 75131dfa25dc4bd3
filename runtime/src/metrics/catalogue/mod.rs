//! The catalogue of all metrics of a node: name, unit, labels, bound of the number of series, and
//! the action that an operator takes.
//!
//! `docs/metrics.md` is written from it. A test compares the page, every registration in the source
//! text of all crates, and every metric that another page names. [`Metrics`](super::Metrics) takes
//! the text and the labels of a family from here (`counters_of` and its neighbours).

mod actors;
mod entry;
mod gate;
mod http;
mod journal;
mod node;
mod sharding;
mod tools;

pub use self::entry::{Entry, Kind};

/// The metrics of one area.
#[derive(Debug, Clone, Copy)]
pub struct Area {
    /// The title.
    pub title: &'static str,
    /// The metrics, sorted by name.
    pub entries: &'static [Entry],
}

/// The entry with that name.
pub fn find(name: &str) -> Option<&'static Entry> {
    AREAS.iter().flat_map(|area| area.entries).find(|entry| entry.name == name)
}

/// All metrics, by area.
pub const AREAS: &[Area] = &[
    Area { title: "Members, leases and places", entries: node::ENTRIES },
    Area { title: "Links between nodes", entries: gate::ENTRIES },
    Area { title: "Sessions of plain actors", entries: actors::ENTRIES },
    Area { title: "The HTTP interface", entries: http::ENTRIES },
    Area { title: "Entities, shards and replication", entries: sharding::ENTRIES },
    Area { title: "Tools of plain actors", entries: tools::ENTRIES },
    Area { title: "The journal", entries: journal::ENTRIES },
];

#[cfg(test)]
mod tests;
