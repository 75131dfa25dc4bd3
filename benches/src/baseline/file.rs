//! An append-only file with one sync per group: the limit of any journal on this disk.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::stats::Stopwatch;

/// Appends `record_count` records of `record_bytes` bytes, `group` of them for each sync; returns
/// records per second.
pub(crate) fn appends_per_second(
    folder: &Path,
    record_count: usize,
    record_bytes: usize,
    group: usize,
) -> f64 {
    let mut file = File::create(folder.join("bare.log")).expect("a writable folder");
    let buffer = vec![7; record_bytes * group];
    let group_count = record_count.div_ceil(group);
    let watch = Stopwatch::start();
    for _ in 0..group_count {
        file.write_all(&buffer).expect("space on the disk");
        file.sync_data().expect("a disk that syncs");
    }
    watch.rate(group_count * group)
}
