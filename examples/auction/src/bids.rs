//! A stream of bids: the recorded stream, or another stream from a seed.

use antiphon::runtime::transport::memory::SplitMix64;
use serde::{Deserialize, Serialize};

use crate::Bid;

/// A line of the stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedBid {
    /// The auction.
    pub auction: String,
    /// The replica that takes the bid: an index, modulo the number of replicas.
    pub replica: usize,
    /// The bid.
    #[serde(flatten)]
    pub bid: Bid,
}

/// The parameters of a generated stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bids {
    /// The seed of the random numbers.
    pub seed: u64,
    /// The number of bids.
    pub count: usize,
    /// The number of auctions.
    pub auctions: u64,
}

impl Bids {
    /// The parameters of `bids.ndjson`.
    pub const RECORDED: Self = Self { seed: 1, count: 12_000, auctions: 200 };

    /// Generates the stream: prices that rise with some noise, some auctions busier than others,
    /// and each replica with the same probability.
    pub fn generate(self) -> Vec<RecordedBid> {
        let mut random = SplitMix64::new(self.seed);
        let mut prices = vec![10u64; usize::try_from(self.auctions).unwrap_or(1).max(1)];
        let mut make = |number: u64| {
            // each auction gets one bid first; then the smaller of two random numbers makes
            // auctions with low numbers busier
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

/// The recorded stream, which is part of the example.
///
/// # Panics
/// Never: a test reads the recorded stream.
pub fn recorded() -> Vec<RecordedBid> {
    let lines = include_str!("../bids.ndjson").lines();
    lines.map(|line| serde_json::from_str(line).expect("a line of the shipped file")).collect()
}
