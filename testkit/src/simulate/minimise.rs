//! Finds fewer commands and faults of a plan that fail in the same way.

use std::collections::BTreeSet;

use crate::repeat::Kept;

/// The smallest parts that were found, and the number of runs that the search took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Minimal {
    pub(super) kept: Kept,
    pub(super) runs: usize,
}

/// Leaves out parts as long as `fails` says that the rest still fails, with at most `runs_max`
/// calls: first all faults, then ever smaller groups of faults and commands.
pub(super) fn minimise(
    commands: BTreeSet<usize>,
    faults: BTreeSet<usize>,
    runs_max: usize,
    mut fails: impl FnMut(&Kept) -> bool,
) -> Minimal {
    let mut search = Search { commands, faults, runs: 0, runs_max };
    search.try_with(search.commands.clone(), BTreeSet::new(), &mut fails);
    loop {
        let before = search.size();
        search.shrink(Part::Commands, &mut fails);
        search.shrink(Part::Faults, &mut fails);
        if search.size() == before || search.runs >= runs_max {
            let kept = Kept { commands: Some(search.commands), faults: Some(search.faults) };
            return Minimal { kept, runs: search.runs };
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Part {
    Commands,
    Faults,
}

struct Search {
    commands: BTreeSet<usize>,
    faults: BTreeSet<usize>,
    runs: usize,
    runs_max: usize,
}

impl Search {
    fn size(&self) -> usize {
        self.commands.len() + self.faults.len()
    }

    fn of(&self, part: Part) -> &BTreeSet<usize> {
        match part {
            Part::Commands => &self.commands,
            Part::Faults => &self.faults,
        }
    }

    /// Takes over these parts if they fail. Returns whether they do.
    fn try_with(
        &mut self,
        commands: BTreeSet<usize>,
        faults: BTreeSet<usize>,
        fails: &mut impl FnMut(&Kept) -> bool,
    ) -> bool {
        if self.runs >= self.runs_max || (commands == self.commands && faults == self.faults) {
            return false;
        }
        self.runs += 1;
        let does = fails(&Kept { commands: Some(commands.clone()), faults: Some(faults.clone()) });
        if does {
            (self.commands, self.faults) = (commands, faults);
        }
        does
    }

    /// Leaves out groups of half of a part, of a quarter and so on, down to single ones.
    fn shrink(&mut self, part: Part, fails: &mut impl FnMut(&Kept) -> bool) {
        let mut size = self.of(part).len().div_ceil(2);
        while size > 0 {
            let all: Vec<usize> = self.of(part).iter().copied().collect();
            for group in all.chunks(size) {
                let rest = self.of(part).iter().copied().filter(|one| !group.contains(one));
                let rest: BTreeSet<usize> = rest.collect();
                match part {
                    Part::Commands => self.try_with(rest, self.faults.clone(), fails),
                    Part::Faults => self.try_with(self.commands.clone(), rest, fails),
                };
            }
            size = if size == 1 { 0 } else { size.div_ceil(2) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(numbers: impl IntoIterator<Item = usize>) -> BTreeSet<usize> {
        numbers.into_iter().collect()
    }

    #[test]
    fn two_commands_and_a_fault_that_fail_together_are_found_among_many() {
        let mut calls = 0;
        let minimal = minimise(set(0..40), set(0..9), 200, |kept| {
            calls += 1;
            let (commands, faults) = (kept.commands.as_ref(), kept.faults.as_ref());
            let commands = commands.unwrap();
            commands.contains(&3) && commands.contains(&31) && faults.unwrap().contains(&7)
        });
        let kept = Kept { commands: Some(set([3, 31])), faults: Some(set([7])) };
        assert_eq!(minimal, Minimal { kept, runs: calls });
    }

    #[test]
    fn a_failure_without_any_part_is_found_at_once() {
        let minimal = minimise(set(0..40), set(0..9), 200, |_| true);
        let kept = Kept { commands: Some(set([])), faults: Some(set([])) };
        assert_eq!(minimal.kept, kept);
        assert!(minimal.runs < 12, "{}", minimal.runs);
    }

    #[test]
    fn the_search_ends_at_its_bound_with_the_smallest_parts_so_far() {
        let minimal =
            minimise(set(0..40), set(0..9), 3, |kept| kept.commands.as_ref().unwrap().contains(&0));
        assert_eq!(minimal.runs, 3);
        assert!(minimal.kept.commands.unwrap().contains(&0));
    }
}
