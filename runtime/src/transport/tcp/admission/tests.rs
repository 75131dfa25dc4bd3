//! Exact decisions about the accepted connections.

use proptest::prelude::*;

use std::net::IpAddr;

use super::*;

fn admission(limits: [usize; 4]) -> Admission {
    let [greeting_max, greeting_address_max, connections_max, strangers_max] = limits;
    Admission::new(&TcpSettings {
        greeting_max,
        greeting_address_max,
        connections_max,
        strangers_max,
        ..TcpSettings::default()
    })
}

fn from(last: u8) -> Origin {
    Origin::of(IpAddr::from([10, 0, 0, last]))
}

fn node(name: &str) -> NodeId {
    NodeId::new(name, 1).unwrap()
}

fn accepted(number: u64, last: u8) -> Input {
    Input::Accepted(number, from(last))
}

/// Connections that are accepted and greeted, by number, address and name.
fn connect(admission: &mut Admission, (number, last, name): (u64, u8, &str)) -> Option<Close> {
    assert_eq!(admission.step(accepted(number, last)), None);
    admission.step(Input::Greeted(number, node(name)))
}

/// The connections that greet, of strangers, and of members.
fn counts(admission: &Admission) -> (usize, usize, usize) {
    let Counts { greeting, strangers } = admission.counts();
    (greeting, strangers, admission.greeted.len() - strangers)
}

#[test]
fn addresses_of_one_machine_are_one_origin() {
    let of = |text: &str| Origin::of(text.parse().unwrap());
    assert_eq!(of("::ffff:10.0.0.1"), from(1));
    assert_ne!(of("10.0.0.2"), from(1));
    assert_eq!(of("2001:db8:0:1::1"), of("2001:db8:0:1:ffff::2"));
    assert_ne!(of("2001:db8:0:1::1"), of("2001:db8:0:2::1"));
}

#[test]
fn the_oldest_of_the_address_with_the_most_gives_way() {
    let mut admission = admission([4, 4, 10, 10]);
    for (number, last) in [(1, 1), (2, 2), (3, 2), (4, 3)] {
        assert_eq!(admission.step(accepted(number, last)), None);
    }
    let full = Reason::GreetingFull;
    assert_eq!(admission.step(accepted(5, 4)), Some(Close(2, full)));
    // one each: the oldest of all
    assert_eq!(admission.step(accepted(6, 5)), Some(Close(1, full)));
    admission.step(Input::Ended(3));
    assert_eq!(admission.step(accepted(7, 4)), None, "there is room again");
    assert_eq!(admission.step(accepted(8, 6)), Some(Close(5, full)));
}

#[test]
fn an_address_that_connects_without_end_displaces_its_own_connections() {
    let mut admission = admission([100, 3, 10, 10]);
    assert_eq!(admission.step(accepted(1, 9)), None);
    for number in 2..1000 {
        let expected = (number > 4).then(|| Close(number - 3, Reason::AddressFull));
        assert_eq!(admission.step(accepted(number, 1)), expected);
    }
    assert_eq!(admission.step(Input::Greeted(1, node("honest"))), None);
    assert_eq!(counts(&admission), (3, 1, 0));
}

/// Ten thousand connections of as many addresses hang, and are renewed.
#[test]
fn an_address_of_a_member_keeps_its_place_while_strangers_come_without_end() {
    let mut admission = admission([8, 8, 10, 10]);
    admission.step(Input::Wanted(node("a"), Some(from(1))));
    assert_eq!(admission.step(accepted(1, 1)), None);
    for number in 2..10_000 {
        let last = u8::try_from(number % 200).unwrap() + 2;
        let expected = (number > 8).then(|| Close(number - 7, Reason::GreetingFull));
        assert_eq!(admission.step(accepted(number, last)), expected);
    }
    assert_eq!(admission.step(Input::Greeted(1, node("a"))), None);
    assert_eq!(counts(&admission), (7, 0, 1));
}

#[test]
fn a_stranger_is_refused_while_members_take_all_room_and_they_displace_each_other() {
    let mut admission = admission([2, 2, 10, 10]);
    admission.step(Input::Wanted(node("a"), Some(from(1))));
    // an address that is not known from the table is known after a greeting
    admission.step(Input::Wanted(node("b"), None));
    assert_eq!(connect(&mut admission, (1, 2, "b")), None);
    assert_eq!(admission.step(accepted(2, 1)), None);
    assert_eq!(admission.step(accepted(3, 2)), None);
    assert_eq!(admission.step(accepted(4, 3)), Some(Close(4, Reason::GreetingFull)));
    assert_eq!(admission.step(accepted(5, 2)), Some(Close(2, Reason::GreetingFull)));
    admission.step(Input::Unwanted(node("b")));
    assert_eq!(admission.step(accepted(6, 1)), Some(Close(3, Reason::GreetingFull)));
    assert_eq!(counts(&admission), (2, 0, 0));
}

