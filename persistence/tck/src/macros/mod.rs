//! The macros that make a test of each case, so that a failure names the case.
//!
//! The test at the end finds a case that is missing here.

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

/// Makes a test of every case of `Journal`.
#[macro_export]
macro_rules! journal_tests {
    ($new_place:expr) => {
        $crate::tests_of_group! {
            replay,
            $new_place,
            all_events_come_in_order,
            replay_starts_at_the_first_number,
            replay_from_zero_starts_at_one,
            replay_ends_at_the_last_number,
            replay_keeps_to_its_limit,
            replay_keeps_to_both_bounds,
            replay_keeps_to_both_bounds_and_its_limit,
            replay_of_one_number_is_one_event,
            replay_may_start_within_an_append,
            replay_of_at_most_one_is_one_event,
            replay_of_at_most_none_is_empty,
            replay_of_an_empty_range_is_empty,
            replay_after_the_end_is_empty,
            an_unknown_stream_is_empty,
            the_highest_number_needs_no_replay,
            a_long_stream_is_replayed_in_pages,
            streams_with_similar_names_are_kept_apart,
        }
        $crate::tests_of_group! {
            append,
            $new_place,
            an_append_after_a_lower_number_is_fenced,
            an_append_after_a_higher_number_is_fenced,
            events_that_are_not_dense_are_rejected,
            a_refused_append_does_not_fail_others,
            of_two_appends_after_one_number_one_wins,
            readers_never_see_a_part_of_an_append,
            an_acknowledged_append_is_seen_at_once,
            a_thousand_appends_at_once_all_succeed,
            two_sessions_can_write_the_same_streams,
            a_stream_moves_between_open_writers,
            a_cancelled_append_takes_effect_as_a_whole_or_not,
        }
        $crate::tests_of_group! {
            limits,
            $new_place,
            the_largest_event_is_the_same_in_every_store,
            what_fits_to_the_byte_is_stored,
            what_is_a_byte_too_large_is_rejected_and_not_stored,
            pages_of_every_size_of_event_can_be_stored_elsewhere,
        }
        $crate::tests_of_group! {
            writers,
            $new_place,
            an_append_of_a_writer_that_was_never_opened_is_rejected,
            a_writer_is_opened_once,
            an_append_of_a_sealed_writer_is_fenced,
            a_seal_can_be_repeated,
            a_writer_can_be_sealed_before_it_is_opened,
            another_writer_takes_over_after_a_seal,
            a_seal_of_another_session_holds_at_once,
            a_seal_amid_appends_ends_them_all,
            each_append_around_a_seal_is_there_or_not,
        }
        $crate::tests_of_group! {
            deletes,
            $new_place,
            deleted_events_are_not_replayed,
            deleting_does_not_reset_the_highest_number,
            deleting_everything_keeps_the_highest_number,
            deleting_can_be_repeated,
            deleting_an_unknown_stream_changes_nothing,
            deleting_may_end_within_an_append,
            deleting_while_writing_loses_nothing,
        }
    };
}

/// Makes a test of every case of `ReadJournal`.
#[macro_export]
macro_rules! read_journal_tests {
    ($new_place:expr) => {
        $crate::tests_of_group! {
            feed,
            $new_place,
            the_feed_covers_every_event,
            pages_follow_each_other,
            a_feed_without_news_stays_where_it_is,
            the_feed_passes_over_what_does_not_match,
            the_feeds_of_parts_add_up,
            readers_amid_writers_see_every_event_once,
            what_the_feed_names_can_be_replayed,
            an_offset_of_another_store_is_rejected,
            deleted_events_do_not_hide_others_from_the_feed,
            positions_are_never_used_again,
            a_position_of_a_history_that_was_lost_begins_anew,
            a_position_is_good_in_another_session,
        }
        $crate::tests_of_group! {
            persistence_ids,
            $new_place,
            ids_are_sorted_by_text,
            ids_are_of_the_type_asked_for,
            ids_come_in_pages,
            ids_include_streams_without_events_left,
        }
    };
}

