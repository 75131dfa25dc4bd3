//! Failures of requests: the kind, which tells how to react, and the exact message.

use std::time::Duration;

use antiphon_eventstore::{
    ClientSettings, Credentials, Direction, ErrorKind, ExpectedRevision, NewEvent, ReadFrom,
};
use antiphon_eventstore_testserver::ServerSettings;

use crate::support::{
    append, client, connect, connect_with, events, fails, server, server_with, settings, soon,
    told, written,
};

#[tokio::test]
async fn a_lost_reply_is_an_unknown_outcome_and_the_repetition_writes_once() {
    let server = server().await;
    let client = client(&server);
    let batch = events(2);
    server.faults().lose_replies(1);
    let lost = client.append("a", ExpectedRevision::NoStream, batch.clone()).await;
    let why = "the connection broke before the answer came, the outcome is unknown";
    fails(lost, ErrorKind::Timeout, &format!("append to stream `a`: {why}"));

    let again = client.append("a", ExpectedRevision::NoStream, batch).await.unwrap();
    assert!(written(1, again).is_some());
    assert_eq!(server.log_length(), 2);
}

#[tokio::test]
async fn a_lost_request_is_an_unknown_outcome_too_and_the_repetition_writes() {
    let server = server().await;
    let client = client(&server);
    server.faults().lose_requests(1);
    let lost = client.append("a", ExpectedRevision::NoStream, events(1)).await;
    assert_eq!(told(lost).0, ErrorKind::Timeout);
    assert_eq!(server.log_length(), 0);
    let again = client.append("a", ExpectedRevision::NoStream, events(1)).await.unwrap();
    assert!(written(0, again).is_some());
}

#[tokio::test]
async fn a_server_that_is_not_ready_is_unavailable_and_nothing_was_written() {
    let server = server().await;
    let client = client(&server);
    server.faults().unavailable(1);
    let refused = client.append("a", ExpectedRevision::Any, events(1)).await;
    let why = "the server answered Unavailable: Server Is Not Ready";
    fails(refused, ErrorKind::Unavailable, &format!("append to stream `a`: {why}"));
    append(&client, "a", 1).await;
    assert_eq!(server.log_length(), 1);
}

#[tokio::test]
async fn a_server_that_hangs_is_noticed_within_the_request_timeout() {
    let server = server().await;
    let limits = ClientSettings { request_timeout: Duration::from_millis(300), ..settings() };
    let client = connect_with(&server.connection_string(), limits);
    append(&client, "a", 1).await;

    server.faults().hold_requests(true);
    let late = soon(client.append("a", ExpectedRevision::Any, events(1))).await;
    let why = "no answer within 300ms (setting `request_timeout`), the outcome is unknown";
    fails(late, ErrorKind::Timeout, &format!("append to stream `a`: {why}"));
    let late = soon(client.subscribe_stream("a", None, false)).await.map(|_| ());
    let why = "no answer, or the connection broke";
    let name = "subscription to stream `a`";
    fails(late, ErrorKind::Unavailable, &format!("{name}: {why}"));
    server.faults().hold_requests(false);
    append(&client, "a", 1).await;
}

#[tokio::test]
async fn wrong_credentials_are_told_as_such() {
    let credentials = Credentials { user: "admin".into(), password: "changeit".into() };
    let credentials = Some(credentials);
    let server = server_with(ServerSettings { credentials, ..ServerSettings::default() }).await;
    append(&client(&server), "a", 1).await;

    let address = server.address();
    let why = "the server does not accept the user and password of the connection string";
    for text in
        [format!("esdb://admin:wrong@{address}?tls=false"), format!("esdb://{address}?tls=false")]
    {
        let stranger = connect(&text);
        let refused = stranger.append("a", ExpectedRevision::Any, events(1)).await;
        fails(refused, ErrorKind::AccessDenied, &format!("append to stream `a`: {why}"));
        let refused = stranger.subscribe_group("a", "g", 1).await.map(|_| ());
        let name = "subscription to group `g` of stream `a`";
        fails(refused, ErrorKind::AccessDenied, &format!("{name}: {why}"));
    }
}

