//! The inputs in `fuzz/corpus`, without a fuzzer: no decoder breaks its promises on one of them,
//! and each decoder accepts the seeds that this version writes, which are among them.
//!
//! `UPDATE=1 cargo test -p antiphon-fuzz` writes the seeds.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use antiphon_fuzz::{Pace, TARGETS, Target, call};

/// Most bytes of all corpora.
const CORPORA_BYTES_MAX: usize = 1 << 20;

fn folder(target: Target) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus")).join(target.name)
}

fn inputs(target: Target) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder(target)).expect("a corpus");
    let inputs = entries.map(|entry| {
        let path = entry.expect("an entry").path();
        (path.display().to_string(), fs::read(&path).expect("an input"))
    });
    inputs.collect()
}

/// The seeds of a target, each with the name of its file.
fn seeds(target: Target) -> Vec<(String, Vec<u8>)> {
    let of = target.decoders().flat_map(|(place, decoder)| {
        (decoder.seeds)().into_iter().enumerate().map(move |(number, bytes)| {
            let name = format!("{}-{number}", decoder.name);
            (name, [&[place][..], &bytes].concat())
        })
    });
    of.collect()
}

#[test]
fn every_seed_is_accepted_and_in_the_corpus() {
    let (mut refused, mut others) = (Vec::new(), Vec::new());
    for target in TARGETS {
        let folder = folder(*target);
        for (name, seed) in seeds(*target) {
            let path = folder.join(&name);
            if std::env::var_os("UPDATE").is_some() {
                fs::create_dir_all(&folder).expect("a folder");
                fs::write(&path, &seed).expect("a written seed");
            }
            if fs::read(&path).ok().as_ref() != Some(&seed) {
                others.push(path);
            }
            let (decoder, bytes) = target.choose(&seed).expect("a decoder");
            if !call(decoder, bytes, Pace::Any) {
                refused.push(name);
            }
        }
    }
    assert!(refused.is_empty(), "seeds that are refused: {refused:?}");
    assert!(others.is_empty(), "UPDATE=1 cargo test -p antiphon-fuzz writes these: {others:#?}");
}

#[test]
fn every_input_of_the_corpora_is_handled_within_its_bounds() {
    let mut bytes_of_all = 0;
    for target in TARGETS {
        let inputs = inputs(*target);
        let mut accepted = BTreeSet::new();
        for (name, input) in &inputs {
            bytes_of_all += input.len();
            let Some((decoder, bytes)) = target.choose(input) else {
                panic!("{name} chooses no decoder")
            };
            if call(decoder, bytes, Pace::Any) {
                accepted.insert(decoder.name);
            }
        }
        let all: BTreeSet<_> = target.decoders().map(|(_, decoder)| decoder.name).collect();
        assert_eq!(accepted, all, "decoders of `{}` with an input that they accept", target.name);
    }
    assert!(bytes_of_all <= CORPORA_BYTES_MAX, "{bytes_of_all} bytes of corpora");
}

#[test]
fn every_decoder_has_a_name_of_its_own() {
    let mut names = BTreeSet::new();
    for decoder in TARGETS.iter().flat_map(|target| target.decoders()) {
        assert!(names.insert(decoder.1.name), "`{}` is there twice", decoder.1.name);
    }
    assert!(names.len() > 40, "{} decoders", names.len());
}
