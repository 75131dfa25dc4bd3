//! The log file keeps every contract of the stores.

use std::path::PathBuf;

use antiphon::persistence::store::{Role, Stores};
use antiphon_own_store::LogStores;
use antiphon_persistence_tck::{Capabilities, Place};
use async_trait::async_trait;
use tempfile::TempDir;

struct InLog(TempDir);

impl InLog {
    fn new() -> Self {
        Self(TempDir::new().expect("a folder"))
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

#[async_trait]
impl Place for InLog {
    async fn session(&self) -> Stores {
        LogStores::open(&self.at("place.log"), Role::Owner).expect("a log").stores()
    }

    async fn keep(&self) {
        std::fs::copy(self.at("place.log"), self.at("kept")).expect("copied");
    }

    async fn go_back(&self) {
        std::fs::copy(self.at("kept"), self.at("place.log")).expect("copied");
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { goes_back: true, ..Capabilities::default() }
    }
}

antiphon_persistence_tck::all_tests!(InLog::new());
