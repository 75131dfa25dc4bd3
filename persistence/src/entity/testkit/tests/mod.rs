//! The kit itself: what it shows, and which mistakes it finds.

mod effects;
mod futures;
mod replicas;
mod types;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// The message with which a test fails.
fn failure<T>(test: impl FnOnce() -> T) -> String {
    let failed = catch_unwind(AssertUnwindSafe(test)).map(drop).expect_err("the test fails");
    let text = failed.downcast_ref::<String>().cloned();
    text.or_else(|| failed.downcast_ref::<&str>().map(|text| (*text).to_owned())).expect("a text")
}

fn assert_names(message: &str, parts: &[&str]) {
    let missing: Vec<_> = parts.iter().filter(|part| !message.contains(**part)).collect();
    assert!(missing.is_empty(), "{missing:?} in {message}");
}
