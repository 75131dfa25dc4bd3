//! Single histories of sets and registers.

use antiphon_base::time::Timestamp;

use super::*;

fn at(origin: usize, number: u64) -> StandaloneContext {
    StandaloneContext::new(replica(origin), number)
}

#[test]
fn an_add_wins_over_a_concurrent_remove() {
    let mut left = OrSet::default();
    left.apply(&left.add("film", &replica(0)), &at(0, 1));
    let mut right = left.clone();

    let removed = left.remove(&"film");
    let added = right.add_all(["film"], &replica(1));
    for (set, first, second) in [(&mut left, &removed, &added), (&mut right, &added, &removed)] {
        set.apply(first, &at(0, 2));
        set.apply(second, &at(1, 1));
        assert!(set.contains(&"film"));
    }
    assert_eq!(left, right);
}

#[test]
fn a_later_write_wins_also_when_the_clock_is_behind() {
    let mut register = LwwRegister::new("first");
    let second = register.set("second", Timestamp::from_micros(100), &replica(0));
    register.apply(&second, &at(0, 1));
    let third = register.set("third", Timestamp::from_micros(5), &replica(1));
    register.apply(&third, &at(1, 1));
    assert_eq!(register.value(), &"third");
}

#[test]
fn at_equal_times_the_replica_that_comes_first_in_the_alphabet_wins() {
    let time = Timestamp::from_micros(7);
    let [mut left, mut right] = [LwwRegister::new(""), LwwRegister::new("")];
    let from_a = left.set("a", time, &replica(0));
    let from_b = right.set("b", time, &replica(1));
    left.apply(&from_a, &at(0, 1));
    left.apply(&from_b, &at(1, 1));
    right.apply(&from_b, &at(1, 1));
    right.apply(&from_a, &at(0, 1));
    assert_eq!((left.value(), right.value()), (&"a", &"a"));
}

#[test]
fn a_merge_that_has_not_seen_a_write_leaves_it_as_a_conflict() {
    let mut body = MultiValueRegister::default();
    body.apply(&body.write("a"), &at(0, 1));
    let merge = body.write("a, merged");
    body.apply(&body.write("b"), &at(1, 1));
    body.apply(&merge, &at(0, 2));
    assert_eq!(body.values().collect::<Vec<_>>(), [&"a, merged", &"b"]);
    assert!(body.has_conflict());
}
