//! The size of the replicator, which one team keeps beside the runtime: of the crates that it
//! ships, without its test server.

use crate::house::House;
use crate::measure::Measure;
use crate::source::is_below;

/// Most lines of all its source files, tests and comments included.
const LINES_MAX: usize = 31_000;

fn lines(house: &House) -> usize {
    let files = house.sources.iter().filter(|source| {
        is_below(&source.name, "replicator") && !is_below(&source.name, "replicator/testserver")
    });
    files.map(|source| source.text.lines().count()).sum()
}

pub(crate) fn measure(house: &House) -> Measure {
    let lines = lines(house);
    Measure::new("lines of the replicator", lines, "31000", lines <= LINES_MAX).of(lines)
}

#[test]
fn the_replicator_is_not_larger_than_it_must_be() {
    let lines = lines(House::get());
    assert!(lines <= LINES_MAX, "{lines} lines, at most {LINES_MAX}");
}
