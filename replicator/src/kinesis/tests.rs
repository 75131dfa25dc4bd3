//! Tests of the sink against the stand-in, over HTTP and the AWS SDK.
//!
//! `TEST_KINESIS_URL` (and a stream `ditto` there) runs one test against kinesalite or another
//! server instead: see deploy/replicator/kinesalite.

use std::sync::Arc;
use std::time::Duration;

use antiphon_base::time::SystemClock;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::ShardIteratorType;

use super::fake::{Fake, Reaction, Stored};
use super::*;
use crate::config::{AwsSettings, KinesisSettings, RetrySettings};
use crate::event::{Envelope, Event};
use crate::metrics::Metrics;
use crate::sink::{Outcome, Sink};

fn envelope(stream: &str, revision: u64, data: &str) -> Envelope {
    Envelope::of(Event::example(stream, revision, data))
}

async fn client(url: &str) -> Client {
    let aws = AwsSettings {
        region: Some("eu-west-1".into()),
        service_url: Some(url.to_owned()),
        retry_count_max: 1,
        timeout: Duration::from_secs(2),
        ..AwsSettings::default()
    };
    let credentials = |name: &str| match name {
        "AWS_ACCESS_KEY_ID" | "AWS_SECRET_KEY" => Some("test".to_owned()),
        _ => None,
    };
    connect(&aws, credentials).await.unwrap()
}

/// A sink with short pauses, for a stream, that gives up after so many throttled requests.
async fn sink_of(url: &str, stream: &str, throttled_max: u32) -> KinesisSink {
    let settings =
        KinesisSettings { stream_name: Some(stream.into()), ..KinesisSettings::default() };
    let retry = RetrySettings {
        delay: Duration::from_millis(1),
        delay_max: Duration::from_millis(2),
        attempts_max: throttled_max,
        ..RetrySettings::default()
    };
    let duration = Metrics::new(Arc::new(SystemClock)).io("kinesis", stream, "put_record");
    KinesisSink::new(client(url).await, settings, retry, Arc::new(SystemClock), duration)
}

/// A sink with Ditto's stream.
async fn sink(url: &str) -> KinesisSink {
    sink_of(url, "ditto", 10).await
}

fn all(records: &[Stored]) -> Reaction {
    Reaction::Each(vec![None; records.len()])
}

fn names(records: &[Stored]) -> Vec<String> {
    records.iter().map(|one| format!("{}#{}", one.key, one.data["event_number"])).collect()
}

#[tokio::test]
async fn events_of_one_stream_go_one_by_one_and_streams_go_together() {
    let fake = Fake::start(|_, records| all(records)).await;
    let sink = sink(&fake.url).await;
    let batch = [
        envelope("a", 0, "{}"),
        envelope("a", 1, "{}"),
        envelope("b", 0, "{}"),
        envelope("a", 2, "{}"),
    ];

    let outcomes = sink.write(&batch).await;

    assert_eq!(outcomes, vec![Outcome::Written(None); 4]);
    let requests: Vec<_> = fake.requests().iter().map(|records| names(records)).collect();
    assert_eq!(requests, [vec!["a#0", "b#0"], vec!["a#1"], vec!["a#2"]]);
    assert_eq!(fake.stored()[0].data["stream_id"], "a");
}

#[tokio::test]
async fn of_a_partial_failure_only_the_failed_record_is_sent_again_and_order_holds() {
    let fake = Fake::start(|number, records| match number {
        0 => Reaction::Each(vec![Some("ProvisionedThroughputExceededException"), None]),
        _ => all(records),
    })
    .await;
    let sink = sink(&fake.url).await;

    let outcomes =
        sink.write(&[envelope("a", 0, "{}"), envelope("a", 1, "{}"), envelope("b", 0, "{}")]).await;

    assert_eq!(outcomes, vec![Outcome::Written(None); 3]);
    assert_eq!(names(&fake.stored()), ["b#0", "a#0", "a#1"]);
}

#[tokio::test]
async fn an_internal_failure_of_a_record_is_its_own_and_its_stream_waits() {
    let fake = Fake::start(|_, records| {
        let fails = |record: &Stored| (record.key == "a").then_some("InternalFailure");
        Reaction::Each(records.iter().map(fails).collect())
    })
    .await;
    let outcomes = sink(&fake.url)
        .await
        .write(&[envelope("a", 0, "{}"), envelope("a", 1, "{}"), envelope("b", 0, "{}")])
        .await;
    let failed = "kinesis stream `ditto`: InternalFailure: on demand".to_owned();
    assert_eq!(outcomes, [Outcome::Retryable(failed), Outcome::Untried, Outcome::Written(None)]);
}

#[tokio::test]
async fn throttling_for_long_is_no_fault_of_the_event() {
    let fake = Fake::start(|_, records| {
        Reaction::Each(vec![Some("ProvisionedThroughputExceededException"); records.len()])
    })
    .await;
    let sink = sink_of(&fake.url, "ditto", 3).await;

    let outcomes = sink.write(&[envelope("a", 0, "{}"), envelope("a", 1, "{}")]).await;

    let Outcome::Unavailable(reason) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert!(reason.contains("ProvisionedThroughputExceededException"), "{reason}");
    assert_eq!(outcomes[1], Outcome::Untried);
    assert_eq!(fake.requests().len(), 4);
}

