//! Decides which actor of a group gets a message: pure functions over positions in the group.
//!
//! The consistent hash is the highest random weight (Thaler and Ravishankar, 1998): each actor has
//! a weight for each key, and the greatest one wins. When an actor goes, only its own keys move;
//! when one comes, it takes only those that it wins. No table of points has to be kept, and all
//! nodes agree as soon as they know the same actors.

use xxhash_rust::xxh64::xxh64;

/// The positions in a group of `count`, beginning with the one whose turn it is, each once.
pub(super) fn in_turn(count: usize, turn: usize) -> impl Iterator<Item = usize> {
    let first = turn.checked_rem(count).unwrap_or(0);
    (first..count).chain(0..first)
}

/// The hash of an identity or a key.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    xxh64(bytes, 0)
}

/// The position of the greatest weight for `key` among those that are not `skipped`.
pub(super) fn best(
    identities: &[u64],
    key: u64,
    is_skipped: impl Fn(usize) -> bool,
) -> Option<usize> {
    let weights = identities.iter().enumerate().filter(|(at, _)| !is_skipped(*at));
    weights.max_by_key(|(at, identity)| (weight(**identity, key), *at)).map(|(at, _)| at)
}

/// Mixes an identity and a key (the finaliser of SplitMix64).
fn weight(identity: u64, key: u64) -> u64 {
    let mut mixed = identity ^ key.rotate_left(32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(count: usize) -> Vec<u64> {
        (0..count).map(|pid| hash(format!("a-{}@1 {pid}", pid % 3).as_bytes())).collect()
    }

    fn owners(group: &[u64], keys: usize) -> Vec<u64> {
        let key = |number: usize| hash(format!("key {number}").as_bytes());
        (0..keys).map(|number| group[best(group, key(number), |_| false).unwrap()]).collect()
    }

    #[test]
    fn turns_go_round_and_each_position_comes_once() {
        assert_eq!(in_turn(3, 0).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(in_turn(3, 5).collect::<Vec<_>>(), [2, 0, 1]);
        assert_eq!(in_turn(3, usize::MAX).count(), 3);
        assert_eq!(in_turn(0, 5).count(), 0);
    }

    #[test]
    fn each_actor_has_its_share_of_the_keys() {
        let (group, keys) = (group(10), 20_000);
        let owners = owners(&group, keys);
        for actor in &group {
            let share = owners.iter().filter(|owner| *owner == actor).count();
            assert!((1_800..2_200).contains(&share), "{share} of {keys} keys, expected a tenth");
        }
    }

    #[test]
    fn only_the_keys_of_an_actor_that_goes_move() {
        let (ten, keys) = (group(10), 20_000);
        let before = owners(&ten, keys);
        let nine: Vec<u64> = ten.iter().copied().filter(|actor| *actor != ten[4]).collect();
        let after = owners(&nine, keys);
        let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
        let of_four = before.iter().filter(|owner| **owner == ten[4]).count();
        println!("{moved} of {keys} keys moved when one of ten actors went");
        assert_eq!(moved, of_four);
    }

    #[test]
    fn an_actor_that_comes_takes_its_share_and_nothing_else_moves() {
        let (eleven, keys) = (group(11), 20_000);
        let before = owners(&eleven[..10], keys);
        let after = owners(&eleven, keys);
        let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
        let of_new = after.iter().filter(|owner| **owner == eleven[10]).count();
        println!("{moved} of {keys} keys moved when an eleventh actor came");
        assert_eq!(moved, of_new);
        assert!((1_600..2_000).contains(&moved), "{moved} of {keys}, expected an eleventh");
    }

    #[test]
    fn a_skipped_actor_leaves_its_keys_to_the_next_one() {
        let ten = group(10);
        let key = hash(b"k");
        let first = best(&ten, key, |_| false).unwrap();
        let second = best(&ten, key, |at| at == first).unwrap();
        assert_ne!(first, second);
        let rest: Vec<u64> = ten.iter().copied().filter(|actor| *actor != ten[first]).collect();
        assert_eq!(rest[best(&rest, key, |_| false).unwrap()], ten[second]);
        assert_eq!(best(&ten, key, |_| true), None);
    }
}
