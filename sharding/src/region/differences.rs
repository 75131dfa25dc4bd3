//! Members whose replicas of an entity type are other than those of this node: by a table of
//! replicas, or a program, that not all nodes have.

use std::collections::BTreeSet;

use antiphon_base::text::foreign;
use antiphon_runtime::{Member, MemberState, Membership, NodeId, PlacedReplica};

use super::layout::Layout;

/// Most members that are named. One line gives the number of the others.
const NAMED_MAX: usize = 8;

/// A line for each living member with other replicas than this node.
pub(super) fn differences(layout: &Layout, me: &NodeId, members: &Membership) -> Vec<String> {
    let of_member = |member: &Member| difference(layout, member);
    let living = members.all().filter(|it| it.id != *me && it.state != MemberState::Dead);
    let mut lines: Vec<String> = living.filter_map(of_member).collect();
    let count = lines.len();
    lines.truncate(NAMED_MAX);
    if count > NAMED_MAX {
        let (more, entity_type) = (count - NAMED_MAX, layout.entity_type());
        lines.push(format!("{more} more members have other replicas of `{entity_type}`"));
    }
    lines
}

/// The first difference between a member's replicas and those of this node; `None`: there is none,
/// or the member has not told them.
fn difference(layout: &Layout, member: &Member) -> Option<String> {
    let entity_type = layout.entity_type();
    let there = member.replicas.get(entity_type)?;
    let here = layout.placed_replicas();
    let names: BTreeSet<_> = here.keys().chain(there.keys()).collect();
    let name = names.into_iter().find(|name| here.get(*name) != there.get(*name))?;
    let text = |placed: Option<&PlacedReplica>| match placed {
        None => "not known".to_owned(),
        Some(PlacedReplica { place, role: None }) => {
            format!("at `{}` without a role", foreign(place))
        }
        Some(PlacedReplica { place, role: Some(role) }) => {
            format!("at `{}` with the role `{}`", foreign(place), foreign(role))
        }
    };
    Some(format!(
        "`{}` of place `{}` has other replicas of `{entity_type}` than this node: `{}` is {} there and {} here: give all nodes the same replicas (`[[replicas]]`, or the provider)",
        member.id,
        member.place,
        foreign(name),
        text(there.get(name)),
        text(here.get(name)),
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use antiphon_persistence::identity::ReplicaId;

    use super::*;

    type Placed<'a> = (&'a str, &'a str, Option<&'a str>);

    fn table(replicas: &[Placed<'_>]) -> BTreeMap<Arc<str>, PlacedReplica> {
        let placed = |(name, place, role): &Placed<'_>| {
            ((*name).into(), PlacedReplica { place: (*place).into(), role: role.map(Arc::from) })
        };
        replicas.iter().map(placed).collect()
    }

    fn member(name: &str, state: MemberState, replicas: Option<&[Placed<'_>]>) -> Member {
        let replicas = replicas.map(|replicas| ("t".into(), table(replicas)));
        Member {
            id: NodeId::new(name, 1).unwrap(),
            place: "A".into(),
            roles: Vec::new(),
            proxy_only: false,
            replicas: Arc::new(replicas.into_iter().collect()),
            address: String::new(),
            http_address: None,
            state,
            sealed: false,
        }
    }

    fn lines(members: &[Member]) -> Vec<String> {
        let [one, two] = ["one", "two"].map(|name| ReplicaId::new(name).unwrap());
        let places = [(one.clone(), "A".into()), (two.clone(), "B".into())];
        let replicas = [one.clone(), two].into();
        let layout = Layout::new("t".into(), replicas, places.into(), 2)
            .with_roles([(one, Arc::from("r"))].into_iter().collect());
        let members = Membership::new(members.iter().cloned());
        differences(&layout, &NodeId::new("me", 1).unwrap(), &members)
    }

    #[test]
    fn members_with_other_replicas_are_named_with_the_first_difference() {
        let up = |replicas| member("a", MemberState::Up, replicas);
        for (there, parts) in [
            (&[("one", "A", Some("r"))][..], ["`a@1` of place `A`", "`two` is not known there"]),
            (
                &[("one", "B", Some("r")), ("two", "B", None)],
                ["`one` is at `B` with the role `r` there", "at `A` with the role `r` here"],
            ),
            (
                &[("one", "A", None), ("two", "B", None)],
                ["`one` is at `A` without a role there", "at `A` with the role `r` here"],
            ),
            (
                &[("new", "A", None), ("one", "A", Some("r")), ("two", "B", None)],
                ["`new` is at `A` without a role there and not known here", "`[[replicas]]`"],
            ),
        ] {
            let lines = lines(&[up(Some(there))]);
            assert_eq!(lines.len(), 1);
            assert!(parts.iter().all(|part| lines[0].contains(part)), "{lines:?}");
        }
    }

    #[test]
    fn members_that_tell_the_same_or_nothing_and_the_dead_are_not_named() {
        let same = [("one", "A", Some("r")), ("two", "B", None)];
        let other = [("one", "B", None)];
        let told = [
            member("a", MemberState::Up, Some(&same)),
            member("b", MemberState::Up, None),
            member("c", MemberState::Dead, Some(&other)),
            member("me", MemberState::Up, Some(&other)),
        ];
        assert_eq!(lines(&told), [""; 0]);
    }

    #[test]
    fn many_members_are_counted() {
        let others: Vec<Member> =
            (0..20).map(|n| member(&format!("m-{n}"), MemberState::Up, Some(&[]))).collect();
        let lines = lines(&others);
        assert_eq!(lines.len(), NAMED_MAX + 1);
        assert!(lines[NAMED_MAX].starts_with("12 more members"), "{lines:?}");
    }
}
