//! The cases that need all stores of a place.

/// Makes a test of every case of round trips, reopening and the comparison with the model, which
/// need all stores.
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
/// antiphon_persistence_tck::whole_place_tests!(InMemory(MemoryStores::new()));
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! whole_place_tests {
    ($new_place:expr) => {
        $crate::tests_of_group! {
            round_trip,
            $new_place,
            the_golden_event_is_read_back_to_the_bit,
            random_events_are_read_back_to_the_bit,
            the_metadata_and_tags_of_an_event_are_read_back,
            the_largest_and_the_empty_payload_are_read_back,
            every_allowed_persistence_id_is_a_stream,
            a_journal_is_as_before_after_reopening,
            other_stores_are_as_before_after_reopening,
        }
        $crate::tests_of_group! {
            entities,
            $new_place,
            backlogs_of_events_of_every_size_catch_up,
            the_metadata_and_tags_of_an_event_reach_the_other_replica,
            a_command_with_more_than_an_append_is_rejected,
            snapshots_by_count_come_in_time_over_passivations,
            a_long_recovery_stores_a_snapshot,
        }
        $crate::tests_of_group! {
            once,
            $new_place,
            a_request_whose_answer_was_lost_is_answered_in_the_next_life,
            a_request_is_done_once_over_passivations,
            a_request_is_known_at_the_other_replica_when_its_events_are_there,
        }
        $crate::tests_of_group! {
            damage,
            $new_place,
            a_flipped_bit_of_the_journal_is_found_or_harmless,
            a_flipped_bit_of_a_snapshot_is_found_or_harmless,
            a_flipped_bit_of_coordination_is_found_or_harmless,
            a_flipped_bit_of_an_offset_is_found_or_harmless,
            a_flipped_bit_of_a_reminder_is_found_or_harmless,
        }
        $crate::tests_of_group! {
            model,
            $new_place,
            random_journal_operations_answer_as_the_model,
            random_table_operations_answer_as_the_model,
        }
    };
}
