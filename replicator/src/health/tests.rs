//! Tests of the readiness of a subscription, and of the HTTP interface.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use super::*;
use crate::config::{HealthSettings, MetricsSettings, SinkKind, SubscriptionKind};
use crate::event::{Envelope, Event, Link};
use crate::metrics::Metrics;
use crate::metrics::tests::StandingClock;
use crate::park::{Parked, ParkedOldest};
use crate::pipeline::Note;
use crate::source::{Delivery, Position};

const STALL: Duration = Duration::from_secs(60);

struct Fixture {
    clock: Arc<StandingClock>,
    metrics: Arc<Metrics>,
    board: Arc<Board>,
    monitor: Arc<Monitor>,
}

fn fixture(kind: SubscriptionKind) -> Fixture {
    let clock = StandingClock::new();
    let metrics = Arc::new(Metrics::new(clock.clone()));
    let board = Board::new(&metrics);
    let subscription = Subscription {
        name: "$ce-customer::ditto".into(),
        stream: "$ce-customer".into(),
        group: "ditto".into(),
        kind,
    };
    let monitor = Arc::new(Monitor::new(subscription, SinkKind::EventStore, &metrics, STALL));
    board.add(monitor.clone());
    Fixture { clock, metrics, board, monitor }
}

fn envelope(link: u64) -> Box<Envelope> {
    let created = UNIX_EPOCH + Duration::from_secs(1_699_999_999);
    let event = Event { created, ..Event::example("customer-1", link, "") };
    let link = Some(Link { stream: "$ce-customer".into(), revision: link });
    Box::new(Envelope { link, ..Envelope::of(event) })
}

fn completed(link: u64) -> Note {
    Note::Completed {
        envelope: envelope(link),
        elapsed: Duration::from_millis(2),
        duplicate: false,
    }
}

#[test]
fn a_subscription_is_ready_while_both_sides_are_connected() {
    let f = fixture(SubscriptionKind::Group);
    let reasons = |f: &Fixture| f.board.ready().err().unwrap_or_default();
    assert_eq!(reasons(&f), ["subscription `$ce-customer::ditto`: source down: not connected yet"]);

    f.monitor.note(&Note::SourceUp);
    assert_eq!(reasons(&f), Vec::<String>::new());

    f.monitor.note(&Note::SinkDown("connection refused".into()));
    assert_eq!(
        reasons(&f),
        ["subscription `$ce-customer::ditto`: destination down: connection refused"]
    );
    f.monitor.note(&Note::SinkUp);
    f.monitor.note(&Note::SourceDown { reason: "reset".into(), delay: Duration::ZERO });
    assert_eq!(reasons(&f), ["subscription `$ce-customer::ditto`: source down: reset"]);
    assert!(f.board.live().is_ok());

    f.monitor.ended(Some("no such group"));
    assert_eq!(reasons(&f), ["subscription `$ce-customer::ditto`: ended: no such group"]);
    assert!(f.board.live().is_err());
}

#[test]
fn held_events_that_do_not_move_are_a_stall_and_a_retry_is_no_move() {
    let f = fixture(SubscriptionKind::Group);
    f.monitor.note(&Note::SourceUp);
    // being idle for long is no stall
    f.clock.advance(STALL * 10);
    assert!(f.board.ready().is_ok());

    f.monitor.delivered(&Delivery::Event(envelope(5)));
    f.clock.advance(STALL - Duration::from_secs(1));
    f.monitor.note(&Note::Retrying {
        envelope: envelope(5),
        attempt: 3,
        delay: Duration::ZERO,
        reason: "busy".into(),
    });
    assert!(f.board.ready().is_ok());

    f.clock.advance(Duration::from_secs(1));
    let reasons = f.board.ready().unwrap_err();
    assert_eq!(
        reasons,
        [
            "subscription `$ce-customer::ditto`: no progress for 60 s (`Health:StallTime` is 60 s) with 1 events held"
        ]
    );

    f.monitor.note(&completed(5));
    f.monitor.released(1);
    assert!(f.board.ready().is_ok());
}

#[test]
fn a_source_that_has_newer_events_and_delivers_none_is_a_stall() {
    let f = fixture(SubscriptionKind::Category);
    f.monitor.starting(Some(&Position::Stream(7)));
    f.monitor.note(&Note::SourceUp);
    f.monitor.head(&Position::Stream(9));
    f.clock.advance(STALL);
    let reasons = f.board.ready().unwrap_err();
    assert!(reasons[0].contains("0 events held, gap 2"), "{reasons:?}");

    for link in [8, 9] {
        f.monitor.delivered(&Delivery::Event(envelope(link)));
        f.monitor.note(&completed(link));
        f.monitor.released(1);
    }
    f.clock.advance(STALL * 2);
    assert!(f.board.ready().is_ok(), "{:?}", f.board.ready());
}

