//! Appends that do not wait for each other.

use antiphon_eventstore::{AppendOutcome, ErrorKind, ExpectedRevision, NewEvent};
use antiphon_eventstore_testserver::ServerSettings;
use futures::future::join_all;

use crate::support::{
    append, client, events, fails, read, server, server_with, soon, told, written,
};

#[tokio::test]
async fn appends_to_one_stream_are_done_in_the_order_in_which_they_were_given() {
    let server = server().await;
    let client = client(&server);
    let appender = client.appender(16).await.unwrap();
    let appends = (0..300).map(|number| {
        let expected = match number {
            0 => ExpectedRevision::NoStream,
            _ => ExpectedRevision::Exact(number - 1),
        };
        let event = NewEvent::json("counted", number.to_string());
        appender.append("a", expected, vec![event])
    });
    for (number, outcome) in soon(join_all(appends)).await.into_iter().enumerate() {
        assert!(written(number as u64, outcome.unwrap()).is_some(), "{number}");
    }
    for (number, event) in read(&client, "a", false).await.into_iter().enumerate() {
        assert_eq!(event.event.unwrap().data, number.to_string());
    }
}

#[tokio::test]
async fn a_refused_append_does_not_harm_the_others() {
    let limits = ServerSettings { append_bytes_max: 100, ..ServerSettings::default() };
    let server = server_with(limits).await;
    let client = client(&server);
    append(&client, "dead", 1).await;
    client.tombstone_stream("dead", ExpectedRevision::Any).await.unwrap();
    server.faults().deny("denied");

    let appender = client.appender(4).await.unwrap();
    let any = ExpectedRevision::Any;
    let wrong = appender.append("a", ExpectedRevision::Exact(3), events(1)).await.unwrap();
    assert_eq!(wrong, AppendOutcome::WrongExpectedRevision { current: None });
    let large = vec![NewEvent::binary("large", vec![0; 101])];
    let why =
        "the events are larger than the server's limit of 100 bytes (its setting `MaxAppendSize`)";
    let refused = appender.append("a", any, large).await;
    fails(refused, ErrorKind::Rejected, &format!("append to stream `a`: {why}"));
    let why = "the stream was deleted for ever (tombstone)";
    let refused = appender.append("dead", any, events(1)).await;
    fails(refused, ErrorKind::StreamDeleted, &format!("append to stream `dead`: {why}"));
    let why = "the user may not do this: check its rights";
    let refused = appender.append("denied", any, events(1)).await;
    fails(refused, ErrorKind::AccessDenied, &format!("append to stream `denied`: {why}"));
    assert!(written(0, appender.append("a", any, events(1)).await.unwrap()).is_some());
}

#[tokio::test]
async fn a_broken_connection_leaves_unknown_outcomes_and_a_new_appender_goes_on() {
    let server = server().await;
    let client = client(&server);
    let appender = client.appender(4).await.unwrap();
    server.faults().lose_replies(1);
    let batch = events(1);
    let lost = soon(appender.append("a", ExpectedRevision::NoStream, batch.clone())).await;
    let (kind, message) = told(lost);
    assert_eq!(kind, ErrorKind::Timeout);
    assert!(message.starts_with("append to stream `a`: the outcome is unknown: "), "{message}");
    let ended = soon(appender.append("a", ExpectedRevision::NoStream, batch.clone())).await;
    let expected = "append to stream `a`: the appender has failed, open a new one";
    fails(ended, ErrorKind::Unavailable, expected);

    let appender = client.appender(4).await.unwrap();
    let again = appender.append("a", ExpectedRevision::NoStream, batch).await.unwrap();
    let newest = client.newest("a").await.unwrap().unwrap().event.unwrap();
    let position = Some(newest.position);
    assert_eq!(again, AppendOutcome::Written { next_revision: 0, position });
}

#[tokio::test]
async fn an_appender_without_a_place_is_refused() {
    let server = server().await;
    let expected = "open an appender: `in_flight_max`: expected at least 1, actual 0";
    fails(client(&server).appender(0).await, ErrorKind::Rejected, expected);
}