#[test]
fn strangers_give_way_to_strangers_and_to_members_and_members_to_nobody() {
    let mut admission = admission([10, 10, 3, 2]);
    admission.step(Input::Wanted(node("a"), None));
    assert_eq!(connect(&mut admission, (1, 1, "a")), None);
    assert_eq!(connect(&mut admission, (2, 2, "x")), None);
    assert_eq!(connect(&mut admission, (3, 2, "y")), None);
    let full = Some(Close(2, Reason::StrangersFull));
    assert_eq!(connect(&mut admission, (4, 3, "z")), full);
    admission.step(Input::Wanted(node("b"), None));
    let full = Some(Close(3, Reason::ConnectionsFull));
    assert_eq!(connect(&mut admission, (5, 4, "b")), full);
    // "z" becomes a member: from now on there is no room for others
    admission.step(Input::Wanted(node("z"), None));
    assert_eq!(counts(&admission), (0, 0, 3));
    let full = Some(Close(6, Reason::ConnectionsFull));
    assert_eq!(connect(&mut admission, (6, 5, "x")), full);
    admission.step(Input::Wanted(node("c"), None));
    let full = Some(Close(7, Reason::ConnectionsFull));
    assert_eq!(connect(&mut admission, (7, 5, "c")), full);
    admission.step(Input::Unwanted(node("z")));
    assert_eq!(connect(&mut admission, (8, 5, "c")), None);
    assert_eq!(counts(&admission), (0, 0, 3));
}

#[test]
fn a_node_has_one_connection_its_newest() {
    let mut admission = admission([10, 10, 10, 10]);
    assert_eq!(connect(&mut admission, (1, 1, "x")), None);
    assert_eq!(connect(&mut admission, (2, 1, "x")), Some(Close(1, Reason::Replaced)));
    admission.step(Input::Wanted(node("x"), None));
    assert_eq!(connect(&mut admission, (3, 1, "x")), Some(Close(2, Reason::Replaced)));
    assert_eq!(counts(&admission), (0, 0, 1));
    // the end of the one that was closed is told late
    admission.step(Input::Ended(1));
    admission.step(Input::Ended(2));
    assert_eq!(counts(&admission), (0, 0, 1));
}

#[test]
fn a_connection_that_was_closed_is_not_greeted_any_more() {
    let mut admission = admission([1, 1, 10, 10]);
    assert_eq!(admission.step(accepted(1, 1)), None);
    assert_eq!(admission.step(accepted(2, 1)), Some(Close(1, Reason::AddressFull)));
    assert_eq!(admission.step(Input::Greeted(1, node("late"))), None);
    assert_eq!(counts(&admission), (1, 0, 0));
}

#[test]
fn without_a_descriptor_a_connection_that_greets_is_given_up() {
    let mut admission = admission([10, 10, 10, 10]);
    assert_eq!(connect(&mut admission, (1, 1, "x")), None);
    assert_eq!(admission.step(Input::NoDescriptor), None);
    assert_eq!(admission.step(accepted(2, 1)), None);
    assert_eq!(admission.step(Input::NoDescriptor), Some(Close(2, Reason::NoDescriptor)));
}

proptest! {
    /// Each step checks the invariants.
    #[test]
    fn no_limit_is_exceeded_and_a_member_gives_way_to_its_own_connections_only(
        limits in [1..5usize, 1..5, 1..5, 1..5],
        inputs in prop::collection::vec((0..6u8, 0..4u8, 0..40u64, 0..6u8), 0..200),
    ) {
        let mut admission = admission(limits);
        let mut last = 0;
        for (kind, from_last, number, name) in inputs {
            let node = node(["a", "b", "c", "d", "e", "f"][usize::from(name)]);
            let number = last.max(40) - number;
            let input = match kind {
                0 | 1 => { last += 1; accepted(last, from_last) }
                2 => Input::Greeted(number, node),
                3 => Input::Ended(number),
                4 => Input::Wanted(node, None),
                _ => Input::Unwanted(node),
            };
            let greeted = admission.greeted.clone();
            let wanted = admission.wanted.clone();
            if let Some(Close(closed, reason)) = admission.step(input) {
                let was_member = greeted.get(&closed).is_some_and(|node| wanted.contains_key(node));
                prop_assert!(!was_member || reason == Reason::Replaced);
                prop_assert!(!admission.greeted.contains_key(&closed));
                prop_assert!(!admission.greeting.numbers.contains_key(&closed));
            }
        }
    }
}

fn streams(number: u64, name: &str) -> Input {
    Input::Streams(number, node(name), "actors".into())
}

#[test]
fn a_stream_is_no_connection_of_a_link_and_a_member_has_one_of_each_purpose() {
    let mut admission = admission([4, 4, 10, 10]);
    assert_eq!(admission.step(Input::Wanted(node("a"), None)), None);
    assert_eq!(connect(&mut admission, (1, 1, "a")), None);
    assert_eq!(admission.step(accepted(2, 1)), None);
    assert_eq!(admission.step(streams(2, "a")), None);
    assert_eq!(counts(&admission), (0, 0, 1));

    admission.step(accepted(3, 1));
    assert_eq!(admission.step(streams(3, "a")), Some(Close(2, Reason::Replaced)));
    admission.step(accepted(4, 1));
    assert_eq!(admission.step(Input::Streams(4, node("a"), "other".into())), None);
    assert_eq!(admission.step(Input::Unwanted(node("a"))), None);
    assert!(admission.streams.is_empty());
}

#[test]
fn strangers_have_no_streams_and_streams_have_a_limit() {
    let settings = TcpSettings { streams_max: 1, ..TcpSettings::default() };
    let mut admission = Admission::new(&settings);
    admission.step(accepted(1, 1));
    assert_eq!(admission.step(streams(1, "a")), Some(Close(1, Reason::NoMember)));
    for name in ["a", "b"] {
        admission.step(Input::Wanted(node(name), None));
    }
    for (number, name, expected) in [(2, "a", None), (3, "b", Some(Close(3, Reason::StreamsFull)))]
    {
        admission.step(accepted(number, 1));
        assert_eq!(admission.step(streams(number, name)), expected);
    }
    admission.step(Input::Ended(2));
    admission.step(accepted(4, 1));
    assert_eq!(admission.step(streams(4, "b")), None);
}
