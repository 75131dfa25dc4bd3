//! Assertions in a thousand lines of code, by crate.
//!
//! An assertion stops the program, or a part of it, before a broken assumption reaches data. The
//! stores hold the data: they have a lower limit. An `Error::bug` counts too: a store that finds
//! an impossible transition ends its writer with a typed error.

use std::collections::BTreeMap;

use crate::house::House;
use crate::measure::Measure;
use crate::source::Source;

/// Fewest assertions in a thousand lines of the crates that keep data.
const IN_STORES_MIN: f64 = 5.0;
const STORES: [&str; 2] = ["persistence/cassandra", "persistence/sqlite"];
/// Crates that are tests, examples or measurements.
const LEFT_OUT: [&str; 4] = ["tests", "benches", "examples", "persistence/tck"];

const ASSERTIONS: [&str; 6] =
    ["assert", "assert_eq", "assert_ne", "debug_assert", "debug_assert_eq", "debug_assert_ne"];

/// Counts of a crate's code, without tests.
#[derive(Default)]
struct Count {
    lines: usize,
    assertions: usize,
    typed_errors: usize,
}

impl Count {
    #[expect(clippy::cast_precision_loss, reason = "counts of lines are small")]
    fn in_a_thousand(&self) -> f64 {
        (self.assertions + self.typed_errors) as f64 * 1000.0 / self.lines.max(1) as f64
    }
}

fn counts(house: &House) -> BTreeMap<String, Count> {
    let folders = house.crates();
    let mut counts = BTreeMap::<String, Count>::new();
    for source in house.sources.iter().filter(|source| !source.is_test) {
        let folder = source.crate_folder(&folders);
        if LEFT_OUT.iter().any(|left_out| folder.starts_with(left_out)) {
            continue;
        }
        let count = counts.entry(folder.to_owned()).or_default();
        count.lines += source.code_lines();
        count.add(source);
    }
    counts
}

impl Count {
    fn add(&mut self, source: &Source) {
        for pair in source.code.windows(2) {
            let [word, sign] = pair else { continue };
            if ASSERTIONS.contains(&word.text) && sign.is("!") {
                self.assertions += 1;
            }
        }
        for window in source.code.windows(4) {
            let [error, path, bug, open] = window else { continue };
            if error.is_word("Error") && path.is("::") && bug.is_word("bug") && open.is("(") {
                self.typed_errors += 1;
            }
        }
    }
}

pub(crate) fn measures(house: &House) -> Vec<Measure> {
    let counts = counts(house);
    let measures = counts.iter().map(|(folder, count)| {
        let rate = count.in_a_thousand();
        let value = format!("{rate:.1} ({} + {})", count.assertions, count.typed_errors);
        let (limit, holds) = match STORES.contains(&folder.as_str()) {
            true => ("at least 5", rate >= IN_STORES_MIN),
            false => ("", true),
        };
        Measure::new(format!("assertions in 1000 lines, {folder}"), value, limit, holds)
            .of(count.lines)
    });
    measures.collect()
}

#[test]
fn stores_assert_what_data_hangs_on() {
    let counts = counts(House::get());
    for folder in STORES {
        let count = counts.get(folder).expect("the crate of a store");
        let rate = count.in_a_thousand();
        assert!(rate >= IN_STORES_MIN, "{folder}: {rate:.1} assertions in 1000 lines");
    }
}
