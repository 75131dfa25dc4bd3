//! Two places in one process, each with a node and a log of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use antiphon::persistence::event::SequenceNr;
use antiphon::prelude::*;
use antiphon::runtime::NodeSettings;
use antiphon::runtime::transport::tcp::TcpSettings;
use antiphon::{Embedded, EmbeddedSettings, Journal, PeerSettings};
use antiphon_counter::{Command, provider};

use crate::LogJournal;

const PLACES: [&str; 2] = ["DC-A", "DC-B"];

/// Longest wait for an answer of the counter.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// Longest wait until both places have the same value.
const CONVERGES_WITHIN: Duration = Duration::from_secs(30);

/// The outcome of a run.
#[derive(Debug, PartialEq, Eq)]
pub struct Ran {
    /// The value of the counter at each place.
    pub values: BTreeMap<String, i64>,
    /// The number of events that each place's journal has of the counter.
    pub events: usize,
}

/// Starts both places on the logs in `folder`, adds to a counter at both, waits until both have the
/// same value, and compares the journals. The counter goes on where an earlier run left it.
///
/// # Errors
/// The errors of the nodes; `Timeout` when the places do not converge; `Corrupt` when the journals
/// differ.
pub async fn run(folder: &Path, writes: i64) -> Result<Ran> {
    std::fs::create_dir_all(folder).map_err(|error| {
        Error::rejected(format!("{folder:?} cannot be made")).with_source(error)
    })?;
    let (a, b) = (start(folder, 0).await?, start(folder, 1).await?);
    let replicas: Vec<_> = PLACES.iter().map(ReplicaId::new).collect::<Result<_>>()?;
    let counters = ReplicatedSharding::init(&a.node, provider(replicas.clone())).await?;
    let _hosted = ReplicatedSharding::init(&b.node, provider(replicas)).await?;
    let refs = counters.entity_refs_for("c-1")?;
    for _ in 0..writes {
        for counter in refs.values() {
            ask(counter, |reply_to| Command::Add { delta: 1, reply_to }).await?;
        }
    }
    let values = async {
        loop {
            let mut values = BTreeMap::new();
            for (replica, counter) in &refs {
                let value = ask(counter, |reply_to| Command::Get { reply_to }).await?;
                values.insert(replica.to_string(), value);
            }
            let first = values.values().next();
            if values.values().all(|value| Some(value) == first) {
                return Ok::<_, Error>(values);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let values = tokio::time::timeout(CONVERGES_WITHIN, values).await;
    let values = values.map_err(|_| Error::timeout("the places do not converge"))??;
    let counts = [events(&a, 0).await?, events(&b, 1).await?];
    a.node.leave().await?;
    b.node.leave().await?;
    if counts[0] != counts[1] {
        return Err(Error::corrupt(format!("the journals differ: {counts:?} events")));
    }
    Ok(Ran { values, events: counts[0] })
}

async fn start(folder: &Path, index: usize) -> Result<Embedded> {
    let journal = |index: usize| {
        Journal::new(LogJournal { path: folder.join(format!("{}.log", PLACES[index])) })
    };
    let place = PLACES[index];
    let settings = EmbeddedSettings {
        node: NodeSettings {
            name: format!("node-{place}"),
            place: place.to_owned(),
            ..NodeSettings::default()
        },
        journal: journal(index),
        peers: vec![PeerSettings {
            place: PLACES[1 - index].to_owned(),
            journal: journal(1 - index),
        }],
        bind: ([127, 0, 0, 1], 0).into(),
        advertised_host: None,
        http_address: None,
        tcp: TcpSettings::default(),
        start_timeout: Duration::from_secs(30),
    };
    Box::pin(Embedded::start(settings)).await
}

/// Asks until the entity answers: its shard may not have a home yet, and at the first start each
/// place waits for the journal of the other one.
async fn ask(
    counter: &EntityRef<Command>,
    command: impl Fn(ReplyTo<i64>) -> Command,
) -> Result<i64> {
    let asked = async {
        loop {
            match counter.ask(&command).await {
                Ok(value) => return Ok(value),
                Err(error) if error.is_without_effect() => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    };
    let answer = tokio::time::timeout(ANSWERS_WITHIN, asked).await;
    answer.map_err(|_| Error::timeout("the counter does not answer"))?
}

/// The number of the counter's events in the journal of a place.
async fn events(node: &Embedded, index: usize) -> Result<usize> {
    let id = ReplicationId::parse(&format!("counter|c-1|{}", PLACES[index]))?.persistence_id();
    let journal = node.journal.stores().journal;
    let (mut first, mut count) = (SequenceNr::new(1), 0);
    loop {
        let page = journal.replay(&id, first, SequenceNr::MAX, 1000).await?;
        let Some(last) = page.last() else { return Ok(count) };
        (first, count) = (last.sequence_nr.next(), count + page.len());
    }
}
