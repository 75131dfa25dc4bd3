//! Circles of source files: files that need each other, directly or along others.
//!
//! A reader of one file of a circle has to read all of them. The `mod` file of a folder that only
//! passes names on is no dependency: whoever uses such a name needs the file that defines it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use crate::house::House;
use crate::measure::Measure;

/// Most files of a circle.
pub(crate) const FILES_MAX: usize = 2;

/// The files that a file needs, with the names that it takes from each.
pub(crate) type Needs = BTreeMap<usize, BTreeMap<usize, BTreeSet<String>>>;

/// The needs of all files; code that is compiled for tests only has none.
pub(crate) fn needs(house: &House) -> Needs {
    let mut needs = Needs::new();
    for (index, module) in house.modules.all.iter().enumerate() {
        if module.is_test {
            continue;
        }
        let of_file = needs.entry(module.file).or_default();
        for (file, names) in house.modules.needs(index) {
            of_file.entry(file).or_default().extend(names);
        }
    }
    needs
}

/// The circles, the largest first.
fn circles(needs: &Needs) -> Vec<Vec<usize>> {
    let mut search = Search { needs, met: BTreeMap::new(), path: Vec::new(), circles: Vec::new() };
    for file in needs.keys() {
        if !search.met.contains_key(file) {
            search.visit(*file);
        }
    }
    search.circles.retain(|circle| circle.len() > 1);
    search.circles.sort_by_key(|circle| (usize::MAX - circle.len(), circle[0]));
    search.circles
}

/// Tarjan's search for strongly connected components.
struct Search<'a> {
    needs: &'a Needs,
    /// For each file that was met: its number in the order of the search, and whether its circle
    /// is known.
    met: BTreeMap<usize, (usize, bool)>,
    path: Vec<usize>,
    circles: Vec<Vec<usize>>,
}

impl Search<'_> {
    /// Visits a file and all that it needs; returns the lowest number that it leads back to.
    fn visit(&mut self, file: usize) -> usize {
        let number = self.met.len();
        self.met.insert(file, (number, false));
        self.path.push(file);
        let mut lowest = number;
        for needed in self.needs.get(&file).into_iter().flat_map(BTreeMap::keys) {
            match self.met.get(needed) {
                None => lowest = lowest.min(self.visit(*needed)),
                Some((number, false)) => lowest = lowest.min(*number),
                Some((_, true)) => {}
            }
        }
        if lowest == number {
            let from = self.path.iter().position(|at| *at == file).unwrap_or(0);
            let mut circle = self.path.split_off(from);
            circle.sort_unstable();
            for file in &circle {
                self.met.entry(*file).and_modify(|(_, known)| *known = true);
            }
            self.circles.push(circle);
        }
        lowest
    }
}

fn describe(house: &House, needs: &Needs, circle: &[usize]) -> String {
    let name = |file: usize| house.sources[file].name.as_str();
    let mut text = format!("\ncircle of {} files:\n", circle.len());
    for file in circle {
        let of_circle = needs[file].iter().filter(|(needed, _)| circle.contains(needed));
        for (needed, names) in of_circle {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let _ =
                writeln!(text, "  {} needs {}: {}", name(*file), name(*needed), names.join(", "));
        }
    }
    text
}

pub(crate) fn measure(house: &House) -> Measure {
    let needs = needs(house);
    let all = circles(&needs);
    let large = all.iter().filter(|circle| circle.len() > FILES_MAX).count();
    let value = format!("{large} (of two: {})", all.len() - large);
    Measure::new("circles of more than two files", value, "0", large == 0).of(needs.len())
}

#[test]
fn no_more_than_two_files_need_each_other() {
    let house = House::get();
    let needs = needs(house);
    let circles = circles(&needs);
    let large = circles.iter().filter(|circle| circle.len() > FILES_MAX);
    let large: Vec<String> = large.map(|circle| describe(house, &needs, circle)).collect();
    // the two-file ones only inform
    for circle in circles.iter().filter(|circle| circle.len() <= FILES_MAX) {
        print!("{}", describe(house, &needs, circle));
    }
    assert!(large.is_empty(), "{} circles of more than two files:{}", large.len(), large.concat());
}

#[test]
fn a_circle_is_found_and_a_way_is_none() {
    let names = || BTreeSet::from(["name".to_owned()]);
    let of = |pairs: &[(usize, usize)]| {
        let mut needs = Needs::new();
        for (file, needed) in pairs {
            needs.entry(*file).or_default().insert(*needed, names());
        }
        circles(&needs)
    };
    assert!(of(&[(1, 2), (2, 3), (1, 3), (4, 1)]).is_empty());
    assert_eq!(of(&[(1, 2), (2, 3), (3, 1), (3, 4), (5, 4), (4, 5)]), [vec![1, 2, 3], vec![4, 5]]);
}
