//! The first byte of a command: the number of nodes that it has passed, and the rights of the next
//! node.
//!
//! ```text
//! bits 0-3  nodes that passed it on
//! bit  4    `WITH_METADATA`: metadata stands before the command; only in the bytes of a command
//! bit  5    `NOTICED`: the last place for an answer is told whether the entity took the command
//! bit  6    `FOR_RELAY`: the next node may pass it on once, to a node to which it is connected
//! bit  7    `FROM_RELAY`: the next node must handle it; if it is not the home, nothing is done
//! ```
//!
//! A node of the version before bits 4 and 5 takes them for too many nodes, and refuses the
//! command. A command takes at most one relay, and a relay never asks another relay.

/// Most nodes that may pass a command on; then the command is refused, and its asker tries again.
pub(crate) const HOPS_MAX: u8 = 4;

const NOTICED: u8 = 0x20;
const FOR_RELAY: u8 = 0x40;
const FROM_RELAY: u8 = 0x80;
const COUNT: u8 = 0x0f;
/// Set in the bytes of a command with metadata.
pub(super) const WITH_METADATA: u8 = 0x10;

/// The hops when a node passes the command on.
pub(crate) fn next(hops: u8) -> u8 {
    (hops & COUNT).saturating_add(1).min(COUNT)
}

/// The hops when a node passes the command on to a relay.
pub(crate) fn next_for_relay(hops: u8) -> u8 {
    next(hops) | FOR_RELAY
}

/// The hops when a relay passes the command on.
pub(crate) fn next_from_relay(hops: u8) -> u8 {
    next(hops) | FROM_RELAY
}

/// The hops of a command whose sender is told whether the entity took it.
pub(crate) fn noticed(hops: u8) -> u8 {
    hops | NOTICED
}

pub(crate) fn is_noticed(hops: u8) -> bool {
    hops & NOTICED != 0
}

pub(crate) fn is_for_relay(hops: u8) -> bool {
    hops & FOR_RELAY != 0
}

pub(crate) fn is_from_relay(hops: u8) -> bool {
    hops & FROM_RELAY != 0
}

/// Returns whether no node may pass the command on any more.
pub(crate) fn is_spent(hops: u8) -> bool {
    hops & COUNT >= HOPS_MAX
}

/// Returns whether a node can have these hops: at most `HOPS_MAX` nodes, and not both marks.
pub(crate) fn is_valid(hops: u8) -> bool {
    hops & (COUNT | WITH_METADATA) <= HOPS_MAX && !(is_for_relay(hops) && is_from_relay(hops))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_passes_a_command_on_once_and_every_node_counts() {
        let sent = next_for_relay(0);
        assert!(is_for_relay(sent) && !is_from_relay(sent));
        let relayed = next_from_relay(sent);
        assert!(is_from_relay(relayed) && !is_for_relay(relayed));
        assert_eq!(next(relayed), 3, "an ordinary command again");
        assert!(is_spent(next(next(relayed))));
        assert!(!is_valid(0xff) && !is_valid(0xc1) && !is_valid(0x1f) && is_valid(relayed));
        assert_eq!(next(COUNT), COUNT, "no overflow");
        let told = noticed(relayed);
        assert!(is_noticed(told) && is_valid(told) && is_from_relay(told) && !is_noticed(relayed));
        assert!(!is_noticed(next(told)), "the next node says it anew");
    }
}
