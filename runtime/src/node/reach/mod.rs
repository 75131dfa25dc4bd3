//! The links to the other places: logs a line when a place is cut off, and another when the cut
//! ends. The rules are in `core`.

mod core;

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::Clock;
use parking_lot::Mutex;
use tokio::sync::watch;

use self::core::Effect;
pub(super) use self::core::Reach;
pub use self::core::{PlaceReach, PlaceState};
use super::faults::{Faults, READING_A_PEER};
use crate::NodeId;
use crate::gate::Gate;
use crate::membership::Membership;
use crate::metrics::IntGaugeVec;

/// Time between two looks at the links.
const INTERVAL: Duration = Duration::from_millis(500);

/// The parts of the task.
pub(super) struct ReachParts {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) gate: Gate,
    pub(super) members: watch::Receiver<Arc<Membership>>,
    /// The other places.
    pub(super) places: Vec<Arc<str>>,
    pub(super) faults: Arc<Faults>,
    pub(super) reach: Arc<Mutex<Reach>>,
    pub(super) gauges: IntGaugeVec,
}

/// Looks at the places until the task is ended.
pub(super) async fn watch(parts: ReachParts) {
    loop {
        look(&parts);
        tokio::time::sleep(INTERVAL).await;
    }
}

fn look(parts: &ReachParts) {
    let members = parts.members.borrow().clone();
    let now = parts.clock.now();
    for place in &parts.places {
        let up: Vec<_> = members.up_in(place).map(|member| &member.id).collect();
        let linked = up.iter().filter(|id| parts.gate.is_connected(id)).count();
        parts.gauges.with_label_values(&[&**place]).set(i64::from(linked > 0));
        let why = if linked > 0 { None } else { reason(parts, place, &up) };
        let effect = {
            let mut reach = parts.reach.lock();
            let effect = reach.step(now, place, (up.len(), linked));
            reach.explain(place, why.clone());
            effect
        };
        let why = why.as_deref().unwrap_or("not known");
        match effect {
            Some(Effect::Lost(place, PlaceState::Cut)) => {
                tracing::warn!(%place, up = up.len(), why, "a place is cut off: none of its nodes is linked");
            }
            Some(Effect::Lost(place, PlaceState::Gone | PlaceState::Reached)) => {
                tracing::warn!(%place, why, "a place is gone: none of its nodes is a member");
            }
            Some(Effect::Found(place, after)) => {
                tracing::info!(%place, ?after, "a place is reached again");
            }
            None => {}
        }
    }
}

/// The reason why a place is not reached, as far as this node knows. The reason of a link comes
/// first, since a node of the place may be up although its members cannot be read any more.
fn reason(parts: &ReachParts, place: &Arc<str>, up: &[&NodeId]) -> Option<Arc<str>> {
    let of_link = |id: &&NodeId| Some(format!("`{id}`: {}", parts.gate.trouble(id)?).into());
    up.iter().find_map(of_link).or_else(|| parts.faults.why(READING_A_PEER, place))
}
