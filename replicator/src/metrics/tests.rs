//! Tests of the text that a scrape shows.

use std::time::Duration;

use antiphon_base::time::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::*;

/// A clock that stands until it is moved.
pub(crate) struct StandingClock(Mutex<Instant>);

impl StandingClock {
    #[expect(clippy::disallowed_methods, reason = "a standing clock has to start somewhere")]
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(Instant::now())))
    }

    pub(crate) fn advance(&self, time: Duration) {
        *self.0.lock() += time;
    }
}

impl Clock for StandingClock {
    fn now(&self) -> Instant {
        *self.0.lock()
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000)
    }
}

#[test]
fn the_series_of_ditto_have_its_names_labels_and_quantiles() {
    let metrics = Metrics::new(StandingClock::new());
    let series = metrics.subscription("$ce-customer", "ditto");
    series.received.inc_by(3);
    series.unresolved.inc();
    series.skipped.inc();
    series.processed.inc();
    series.failed.inc();
    series.current_event.set(41);
    series.replication_delay.observe(Duration::from_millis(500));
    metrics
        .io("eventstore", "ditto-destination", "append_to_stream")
        .observe(Duration::from_millis(2));

    let text = metrics.text();
    let labels = r#"app="ditto",group="ditto",stream="$ce-customer""#;
    for line in [
        "# TYPE ditto_events_received_total counter".to_owned(),
        format!("ditto_events_received_total{{{labels}}} 3"),
        format!("ditto_events_unresolved_total{{{labels}}} 1"),
        format!("ditto_events_skipped_total{{{labels}}} 1"),
        format!("ditto_events_processed_total{{{labels}}} 1"),
        format!("ditto_events_failed_total{{{labels}}} 1"),
        "# TYPE ditto_current_event gauge".to_owned(),
        format!("ditto_current_event{{{labels}}} 41"),
        "# TYPE ditto_replication_delay_seconds summary".to_owned(),
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    for quantile in ["0.75", "0.95", "0.99"] {
        let found = value(
            &text,
            &format!(
                r#"ditto_replication_delay_seconds{{app="ditto",stream="$ce-customer",group="ditto",quantile="{quantile}"}}"#
            ),
        );
        assert!((found - 0.5).abs() < 0.005, "{found}");
    }
    let io = r#"{app="ditto",type="eventstore",resource="ditto-destination",operation="append_to_stream"}"#;
    assert!((value(&text, &format!("ditto_io_duration_seconds_sum{io}")) - 0.002).abs() < 1e-9);
    assert!((value(&text, &format!("ditto_io_duration_seconds_count{io}")) - 1.0).abs() < 1e-9);
    assert!(text.contains("process_resident_memory_bytes"), "{text}");
}

fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with(series));
    let line = line.unwrap_or_else(|| panic!("no {series} in\n{text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn quantiles_forget_after_ten_minutes_and_sums_do_not() {
    let clock = StandingClock::new();
    let metrics = Metrics::new(clock.clone());
    let summary = metrics.io("kinesis", "ditto", "put_record");
    let series = r#"ditto_io_duration_seconds{app="ditto",type="kinesis",resource="ditto",operation="put_record",quantile="0.99"}"#;
    for _ in 0..100 {
        summary.observe(Duration::from_secs(1));
    }
    clock.advance(Duration::from_secs(300));
    for _ in 0..100 {
        summary.observe(Duration::from_secs(10));
    }
    assert!((value(&metrics.text(), series) - 10.0).abs() < 0.1);

    clock.advance(Duration::from_secs(599));
    summary.observe(Duration::from_secs(2));
    assert!((value(&metrics.text(), series) - 10.0).abs() < 0.1);

    clock.advance(Duration::from_secs(2));
    assert!((value(&metrics.text(), series) - 2.0).abs() < 0.02);

    clock.advance(Duration::from_secs(700));
    let text = metrics.text();
    assert!(value(&text, series).is_nan());
    let count = series.replace("seconds{", "seconds_count{").replace(",quantile=\"0.99\"", "");
    assert!((value(&text, &count) - 201.0).abs() < 1e-9);
}

#[test]
fn a_century_and_nothing_fit_into_a_summary() {
    let metrics = Metrics::new(StandingClock::new());
    let delay = metrics.subscription("a", "b").replication_delay;
    delay.observe(Duration::MAX);
    delay.observe(Duration::ZERO);
    assert!(metrics.text().contains("ditto_replication_delay_seconds_count"));
}

#[test]
fn every_family_of_the_list_renders() {
    let metrics = Metrics::new(StandingClock::new());
    metrics.subscription("a", "b").replication_delay.observe(Duration::ZERO);
    metrics.io("a", "b", "c").observe(Duration::ZERO);
    metrics.logs("0 Seq", Arc::default());
    let text = metrics.text();
    for family in FAMILIES {
        assert!(text.contains(&format!("# TYPE {} ", family.name)), "{}", family.name);
    }
}

#[test]
fn the_dashboard_shows_only_metrics_that_exist_and_every_one_of_them() {
    let text = include_str!("../../../deploy/replicator/dashboard.json");
    let dashboard: serde_json::Value = serde_json::from_str(text).unwrap();
    let mut shown = std::collections::BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let name = |c: char| !c.is_ascii_alphanumeric() && c != '_';
            let words = target["expr"].as_str().unwrap().split(name);
            let words =
                words.filter(|word| word.starts_with("ditto_") || word.starts_with("process_"));
            shown.extend(words.map(str::to_owned));
        }
    }
    let metrics = Metrics::new(StandingClock::new());
    metrics.subscription("a", "b").replication_delay.observe(Duration::ZERO);
    metrics.io("a", "b", "c").observe(Duration::ZERO);
    metrics.logs("0 Seq", Arc::default());
    let rendered = metrics.text();
    for name in &shown {
        let exists = rendered.lines().any(|line| {
            line.starts_with(&format!("{name}{{")) || line.starts_with(&format!("{name} "))
        });
        assert!(exists, "the dashboard shows `{name}`, which does not exist");
    }
    for family in FAMILIES {
        let is_shown = shown.iter().any(|name| name.starts_with(family.name));
        assert!(is_shown, "`{}` is not on the dashboard", family.name);
    }
    let page = include_str!("../../../docs/replicator/operations.md");
    for family in FAMILIES {
        assert!(
            page.contains(&format!("| `{}` |", family.name)),
            "`{}` is not in operations.md",
            family.name
        );
    }
}