/// Makes a test of every case of `SnapshotStore`.
#[macro_export]
macro_rules! snapshot_store_tests {
    ($new_place:expr) => {
        $crate::tests_of_group! {
            snapshots,
            $new_place,
            an_unknown_stream_has_no_snapshot,
            the_newest_snapshot_is_found,
            the_newest_snapshot_up_to_a_number_is_found,
            no_snapshot_before_the_first_is_found,
            a_snapshot_with_the_same_number_is_replaced,
            snapshots_go_by_number_not_by_age,
            snapshots_are_deleted_up_to_a_number,
            all_snapshots_can_be_deleted_again_and_again,
            snapshots_are_read_back_to_the_bit,
            a_snapshot_over_its_limit_is_rejected_and_not_stored,
            many_snapshots_can_be_saved_at_once,
        }
    };
}

/// Makes a test of every case of `OffsetStore`.
#[macro_export]
macro_rules! offset_store_tests {
    ($new_place:expr) => {
        $crate::tests_of_group! {
            offsets,
            $new_place,
            an_unknown_reader_is_at_the_start,
            the_last_saved_offset_is_loaded,
            keys_are_kept_apart,
            offsets_can_be_saved_at_once,
        }
    };
}

/// Makes a test of every case of `Coordination`.
#[macro_export]
macro_rules! coordination_tests {
    ($new_place:expr) => {
        $crate::tests_of_group! {
            coordination,
            $new_place,
            a_row_is_created_only_if_there_is_none,
            a_row_is_changed_only_in_the_expected_version,
            a_row_is_deleted_only_in_the_expected_version,
            concurrent_changes_of_a_row_are_one_after_the_other,
            a_scan_sees_all_rows_in_order,
            values_are_read_back_to_the_bit,
            a_token_only_grows,
            a_fenced_write_needs_the_newest_token,
            a_fenced_write_is_all_or_nothing,
            a_raised_token_ends_older_writers,
        }
    };
}

/// Makes a test of every case of round trips, reopening and the comparison with the model, which
/// need all stores.
#[macro_export]
macro_rules! whole_place_tests {
    ($new_place:expr) => {
        $crate::tests_of_group! {
            round_trip,
            $new_place,
            the_golden_event_is_read_back_to_the_bit,
            random_events_are_read_back_to_the_bit,
            the_largest_and_the_empty_payload_are_read_back,
            every_allowed_persistence_id_is_a_stream,
            a_journal_is_as_before_after_reopening,
            other_stores_are_as_before_after_reopening,
        }
        $crate::tests_of_group! {
            entities,
            $new_place,
            backlogs_of_events_of_every_size_catch_up,
            a_command_with_more_than_an_append_is_rejected,
        }
        $crate::tests_of_group! {
            damage,
            $new_place,
            a_flipped_bit_of_the_journal_is_found_or_harmless,
            a_flipped_bit_of_a_snapshot_is_found_or_harmless,
            a_flipped_bit_of_coordination_is_found_or_harmless,
            a_flipped_bit_of_an_offset_is_found_or_harmless,
        }
        $crate::tests_of_group! {
            model,
            $new_place,
            random_journal_operations_answer_as_the_model,
            random_table_operations_answer_as_the_model,
        }
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_case_is_in_a_macro() {
        let macros = include_str!("macros.rs");
        for source in [
            include_str!("replay.rs"),
            include_str!("append.rs"),
            include_str!("writers.rs"),
            include_str!("deletes.rs"),
            include_str!("round_trip.rs"),
            include_str!("feed.rs"),
            include_str!("persistence_ids.rs"),
            include_str!("snapshots.rs"),
            include_str!("offsets.rs"),
            include_str!("coordination.rs"),
            include_str!("model.rs"),
            include_str!("limits.rs"),
            include_str!("damage.rs"),
            include_str!("entities.rs"),
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
