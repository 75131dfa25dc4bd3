//! The cases of snapshots, of positions of readers, and of coordination.

/// Makes a test of every case of `SnapshotStore`.
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
/// antiphon_persistence_tck::snapshot_store_tests!(InMemory(MemoryStores::new()));
/// # fn main() {}
/// ```
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
            the_metadata_of_a_snapshot_is_read_back,
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
/// antiphon_persistence_tck::offset_store_tests!(InMemory(MemoryStores::new()));
/// # fn main() {}
/// ```
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

/// Makes a test of every case of `ReminderStore`.
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
/// antiphon_persistence_tck::reminder_store_tests!(InMemory(MemoryStores::new()));
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! reminder_store_tests {
    ($new_place:expr) => {
        $crate::tests_of_group! {
            reminders,
            $new_place,
            rows_come_in_order,
            a_row_is_due_at_its_time_and_not_before,
            rows_are_of_the_type_asked_for,
            putting_a_row_again_changes_nothing,
            removing_takes_that_row_only_and_can_be_repeated,
            a_removed_row_can_be_put_again,
            a_row_is_there_between_put_and_remove,
            many_rows_of_one_time_come_in_pages,
            rows_may_be_removed_while_pages_are_read,
            the_ends_of_time_are_kept,
            rows_that_are_late_by_months_are_found,
            names_are_any_text,
            a_row_out_of_bounds_is_rejected_and_nothing_is_stored,
            no_row_is_lost_amid_puts_and_removals,
            rows_are_as_before_after_reopening,
            random_operations_answer_as_the_model,
        }
    };
}

/// Makes a test of every case of `Coordination`.
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
/// antiphon_persistence_tck::coordination_tests!(InMemory(MemoryStores::new()));
/// # fn main() {}
/// ```
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
