//! The cases of streams, their writers and the change feed.

/// Makes a test of every case of `Journal`.
///
/// ```
/// # use antiphon_persistence::memory::MemoryStores;
/// # use antiphon_persistence::store::Stores;
/// # struct InMemory(MemoryStores);
/// # #[async_trait::async_trait]
/// # impl antiphon_persistence_tck::Place for InMemory {
/// #     async fn session(&self) -> Stores {
/// #         self.0.stores()
/// #     }
/// # }
/// antiphon_persistence_tck::journal_tests!(InMemory(MemoryStores::new()));
/// # fn main() {}
/// ```
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
///
/// ```
/// # use antiphon_persistence::memory::MemoryStores;
/// # use antiphon_persistence::store::Stores;
/// # struct InMemory(MemoryStores);
/// # #[async_trait::async_trait]
/// # impl antiphon_persistence_tck::Place for InMemory {
/// #     async fn session(&self) -> Stores {
/// #         self.0.stores()
/// #     }
/// # }
/// antiphon_persistence_tck::read_journal_tests!(InMemory(MemoryStores::new()));
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! read_journal_tests {
    ($new_place:expr) => {
        $crate::tests_of_group! {
            feed,
            $new_place,
            the_feed_covers_every_event,
            pages_follow_each_other,
            a_page_of_no_stream_is_a_page_of_one,
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
