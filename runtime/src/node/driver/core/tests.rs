//! The node by effects.

#![expect(clippy::wildcard_enum_match_arm, reason = "a test looks at what it is about")]

use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};

use super::*;

fn row(name: &str, state: MemberState) -> MemberRow {
    MemberRow {
        id: NodeId::new(name, 1).unwrap(),
        place: "A".into(),
        roles: Vec::new(),
        proxy_only: false,
        replicas: Arc::default(),
        address: format!("{name}:1"),
        http_address: None,
        state,
        sealed: false,
        renewals: 1,
        unreachable: Vec::new(),
        hosted: 0,
        ended_why: String::new(),
        ended_micros: 0,
    }
}

fn id(name: &str) -> NodeId {
    NodeId::new(name, 1).unwrap()
}

fn node(state: MemberState) -> (NodeCore, Instant) {
    node_beside(state, &["B"])
}

fn node_beside(state: MemberState, places: &[&str]) -> (NodeCore, Instant) {
    let settings = NodeSettings { name: "a".into(), place: "A".into(), ..NodeSettings::default() };
    let now = SystemClock.now();
    let places = places.iter().map(|place| (*place).into());
    (NodeCore::new(now, &settings, (row("a", state), 1), places), now)
}

fn view(rows: &[MemberRow], lease: VersionedLease) -> Option<PlaceView> {
    Some(PlaceView { members: rows.iter().map(|row| (1, row.clone())).collect(), lease })
}

fn of_lease(effects: &[Effect]) -> Vec<&Effect> {
    let is_wanted = |effect: &&Effect| matches!(effect, Effect::ChangeLease(..) | Effect::Released);
    effects.iter().filter(is_wanted).collect()
}

#[test]
fn another_place_is_read_once_in_its_interval_and_not_while_it_is_read() {
    let (mut node, now) = node(MemberState::Up);
    let scans = |node: &mut NodeCore, after: u64, input: Option<Input>| {
        let now = now + Duration::from_millis(after);
        let input = input.unwrap_or(Input::Tick(Timestamp::default(), 0, Arc::default()));
        let effects = node.step(now, input);
        effects.contains(&Effect::ScanPlace("B".into()))
    };
    assert!(scans(&mut node, 0, None));
    assert!(!scans(&mut node, 5000, None), "the read is under way");
    assert!(!scans(&mut node, 5001, Some(Input::PlaceScanned("B".into(), None))));
    assert!(scans(&mut node, 5002, None));
    scans(&mut node, 5003, Some(Input::PlaceScanned("B".into(), None)));
    assert!(!scans(&mut node, 6001, None), "its turn has not come");
    assert!(scans(&mut node, 6002, None));
}

#[test]
fn whoever_names_unknown_nodes_causes_few_reads_of_all_tables() {
    let (mut node, now) = node(MemberState::Up);
    let apart = NodeSettings::default().scan_interval / 2;
    let reads = |effects: Vec<Effect>| {
        let is_read = |effect: &Effect| matches!(effect, Effect::Scan(_) | Effect::ScanPlace(_));
        effects.into_iter().filter(is_read).collect::<Vec<_>>()
    };
    let all = [Effect::Scan(0), Effect::ScanPlace("B".into())];
    assert_eq!(reads(node.step(now, Input::Tick(Timestamp::default(), 0, Arc::default()))), all);
    let ended = |node: &mut NodeCore, now: Instant| {
        node.step(now, Input::Scanned(view(&[row("a", MemberState::Up)], None), 0));
        node.step(now, Input::PlaceScanned("B".into(), view(&[], None)));
    };
    ended(&mut node, now);
    assert_eq!(reads(node.step(now, Input::Look)), all);
    ended(&mut node, now);
    for _ in 0..100 {
        assert_eq!(reads(node.step(now + apart / 2, Input::Look)), []);
    }
    assert_eq!(
        reads(node.step(now + apart, Input::Tick(Timestamp::default(), 0, Arc::default()))),
        all
    );
    // the reads are under way: they began before the message came
    assert_eq!(reads(node.step(now + apart * 2, Input::Look)), []);
    node.step(now + apart * 2, Input::PlaceScanned("B".into(), None));
    let effects = node.step(now + apart * 2, Input::Tick(Timestamp::default(), 0, Arc::default()));
    assert_eq!(reads(effects), all[1..]);
    let effects = node.step(now + apart * 2, Input::Scanned(None, 0));
    assert_eq!(reads(effects), all[..1]);
}

#[test]
fn no_place_speaks_for_a_member_of_another_one() {
    let (mut node, now) = node(MemberState::Up);
    let both = [row("a", MemberState::Up), row("b", MemberState::Up)];
    node.step(now, Input::Scanned(view(&both, None), 0));
    let stolen = MemberRow { place: "B".into(), ..row("b", MemberState::Up) };
    let claims = [stolen, row("stranger", MemberState::Up)];
    let effects = node.step(now, Input::PlaceScanned("B".into(), view(&claims, None)));
    let members = effects.iter().find_map(|effect| match effect {
        Effect::Members(members) => Some(members),
        _ => None,
    });
    let members = members.expect("the members are published");
    assert_eq!(&*members.get(&id("b")).expect("a member of the own place").place, "A");
    assert_eq!(members.get(&id("stranger")), None, "a row of B that claims place A");
}