#[test]
fn in_a_group_the_newest_event_says_nothing_because_another_consumer_may_have_it() {
    let f = fixture(SubscriptionKind::Group);
    f.monitor.note(&Note::SourceUp);
    f.monitor.head(&Position::Stream(9));
    f.clock.advance(STALL * 2);
    assert!(f.board.ready().is_ok());
}

#[test]
fn in_all_the_newest_event_counts_until_the_subscription_is_live() {
    let f = fixture(SubscriptionKind::All);
    let bytes = |f: &Fixture, bytes: u64| {
        let series = format!(
            "ditto_gap_bytes{{app=\"ditto\",group=\"ditto\",stream=\"$ce-customer\"}} {bytes}\n"
        );
        f.metrics.text().contains(&series)
    };
    f.monitor.starting(Some(&Position::All { commit: 100, prepare: 100 }));
    f.monitor.note(&Note::SourceUp);
    f.monitor.head(&Position::All { commit: 900, prepare: 900 });
    f.clock.advance(STALL);
    assert!(f.board.ready().is_err());
    assert!(bytes(&f, 800));

    f.monitor.note(&Note::CaughtUp);
    f.clock.advance(STALL * 2);
    assert!(f.board.ready().is_ok());
    assert!(bytes(&f, 0));

    f.monitor.delivered(&Delivery::Event(envelope(5)));
    assert!(bytes(&f, 800));
}

#[test]
fn events_that_wait_or_are_parked_are_shown_with_their_number_and_the_oldest() {
    let f = fixture(SubscriptionKind::Stream);
    f.monitor.note(&Note::SourceUp);
    let retrying = |number: u64, attempt| {
        let envelope = envelope(number);
        Note::Retrying { envelope, attempt, delay: Duration::ZERO, reason: "busy".into() }
    };
    f.monitor.delivered(&Delivery::Event(envelope(5)));
    f.clock.advance(Duration::from_secs(1));
    f.monitor.delivered(&Delivery::Event(envelope(6)));
    f.monitor.note(&retrying(5, 1));
    f.clock.advance(Duration::from_secs(7));
    f.monitor.note(&retrying(5, 2));
    f.clock.advance(Duration::from_secs(3));
    let wall = f.metrics.clock().wall().as_micros();
    let oldest = ParkedOldest {
        stream: "customer-9".into(),
        revision: 4,
        parked_at: wall - 60_000_000,
        reason: Some("too large".into()),
    };
    f.monitor.parked(Parked { count: 2, oldest: Some(oldest) });

    assert!(f.board.ready().is_ok());
    let name = "subscription `$ce-customer::ditto`";
    assert_eq!(
        f.board.attention(),
        [
            format!(
                "{name}: 1 failing events are tried again, the oldest is #5 of `customer-1` since 10 s, 2 tries: busy"
            ),
            format!(
                "{name}: 2 events are parked, the oldest is #4 of `customer-9` since 60 s: too large"
            ),
        ]
    );
    let health = f.board.health();
    let one = &health["subscriptions"][0];
    assert_eq!((&health["ready"], &one["status"]), (&true.into(), &"up".into()));
    assert_eq!((&one["waiting"]["events"], &one["failing"]["events"]), (&2.into(), &1.into()));
    assert_eq!(
        (&one["waiting"]["oldest"]["number"], &one["waiting"]["oldest"]["seconds"]),
        (&5.into(), &11.into())
    );
    assert_eq!(one["failing"]["oldest"]["seconds"], 10);
    assert_eq!(
        (&one["parked"]["events"], &one["parked"]["oldest"]["number"]),
        (&2.into(), &4.into())
    );
    let text = f.metrics.text();
    let labels = r#"{app="ditto",group="ditto",stream="$ce-customer"}"#;
    for (name, value) in [
        ("ditto_waiting_events", 1),
        ("ditto_waiting_oldest_age_seconds", 10),
        ("ditto_parked_events", 2),
        ("ditto_parked_oldest_age_seconds", 60),
    ] {
        assert!(text.contains(&format!("{name}{labels} {value}\n")), "{name} {value}\n{text}");
    }

    f.monitor.note(&completed(5));
    f.monitor.released(1);
    assert_eq!(f.board.health()["subscriptions"][0]["waiting"]["oldest"]["number"], 6);
    f.monitor.note(&completed(6));
    f.monitor.released(1);
    f.monitor.parked(Parked::default());
    assert_eq!(f.board.attention(), Vec::<String>::new());
    assert!(f.metrics.text().contains(&format!("ditto_waiting_oldest_age_seconds{labels} -1\n")));
}

