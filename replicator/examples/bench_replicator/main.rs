//! Measures the replicator, a loop over the vendor's Rust crate, and a bare client:
//! `make bench-replicator`.
//!
//! Both event stores are in-memory test servers in this process; the replicator is a separate
//! process. `BENCH_EVENTS` is the number of events of the large case (default 200,000).
//!
//! The crate does not set `TCP_NODELAY` on its connections, and cannot be told to. So both loops
//! are measured a second time through a relay that acknowledges each packet at once: then nothing
//! waits for a delayed acknowledgement, as if both had set it.

mod relay;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_eventstore as es;
use antiphon_eventstore_testserver::{ServerSettings, TestServer};
use bytes::Bytes;
use tokio::process::{Child, Command};

type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

const SMALL: &[u8] = br#"{"amount":1,"currency":"EUR","reference":"0123456789abcdef"}"#;
/// Duration of the loops that append one by one.
const LOOP: Duration = Duration::from_secs(3);

#[tokio::main]
async fn main() -> Fallible<()> {
    let events: usize = match std::env::var("BENCH_EVENTS") {
        Ok(text) => text.parse()?,
        Err(_) => 200_000,
    };
    println!("machine: {} cores, shared with the servers", std::thread::available_parallelism()?);
    let vendor = vendor_loop(false).await?;
    println!("{:46} {vendor:>10.0} events/s", "one by one, crate kurrentdb");
    let bare = bare_loop(false).await?;
    println!("{:46} {bare:>10.0} events/s", "one by one, our client");
    let (vendor_at_once, bare_at_once) = (vendor_loop(true).await?, bare_loop(true).await?);
    println!("{:46} {vendor_at_once:>10.0} events/s", "the same without delay, crate kurrentdb");
    println!("{:46} {bare_at_once:>10.0} events/s", "the same without delay, our client");
    if std::env::var_os("BENCH_LOOPS").is_some() {
        return Ok(());
    }
    let one = copy(events.min(5_000), 50, &[("Lanes", "1")], "$ce-order").await?;
    one.print("one lane, order of arrival, 50 streams mixed");
    let stream = copy(events.min(50_000), 1, &[("Lanes", "1")], "$ce-order").await?;
    stream.print("one lane, one stream");
    let lanes = [("Lanes", "8"), ("LaneOrder", "stream")];
    let eight = copy(events, 1000, &lanes, "$all").await?;
    eight.print("eight lanes, $all, 1000 streams");
    println!("{:46} {:>10.1} x", "one lane over the loop of the crate", one.rate / vendor);
    println!("{:46} {:>10.2} x", "one lane over our client, one by one", one.rate / bare);
    latency().await
}

struct Copied {
    rate: f64,
    memory_half: u64,
    memory_end: u64,
}

impl Copied {
    fn print(&self, what: &str) {
        let (rate, half, end) = (self.rate, self.memory_half / 1024, self.memory_end / 1024);
        println!("{what:46} {rate:>10.0} events/s, {half} MiB half-way, {end} MiB in the end");
    }
}

