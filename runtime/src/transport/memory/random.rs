//! A tiny deterministic source of numbers (Steele, Lea and Flood's SplitMix64): good enough to
//! choose faults.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Pseudo-random numbers that follow from a seed.
#[derive(Debug, Clone)]
pub struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    /// The numbers of `seed`.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; zero when `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next_u64() % bound }
    }

    /// True with a chance of `times` in a million.
    pub fn per_million(&mut self, times: u32) -> bool {
        times > 0 && self.below(1_000_000) < u64::from(times)
    }

    /// A duration of the range, by microseconds.
    pub fn duration(&mut self, range: &RangeInclusive<Duration>) -> Duration {
        let (start, end) = (range.start().as_micros() as u64, range.end().as_micros() as u64);
        let width = end.saturating_sub(start);
        Duration::from_micros(start + self.below(width + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_published_algorithm() {
        let mut random = SplitMix64::new(1_234_567);

        assert_eq!(random.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(random.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn durations_stay_in_their_range() {
        let mut random = SplitMix64::new(7);
        let range = Duration::from_micros(10)..=Duration::from_micros(12);
        for _ in 0..100 {
            assert!(range.contains(&random.duration(&range)));
        }
    }
}