#[tokio::test]
async fn a_stream_without_rights_is_told_as_such() {
    let server = server().await;
    let client = client(&server);
    server.faults().deny("a");
    let why = "the user may not do this: check its rights";
    let refused = client.append("a", ExpectedRevision::Any, events(1)).await;
    fails(refused, ErrorKind::AccessDenied, &format!("append to stream `a`: {why}"));
    let refused = client.subscribe_stream("a", None, false).await.map(|_| ());
    let expected = format!("subscription to stream `a`: {why}");
    fails(refused, ErrorKind::AccessDenied, &expected);
    server.faults().allow("a");
    append(&client, "a", 1).await;
}

#[tokio::test]
async fn an_event_over_the_limit_of_the_server_is_rejected_with_the_limit() {
    let limits = ServerSettings { append_bytes_max: 1000, ..ServerSettings::default() };
    let server = server_with(limits).await;
    let client = client(&server);
    let large = NewEvent::binary("large", vec![7; 1001]);
    let refused = client.append("a", ExpectedRevision::Any, vec![large]).await;
    let why =
        "the events are larger than the server's limit of 1000 bytes (its setting `MaxAppendSize`)";
    fails(refused, ErrorKind::Rejected, &format!("append to stream `a`: {why}"));
    // each letter of the type counts two bytes
    let fits = |bytes| NewEvent::binary("large", vec![7; bytes]).with_metadata(vec![7; 10]);
    client.append("a", ExpectedRevision::Any, vec![fits(980)]).await.unwrap();
    let refused = client.append("a", ExpectedRevision::Any, vec![fits(981)]).await;
    assert_eq!(told(refused).0, ErrorKind::Rejected);
}

#[tokio::test]
async fn an_event_over_the_limit_of_the_client_ends_its_read_as_rejected() {
    let server = server().await;
    let limits = ClientSettings { message_bytes_max: 500, ..settings() };
    let client = connect_with(&server.connection_string(), limits);
    let large = NewEvent::binary("large", vec![7; 600]);
    client.append("a", ExpectedRevision::Any, vec![large]).await.unwrap();
    let read =
        client.read_stream("a", Direction::Forwards, ReadFrom::Start, 1, false).await.unwrap();
    let (kind, message) = told(read.collect().await);
    assert_eq!(kind, ErrorKind::Rejected);
    let start = "read stream `a`: an event is larger than this client accepts (setting `message_bytes_max`): ";
    assert!(message.starts_with(start), "{message}");
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused_before_they_are_sent() {
    let client = connect("esdb://127.0.0.1:1?tls=false");
    let nameless = client.append("", ExpectedRevision::Any, events(1)).await;
    let expected = "append to stream ``: expected a stream's name, actual none";
    fails(nameless, ErrorKind::Rejected, expected);
    let nothing = client.append("a", ExpectedRevision::Any, Vec::new()).await;
    let expected = "append to stream `a`: expected at least one event, actual none";
    fails(nothing, ErrorKind::Rejected, expected);
    let typeless = NewEvent::json("", "{}");
    let expected =
        format!("append to stream `a`: event `{}`: expected a type, actual none", typeless.id);
    let refused = client.append("a", ExpectedRevision::Any, vec![typeless]).await;
    fails(refused, ErrorKind::Rejected, &expected);
    let expected = "subscription to group `g` of stream `a`: `buffer_size`: expected 1 to 2147483647, actual 0";
    fails(client.subscribe_group("a", "g", 0).await.map(|_| ()), ErrorKind::Rejected, expected);
}

#[tokio::test]
async fn a_host_that_nobody_listens_at_is_unavailable_and_nothing_was_sent() {
    let mut server = server().await;
    let address = server.address();
    server.stop().await;
    let client = client(&server);
    let refused = soon(client.append("a", ExpectedRevision::Any, events(1))).await;
    let why =
        format!("cannot connect to `{address}`: Connection refused (os error 111) (2 attempts)");
    fails(refused, ErrorKind::Unavailable, &format!("append to stream `a`: {why}"));
}

#[tokio::test]
async fn metadata_that_is_no_object_is_corrupt() {
    let server = server().await;
    let client = client(&server);
    server.append("$$a", vec![NewEvent::json("$metadata", "[1]")]).unwrap();
    let expected = "metadata of stream `a`: expected a JSON object";
    fails(client.stream_metadata("a").await.map(|_| ()), ErrorKind::Corrupt, expected);
}

#[tokio::test]
async fn a_slow_server_is_waited_for() {
    let server = server().await;
    let client = client(&server);
    server.faults().slow(Duration::from_millis(50));
    append(&client, "a", 1).await;
    client.ping().await.unwrap();
}
