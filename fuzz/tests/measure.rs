//! A measured call of a decoder: its memory, and in the fuzzer its time, are bounded by its input.

use std::time::Duration;

use antiphon_base::fuzzing::{Check, Decoder};
use antiphon_base::time::{Clock, SystemClock};

/// Time of a call that does not depend on its input.
const FIXED: Duration = Duration::from_millis(20);
/// Time for each byte of an input: some fifty times that of the slowest decoder.
const PER_BYTE: Duration = Duration::from_micros(10);
/// Calls of which the fastest counts: other programs run on the machine too.
const ATTEMPTS: usize = 5;

/// Whether the time of calls counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// The code is optimised, and its time counts.
    Counts,
    /// The code is as slow as it likes.
    Any,
}

/// Decodes, checks the bounds of memory and time, and checks the value. Returns whether the bytes
/// were accepted.
///
/// # Panics
/// If a bound or a property of the decoder does not hold.
pub fn call(decoder: &Decoder, bytes: &[u8], pace: Pace) -> bool {
    let began = SystemClock.now();
    let mut check: Option<Check> = None;
    let used = allocation_counter::measure(|| check = (decoder.decode)(bytes));
    let took = SystemClock.now().duration_since(began);
    let (name, length) = (decoder.name, bytes.len());
    let (at_once, in_all) = (decoder.bounds.at_once(length), decoder.bounds.in_all(length));
    assert!(
        used.bytes_max <= at_once as u64,
        "`{name}` takes {} bytes of memory for {length} bytes, expected at most {at_once}",
        used.bytes_max
    );
    assert!(
        used.bytes_total <= in_all as u64,
        "`{name}` takes {} bytes of memory one after the other for {length} bytes, expected at most {in_all}",
        used.bytes_total
    );
    if pace == Pace::Counts {
        check_time(decoder, bytes, took);
    }
    check.map(|check| check()).is_some()
}

fn check_time(decoder: &Decoder, bytes: &[u8], took: Duration) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let limit = (FIXED + PER_BYTE * length) * decoder.bounds.effort();
    let mut fastest = took;
    for _ in 1..ATTEMPTS {
        if fastest <= limit {
            return;
        }
        let began = SystemClock.now();
        drop((decoder.decode)(bytes));
        fastest = fastest.min(SystemClock.now().duration_since(began));
    }
    assert!(
        fastest <= limit,
        "`{}` takes {fastest:?} for {} bytes, expected at most {limit:?}",
        decoder.name,
        bytes.len()
    );
}
