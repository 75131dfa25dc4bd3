//! The application of the `antiphon` binary: the example entities, and the demo.

pub mod demo;

use antiphon::app::{App, app};
use antiphon::persistence::store::Registry;

/// The example entities and the demo, on these kinds of stores.
///
/// A crate with a store of its own has the same binary:
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     antiphon_node::examples(antiphon::stores()).run()
/// }
/// ```
pub fn examples(stores: Registry) -> App {
    app("antiphon")
        .version(env!("CARGO_PKG_VERSION"))
        .stores(stores)
        .entity(antiphon_auction::AuctionHouse::provider())
        .entity(antiphon_counter::Counter::provider())
        .entity(antiphon_watch_list::WatchList::provider())
        .command("demo", |arguments, tools| demo::demo(arguments, tools.stores()))
}
