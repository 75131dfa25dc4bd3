//! Measures the throughput of the client and the test server in one process:
//! `cargo run --release -p antiphon-eventstore-testserver --example throughput`.

use std::time::Duration;

use antiphon_base::task;
use antiphon_base::time::{Clock, SystemClock};
use antiphon_eventstore::{
    Appender, ClientSettings, ConnectionString, EventStoreClient, ExpectedRevision, Filter,
    NewEvent, Result, SubscriptionMessage,
};
use antiphon_eventstore_testserver::{ServerSettings, TestServer};

const SINGLE: usize = 5_000;
const PIPELINED: usize = 100_000;
const BATCHED: usize = 1_000_000;
const BATCH: usize = 500;
const LANES: usize = 8;

#[tokio::main]
async fn main() -> Result<()> {
    let server = TestServer::start(ServerSettings::default()).await?;
    let connection = ConnectionString::parse(&server.connection_string())?;
    let store = EventStoreClient::new(connection, ClientSettings::default())?;

    let start = SystemClock.now();
    for number in 0..SINGLE {
        store.append(&format!("single-{}", number % 100), ExpectedRevision::Any, event(1)).await?;
    }
    report("one event, one append, one after another", SINGLE, SystemClock.now() - start);

    bare(&server).await?;
    vendor(&server).await;

    let start = SystemClock.now();
    let appender = store.appender(256).await?;
    let lanes = (0..LANES)
        .map(|lane| task::spawn("lane", pipelined(appender.clone(), lane, PIPELINED / LANES)));
    for lane in futures::future::join_all(lanes).await {
        lane.expect("a lane does not panic")?;
    }
    report("one event, one append, 256 in flight", PIPELINED, SystemClock.now() - start);

    let start = SystemClock.now();
    for number in 0..BATCHED / BATCH {
        let stream = format!("batch-{}", number % 100);
        store.append(&stream, ExpectedRevision::Any, event(BATCH)).await?;
    }
    report("500 events, one append, one after another", BATCHED, SystemClock.now() - start);

    let start = SystemClock.now();
    let filter = Filter::StreamPrefix(vec!["batch-".to_owned()]);
    let mut subscription = store.subscribe_all(None, filter, false).await?;
    let mut received = 0;
    while received < BATCHED {
        if let SubscriptionMessage::Event(_) = subscription.next().await? {
            received += 1;
        }
    }
    report("read by a subscription", received, SystemClock.now() - start);
    println!("{} entries in the log, {} of memory", server.log_length(), memory());
    Ok(())
}

/// The same calls through the generated code alone, to show the overhead of the client.
async fn bare(server: &TestServer) -> Result<()> {
    use antiphon_eventstore::wire::expected_stream::Expected;
    use antiphon_eventstore::wire::streams::append_req::Content;
    use antiphon_eventstore::wire::streams::{AppendReq, streams_client::StreamsClient};
    use antiphon_eventstore::wire::{
        Empty, ExpectedStream, NewEvent, StreamName, Uuid, uuid::Form,
    };

    let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{}", server.address()))
        .expect("an address is a URI")
        .tcp_nodelay(true);
    let mut client = StreamsClient::new(endpoint.connect().await.expect("the server is there"));
    let start = SystemClock.now();
    for number in 0..SINGLE {
        let options = ExpectedStream {
            stream: Some(StreamName { name: format!("bare-{}", number % 100).into() }),
            expected: Some(Expected::Any(Empty {})),
        };
        let event = NewEvent {
            id: Some(Uuid { form: Some(Form::Text(uuid::Uuid::new_v4().to_string())) }),
            system: [("type", "measured"), ("content-type", "application/json")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            data: r#"{"name":"Ada","age":36}"#.into(),
            ..NewEvent::default()
        };
        let messages = [Content::Options(options), Content::Event(event)]
            .map(|content| AppendReq { content: Some(content) });
        let answer = client.append(futures::stream::iter(messages)).await;
        answer.expect("the append is accepted");
    }
    report("the same through the generated code", SINGLE, SystemClock.now() - start);
    Ok(())
}

/// The same calls through the vendor's client; few, because each waits 40 ms.
async fn vendor(server: &TestServer) {
    let settings = server.connection_string().parse().expect("a connection string");
    let client = kurrentdb::Client::new(settings).expect("a client");
    let start = SystemClock.now();
    for number in 0..SINGLE / 50 {
        let event = kurrentdb::EventData::binary("measured", r#"{"name":"Ada","age":36}"#.into());
        let stream = format!("vendor-{}", number % 100);
        client.append_to_stream(stream, &Default::default(), event).await.expect("written");
    }
    report("the same through the vendor's client", SINGLE / 50, SystemClock.now() - start);
}

async fn pipelined(appender: Appender, lane: usize, count: usize) -> Result<()> {
    let appends = (0..count).map(|number| {
        let stream = format!("lane-{lane}-{}", number % 100);
        let appender = appender.clone();
        async move { appender.append(&stream, ExpectedRevision::Any, event(1)).await }
    });
    let mut appends = futures::StreamExt::buffered(futures::stream::iter(appends), 64);
    while let Some(outcome) = futures::StreamExt::next(&mut appends).await {
        outcome?;
    }
    Ok(())
}

fn event(count: usize) -> Vec<NewEvent> {
    (0..count).map(|_| NewEvent::json("measured", r#"{"name":"Ada","age":36}"#)).collect()
}

fn report(what: &str, count: usize, took: Duration) {
    let rate = count as f64 / took.as_secs_f64();
    println!("{what:44} {count:>9} events  {rate:>9.0}/s");
}

/// The resident memory of the process, as reported by Linux.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    line.map_or("an unknown amount", |line| line.trim_start_matches("VmRSS:").trim()).to_owned()
}
