//! Decides when a place counts as cut off, and when the cut has ended.
//!
//! A link needs a moment to come up, so a place counts as cut off only after `GRACE`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

/// Time for which a place may be without a link before a line is logged.
const GRACE: Duration = Duration::from_secs(2);
/// The state of the links to a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PlaceState {
    /// At least one of its nodes is linked.
    Reached,
    /// Nodes of it are members, and none is linked.
    Cut,
    /// None of its nodes is a member, as far as this node knows.
    Gone,
}

/// The state of the links to a place, and its begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceReach {
    /// The state.
    pub state: PlaceState,
    /// Time since which the place is reached, or is not reached.
    pub since: Instant,
    /// Number of its members that are up.
    pub up: usize,
    /// Number of its members that are up and linked.
    pub linked: usize,
    /// The reason why the place is not reached: the last refusal of a link, or the error of the
    /// last read of its members. `None` while it is reached, and when no reason is known.
    pub why: Option<Arc<str>>,
    is_told: bool,
}

/// A change that is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The place is not reached any more; it is in this state.
    Lost(Arc<str>, PlaceState),
    /// The place is reached again, after a cut of this length.
    Found(Arc<str>, Duration),
}

/// The state of the links to all places.
#[derive(Debug, Default)]
pub(crate) struct Reach(BTreeMap<Arc<str>, PlaceReach>);

impl Reach {
    /// Takes the number of members of a place that are up, and the number of them that are linked.
    pub(crate) fn step(
        &mut self,
        now: Instant,
        place: &Arc<str>,
        (up, linked): (usize, usize),
    ) -> Option<Effect> {
        let effect = self.take(now, place, (up, linked));
        self.check();
        effect
    }

    fn take(
        &mut self,
        now: Instant,
        place: &Arc<str>,
        (up, linked): (usize, usize),
    ) -> Option<Effect> {
        let state = match (up, linked) {
            (_, 1..) => PlaceState::Reached,
            (0, 0) => PlaceState::Gone,
            (1.., 0) => PlaceState::Cut,
        };
        let new = PlaceReach { state, since: now, up, linked, why: None, is_told: false };
        let known = self.0.entry(place.clone()).or_insert_with(|| new.clone());
        (known.up, known.linked) = (up, linked);
        let lost_before = known.state != PlaceState::Reached;
        if state == PlaceState::Reached {
            let (since, was_told) = (known.since, known.is_told);
            if lost_before {
                *known = new;
            }
            return was_told.then(|| Effect::Found(place.clone(), now - since));
        }
        if !lost_before {
            *known = new;
        }
        known.state = state;
        if known.is_told || now - known.since < GRACE {
            return None;
        }
        known.is_told = true;
        Some(Effect::Lost(place.clone(), state))
    }

    /// Takes the reason why a place is not reached.
    pub(crate) fn explain(&mut self, place: &Arc<str>, why: Option<Arc<str>>) {
        if let Some(known) = self.0.get_mut(place) {
            known.why = why.filter(|_| known.state != PlaceState::Reached);
        }
    }

    pub(crate) fn places(&self) -> BTreeMap<Arc<str>, PlaceReach> {
        self.0.clone()
    }

    /// Asserts the invariants.
    pub(crate) fn check(&self) {
        for (place, reach) in &self.0 {
            let is_linked = reach.linked > 0;
            assert!(
                is_linked == (reach.state == PlaceState::Reached),
                "place {place:?} has {} links and is {:?}",
                reach.linked,
                reach.state
            );
            assert!(!is_linked || reach.why.is_none(), "a reason why {place:?} is not reached");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use antiphon_base::time::{Clock, SystemClock};

    #[test]
    fn a_cut_is_said_when_it_begins_and_when_it_ends() {
        let (mut reach, t0) = (Reach::default(), SystemClock.now());
        let b: Arc<str> = "B".into();
        let at = |seconds| t0 + Duration::from_secs(seconds);
        assert_eq!(reach.step(at(0), &b, (2, 2)), None);
        assert_eq!(reach.step(at(10), &b, (2, 0)), None, "a link may come back at once");
        let lost = Effect::Lost(b.clone(), PlaceState::Cut);
        assert_eq!(reach.step(at(12), &b, (2, 0)), Some(lost));
        assert_eq!(reach.step(at(13), &b, (2, 0)), None, "it is said once");
        assert_eq!(reach.step(at(14), &b, (0, 0)), None);
        assert_eq!(reach.places()[&b].state, PlaceState::Gone);
        assert_eq!(reach.places()[&b].since, at(10));
        let found = Effect::Found(b.clone(), Duration::from_secs(10));
        assert_eq!(reach.step(at(20), &b, (2, 1)), Some(found));
        assert_eq!(reach.step(at(21), &b, (2, 2)), None);
        assert_eq!(reach.places()[&b].since, at(20));
    }

    #[test]
    fn the_reason_of_a_cut_is_known_as_long_as_the_cut_lasts() {
        let (mut reach, t0) = (Reach::default(), SystemClock.now());
        let b: Arc<str> = "B".into();
        let why: Arc<str> = "`cookie`: that of `b@1` is another one".into();
        reach.step(t0, &b, (1, 0));
        reach.explain(&b, Some(why.clone()));
        assert_eq!(reach.places()[&b].why, Some(why.clone()));
        reach.step(t0 + GRACE, &b, (1, 1));
        reach.explain(&b, Some(why));
        assert_eq!(reach.places()[&b].why, None);
    }

    #[test]
    fn a_place_that_is_away_when_a_node_starts_is_said_after_a_moment() {
        let (mut reach, t0) = (Reach::default(), SystemClock.now());
        let b: Arc<str> = "B".into();
        assert_eq!(reach.step(t0, &b, (0, 0)), None);
        let lost = Effect::Lost(b.clone(), PlaceState::Gone);
        assert_eq!(reach.step(t0 + GRACE, &b, (0, 0)), Some(lost));
        // a place whose link came up in time was never lost
        assert_eq!(reach.step(t0, &"C".into(), (1, 0)), None);
        assert_eq!(reach.step(t0 + GRACE / 2, &"C".into(), (1, 1)), None);
    }
}
