//! The commands of an operator, as processes.

use std::path::Path;
use std::process::Command;

use antiphon::sqlite::{SqliteSettings, SqliteStores};
use tempfile::TempDir;

fn antiphon(folder: &TempDir, arguments: &[&str]) -> Command {
    let path = folder.path().join("node.toml");
    let text = "journal = 'a.db'\n[node]\nname = 'n'\nplace = 'DC-A'\n[[peers]]\nplace = 'DC-B'\njournal = 'b.db'\n";
    std::fs::write(path, text).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_antiphon"));
    command.args(arguments).args(["--config", "node.toml"]).current_dir(folder.path());
    command
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries.map(|entry| entry.expect("one").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_command_of_an_operator_names_a_missing_journal_and_makes_none() {
    let skip = ["t|e|DC-A", "--origin", "DC-B", "--number", "1", "--note", "x"];
    for arguments in [
        vec!["entity", "clear-fork", "all"],
        vec!["entity", "clear-fork", "t|e|DC-A"],
        [&["entity", "skip-event"][..], &skip].concat(),
        vec!["journal", "accept-loss", "--peer", "all", "--yes"],
        vec!["journal", "verify"],
    ] {
        let folder = TempDir::new().expect("a folder");
        for is_empty in [false, true] {
            if is_empty {
                std::fs::write(folder.path().join("a.db"), "").expect("written");
            }
            let output = antiphon(&folder, &arguments).output().expect("the binary runs");
            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
            assert!(error.contains("a.db"), "{arguments:?}: {error}");
            let left = names(folder.path());
            assert_eq!(left.len(), 1 + usize::from(is_empty), "{arguments:?}: {left:?}");
            let bytes = std::fs::metadata(folder.path().join("a.db")).map_or(0, |file| file.len());
            assert_eq!(bytes, 0, "{arguments:?}: tables were made");
        }
    }
}

/// `println!` panics on a closed pipe, so only the first record was cleared.
#[test]
fn every_record_is_cleared_also_when_nobody_reads_the_output() {
    let folder = TempDir::new().expect("a folder");
    drop(SqliteStores::open(folder.path().join("a.db"), SqliteSettings::default()).expect("made"));
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut command = antiphon(&folder, &["entity", "clear-fork", "t|a|DC-A", "t|b|DC-A"]);
    let output = command.stdout(writer).output().expect("the binary runs");
    // neither entity had a record
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stderr.is_empty(), "{output:?}");
}
