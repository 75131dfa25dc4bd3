//! Tests of the sinks that send, against a server that fails on demand.

use std::time::Duration;

use serde_json::Value;

use super::receiver::{Receiver, Reply};
use crate::config::{
    DatadogSettings, Level, LogSinkSettings, Secret, SeqSettings, SerilogSettings, ShipSettings,
};
use crate::logging::subscriber;

const API_KEY: &str = "the-secret-key";

fn ship() -> ShipSettings {
    ShipSettings {
        api_key: Some(Secret::new(API_KEY)),
        request_timeout: Duration::from_millis(300),
        retry_delay: Duration::from_millis(5),
        retry_delay_max: Duration::from_millis(20),
        flush_timeout: Duration::from_secs(30),
        ..ShipSettings::default()
    }
}

fn seq(url: &str) -> SeqSettings {
    SeqSettings { url: Secret::new(url), ship: ship(), ..SeqSettings::default() }
}

fn serilog(sink: LogSinkSettings) -> SerilogSettings {
    SerilogSettings {
        sinks: vec![("Serilog:WriteTo:1:Args".to_owned(), sink)],
        properties: vec![("ApplicationName".to_owned(), "Ditto".to_owned())],
        ..SerilogSettings::default()
    }
}

/// Logs through a sink and closes it. Returns the counts of sent and of lost lines, and the losses
/// that the close tells.
async fn logged(sink: LogSinkSettings, log: impl FnOnce()) -> (u64, u64, Vec<String>) {
    let (subscriber, shipping) = subscriber(&serilog(sink), std::io::sink).unwrap();
    tracing::subscriber::with_default(subscriber, log);
    let (_, counts) = shipping.counts().next().unwrap();
    let losses = shipping.close().await;
    assert_eq!(counts.waiting(), 0);
    (counts.sent(), counts.lost(), losses)
}

fn log_numbers(numbers: std::ops::Range<u64>) {
    numbers.for_each(|number| tracing::info!(target: "ditto", Number = number, "line"));
}

fn numbers(lines: &[Value]) -> Vec<u64> {
    lines.iter().filter_map(|line| line["Number"].as_u64()).collect()
}

#[tokio::test]
async fn seq_gets_lines_in_the_compact_format_with_the_key() {
    let receiver = Receiver::start(|_, _| Reply::Status(201)).await;
    let (sent, lost, _) = logged(LogSinkSettings::Seq(seq(&receiver.url)), || {
        tracing::warn!(target: "ditto", MessageTemplate = "Event #{Number} of {StreamName}",
            Number = 7, StreamName = "a-1");
        tracing::info!(target: "antiphon_replicator::run", "plain {{}}");
    })
    .await;

    assert_eq!((sent, lost), (2, 0));
    let requests = receiver.requests();
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    assert_eq!(request.path, "/ingest/clef");
    assert_eq!(request.header("x-seq-apikey"), API_KEY);
    assert_eq!(request.header("content-type"), "application/vnd.serilog.clef");
    let lines = request.lines();
    assert_eq!(lines[0]["@mt"], "Event #{Number} of {StreamName}");
    assert_eq!((&lines[0]["@m"], &lines[0]["@l"]), (&"Event #7 of a-1".into(), &"Warning".into()));
    assert_eq!((&lines[0]["Number"], &lines[0]["StreamName"]), (&7.into(), &"a-1".into()));
    assert_eq!(lines[0]["ApplicationName"], "Ditto");
    assert!(lines[0]["@t"].as_str().unwrap().ends_with('Z'));
    assert_eq!((&lines[1]["@m"], &lines[1]["@mt"]), (&"plain {}".into(), &"plain {{}}".into()));
    assert!(lines[1]["SourceContext"].as_str().unwrap().starts_with("antiphon_replicator"));
}

#[tokio::test]
async fn datadog_gets_arrays_with_source_service_host_and_tags() {
    let receiver = Receiver::start(|_, _| Reply::Status(202)).await;
    let settings = DatadogSettings {
        url: Secret::new(&*receiver.url),
        service: Some("replicator".to_owned()),
        host: Some("h1".to_owned()),
        tags: vec!["env:test".to_owned(), "team:a".to_owned()],
        batch_count_max: 2,
        level: Level::Information,
        ship: ship(),
        ..DatadogSettings::default()
    };
    let (sent, lost, _) = logged(LogSinkSettings::Datadog(settings), || {
        tracing::debug!(target: "ditto", "below the level");
        log_numbers(0..3);
    })
    .await;

    assert_eq!((sent, lost), (3, 0));
    let requests = receiver.requests();
    let sizes: Vec<usize> = requests.iter().map(|request| request.array().len()).collect();
    assert_eq!(sizes, [2, 1]);
    assert_eq!(requests[0].path, "/api/v2/logs");
    assert_eq!(requests[0].header("dd-api-key"), API_KEY);
    let line = &requests[0].array()[0];
    for (field, expected) in [
        ("message", "line"),
        ("level", "Information"),
        ("MessageTemplate", "line"),
        ("ddsource", "csharp"),
        ("ddtags", "env:test,team:a"),
        ("service", "replicator"),
        ("hostname", "h1"),
    ] {
        assert_eq!(line[field], expected, "{field}");
    }
    assert_eq!((&line["Properties"]["Number"], line["timestamp"].is_string()), (&0.into(), true));
}

