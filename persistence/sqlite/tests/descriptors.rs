//! A process that may open no more files. The test runs itself again with a low limit, so that it
//! takes the files of no other test.

use std::fs::File;
use std::process::Command;

use antiphon_base::ErrorKind;
use antiphon_sqlite::{Role, SqliteSettings, SqliteStores, check_file};
use tempfile::TempDir;

const NAME: &str = "a_process_without_descriptors_is_told_so";
const LIMITED: &str = "ANTIPHON_TEST_LIMITED";

#[test]
fn a_process_without_descriptors_is_told_so() {
    if std::env::var_os(LIMITED).is_some() {
        return with_a_low_limit();
    }
    let itself = std::env::current_exe().expect("a path");
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 64; exec \"$0\" --exact \"$1\" --nocapture"])
        .arg(itself)
        .arg(NAME)
        .env(LIMITED, "1")
        .output()
        .expect("a shell");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn with_a_low_limit() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("a.db");
    drop(SqliteStores::open(&path, SqliteSettings::default()).expect("a new file"));
    let taken: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();

    let error = check_file(&path, Role::Owner).expect_err("no file can be opened");
    drop(taken);
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let message = error.to_string();
    assert!(message.contains("EMFILE") && message.contains("ulimit -n"), "{message}");
    assert!(!message.contains("folder"), "{message}");
}
