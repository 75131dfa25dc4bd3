//! Cases of [`ReadJournal`](antiphon_persistence::store::ReadJournal): nothing late, nothing twice,
//! nothing left out.
//!
//! The version of each event in these cases names only that event, so the merged versions of a page
//! tell exactly its events. A store without the capability `metadata` is checked by the highest
//! numbers alone.

mod pages;
mod positions;
mod writers;

pub use pages::{
    a_feed_without_news_stays_where_it_is, a_page_of_no_stream_is_a_page_of_one,
    deleted_events_do_not_hide_others_from_the_feed, pages_follow_each_other,
    the_feed_covers_every_event, the_feed_passes_over_what_does_not_match,
    the_feeds_of_parts_add_up,
};
pub use positions::{
    a_position_is_good_in_another_session, a_position_of_a_history_that_was_lost_begins_anew,
    an_offset_of_another_store_is_rejected, positions_are_never_used_again,
};
pub use writers::{readers_amid_writers_see_every_event_once, what_the_feed_names_can_be_replayed};
