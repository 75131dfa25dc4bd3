//! The program of the fuzzer; `fuzz/run` gives it a target in `FUZZ_TARGET`. libFuzzer has its
//! `main`, and reads the arguments.

#![no_main]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;

use antiphon_fuzz::{Pace, Target, call};
use libfuzzer_sys::{Corpus, fuzz_target};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("FUZZ_TARGET").expect("`FUZZ_TARGET` names a target");
    Target::named(&name).unwrap_or_else(|| panic!("there is no target `{name}`"))
});

/// `FUZZ_PACE=any` is for machines that do other work too: only memory and properties count then.
static PACE: LazyLock<Pace> = LazyLock::new(|| match std::env::var("FUZZ_PACE").as_deref() {
    Ok("any") => Pace::Any,
    Ok(other) => panic!("FUZZ_PACE: expected `any`, actual `{other}`"),
    Err(_) => Pace::Counts,
});

/// The file for the input under way: after an overflow of the stack, libFuzzer cannot write it.
static UNDER_WAY: LazyLock<Option<File>> = LazyLock::new(|| {
    let path = std::env::var_os("FUZZ_UNDER_WAY")?;
    Some(File::create(&path).expect("a file for the input under way"))
});

fuzz_target!(|input: &[u8]| -> Corpus {
    let Some((decoder, bytes)) = TARGET.choose(input) else { return Corpus::Reject };
    if let Some(file) = UNDER_WAY.as_ref() {
        let length = u32::try_from(input.len()).expect("a short input");
        let record = [&length.to_le_bytes()[..], input].concat();
        file.write_all_at(&record, 0).expect("a written input");
    }
    call(decoder, bytes, *PACE);
    Corpus::Keep
});
