//! Tests of the layout: the slots of shards, and the replicas that lack nodes.

use antiphon_runtime::NodeId;

use super::*;

fn replica(name: &str) -> ReplicaId {
    ReplicaId::new(name).unwrap()
}

/// A member of the place `DC-A` with these roles; a proxy when they are `-`.
fn member(name: &str, roles: &str, state: MemberState) -> Member {
    Member {
        id: NodeId::new(name, 1).unwrap(),
        place: "DC-A".into(),
        roles: roles.split_whitespace().map(str::to_owned).collect(),
        proxy_only: roles == "-",
        replicas: Arc::default(),
        address: String::new(),
        http_address: None,
        state,
        sealed: false,
    }
}

/// The replicas `one` and `two` of these roles and `any` at `DC-A`, and `DC-B` at its own place.
fn layout() -> Layout {
    let replicas = ["DC-B", "any", "one", "two"].map(replica);
    let place = |replica: &ReplicaId| match replica.as_str() {
        "DC-B" => Arc::from("DC-B"),
        _ => Arc::from("DC-A"),
    };
    let places = replicas.iter().map(|replica| (replica.clone(), place(replica))).collect();
    let roles = ["one", "two"].map(|name| (replica(name), name.into()));
    Layout::new("t".into(), replicas.into(), places, 4).with_roles(roles.into_iter().collect())
}

/// The names of the replicas that do not count for the readiness of the first member.
fn excused(homeless: &[&str], members: &[Member]) -> Vec<String> {
    let homeless: BTreeSet<ReplicaId> = homeless.iter().map(|name| replica(name)).collect();
    let all = Membership::new(members.iter().cloned());
    let excused = layout().excused(&homeless, &members[0], &all);
    excused.into_iter().map(ToString::to_string).collect()
}

#[test]
fn each_slot_has_one_shard_and_a_number_beyond_the_count_has_none() {
    let replicas = ["A", "B", "C"].map(replica);
    let places = replicas.iter().map(|replica| (replica.clone(), replica.as_str().into()));
    let layout = Layout::new("t".into(), replicas.clone().into(), places.collect(), 4);
    for index in 0..layout.slot_count() {
        let shard = layout.shard(index);
        assert_eq!(layout.index_of(&shard.replica, shard.number), Some(index));
    }
    assert_eq!(layout.index_of(&replicas[0], 4), None);
    assert_eq!(layout.index_of(&replica("X"), 0), None);
    let index = layout.index(&replicas[1], "e-1").unwrap();
    assert_eq!(layout.shard(index).replica, replicas[1]);
    assert_eq!(layout.others(&replicas[1]).count(), 2);
}

#[test]
fn a_lost_role_does_not_count_for_the_readiness_of_nodes_of_another_role() {
    let two = member("b", "two", MemberState::Up);
    let dead = member("a", "one", MemberState::Dead);
    assert_eq!(excused(&["one"], &[two.clone(), dead.clone()]), ["one"]);
    assert_eq!(excused(&["one", "two"], &[two.clone(), dead]), ["one"], "its own role counts");
    let proxy = member("p", "-", MemberState::Up);
    assert_eq!(excused(&["one"], &[proxy, two.clone()]), ["one"], "the proxy reaches the other");
    let leaving = member("a", "one", MemberState::Leaving);
    assert_eq!(excused(&["one"], &[leaving, two]), [""; 0], "it has the role itself");
}

#[test]
fn a_place_that_serves_no_replica_is_not_ready() {
    let proxy = member("p", "-", MemberState::Up);
    let all = ["any", "one", "two"];
    assert_eq!(excused(&all, std::slice::from_ref(&proxy)), [""; 0]);
    let leaving = member("b", "two", MemberState::Leaving);
    assert_eq!(excused(&["any", "one"], &[proxy, leaving]), ["any", "one"], "`two` is served");
}

#[test]
fn a_replica_that_no_member_can_take_has_a_reason_that_is_true() {
    let lacks = |name: &str, members: &[Member]| {
        layout().lacks_nodes(&replica(name), &Membership::new(members.iter().cloned()))
    };
    let one = |state| member("a", "one", state);
    assert_eq!(lacks("one", &[one(MemberState::Up)]), None);
    for (name, members, parts) in [
        ("two", vec![one(MemberState::Up)], ["place `DC-A` has the role `two`", "`node.roles`"]),
        ("one", vec![one(MemberState::Leaving)], ["`a@1` is leaving", "role `one`"]),
        ("any", vec![one(MemberState::Leaving)], ["`a@1` is leaving", "hosts shards"]),
        ("any", vec![one(MemberState::Dead)], ["no member of place `DC-A`", "hosts shards"]),
        ("DC-B", vec![one(MemberState::Up)], ["place `DC-B` is known here", "not read yet"]),
        ("one", vec![], ["place `DC-A` is known here", "not read yet"]),
    ] {
        let reason = lacks(name, &members).unwrap();
        assert!(parts.iter().all(|part| reason.contains(part)), "{name}: {reason}");
    }
}

#[test]
fn a_member_that_does_not_have_the_replica_cannot_take_it() {
    let mut other = member("a", "one", MemberState::Up);
    other.replicas = Arc::new([("t".into(), BTreeMap::new())].into());
    let members = Membership::new([other]);
    let reason = layout().lacks_nodes(&replica("one"), &members).unwrap();
    assert!(reason.contains("`a@1`") && reason.contains("the same replicas"), "{reason}");
    assert!(!layout().may_host(members.all().next().unwrap()));
}

#[test]
fn replicas_of_an_own_role_are_nearer_than_those_of_no_role_and_these_than_the_others() {
    let near = layout().near("DC-A", &["two".to_owned()]);
    assert_eq!(near, ["two", "any", "one"].map(replica));
}