#[test]
fn no_place_takes_over_a_member_of_a_third_place_and_its_claim_ends_with_its_row() {
    let of = |place: &str, at: &str| MemberRow {
        place: place.into(),
        address: at.into(),
        ..row("x", MemberState::Up)
    };
    let links = |effects: &[Effect]| -> Vec<String> {
        let told = |effect: &Effect| match effect {
            Effect::Connect(_, address, place) => Some(format!("{place} {address}")),
            Effect::Disconnect(_) => Some("none".to_owned()),
            _ => None,
        };
        effects.iter().filter_map(told).collect()
    };
    for (first, second) in [("B", "C"), ("C", "B")] {
        let (mut node, now) = node_beside(MemberState::Up, &["B", "C"]);
        let mut read = |place: &str, rows: &[MemberRow]| {
            links(&node.step(now, Input::PlaceScanned(place.into(), view(rows, None))))
        };
        assert_eq!(read(first, &[of(first, "x:1")]), [format!("{first} x:1")]);
        assert_eq!(read(second, &[of(second, "evil:1")]), [""; 0], "a claim");
        assert_eq!(read(first, &[of(first, "x:1")]), [""; 0]);
        assert_eq!(read(first, &[]), [format!("{second} evil:1")], "nobody else names it");
        assert_eq!(read(second, &[]), ["none"]);
    }
}

#[test]
fn links_follow_the_members_of_all_places() {
    let (mut node, now) = node(MemberState::Up);
    let links = |effects: &[Effect]| -> Vec<String> {
        let told = |effect: &Effect| match effect {
            Effect::Connect(id, address, _) => Some(format!("+ {id} {address}")),
            Effect::Disconnect(id) => Some(format!("- {id}")),
            _ => None,
        };
        effects.iter().filter_map(told).collect()
    };
    let both = [row("a", MemberState::Up), row("b", MemberState::Up)];
    let effects = node.step(now, Input::Scanned(view(&both, None), 0));
    assert_eq!(links(&effects), [format!("+ {} b:1", id("b"))]);
    let other = MemberRow { place: "B".into(), ..row("c", MemberState::Up) };
    let effects = node.step(now, Input::PlaceScanned("B".into(), view(&[other], None)));
    assert_eq!(links(&effects), [format!("+ {} c:1", id("c"))]);
    let effects = node.step(now, Input::PlaceScanned("B".into(), None));
    assert_eq!(links(&effects), [""; 0], "its members are known from before");
    let dead = (2, row("b", MemberState::Dead));
    let members = vec![(1, row("a", MemberState::Up)), dead];
    let seen = PlaceView { members, lease: None };
    let effects = node.step(now, Input::Scanned(Some(seen), 0));
    assert_eq!(links(&effects), [format!("- {}", id("b"))]);
}

#[test]
fn a_node_that_joins_or_gave_up_its_time_to_answer_takes_no_lease() {
    let (mut joining, now) = node(MemberState::Joining);
    let both = [row("a", MemberState::Joining), row("b", MemberState::Up)];
    let effects = joining.step(now, Input::Scanned(view(&both, None), 0));
    assert_eq!(of_lease(&effects), [&Effect::Released; 0]);

    let (mut late, now) = node(MemberState::Up);
    let own = [row("a", MemberState::Up)];
    let now = now + Duration::from_secs(60);
    let effects = late.step(now, Input::Scanned(view(&own, None), 0));
    assert_eq!(of_lease(&effects), [&Effect::Released; 0]);
}

#[test]
fn the_lease_is_taken_and_its_release_is_told_once() {
    let (mut node, now) = node(MemberState::Up);
    let own = [row("a", MemberState::Up)];
    let effects = node.step(now, Input::Scanned(view(&own, None), 0));
    let taken = LeaseRow { holder: Some(id("a")), token: 1, condemned: Vec::new() };
    assert_eq!(of_lease(&effects), [&Effect::ChangeLease(None, taken.clone())]);
    let effects = node.step(now, Input::LeaseChanged(Some(Some((1, taken)))));
    assert_eq!(node.held(), Some(FencingToken(1)));
    assert!(effects.iter().any(|effect| matches!(effect, Effect::Leases(_))), "{effects:?}");

    let effects = node.step(now, Input::Release);
    let given_back = LeaseRow { holder: None, token: 1, condemned: Vec::new() };
    assert_eq!(of_lease(&effects), [&Effect::ChangeLease(Some(1), given_back.clone())]);
    let effects = node.step(now, Input::LeaseChanged(Some(Some((2, given_back)))));
    assert_eq!(of_lease(&effects), [&Effect::Released]);
    let effects = node.step(now, Input::Tick(Timestamp::default(), 0, Arc::default()));
    assert_eq!(of_lease(&effects), [&Effect::Released; 0], "it is told once");
}
