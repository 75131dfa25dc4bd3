//! Tests of whole events with whole settings.

use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::config::{Action, Field, FilterRule, Matching, RenameRule};

fn event(stream: &str, event_type: &str, data: &'static str, metadata: &'static str) -> Event {
    Event {
        event_type: event_type.into(),
        metadata: metadata.into(),
        created: UNIX_EPOCH + Duration::new(1_500_000_000, 123_456_700),
        ..Event::example(stream, 3, data)
    }
}

fn tombstone(stream: &str) -> Event {
    let revision = i64::MAX.unsigned_abs();
    Event { revision, ..event(stream, "$streamDeleted", "", "") }
}

fn shaping(change: impl FnOnce(&mut Settings)) -> Shaping {
    let mut settings = Settings::default();
    change(&mut settings);
    Shaping::new(&settings).unwrap()
}

#[test]
fn by_default_an_event_is_passed_on_as_it_is_and_system_events_are_not() {
    let shaping = shaping(|_| {});
    let plain = event("customer-1", "Created", "{}", "{ \"a\" : 1 }");
    assert_eq!(shaping.excludes(&plain), None);
    assert_eq!(shaping.shape(&plain), Shaped::Event(plain.clone()));

    for (stream, event_type) in [("$settings", "x"), ("$$a", "$metadata"), ("$ce-a", "$>")] {
        assert!(
            shaping.excludes(&event(stream, event_type, "{}", "")).is_some(),
            "{stream} {event_type}"
        );
    }
    assert!(shaping.excludes(&tombstone("a")).is_some());
    // without them, the later events of the stream would have other numbers
    for event_type in ["$>", "$mine", "$metadata", "$streamDeleted"] {
        assert_eq!(shaping.excludes(&event("a", event_type, "{}", "")), None, "{event_type}");
    }
}

#[test]
fn system_events_pass_when_they_are_asked_for_and_stream_metadata_still_does_not() {
    let shaping = shaping(|settings| settings.system_events = true);
    assert_eq!(shaping.excludes(&event("$settings", "x", "{}", "")), None);
    assert!(shaping.excludes(&event("$$a", "$metadata", "{}", "")).is_some());
}

#[test]
fn stream_metadata_is_copied_on_request_and_a_delete_needs_its_own() {
    let acl = event("$$customer-1", "$metadata", r#"{"$maxAge":5}"#, "");
    let soft = event("$$customer-1", "$metadata", r#"{"$tb":9223372036854775807}"#, "");
    let hard = tombstone("customer-1");
    let other = event("$$$ce-customer", "$metadata", "{}", "");

    let metadata = shaping(|settings| settings.copy_stream_metadata = true);
    let excluded = [&acl, &soft, &hard, &other].map(|event| metadata.excludes(event).is_some());
    assert_eq!(excluded, [false, true, true, true]);

    let deletes = shaping(|settings| settings.copy_deletes = true);
    let excluded = [&acl, &soft, &hard, &other].map(|event| deletes.excludes(event).is_some());
    assert_eq!(excluded, [true, false, false, true]);
}

#[test]
fn the_metadata_of_a_stream_goes_by_the_filters_and_the_new_name_of_the_stream() {
    let shaping = shaping(|settings| {
        settings.copy_stream_metadata = true;
        settings.filters = vec![
            FilterRule {
                action: Action::Include,
                field: Field::Stream,
                matching: Matching::Prefix,
                value: "customer-".into(),
            },
            FilterRule {
                action: Action::Include,
                field: Field::Type,
                matching: Matching::Exact,
                value: "Created".into(),
            },
        ];
        settings.renames = vec![RenameRule {
            field: Field::Stream,
            matching: Matching::Prefix,
            from: "customer-".into(),
            to: "client-".into(),
        }];
    });
    let acl = event("$$customer-1", "$metadata", "{}", "");
    assert_eq!(shaping.excludes(&acl), None);
    let Shaped::Event(shaped) = shaping.shape(&acl) else { panic!("refused") };
    assert_eq!((&*shaped.stream, &*shaped.event_type), ("$$client-1", "$metadata"));
    assert!(shaping.excludes(&event("$$order-1", "$metadata", "{}", "")).is_some());
}

#[test]
fn provenance_adds_to_what_is_there_and_keeps_what_an_earlier_hop_said() {
    let shaping = shaping(|settings| settings.provenance = true);
    let Shaped::Event(shaped) =
        shaping.shape(&event("a-1", "Created", "{}", r#"{"x":1,"$originalEventNumber":9}"#))
    else {
        panic!("refused")
    };
    assert_eq!(
        shaped.metadata,
        r#"{"x":1,"$originalEventNumber":9,"$originalStream":"a-1","$originalEventType":"Created","$originalCreatedDate":"2017-07-14T02:40:00.1234567Z"}"#
    );

    let binary = event("a-1", "Created", "{}", "\u{1}");
    assert_eq!(shaping.shape(&binary), Shaped::Event(binary.clone()));
}

#[test]
fn two_links_send_no_event_round_and_three_places_get_each_once() {
    let link = |source: &str, destination: &str| {
        shaping(|settings| {
            settings.loops = LoopSettings {
                enabled: true,
                source_name: source.into(),
                destination_name: destination.into(),
            };
        })
    };
    let through = |shaping: &Shaping, event: &Event| match shaping.shape(event) {
        Shaped::Event(event) => event,
        Shaped::Refused(reason) => panic!("{reason}"),
    };
    let written_in_berlin = event("a", "Created", "{}", "");

    let in_paris = through(&link("berlin", "paris"), &written_in_berlin);
    assert_eq!(in_paris.metadata, r#"{"$origin":["berlin"]}"#);
    assert_eq!(
        link("paris", "berlin").excludes(&in_paris).as_deref(),
        Some("it was at `berlin` before")
    );

    let in_rome = through(&link("paris", "rome"), &in_paris);
    assert_eq!(in_rome.metadata, r#"{"$origin":["berlin","paris"]}"#);
    for (place, excluded) in [("berlin", true), ("paris", true), ("oslo", false)] {
        assert_eq!(link("rome", place).excludes(&in_rome).is_some(), excluded, "{place}");
    }
}

#[test]
fn an_event_that_cannot_carry_its_origin_is_refused_and_not_sent_round() {
    let shaping = shaping(|settings| {
        settings.loops = LoopSettings {
            enabled: true,
            source_name: "berlin".into(),
            destination_name: "paris".into(),
        };
    });
    let Shaped::Refused(reason) = shaping.shape(&event("a", "Created", "{}", "[1]")) else {
        panic!("passed on")
    };
    assert!(reason.contains("`$origin`"), "{reason}");
}

#[test]
fn a_place_that_another_tool_wrote_as_one_name_counts() {
    assert_eq!(came_from(br#"{"$origin":"berlin"}"#, "berlin"), Ok(true));
    assert_eq!(came_from(br#"{"$origin":5}"#, "berlin"), Ok(false));
    assert_eq!(came_from(b"", "berlin"), Ok(false));
}
