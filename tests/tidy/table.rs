//! The measures of the house in one table.
//!
//! `cargo test -p antiphon-tests --test tidy -- --nocapture` prints it.

use crate::house::House;
use crate::measure::Measure;
use crate::{assertions, circles, cores, english, kinds, names, replicator, sizes};

#[test]
fn every_measure_looks_at_something() {
    let house = House::get();
    let mut measures = vec![circles::measure(house)];
    measures.extend(sizes::measures(house));
    measures.extend(english::measures(house));
    measures.extend(assertions::measures(house));
    measures.push(kinds::measure(house));
    measures.extend(cores::measures(house));
    measures.extend(names::measures(house));
    measures.push(replicator::measure(house));
    println!("\n{:<48} {:>24}  {:<14} of", "measure", "value", "limit");
    for measure in &measures {
        let Measure { name, value, limit, holds, counted } = measure;
        let mark = if *holds { "" } else { "  <-- not kept" };
        println!("{name:<48} {value:>24}  {limit:<14} {counted}{mark}");
    }
    for measure in &measures {
        assert!(measure.counted > 0, "`{}` looks at nothing", measure.name);
    }
}
