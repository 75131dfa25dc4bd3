//! A list keeps the intention of its writers: an element stays between its neighbours, and what is
//! inserted at one place by one replica stays together.

use proptest::prelude::*;

use super::*;

/// Elements that are all different: origin, number of the event, place in it.
type Unique = (ReplicaId, u64, u8);

fn place(list: &[Unique], element: &Unique) -> Option<usize> {
    list.iter().position(|other| other == element)
}

proptest! {
    #[test]
    fn an_element_stays_between_those_beside_which_it_was_inserted(steps in steps()) {
        let beside = std::cell::RefCell::new(Vec::new());
        let inserts = std::cell::Cell::new(0);
        let world = World::<Sequence<Unique>>::walk(&steps, |state, here, action, n| {
            let index = usize::from(n) % (state.len() + 1);
            if action == 5 {
                return vec![state.remove(index..index + 1)];
            }
            inserts.set(inserts.get() + 1);
            let values: Vec<Unique> =
                (0..=action).map(|at| (here.clone(), inserts.get(), at)).collect();
            let left = index.checked_sub(1).and_then(|left| state.get(left).cloned());
            beside.borrow_mut().push((left, values.clone(), state.get(index).cloned()));
            vec![state.insert(index, values)]
        });
        let list: Vec<_> = world.state(0).iter().cloned().collect();
        for (left, values, right) in beside.take() {
            let all = left.iter().chain(&values).chain(&right);
            let places: Vec<_> = all.filter_map(|element| place(&list, element)).collect();
            prop_assert!(places.is_sorted(), "{:?}", places);
        }
    }

    #[test]
    fn words_that_are_typed_at_one_place_do_not_interleave(
        before in 0..4_usize,
        backwards in any::<[bool; 3]>(),
        length in 1..6_u8,
        order in prop::collection::vec((0..3_usize, 0..3_usize), 0..60),
    ) {
        let mut world = World::<Sequence<char>>::new();
        world.write(0, |text| vec![text.insert(0, "(..)".chars())]);
        (1..3).for_each(|to| assert!(world.deliver(to, 0)));
        let words = ["abcdef", "ghijkl", "mnopqr"].map(|word| &word[..usize::from(length)]);
        for (at, word) in words.iter().enumerate() {
            for (index, letter) in word.chars().enumerate() {
                let letter = if backwards[at] { word.as_bytes()[word.len() - 1 - index] as char }
                    else { letter };
                let index = before + if backwards[at] { 0 } else { index };
                world.write(at, |text| vec![text.insert(index, [letter])]);
            }
        }
        for (to, origin) in order {
            world.deliver(to, origin);
        }
        world.deliver_all();
        let text = world.state(0).text();
        prop_assert_eq!(&text, &world.state(1).text());
        prop_assert_eq!(&text, &world.state(2).text());
        for word in words {
            prop_assert!(text.contains(word), "{} in {}", word, text);
        }
    }
}

#[test]
fn inserts_and_removes_follow_the_places_that_their_writer_saw() {
    let mut list = Sequence::default();
    let change = |list: &mut Sequence<char>, number, operation| {
        apply(list, 0, number, &[operation]);
        list.text()
    };
    let operation = list.insert(9, "ac".chars());
    assert_eq!(change(&mut list, 1, operation), "ac");
    let operation = list.insert(1, ['b']);
    assert_eq!(change(&mut list, 2, operation), "abc");
    let operation = list.remove(0..2);
    assert_eq!(change(&mut list, 3, operation), "c");
    let operation = list.insert(0, "xy".chars());
    assert_eq!(change(&mut list, 4, operation), "xyc");
    let operation = list.push(['z']);
    assert_eq!(change(&mut list, 5, operation), "xycz");
    assert_eq!((list.get(2), list.get(4), list.len()), (Some(&'c'), None, 4));
    let operation = list.remove(2..99);
    assert_eq!(change(&mut list, 6, operation), "xy");
}

#[test]
fn an_insert_beside_an_element_that_was_skipped_here_is_kept() {
    let mut whole = Sequence::default();
    change(&mut whole, 0, 1, |state| state.insert(0, ['a']));
    let beside = whole.push("bc".chars());
    let mut list = Sequence::default();
    apply(&mut list, 1, 1, &[beside]);
    assert_eq!(list.text(), "bc");
}
