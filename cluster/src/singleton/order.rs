//! The order of the members for a singleton: by a hash of both names, so that each name has an
//! order of its own, and a node that restarts keeps its position.

use antiphon_runtime::NodeId;
use xxhash_rust::xxh64::xxh64;

/// The most turns that a member waits for earlier ones, however many there are.
pub(super) const TURNS_MAX: usize = 5;

/// True when `one` comes before `other` in the order of the singleton `name`.
pub(super) fn is_before(name: &str, one: &NodeId, other: &NodeId) -> bool {
    let position = |node: &NodeId| xxh64(node.name().as_bytes(), xxh64(name.as_bytes(), 0));
    (position(one), one) < (position(other), other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn singletons_spread_over_the_members() {
        let nodes: Vec<NodeId> =
            (0..4).map(|number| NodeId::new(format!("a-{number}"), 1).unwrap()).collect();
        let first = |name: &str| {
            let is_first = |node: &&NodeId| {
                nodes.iter().all(|other| *node == other || is_before(name, node, other))
            };
            nodes.iter().position(|node| is_first(&node)).unwrap()
        };
        let mut counts = [0; 4];
        for number in 0..1000 {
            counts[first(&format!("singleton {number}"))] += 1;
        }
        assert!(counts.iter().all(|count| (200..300).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_restarted_node_keeps_its_position() {
        let [one, again, other] =
            [("a", 1), ("a", 9), ("b", 5)].map(|(name, at)| NodeId::new(name, at).unwrap());
        assert_eq!(is_before("s", &one, &other), is_before("s", &again, &other));
    }
}
