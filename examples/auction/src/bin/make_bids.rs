//! Generates `bids.ndjson`:
//! `cargo run -p antiphon-auction --bin make_bids > examples/auction/bids.ndjson`.

use antiphon_auction::Bids;

fn main() {
    for bid in Bids::RECORDED.generate() {
        println!("{}", serde_json::to_string(&bid).unwrap_or_default());
    }
}
