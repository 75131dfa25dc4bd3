//! The detector by effects.

use std::collections::BTreeSet;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use tokio::time::Instant;

use super::{DetectorSettings, Effect, FailureDetector, Input};
use crate::NodeId;

fn id(name: &str) -> NodeId {
    NodeId::new(name, 1).unwrap()
}

fn detector() -> (FailureDetector, Instant) {
    let settings = DetectorSettings {
        probe_interval: Duration::from_secs(1),
        probe_misses_max: 2,
        probe_neighbours_max: 2,
        probe_grace: Duration::from_secs(5),
    };
    (FailureDetector::new(id("c"), settings), SystemClock.now())
}

#[test]
fn the_next_on_the_ring_are_probed() {
    let (mut detector, t0) = detector();
    let members = ["a", "b", "c", "d"].map(id).to_vec();
    detector.step(t0, Input::Members(members, BTreeSet::new()));
    assert_eq!(detector.step(t0, Input::Tick), [Effect::Probe(id("a")), Effect::Probe(id("d"))]);
    assert_eq!(detector.step(t0 + Duration::from_secs(1), Input::Tick), [], "both are under way");
}

#[test]
fn one_that_is_no_neighbour_is_probed_when_that_is_asked_for() {
    let (mut detector, t0) = detector();
    let members = ["a", "b", "c", "d"].map(id).to_vec();
    detector.step(t0, Input::Members(members, [id("b"), id("x")].into()));
    let probed = ["a", "b", "d"].map(|name| Effect::Probe(id(name)));
    assert_eq!(detector.step(t0, Input::Tick), probed, "one that is no member is not");
}

#[test]
fn silence_means_something_after_the_grace_and_an_answer_takes_it_back() {
    let (mut detector, t0) = detector();
    detector.step(t0, Input::Members(vec![id("d")], BTreeSet::new()));
    for _ in 0..5 {
        assert_eq!(detector.step(t0, Input::Probed(id("d"), false)), []);
    }
    let t1 = t0 + Duration::from_secs(5);
    assert_eq!(detector.step(t1, Input::Probed(id("d"), false)), []);
    let suspected = [Effect::Suspect(id("d"), true)];
    assert_eq!(detector.step(t1, Input::Probed(id("d"), false)), suspected);
    assert_eq!(detector.step(t1, Input::Probed(id("d"), false)), [], "said once");
    let trusted = [Effect::Suspect(id("d"), false), Effect::Reached(id("d"))];
    assert_eq!(detector.step(t1, Input::Probed(id("d"), true)), trusted);
    assert_eq!(detector.step(t1, Input::Probed(id("d"), true)), [], "said once");
}

#[test]
fn one_that_leaves_is_not_suspected_any_more() {
    let (mut detector, t0) = detector();
    detector.step(t0, Input::Members(vec![id("d")], BTreeSet::new()));
    let t1 = t0 + Duration::from_secs(5);
    detector.step(t1, Input::Probed(id("d"), false));
    detector.step(t1, Input::Probed(id("d"), false));
    let effects = detector.step(t1, Input::Members(vec![id("a")], BTreeSet::new()));
    assert_eq!(effects, [Effect::Suspect(id("d"), false)]);
}
