//! The macros that make a test of each case, so that a failure names the case.
//!
//! The test at the end finds a case that is missing in the lists.

mod journal;
mod tables;
mod whole_place;

/// Makes a test of every case. The argument is an expression of a new [`Place`](crate::Place).
///
/// ```
/// # use antiphon_persistence::memory::MemoryStores;
/// # use antiphon_persistence::store::Stores;
/// struct InMemory(MemoryStores);
///
/// #[async_trait::async_trait]
/// impl antiphon_persistence_tck::Place for InMemory {
///     async fn session(&self) -> Stores {
///         self.0.stores()
///     }
/// }
///
/// antiphon_persistence_tck::all_tests!(InMemory(MemoryStores::new()));
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! all_tests {
    ($new_place:expr) => {
        $crate::journal_tests!($new_place);
        $crate::read_journal_tests!($new_place);
        $crate::snapshot_store_tests!($new_place);
        $crate::offset_store_tests!($new_place);
        $crate::reminder_store_tests!($new_place);
        $crate::coordination_tests!($new_place);
        $crate::whole_place_tests!($new_place);
    };
}

/// Makes a module of tests, for the other macros.
#[doc(hidden)]
#[macro_export]
macro_rules! tests_of_group {
    ($group:ident, $new_place:expr, $($case:ident,)*) => {
        mod $group {
            #[allow(unused_imports, reason = "the expression of the place may use none of them")]
            use super::*;
            $(
                #[test]
                fn $case() {
                    $crate::run($new_place, $crate::$group::$case);
                }
            )*
        }
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_case_is_in_a_macro() {
        let macros =
            [include_str!("journal.rs"), include_str!("tables.rs"), include_str!("whole_place.rs")]
                .concat();
        for source in [
            include_str!("../replay.rs"),
            include_str!("../append.rs"),
            include_str!("../writers.rs"),
            include_str!("../deletes.rs"),
            include_str!("../round_trip.rs"),
            include_str!("../feed/pages.rs"),
            include_str!("../feed/positions.rs"),
            include_str!("../feed/writers.rs"),
            include_str!("../persistence_ids.rs"),
            include_str!("../snapshots.rs"),
            include_str!("../offsets.rs"),
            include_str!("../reminders.rs"),
            include_str!("../coordination.rs"),
            include_str!("../model.rs"),
            include_str!("../limits.rs"),
            include_str!("../damage.rs"),
            include_str!("../entities.rs"),
            include_str!("../once.rs"),
        ] {
            let cases = source.lines().filter_map(|line| {
                line.strip_prefix("pub async fn ")?.split_once('(').map(|(name, _)| name)
            });
            let mut count = 0;
            for case in cases {
                assert!(
                    macros.contains(&format!("            {case},\n")),
                    "{case} is in no macro"
                );
                count += 1;
            }
            assert!(count > 0, "a group without a case");
        }
    }
}
