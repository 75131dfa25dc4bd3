//! Pure cores: found by their `step`, listed here by name, and pure in all their files.
//!
//! A core is a type with `fn step(&mut self, now, ..)`. Its files are the file of `step` and, in
//! the same folder and below, all files that these need, and all that add methods to a type of
//! theirs. Data types of other folders are no part of a core.

use std::collections::{BTreeMap, BTreeSet};

use crate::circles::{Needs, needs};
use crate::house::House;
use crate::lexer::Token;
use crate::measure::Measure;
use crate::modules::{DEPTH, Target};
use crate::source::is_below;
use crate::syntax::group_length;

/// The cores by the file of their `step`, and the decision that each takes.
const CORES: &[(&str, &str)] = &[
    ("cluster/src/sessions/core.rs", "which sessions of plain actors should exist"),
    ("cluster/src/singleton/core.rs", "who holds a singleton's lease, and when its actor runs"),
    ("persistence/cassandra/src/log/lane.rs", "the order and the outcome of a lane's rounds"),
    ("persistence/src/entity/engine/core.rs", "an entity: commands, events, output commit"),
    ("replicator/src/pipeline/core.rs", "read, write and record of a replication"),
    ("replicator/testserver/src/group/core.rs", "a persistent subscription of the test server"),
    ("runtime/src/failure_detector/core.rs", "which nodes are suspected"),
    ("runtime/src/gate/link/core.rs", "a link: batches, credit, order, losses"),
    ("runtime/src/lease/core.rs", "who holds a lease, and until when"),
    ("runtime/src/membership/core.rs", "which node is a member, and which is dead"),
    ("runtime/src/node/driver/core.rs", "membership, probes and lease of a node as one whole"),
    ("runtime/src/node/namesake/core.rs", "when the name of a node is free"),
    ("runtime/src/node/reach/core.rs", "when a place counts as cut off"),
    ("sharding/src/admission/newcomers.rs", "when messages of nodes that just joined are taken"),
    ("sharding/src/coordinator/core.rs", "the homes of shards, and their moves"),
    ("sharding/src/region/readiness.rs", "when a region is ready"),
    ("sharding/src/region/relay.rs", "which node relays to a home without a link"),
    ("sharding/src/region/route.rs", "where a command goes"),
    ("sharding/src/reminders/core.rs", "which due reminders are handed over, and when"),
    (
        "sharding/src/replication/journal_loop.rs",
        "which changes of another place are read, and when",
    ),
    ("sharding/src/replication/way.rs", "when a way of direct replication is open"),
    ("sharding/src/shard/core.rs", "which entities of a shard run"),
];

/// Words that bring I/O, time, randomness or an order by hash into a core.
const FORBIDDEN: [&str; 10] = [
    "async",
    "await",
    "ractor",
    "rand",
    "HashMap",
    "HashSet",
    "spawn",
    "SystemClock",
    "SystemTime",
    "parking_lot",
];
/// Names that are forbidden behind a path, as in `Instant::now` and `std::fs`.
const FORBIDDEN_BEHIND: [(&str, &str); 4] =
    [("", "now"), ("std", "fs"), ("std", "net"), ("std", "env")];

/// The files with a `step` of a core, by index.
fn found(house: &House) -> Vec<usize> {
    let files = house.sources.iter().enumerate().filter(|(_, source)| {
        let code = source.code.as_slice();
        !source.is_test && (0..code.len()).any(|at| is_step(&code[at..]))
    });
    files.map(|(index, _)| index).collect()
}

/// `fn step(&mut self, now` begins here.
fn is_step(code: &[Token]) -> bool {
    let begin: Vec<&str> = code.iter().take(8).map(|token| token.text).collect();
    matches!(begin.as_slice(), ["fn", "step", "(", "&", "mut", "self", ",", "now"])
}

/// The files of the core whose `step` is in this file.
fn files(house: &House, needs: &Needs, core: usize) -> BTreeSet<usize> {
    let folder = house.sources[core].name.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut files = BTreeSet::from([core]);
    loop {
        // an impure file is a fault by itself; the shells that it needs are none
        let pure = files.iter().filter(|file| impure(house, **file).is_empty());
        let needed = pure.filter_map(|file| needs.get(file)).flat_map(BTreeMap::keys);
        let mut more: BTreeSet<usize> = needed.copied().collect();
        more.extend(methods(house, &files));
        more.retain(|file| is_below(&house.sources[*file].name, folder));
        let before = files.len();
        files.extend(more);
        if files.len() == before {
            return files;
        }
    }
}