#[tokio::test]
async fn a_server_that_fails_in_any_way_gets_every_line_once_it_works() {
    let replies = [
        Reply::Status(503),
        Reply::Status(429),
        Reply::Close,
        Reply::Hang,
        Reply::Status(401),
        Reply::Status(404),
        Reply::Status(500),
    ];
    let receiver = Receiver::start(move |number, _| {
        replies.get(number).copied().unwrap_or(Reply::Status(200))
    })
    .await;
    let (sent, lost, losses) =
        logged(LogSinkSettings::Seq(seq(&receiver.url)), || log_numbers(0..10)).await;
    assert_eq!((sent, lost, losses), (10, 0, Vec::new()));
    assert_eq!(receiver.requests().len(), 8);
    assert_eq!(numbers(&receiver.taken()), Vec::from_iter(0..10));
}

#[tokio::test]
async fn a_refused_line_is_found_and_lost_and_the_others_arrive_in_order() {
    for (status, bad) in [(400, "\"Number\":6"), (413, "\"Number\":0"), (422, "\"Number\":9")] {
        let receiver = Receiver::start(move |_, body| {
            Reply::Status(if body.contains(bad) { status } else { 200 })
        })
        .await;
        let (sent, lost, losses) =
            logged(LogSinkSettings::Seq(seq(&receiver.url)), || log_numbers(0..10)).await;
        assert_eq!((sent, lost), (9, 1));
        assert_eq!(losses, ["1 log lines for Seq were lost"]);
        let expected: Vec<u64> =
            (0..10).filter(|number| bad != format!("\"Number\":{number}")).collect();
        assert_eq!(numbers(&receiver.taken()), expected);
    }
}

#[tokio::test]
async fn lines_without_room_are_lost_and_counted_and_the_end_waits_no_longer_than_it_may() {
    let receiver = Receiver::start(|_, _| Reply::Hang).await;
    let mut settings = seq(&receiver.url);
    settings.queue_count_max = 5;
    settings.ship.flush_timeout = Duration::from_millis(50);
    let (sent, lost, losses) = logged(LogSinkSettings::Seq(settings), || log_numbers(0..100)).await;
    assert_eq!((sent, lost), (0, 100));
    assert_eq!(losses, ["100 log lines for Seq were lost"]);
}

#[tokio::test]
async fn a_line_that_is_too_long_is_cut() {
    let receiver = Receiver::start(|_, _| Reply::Status(200)).await;
    let settings = SeqSettings { line_bytes_max: 2048, ..seq(&receiver.url) };
    let long = "\u{6f22}\"\n".repeat(5000);
    let (sent, _, _) = logged(LogSinkSettings::Seq(settings), || {
        tracing::info!(target: "ditto", Value = long, "{long}");
    })
    .await;
    assert_eq!(sent, 1);
    let line = &receiver.taken()[0];
    assert!(line.to_string().len() <= 2048 && line["@m"].as_str().unwrap().starts_with('\u{6f22}'));
    assert!(line["CutFrom"].as_u64().unwrap() > 2048);
}

#[tokio::test]
async fn the_console_is_told_once_that_lines_wait_without_the_key_and_the_sink_is_not() {
    let receiver =
        Receiver::start(|number, _| Reply::Status(if number < 3 { 403 } else { 200 })).await;
    let console = crate::logging::tests::Captured::default();
    let writer = console.clone();
    let settings = serilog(LogSinkSettings::Seq(seq(&receiver.url)));
    let (subscriber, shipping) = subscriber(&settings, move || writer.clone()).unwrap();
    let default = tracing::subscriber::set_default(subscriber);
    log_numbers(0..1);
    shipping.close().await;
    drop(default);

    let console = console.lines().join("\n");
    assert!(!console.contains(API_KEY), "{console}");
    let told = "WRN] logs to Seq at 127.0.0.1: the lines wait: it answered 403 Forbidden: is the argument `apiKey` right?";
    assert_eq!(console.matches(told).count(), 1, "{console}");
    assert!(console.contains("INF] logs to Seq go through again, 0 lines are lost"), "{console}");
    assert_eq!(receiver.taken().len(), 1);
}
