//! Real node processes, with links over TLS, under many faults at once, with a checker of the whole
//! history.
//!
//! ```bash
//! cargo test -p antiphon-tests --test chaos           # 10 rounds on SQLite
//! make soak-chaos ROUNDS=500                          # more rounds
//! make soak-chaos ROUNDS=100 STORE=cassandra SEED=7   # Cassandra, the faults of a seed
//! REWIND=1                                           # also journals that go back to an older copy
//! ONLY=disk                                           # only faults whose names contain this text
//! NODE_BINARY=target/release/antiphon                 # nodes of an existing binary
//! ```
//!
//! A seed determines the faults and their times. The processes are real, so two runs of a seed
//! differ. Clocks that jump are faults of the simulation only: a process cannot get a clock of its
//! own here.

mod campaign;
mod disk;
mod journals;
mod load;
mod nemesis;
mod nodes;
mod planted;
mod proxy;

use antiphon::app::cluster::LocalJournals;
use antiphon_base::time::{Clock, SystemClock};
use antiphon_tests::journals::on_cassandra;

use campaign::{Campaign, Settings};

/// Rounds in `make check`.
const ROUNDS: u32 = 10;

fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

fn number<T: std::str::FromStr>(name: &str) -> Option<T> {
    text(name)
        .map(|text| text.parse().ok().unwrap_or_else(|| panic!("{name}: not a number: {text}")))
}

fn settings() -> Settings {
    let now = SystemClock.wall().as_micros();
    let journals = match text("STORE").as_deref() {
        None | Some("sqlite") => LocalJournals::default(),
        Some("cassandra") => {
            let server = text("TEST_CASSANDRA").unwrap_or_else(|| "127.0.0.1:9042".into());
            on_cassandra(&[server], "antiphon_chaos", 1, &now.to_string())
        }
        Some(other) => panic!("STORE: expected `sqlite` or `cassandra`, actual `{other}`"),
    };
    Settings {
        rounds: number("ROUNDS").unwrap_or(ROUNDS),
        seed: number("SEED").unwrap_or(now),
        journals,
        rewinds: text("REWIND").is_some(),
        only: text("ONLY").unwrap_or_default().leak(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_each_round_of_faults_all_answers_were_true_and_nothing_is_lost_or_twice() {
    let campaign = Campaign::start(settings()).await;
    if let Err(reason) = campaign.run().await {
        panic!("{reason}");
    }
}