/// Files that add methods to a type of one of these files.
fn methods(house: &House, files: &BTreeSet<usize>) -> Vec<usize> {
    let all = house.modules.all.iter().enumerate().filter(|(_, module)| !module.is_test);
    let adding = all.filter(|(index, module)| {
        module.inherent.iter().any(|name| {
            let target = house.modules.resolve(*index, &[*name], DEPTH);
            matches!(target, Some(Target::Item(at, _))
                if files.contains(&house.modules.all[at].file))
        })
    });
    adding.map(|(_, module)| module.file).collect()
}

/// The impure words of a file, with their lines.
fn impure(house: &House, file: usize) -> Vec<String> {
    let source = &house.sources[file];
    let mut found = Vec::new();
    for (at, token) in source.code.iter().enumerate() {
        let before = |back: usize| at.checked_sub(back).map_or("", |at| source.code[at].text);
        let behind = before(1) == "::"
            && FORBIDDEN_BEHIND
                .iter()
                .any(|(path, name)| token.is_word(name) && (path.is_empty() || before(2) == *path));
        if behind || FORBIDDEN.iter().any(|word| token.is_word(word)) {
            found.push(format!("{}:{}: `{}`", source.name, token.line, token.text));
        }
    }
    found
}

/// Lacks of a core: its `check`, and a call of it.
fn lacks(house: &House, files: &BTreeSet<usize>, core: usize) -> Option<String> {
    let (mut defines, mut calls) = (false, false);
    for file in files {
        for window in house.sources[*file].code.windows(3) {
            let [before, name, open] = window else { continue };
            if name.is_word("check") && open.is("(") {
                defines |= before.is_word("fn");
                calls |= before.is(".");
            }
        }
    }
    let name = &house.sources[core].name;
    match (defines, calls) {
        (true, true) => None,
        (false, _) => Some(format!("{name}: the core has no `check`")),
        (true, false) => Some(format!("{name}: the core does not call its `check`")),
    }
}

fn all_files(house: &House) -> BTreeMap<usize, BTreeSet<usize>> {
    let needs = needs(house);
    found(house).into_iter().map(|core| (core, files(house, &needs, core))).collect()
}

pub(crate) fn measures(house: &House) -> Vec<Measure> {
    let cores = all_files(house);
    let files: BTreeSet<usize> = cores.values().flatten().copied().collect();
    let lines: usize = files.iter().map(|file| house.sources[*file].code_lines()).sum();
    let impure: usize = files.iter().map(|file| impure(house, *file).len()).sum();
    let lacking = cores.iter().filter(|(core, files)| lacks(house, files, **core).is_some());
    let lacking = lacking.count();
    let listed = cores.len() == CORES.len();
    vec![
        Measure::new("cores", cores.len(), "all listed", listed).of(cores.len()),
        Measure::new("cores without `check`", lacking, "0", lacking == 0).of(cores.len()),
        Measure::new("code lines of cores", lines, "", true).of(files.len()),
        Measure::new("impure words in cores", impure, "0", impure == 0).of(files.len()),
    ]
}

#[test]
fn every_core_is_listed() {
    let house = House::get();
    let found = found(house);
    let found: Vec<&str> = found.iter().map(|file| house.sources[*file].name.as_str()).collect();
    let listed: Vec<&str> = CORES.iter().map(|(file, _)| *file).collect();
    assert_eq!(found, listed, "the files with a `step`, and those of the list");
}

#[test]
fn every_core_checks_itself() {
    let house = House::get();
    let cores = all_files(house);
    let lacks: Vec<String> =
        cores.iter().filter_map(|(core, files)| lacks(house, files, *core)).collect();
    assert!(lacks.is_empty(), "\n{}", lacks.join("\n"));
}

#[test]
fn every_file_of_a_core_is_pure() {
    let house = House::get();
    let mut complaints = Vec::new();
    for (core, files) in all_files(house) {
        println!("{}: {} files", house.sources[core].name, files.len());
        for file in files {
            println!("    {}", house.sources[file].name);
            complaints.extend(
                impure(house, file)
                    .into_iter()
                    .map(|found| format!("{found} in the core of {}", house.sources[core].name)),
            );
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn a_step_is_found_in_any_visibility() {
    let begins = |source: &'static str| {
        let code = crate::lexer::tokens(source);
        (0..code.len()).any(|at| is_step(&code[at..]) && group_length(&code[at + 2..]) > 0)
    };
    assert!(begins("pub(crate) fn step(\n    &mut self,\n    now: Instant) {}"));
    assert!(!begins("fn step(&mut self, input: Input) {}"));
    assert!(!begins("// fn step(&mut self, now: Instant)"));
}
