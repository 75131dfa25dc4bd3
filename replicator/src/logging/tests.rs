//! Tests of the lines as they leave the process.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::Value;

use super::*;
use crate::config::{LogFormat, SinkKind};
use crate::event::{Envelope, Event, Link};
use crate::pipeline::Note;

#[derive(Clone, Default)]
pub(super) struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    pub(super) fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().clone();
        String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn written(settings: &SerilogSettings, log: impl FnOnce()) -> Vec<String> {
    let captured = Captured::default();
    let writer = captured.clone();
    let (subscriber, _) = subscriber(settings, move || writer.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, log);
    captured.lines()
}

fn envelope() -> Box<Envelope> {
    let event_type = "CustomerCreated".into();
    let event = Event { event_type, ..Event::example("customer-1", 2, "{}") };
    let link = Some(Link { stream: "$ce-customer".into(), revision: 40 });
    Box::new(Envelope { link, ..Envelope::of(event) })
}

fn completed() -> Note {
    let elapsed = Duration::from_micros(12_340);
    Note::Completed { envelope: envelope(), elapsed, duplicate: false }
}

fn lines(sink: SinkKind) -> Lines {
    Lines::new("$ce-customer", "ditto", sink)
}

#[test]
fn the_line_of_an_event_is_that_of_ditto() {
    let plain = written(&SerilogSettings::default(), || {
        lines(SinkKind::EventStore).note(&completed());
        lines(SinkKind::Kinesis).note(&completed());
        lines(SinkKind::EventStore).starting();
        lines(SinkKind::EventStore).note(&Note::Unresolved(envelope()));
        lines(SinkKind::EventStore).note(&Note::SourceUp);
        lines(SinkKind::Kinesis).note(&Note::SinkDown("no route".into()));
    });
    let text: Vec<&str> = plain.iter().map(|line| &line[10..]).collect();
    assert_eq!(
        text,
        [
            "DBG] Replicating CustomerCreated #2 from customer-1 (Original Event: #40) completed in 12.3 ms",
            "DBG] Replicating CustomerCreated #2 from customer-1 (Original Event: #40) to Kinesis completed in 12.3 ms",
            "INF] Starting ReplicatingConsumer subscribed to $ce-customer in group ditto",
            "WRN] Event #40 from $ce-customer is not resolved. Skipping",
            "INF] Connected to Event Store Ditto:Source for $ce-customer",
            "WRN] Connection to Kinesis for $ce-customer is lost. Attempting to connect again: no route",
        ]
    );
    assert!(plain[0].starts_with('[') && plain[0].as_bytes()[3] == b':', "{}", plain[0]);
}

#[test]
fn a_failed_event_says_why_at_error_level() {
    let reason = "WrongExpectedVersion".to_owned();
    let plain = written(&SerilogSettings::default(), || {
        let note = Note::Retrying {
            envelope: envelope(),
            attempt: 3,
            delay: Duration::from_secs(1),
            reason,
        };
        lines(SinkKind::EventStore).note(&note);
    });
    assert_eq!(
        &plain[0][10..],
        "ERR] Replicating CustomerCreated #2 from customer-1 (Original Event: #40) abandoned, try 3, again in 1s: WrongExpectedVersion"
    );
}

#[test]
fn both_json_formats_carry_the_values_and_the_fixed_properties() {
    let mut settings = SerilogSettings {
        format: LogFormat::CompactJson,
        properties: vec![("ApplicationName".to_owned(), "Ditto".to_owned())],
        ..SerilogSettings::default()
    };
    let line = written(&settings, || lines(SinkKind::EventStore).note(&completed()));
    let compact: Value = serde_json::from_str(&line[0]).unwrap();
    assert_eq!(compact["@l"], "Debug");
    assert!(compact["@m"].as_str().unwrap().starts_with("Replicating CustomerCreated #2"));
    assert_eq!(
        (&compact["EventNumber"], &compact["ApplicationName"]),
        (&2.into(), &"Ditto".into())
    );
    let template = "Replicating {EventType} #{EventNumber} from {StreamName} (Original Event: #{OriginalEventNumber}) {Outcome} in {Elapsed:0.0} ms";
    assert_eq!(compact["@mt"], template);
    assert!(compact["@t"].as_str().unwrap().ends_with('Z'));

    settings.format = LogFormat::Json;
    let line = written(&settings, || tracing::info!(answer = 42, "hello"));
    let json: Value = serde_json::from_str(&line[0]).unwrap();
    assert_eq!(json["Level"], "Information");
    assert_eq!(
        (&json["MessageTemplate"], &json["RenderedMessage"]),
        (&"hello".into(), &"hello".into())
    );
    assert_eq!(json["Properties"]["answer"], 42);
}

#[test]
fn the_level_decides_and_libraries_are_quiet_unless_they_are_named() {
    let log = || {
        tracing::debug!(target: TARGET, "own");
        tracing::debug!(target: "h2::client", "library");
        tracing::info!(target: "tonic", "library");
    };
    let count = |settings: &SerilogSettings| written(settings, log).len();
    assert_eq!(count(&SerilogSettings::default()), 2);
    assert_eq!(count(&SerilogSettings { level: Level::Information, ..Default::default() }), 1);
    assert_eq!(count(&SerilogSettings { console_level: Level::Warning, ..Default::default() }), 0);
    let named = vec![("h2".to_owned(), Level::Debug)];
    assert_eq!(count(&SerilogSettings { overrides: named, ..Default::default() }), 3);
    let ditto = vec![("Ditto.Core".to_owned(), Level::Warning)];
    assert_eq!(count(&SerilogSettings { overrides: ditto, ..Default::default() }), 1);
    let lower = SerilogSettings {
        level: Level::Error,
        overrides: vec![("tonic".to_owned(), Level::Information)],
        ..Default::default()
    };
    assert_eq!(count(&lower), 1);
}

#[test]
fn the_name_of_the_machine_and_the_id_of_the_process_are_properties_on_demand() {
    let settings = SerilogSettings {
        format: LogFormat::CompactJson,
        with_machine_name: true,
        with_process_id: true,
        ..SerilogSettings::default()
    };
    let line = written(&settings, || tracing::info!("braces {{x}}"));
    let line: Value = serde_json::from_str(&line[0]).unwrap();
    assert_eq!(line["MachineName"].as_str(), machine::name().as_deref());
    assert!(line["MachineName"].is_string(), "{line}");
    assert_eq!(line["ProcessId"], std::process::id().to_string());
    assert_eq!((&line["@m"], &line["@mt"]), (&"braces {x}".into(), &"braces {{x}}".into()));
}

#[test]
fn a_name_with_a_line_break_makes_no_second_line() {
    let mut envelope = envelope();
    envelope.event.event_type = "Created\n[00:00:00 ERR] forged".into();
    let note = Note::Completed { envelope, elapsed: Duration::ZERO, duplicate: false };
    let plain = written(&SerilogSettings::default(), || lines(SinkKind::EventStore).note(&note));
    assert_eq!(plain.len(), 1, "{plain:?}");
}