#[test]
fn what_happens_shows_in_the_metrics_and_in_the_status() {
    let f = fixture(SubscriptionKind::Category);
    f.monitor.note(&Note::SourceUp);
    f.monitor.delivered(&Delivery::Event(envelope(3)));
    f.monitor.note(&completed(3));
    f.monitor.released(1);
    f.monitor.delivered(&Delivery::Unresolved(envelope(4)));
    f.monitor.note(&Note::Unresolved(envelope(4)));
    f.monitor.released(1);
    f.monitor.note(&Note::Checkpoint(Position::Stream(4)));
    f.monitor.note(&Note::Parked { envelope: envelope(5), reason: "too large".into() });
    f.monitor.head(&Position::Stream(10));
    f.clock.advance(Duration::from_secs(7));

    let text = f.metrics.text();
    let labels = r#"{app="ditto",group="ditto",stream="$ce-customer"}"#;
    for (name, value) in [
        ("ditto_events_received_total", 2),
        ("ditto_events_processed_total", 1),
        ("ditto_events_unresolved_total", 1),
        ("ditto_events_failed_total", 1),
        ("ditto_parked_total", 1),
        ("ditto_current_event", 4),
        ("ditto_source_head", 10),
        ("ditto_gap_events", 5),
        ("ditto_checkpoint", 4),
        ("ditto_checkpoint_age_seconds", 7),
        ("ditto_progress_age_seconds", 7),
        ("ditto_subscription_up", 1),
        ("ditto_events_held", 0),
    ] {
        assert!(text.contains(&format!("{name}{labels} {value}\n")), "{name} {value}\n{text}");
    }
    let status = f.board.json();
    let one = &status["subscriptions"][0];
    assert_eq!(
        (&one["position"], &one["head"], &one["gap"]),
        (&"5".into(), &"10".into(), &5.into())
    );
    assert_eq!((&one["status"], &one["lastFailure"]), (&"up".into(), &"too large".into()));
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    crate::http::get(&address.to_string(), path).await.unwrap()
}

#[tokio::test]
async fn the_interface_serves_metrics_on_the_path_of_ditto_and_health_beside_them() {
    let f = fixture(SubscriptionKind::Group);
    let settings = MetricsSettings {
        enabled: true,
        host: "localhost".into(),
        port: 0,
        ..MetricsSettings::default()
    };
    let health = HealthSettings { enabled: true, ..HealthSettings::default() };
    let server = HealthServer::start(&settings, &health, f.metrics.clone(), f.board.clone());
    let server = server.await.unwrap().unwrap();
    let address = server.local_address();

    for path in ["/metrics", "/metrics/"] {
        let (status, body) = get(address, path).await;
        assert_eq!(status, 200);
        assert!(body.contains("# TYPE ditto_events_received_total counter"), "{body}");
    }
    assert_eq!(get(address, "/health/live").await.0, 200);
    let (status, body) = get(address, "/health/ready").await;
    assert_eq!(status, 503);
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        body["reasons"][0],
        "subscription `$ce-customer::ditto`: source down: not connected yet"
    );

    f.monitor.note(&Note::SourceUp);
    assert_eq!(get(address, "/health/ready").await.0, 200);
    let (code, all) = get(address, "/health").await;
    assert!(code == 200 && all.contains("\"waiting\""), "{all}");
    let status: Value = serde_json::from_str(&get(address, "/status").await.1).unwrap();
    assert_eq!(status["ready"], true);
    let (code, body) = get(address, "/nothing").await;
    assert!(code == 404 && body.contains("/health/ready"), "{body}");

    let taken = MetricsSettings { port: address.port(), ..settings };
    let error = HealthServer::start(&taken, &health, f.metrics.clone(), f.board.clone()).await;
    let message = error.err().unwrap().to_string();
    assert!(
        message.starts_with(&format!("`Metrics:Port`: cannot listen on {address}")),
        "{message}"
    );
    server.stop().await;
}

#[tokio::test]
async fn nothing_is_served_when_nothing_is_enabled() {
    let f = fixture(SubscriptionKind::Group);
    let (settings, health) = (MetricsSettings::default(), HealthSettings::default());
    let server = HealthServer::start(&settings, &health, f.metrics.clone(), f.board.clone());
    assert!(server.await.unwrap().is_none());
}