fn event(number: usize) -> es::NewEvent {
    es::NewEvent::json("Paid", Bytes::from_static(SMALL))
        .with_metadata(Bytes::from(format!(r#"{{"n":{number}}}"#)))
}

async fn server() -> Fallible<TestServer> {
    let settings = ServerSettings { listen: "127.0.0.1:0".to_owned(), ..Default::default() };
    Ok(TestServer::start(settings).await?)
}

async fn vendor_loop(at_once: bool) -> Fallible<f64> {
    let server = server().await?;
    let client = kurrentdb::Client::new(connection(&server, at_once).await?.parse()?)?;
    let started = SystemClock.now();
    let mut count = 0;
    while started.elapsed() < LOOP {
        let options = kurrentdb::AppendToStreamOptions::default();
        let event = kurrentdb::EventData::binary("Paid", Bytes::from_static(SMALL));
        client.append_to_stream("order-1", &options, event).await?;
        count += 1;
    }
    Ok(f64::from(count) / started.elapsed().as_secs_f64())
}

async fn bare_loop(at_once: bool) -> Fallible<f64> {
    let server = server().await?;
    let client = client(&connection(&server, at_once).await?)?;
    let started = SystemClock.now();
    let mut count: u32 = 0;
    while started.elapsed() < LOOP {
        let expected = match u64::from(count).checked_sub(1) {
            None => es::ExpectedRevision::NoStream,
            Some(last) => es::ExpectedRevision::Exact(last),
        };
        client.append("order-1", expected, vec![event(0)]).await?;
        count += 1;
    }
    Ok(f64::from(count) / started.elapsed().as_secs_f64())
}

/// The connection string of a server, through a relay that acknowledges at once.
async fn connection(server: &TestServer, at_once: bool) -> Fallible<String> {
    if !at_once {
        return Ok(server.connection_string());
    }
    let relay = relay::start(server.address().to_string()).await?;
    Ok(format!("esdb://{relay}?tls=false"))
}

fn client(connection: &str) -> Fallible<es::EventStoreClient> {
    let connection = es::ConnectionString::parse(connection)?;
    Ok(es::EventStoreClient::new(connection, es::ClientSettings::default())?)
}

async fn copy(
    events: usize,
    streams: usize,
    settings: &[(&str, &str)],
    stream: &str,
) -> Fallible<Copied> {
    let (source, destination) = (server().await?, server().await?);
    for number in 0..events {
        source.append(&format!("order-{}", number % streams), vec![event(number)])?;
    }
    let folder = tempfile::tempdir()?;
    let started = SystemClock.now();
    let replicator = replicator(&source, &destination, stream, settings, folder.path())?;
    let process = replicator.id().ok_or("the replicator has ended")?;
    // half of the log are links in the category
    while destination.log_length() < events {
        wait(&started)?;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let memory_half = memory(process)?;
    while destination.log_length() < events * 2 {
        wait(&started)?;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let seconds = started.elapsed().as_secs_f64();
    let rate = events as f64 / seconds;
    Ok(Copied { rate, memory_half, memory_end: memory(process)? })
}

fn wait(started: &tokio::time::Instant) -> Fallible<()> {
    if started.elapsed() > Duration::from_secs(600) {
        return Err("not done within ten minutes".into());
    }
    Ok(())
}

fn replicator(
    source: &TestServer,
    destination: &TestServer,
    stream: &str,
    settings: &[(&str, &str)],
    folder: &std::path::Path,
) -> Fallible<Child> {
    let mut program: PathBuf = std::env::current_exe()?;
    program.pop();
    program.pop();
    program.push("antiphon-replicator");
    let mut command = Command::new(program);
    let kind = if stream == "$all" { "all" } else { "stream" };
    let name = if stream == "$all" { "" } else { stream };
    command.arg("run").current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    for (key, value) in [
        ("Settings__SourceEventStoreConnectionString", source.connection_string()),
        ("Settings__DestinationEventStoreConnectionString", destination.connection_string()),
        ("Settings__Subscriptions__0__Kind", kind.to_owned()),
        ("Settings__Subscriptions__0__StreamName", name.to_owned()),
        ("Serilog__MinimumLevel__Default", "Warning".to_owned()),
    ] {
        command.env(format!("Ditto_{key}"), value);
    }
    for (key, value) in settings {
        command.env(format!("Ditto_Settings__{key}"), value);
    }
    Ok(command.spawn()?)
}

/// The resident memory of a process in KiB.
fn memory(process: u32) -> Fallible<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    let kib = line.split_whitespace().nth(1).ok_or("no number in VmRSS")?;
    Ok(kib.parse()?)
}

/// Measures the time from an event's append to its arrival at a subscriber, of the source and of
/// the destination.
async fn latency() -> Fallible<()> {
    let (source, destination) = (server().await?, server().await?);
    source.append("order-0", vec![event(0)])?;
    let folder = tempfile::tempdir()?;
    let _replicator = replicator(&source, &destination, "$ce-order", &[], folder.path())?;
    let mut at_source =
        client(&source.connection_string())?.subscribe_stream("order-0", None, false).await?;
    let mut at_destination =
        client(&destination.connection_string())?.subscribe_stream("order-0", None, false).await?;
    next(&mut at_source).await?;
    next(&mut at_destination).await?;
    let (mut own, mut over) = (Vec::new(), Vec::new());
    for number in 1..=1000 {
        let started = SystemClock.now();
        source.append("order-0", vec![event(number)])?;
        let (one, other) =
            tokio::join!(async { next(&mut at_source).await.map(|()| started.elapsed()) }, async {
                next(&mut at_destination).await.map(|()| started.elapsed())
            },);
        own.push(one?);
        over.push(other?);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for times in [&mut own, &mut over] {
        times.sort_unstable();
    }
    let millis =
        |times: &[Duration], part: usize| times[times.len() * part / 100].as_secs_f64() * 1000.0;
    for part in [50, 95, 99] {
        let (own, over) = (millis(&own, part), millis(&over, part));
        println!(
            "{:46} {:>10.2} ms over the source's own push ({own:.2} ms)",
            format!("latency of a live event, p{part}"),
            over - own
        );
    }
    Ok(())
}

async fn next(subscription: &mut es::Subscription) -> Fallible<()> {
    loop {
        let message = tokio::time::timeout(Duration::from_secs(30), subscription.next());
        if let es::SubscriptionMessage::Event(_) = message.await?? {
            return Ok(());
        }
    }
}
