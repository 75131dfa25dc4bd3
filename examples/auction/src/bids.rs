//! A stream of bids: the recorded one, or another one from a seed.

use antiphon::runtime::transport::memory::SplitMix64;
use serde::{Deserialize, Serialize};

use crate::Bid;

/// One line of the stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedBid {
    /// The auction.
    pub auction: String,
    /// At which replica it comes in: an index, modulo their number.
    pub replica: usize,
    /// The bid.
    #[serde(flatten)]
    pub bid: Bid,
}

/// How a stream is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bids {
    /// Where the numbers come from.
    pub seed: u64,
    /// How many bids.
    pub count: usize,
    /// Over how many auctions.
    pub auctions: u64,
}

impl Bids {
    /// What `bids.ndjson` was made with.
    pub const RECORDED: Self = Self { seed: 1, count: 12_000, auctions: 200 };

    /// Makes the stream: prices that rise with some noise, some auctions busier than others, and each replica as likely as the others.
    pub fn generate(self) -> Vec<RecordedBid> {
        let mut random = SplitMix64::new(self.seed);
        let mut prices = vec![10u64; usize::try_from(self.auctions).unwrap_or(1).max(1)];
        let mut make = |number: u64| {
            // each auction is opened once; then the smaller of two: auctions with low numbers are busier
            let smaller =
                (random.next_u64() % self.auctions).min(random.next_u64() % self.auctions);
            let auction = if number < self.auctions { number } else { smaller };
            let price = &mut prices[usize::try_from(auction).unwrap_or(0)];
            *price += random.next_u64() % 20;
            RecordedBid {
                auction: format!("a-{auction}"),
                replica: usize::try_from(random.next_u64() % 12).unwrap_or(0),
                bid: Bid {
                    number,
                    bidder: format!("bidder-{}", random.next_u64() % 500),
                    amount: price.saturating_sub(random.next_u64() % 15).max(1),
                },
            }
        };
        (0..self.count as u64).map(&mut make).collect()
    }
}

/// The recorded stream that is shipped with the example.
///
/// # Panics
/// Never: a test reads it.
pub fn recorded() -> Vec<RecordedBid> {
    let lines = include_str!("../bids.ndjson").lines();
    lines.map(|line| serde_json::from_str(line).expect("a line of the shipped file")).collect()
}
