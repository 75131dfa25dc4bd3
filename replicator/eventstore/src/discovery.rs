//! Choice of a cluster member, by the states that the members report.

use crate::address::NodeAddress;
use crate::connection_string::NodePreference;
use crate::wire::gossip::{Member, member::State};

/// The member to use; none when no member that is alive can serve clients.
///
/// `turn` spreads clients over equally suitable members.
pub(crate) fn choose(
    members: &[Member],
    preference: NodePreference,
    turn: usize,
) -> Option<NodeAddress> {
    let serving: Vec<(State, NodeAddress)> = members.iter().filter_map(serving).collect();
    let of = |wanted: &[State]| {
        let found: Vec<&NodeAddress> = serving
            .iter()
            .filter(|(state, _)| wanted.contains(state))
            .map(|(_, address)| address)
            .collect();
        (!found.is_empty()).then(|| found[turn % found.len()].clone())
    };
    let any = [State::Leader, State::Follower, State::ReadOnlyReplica];
    match preference {
        NodePreference::Leader => of(&[State::Leader]),
        NodePreference::Follower => of(&[State::Follower]).or_else(|| of(&any)),
        NodePreference::ReadOnlyReplica => {
            of(&[State::ReadOnlyReplica, State::ReadOnlyLeaderless]).or_else(|| of(&any))
        }
        NodePreference::Random => of(&any),
    }
}

/// The state and address of a member that can be asked; none for others.
fn serving(member: &Member) -> Option<(State, NodeAddress)> {
    let endpoint = member.http_end_point.as_ref().filter(|_| member.is_alive)?;
    let port = u16::try_from(endpoint.port).ok().filter(|port| *port != 0)?;
    Some((member.state(), NodeAddress { host: endpoint.address.clone(), port }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::gossip::EndPoint;

    fn member(state: State, port: u32, is_alive: bool) -> Member {
        let http_end_point = Some(EndPoint { address: "n".to_owned(), port });
        Member { state: state.into(), is_alive, http_end_point, ..Default::default() }
    }

    fn port(members: &[Member], preference: NodePreference, turn: usize) -> Option<u16> {
        choose(members, preference, turn).map(|node| node.port)
    }

    #[test]
    fn the_leader_is_never_replaced_by_another_node() {
        let members = [member(State::Follower, 1, true), member(State::Leader, 2, true)];
        assert_eq!(port(&members, NodePreference::Leader, 0), Some(2));
        let headless = [member(State::Follower, 1, true), member(State::Leader, 2, false)];
        assert_eq!(port(&headless, NodePreference::Leader, 0), None);
    }

    #[test]
    fn other_preferences_fall_back_to_whoever_serves_and_take_turns() {
        let members = [
            member(State::Leader, 1, true),
            member(State::Follower, 2, true),
            member(State::Follower, 3, true),
            member(State::CatchingUp, 4, true),
        ];
        assert_eq!(port(&members, NodePreference::Follower, 0), Some(2));
        assert_eq!(port(&members, NodePreference::Follower, 1), Some(3));
        assert_eq!(port(&members, NodePreference::ReadOnlyReplica, 0), Some(1));
        assert_eq!(port(&members, NodePreference::Random, 5), Some(3));
        assert_eq!(port(&members[3..], NodePreference::Random, 0), None);
    }

    #[test]
    fn a_member_without_a_usable_port_is_skipped() {
        let members = [member(State::Leader, 0, true), member(State::Leader, 70_000, true)];
        assert_eq!(port(&members, NodePreference::Leader, 0), None);
    }
}
