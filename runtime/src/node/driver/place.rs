//! The reads of the other places, and their last results.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use antiphon_persistence::store::FencingToken;
use tokio::time::Instant;

use crate::NodeId;
use crate::lease::{LeaseHolder, VersionedLease};
use crate::membership::Member;
use crate::node::places::PlaceView;

/// Another place, as it was last read.
#[derive(Debug, Default)]
struct Place {
    members: Vec<Member>,
    lease: VersionedLease,
    scan_at: Option<Instant>,
    scanning: bool,
}

/// The other places.
#[derive(Debug)]
pub(super) struct PlaceReads {
    interval: Duration,
    places: BTreeMap<Arc<str>, Place>,
}

impl PlaceReads {
    /// Places that were not read yet, and are due once in `interval`.
    pub(super) fn new(interval: Duration, places: impl IntoIterator<Item = Arc<str>>) -> Self {
        Self { interval, places: places.into_iter().map(|name| (name, Place::default())).collect() }
    }

    /// Begins the reads that are due; returns the places.
    pub(super) fn begin_due(&mut self, now: Instant) -> Vec<Arc<str>> {
        let mut due = Vec::new();
        for (name, place) in &mut self.places {
            if !place.scanning && place.scan_at.is_none_or(|at| now >= at) {
                (place.scanning, place.scan_at) = (true, Some(now + self.interval));
                due.push(name.clone());
            }
        }
        due
    }

    /// Makes a read of each place due at once, or at the end of the read that is under way.
    pub(super) fn look(&mut self) {
        for place in self.places.values_mut() {
            place.scan_at = None;
        }
    }

    /// Takes the end of a read. Returns true when the place was read. The last known members stay
    /// while the place cannot be read. A place names members of its own only: a row that claims
    /// another place is left out.
    pub(super) fn read(&mut self, name: &Arc<str>, view: Option<PlaceView>) -> bool {
        let Some(place) = self.places.get_mut(name) else { return false };
        place.scanning = false;
        let Some(view) = view else { return false };
        let is_own = |member: &Member| member.place == *name;
        place.members = view.members.iter().map(|(_, row)| row.member()).filter(is_own).collect();
        place.lease = view.lease;
        true
    }

    /// The members of all other places.
    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.places.values().flat_map(|place| &place.members)
    }

    /// Returns whether the place names a member with this id.
    pub(super) fn names(&self, place: &str, id: &NodeId) -> bool {
        let place = self.places.get(place);
        place.is_some_and(|place| place.members.iter().any(|member| member.id == *id))
    }

    /// The holders of the leases of the other places.
    pub(super) fn lease_holders(&self) -> impl Iterator<Item = (Arc<str>, LeaseHolder)> {
        self.places.iter().filter_map(|(name, place)| {
            let (_, row) = place.lease.as_ref()?;
            let token = FencingToken(row.token);
            Some((name.clone(), LeaseHolder { holder: row.holder.clone(), token }))
        })
    }
}