#[tokio::test]
async fn a_server_error_and_a_missing_stream_leave_the_events_waiting() {
    for (status, code) in
        [(500, "InternalFailure"), (503, "ServiceUnavailable"), (400, "ResourceNotFoundException")]
    {
        let fake = Fake::start(move |_, _| Reaction::Refuse(status, code)).await;
        let outcomes = sink(&fake.url).await.write(&[envelope("a", 0, "{}")]).await;
        let Outcome::Unavailable(reason) = &outcomes[0] else { panic!("{outcomes:?}") };
        assert_eq!(*reason, format!("kinesis stream `ditto`: {code}: on demand"));
    }
}

#[tokio::test]
async fn when_one_record_is_refused_the_others_of_its_request_are_not() {
    let fake = Fake::start(|_, records| {
        let bad = records.iter().any(|record| record.key == "bad");
        if bad { Reaction::Refuse(400, "InvalidArgumentException") } else { all(records) }
    })
    .await;
    let outcomes = sink(&fake.url)
        .await
        .write(&[envelope("a", 0, "{}"), envelope("bad", 0, "{}"), envelope("c", 0, "{}")])
        .await;
    let refused = "kinesis stream `ditto`: InvalidArgumentException: on demand".to_owned();
    assert_eq!(
        outcomes,
        [Outcome::Written(None), Outcome::Rejected(refused), Outcome::Written(None)]
    );
}

#[tokio::test]
async fn a_silent_service_meets_the_time_limit_and_nobody_listening_is_said() {
    let fake = Fake::start(|_, _| Reaction::Silence).await;
    let outcomes = sink(&fake.url).await.write(&[envelope("a", 0, "{}")]).await;
    assert!(
        matches!(&outcomes[0], Outcome::Unavailable(reason) if reason.contains("timeout")),
        "{outcomes:?}"
    );

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let sink = sink(&url).await;
    let outcomes = sink.write(&[envelope("a", 0, "{}")]).await;
    let Outcome::Unavailable(reason) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert!(reason.contains("Connection refused") && !reason.contains('{'), "{reason}");
    assert!(sink.probe().await.is_err());
}

#[tokio::test]
async fn the_probe_finds_the_stream_or_says_that_it_is_missing() {
    let fake = Fake::start(|_, records| all(records)).await;
    assert!(sink(&fake.url).await.probe().await.is_ok());
    let missing = sink_of(&fake.url, "other", 10).await;
    let error = missing.probe().await.unwrap_err().to_string();
    assert_eq!(error, "kinesis stream `other`: ResourceNotFoundException: on demand");
}

/// Reads everything in the first shard, over the SDK.
async fn read_back(url: &str) -> Vec<String> {
    let client = client(url).await;
    let shards = client.list_shards().stream_name("ditto").send().await.unwrap();
    let shard = shards.shards()[0].shard_id();
    let iterator = client
        .get_shard_iterator()
        .stream_name("ditto")
        .shard_id(shard)
        .shard_iterator_type(ShardIteratorType::TrimHorizon)
        .send()
        .await
        .unwrap();
    let mut next = iterator.shard_iterator;
    let mut names = Vec::new();
    while let Some(iterator) = next {
        let page = client.get_records().shard_iterator(iterator).limit(1000).send().await.unwrap();
        for record in page.records() {
            let data: serde_json::Value = serde_json::from_slice(record.data().as_ref()).unwrap();
            let key = record.partition_key().unwrap();
            names.push(format!("{key}#{}", data["event_number"]));
        }
        next = page.next_shard_iterator.filter(|_| !page.records.is_empty());
    }
    names
}

/// Runs against the server of `TEST_KINESIS_URL` when it is set, else against the stand-in: the
/// test cannot pass without a server.
#[tokio::test]
async fn a_whole_batch_arrives_also_at_a_server_that_is_not_ours() {
    let fake = Fake::start(|_, records| all(records)).await;
    let other = std::env::var("TEST_KINESIS_URL").ok();
    let sink = sink(other.as_ref().unwrap_or(&fake.url)).await;
    sink.probe().await.unwrap();
    let batch: Vec<Envelope> = (0..60)
        .map(|n| envelope(&format!("stream-{}", n % 20), n / 20, "{\"payload\":\"ä\"}"))
        .chain([envelope(&"long".repeat(100), 0, "{}"), envelope("large", 0, &"x".repeat(1 << 20))])
        .collect();

    let outcomes = sink.write(&batch).await;

    assert_eq!(outcomes[..61], vec![Outcome::Written(None); 61]);
    let Outcome::Rejected(reason) = &outcomes[61] else { panic!("{outcomes:?}") };
    assert!(reason.contains("Kinesis:RecordBytesMax"), "{reason}");
    let stored = match &other {
        Some(url) => read_back(url).await,
        None => names(&fake.stored()),
    };
    assert_eq!(stored.len(), 61);
    for stream in 0..20 {
        let key = format!("stream-{stream}#");
        let of_stream: Vec<&String> = stored.iter().filter(|name| name.starts_with(&key)).collect();
        assert_eq!(of_stream, [&format!("{key}0"), &format!("{key}1"), &format!("{key}2")]);
    }
}
