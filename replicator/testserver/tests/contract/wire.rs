//! Answers on the wire, as other clients expect them: trailers, details of errors, notices, ids.

use antiphon_eventstore::wire::persistent_subscriptions as groups;
use antiphon_eventstore::wire::persistent_subscriptions::persistent_subscriptions_client::PersistentSubscriptionsClient;
use antiphon_eventstore::wire::streams::read_req::{Control, Options, options};
use antiphon_eventstore::wire::streams::read_resp::Content;
use antiphon_eventstore::wire::streams::streams_client::StreamsClient;
use antiphon_eventstore::wire::streams::{
    BatchAppendReq, DeleteReq, ReadReq, append_resp, batch_append_resp,
};
use antiphon_eventstore::wire::{
    self, Empty, ExpectedStream, StreamFrom, StreamName, Uuid, UuidForm, stream_from, uuid,
    uuid_form,
};
use antiphon_eventstore::{ErrorKind, ExpectedRevision, NewEvent};
use antiphon_eventstore_testserver::{ServerSettings, TestServer};
use prost::Message;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::support::{append, client, events, fails, server, server_with, soon};

async fn channel(server: &TestServer) -> Channel {
    let address = format!("http://{}", server.address());
    Endpoint::from_shared(address).unwrap().connect().await.unwrap()
}

async fn streams(server: &TestServer) -> StreamsClient<Channel> {
    StreamsClient::new(channel(server).await)
}

async fn persistent(server: &TestServer) -> PersistentSubscriptionsClient<Channel> {
    PersistentSubscriptionsClient::new(channel(server).await)
}

fn name(stream: &str) -> StreamName {
    StreamName { name: stream.to_owned().into() }
}

fn read_of(stream: &str, from: stream_from::From, compatibility: u32) -> Options {
    Options {
        what: Some(options::What::Stream(StreamFrom {
            stream: Some(name(stream)),
            from: Some(from),
        })),
        uuid: Some(UuidForm { form: Some(uuid_form::Form::Structured(Empty {})) }),
        filtering: Some(options::Filtering::NoFilter(Empty {})),
        amount: Some(options::Amount::Count(5)),
        control: Some(Control { compatibility }),
        ..Options::default()
    }
}

fn subscription_to(stream: &str, compatibility: u32) -> Options {
    let amount = Some(options::Amount::Subscription(Empty {}));
    Options { amount, ..read_of(stream, stream_from::From::Start(Empty {}), compatibility) }
}

/// The contents of the answers to a read, until `is_last`.
async fn contents(
    server: &TestServer,
    options: Options,
    is_last: impl Fn(&Content) -> bool,
) -> Vec<Content> {
    let request = ReadReq { options: Some(options) };
    let mut answers = streams(server).await.read(request).await.unwrap().into_inner();
    let mut contents = Vec::new();
    while let Some(answer) = soon(answers.message()).await.unwrap() {
        contents.push(answer.content.unwrap());
        if is_last(contents.last().unwrap()) {
            break;
        }
    }
    contents
}

/// The code, the message and the wanted trailers of a refusal.
fn refusal<const N: usize>(status: &Status, trailers: [&str; N]) -> (Code, String, [String; N]) {
    let trailer = |name| {
        let value = status.metadata().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or("missing").to_owned()
    };
    (status.code(), status.message().to_owned(), trailers.map(trailer))
}

#[tokio::test]
async fn ids_are_sent_as_text_when_asked() {
    let server = server().await;
    let event = NewEvent::json("t", "{}");
    server.append("a", vec![event.clone()]).unwrap();
    let uuid = Some(UuidForm { form: Some(uuid_form::Form::Text(Empty {})) });
    let options = Options { uuid, ..read_of("a", stream_from::From::Start(Empty {}), 0) };
    let first = contents(&server, options, |_| true).await.remove(0);
    let Content::Event(read) = first else { panic!("{first:?}") };
    let expected = Uuid { form: Some(uuid::Form::Text(event.id.to_string())) };
    assert_eq!(read.event.unwrap().id, Some(expected));
}

#[tokio::test]
async fn every_client_is_told_that_it_has_caught_up_and_where() {
    let server = server().await;
    append(&client(&server), "a", 2).await;
    for compatibility in [0, 1] {
        let is_last = |content: &Content| matches!(content, Content::CaughtUp(_));
        let told = contents(&server, subscription_to("a", compatibility), is_last).await;
        let Some(Content::CaughtUp(turn)) = told.last() else { panic!("{told:?}") };
        assert_eq!((told.len(), turn.revision), (4, Some(1)), "{told:?}");
        assert!(turn.timestamp.is_some_and(|time| time.seconds > 0));
        // of a stream that does not exist yet, there is nothing to tell but that
        let told = contents(&server, subscription_to("b", compatibility), is_last).await;
        let Some(Content::CaughtUp(turn)) = told.last() else { panic!("{told:?}") };
        assert_eq!((told.len(), turn.revision), (2, None), "{told:?}");
    }
    let what = wire::AllFrom { from: Some(wire::all_from::From::Start(Empty {})), filtering: None };
    let options = Options { what: Some(options::What::All(what)), ..subscription_to("", 0) };
    let is_last = |content: &Content| matches!(content, Content::CaughtUp(_));
    let told = contents(&server, options, is_last).await;
    let [.., Content::Event(last), Content::CaughtUp(turn)] = &*told else { panic!("{told:?}") };
    let last = last.event.as_ref().unwrap();
    let at = wire::Position { commit: last.commit_position, prepare: last.prepare_position };
    assert_eq!(turn.position, Some(at));
}

#[tokio::test]
async fn a_read_tells_the_ends_of_its_stream_to_a_client_that_knows_them() {
    let server = server().await;
    let client = client(&server);
    append(&client, "a", 9).await;
    let metadata = antiphon_eventstore::StreamMetadata::default().with_truncate_before(7);
    client.set_stream_metadata("a", ExpectedRevision::Any, &metadata.properties).await.unwrap();
    let from = || stream_from::From::Start(Empty {});
    let told = contents(&server, read_of("a", from(), 1), |_| false).await;
    // nothing is left of the first five, so it tells where the stream begins
    let [first, Content::Event(_), Content::Event(_), last] = &*told else { panic!("{told:?}") };
    let ends = (Content::FirstStreamPosition(7), Content::LastStreamPosition(8));
    assert_eq!((first, last), (&ends.0, &ends.1));
    // a start behind the end is answered with the number that the next event will have
    let far = read_of("a", stream_from::From::Revision(20), 1);
    let told = contents(&server, far, |_| false).await;
    assert_eq!(told, [Content::FirstStreamPosition(9), Content::LastStreamPosition(8)]);
    let told = contents(&server, read_of("a", from(), 0), |_| false).await;
    assert_eq!(told.len(), 2, "{told:?}");
}

#[tokio::test]
async fn a_subscriber_gets_the_tombstone_and_then_the_end() {
    let server = server().await;
    let client = client(&server);
    append(&client, "a", 1).await;
    let request = ReadReq { options: Some(subscription_to("a", 1)) };
    let mut answers = streams(&server).await.read(request).await.unwrap().into_inner();
    while !matches!(
        soon(answers.message()).await.unwrap().unwrap().content,
        Some(Content::CaughtUp(_))
    ) {}
    client.tombstone_stream("a", ExpectedRevision::Any).await.unwrap();
    let last = soon(answers.message()).await.unwrap().unwrap().content;
    let Some(Content::Event(tombstone)) = last else { panic!("{last:?}") };
    assert_eq!(tombstone.event.unwrap().revision, i64::MAX.cast_unsigned());
    let end = soon(answers.message()).await.unwrap_err();
    let told = refusal(&end, ["exception", "stream-name"]);
    let expected = ["stream-deleted".to_owned(), "a".to_owned()];
    assert_eq!(told, (Code::FailedPrecondition, "Event stream 'a' is deleted.".into(), expected));
}

#[tokio::test]
async fn a_refused_deletion_names_the_revisions() {
    let server = server().await;
    let delete = async |stream: &str, expected| {
        let options = Some(ExpectedStream::new(stream, expected));
        streams(&server).await.delete(DeleteReq { options }).await.unwrap_err()
    };
    append(&client(&server), "a", 2).await;
    let trailers = ["exception", "stream-name", "expected-version", "actual-version"];
    let missing = refusal(&delete("b", ExpectedRevision::Any).await, trailers);
    let message = "Delete failed due to WrongExpectedVersion. Stream: b, Expected version: -2, \
                   Actual version: -1";
    let expected = ["wrong-expected-version", "b", "-2", "-1"].map(str::to_owned);
    assert_eq!(missing, (Code::FailedPrecondition, message.to_owned(), expected));
    let other = refusal(&delete("a", ExpectedRevision::Exact(7)).await, trailers);
    assert_eq!(other.2, ["wrong-expected-version", "a", "7", "1"]);
}

/// The answer to one batch.
async fn batch(server: &TestServer, request: BatchAppendReq) -> batch_append_resp::Result {
    let requests = futures::stream::iter([request]);
    let answers = streams(server).await.batch_append(requests).await.unwrap();
    let answer = soon(answers.into_inner().message()).await.unwrap().unwrap();
    assert_eq!(answer.expected, None, "a real server does not repeat what was expected");
    answer.result.unwrap()
}

fn batch_of(stream: &str, expected: ExpectedRevision, events: Vec<NewEvent>) -> BatchAppendReq {
    BatchAppendReq {
        correlation_id: Some(::uuid::Uuid::new_v4().into()),
        options: Some(ExpectedStream::new(stream, expected)),
        events: events.into_iter().map(Into::into).collect(),
        is_final: true,
    }
}

async fn batch_error<M: Message + Default>(
    server: &TestServer,
    request: BatchAppendReq,
) -> (Code, String, String, M) {
    let answer = batch(server, request).await;
    let batch_append_resp::Result::Error(status) = answer else { panic!("{answer:?}") };
    let details = status.details.unwrap();
    let decoded = M::decode(details.value).unwrap();
    let known = details.type_url.strip_prefix("type.googleapis.com/event_store.client.");
    (Code::from(status.code), status.message, known.unwrap().to_owned(), decoded)
}

#[tokio::test]
async fn an_error_of_a_batch_has_the_details_of_its_kind() {
    let limits =
        ServerSettings { append_bytes_max: 100, event_bytes_max: 90, ..Default::default() };
    let server = server_with(limits).await;
    let client = client(&server);
    append(&client, "a", 2).await;
    append(&client, "dead", 1).await;
    client.tombstone_stream("dead", ExpectedRevision::Any).await.unwrap();
    server.faults().deny("denied");
    let any = ExpectedRevision::Any;

    let request = batch_of("a", ExpectedRevision::Exact(7), events(1));
    let wrong = batch_error::<wire::WrongExpectedVersion>(&server, request).await;
    assert_eq!((wrong.0, &*wrong.1), (Code::AlreadyExists, "WrongExpectedVersion"));
    let (current, expected) = (wrong.3.current.unwrap(), wrong.3.expected.unwrap());
    assert_eq!(current, wire::wrong_expected_version::Current::CurrentRevision(1));
    assert_eq!(expected, wire::wrong_expected_version::Expected::ExpectedRevision(7));

    let request = batch_of("dead", any, events(1));
    let dead = batch_error::<wire::StreamDeleted>(&server, request).await;
    let details = wire::StreamDeleted { stream: Some(name("dead")) };
    let right = (Code::NotFound, "StreamDeleted".into(), "StreamDeleted".into(), details);
    assert_eq!(dead, right);

    let denied = batch_error::<Empty>(&server, batch_of("denied", any, events(1))).await;
    let right = (Code::PermissionDenied, "AccessDenied".into(), "AccessDenied".into(), Empty {});
    assert_eq!(denied, right);

    let part = || NewEvent::binary("t", vec![0; 60]);
    let request = batch_of("a", any, vec![part(), part()]);
    let large = batch_error::<wire::MaximumAppendSizeExceeded>(&server, request).await;
    let kind = "MaximumAppendSizeExceeded";
    let details = wire::MaximumAppendSizeExceeded { bytes_max: 100 };
    assert_eq!(large, (Code::InvalidArgument, kind.into(), kind.into(), details));

    // the size on disk: data, metadata, and two bytes for each letter of the type
    let event = NewEvent::binary("type", vec![0; 83]);
    let id = event.id.to_string();
    let request = batch_of("a", any, vec![event]);
    let large = batch_error::<wire::MaximumAppendEventSizeExceeded>(&server, request).await;
    let kind = "MaximumAppendEventSizeExceeded";
    let details = wire::MaximumAppendEventSizeExceeded { event: id, bytes: 91, bytes_max: 90 };
    assert_eq!(large, (Code::InvalidArgument, kind.into(), kind.into(), details));

    let mut typeless = batch_of("a", any, events(1));
    typeless.events[0].system.remove("type");
    let bad = batch_error::<wire::BadRequest>(&server, typeless).await;
    assert_eq!((bad.0, &*bad.1), (Code::InvalidArgument, "BadRequest"));
    assert!(bad.3.message.contains("'type'"), "{bad:?}");

    let mut late = batch_of("a", any, events(1));
    let passed = wire::Span { seconds: -1, nanos: 0 };
    late.options.as_mut().unwrap().deadline =
        Some(wire::expected_stream::Deadline::DeadlineIn(passed));
    let late = batch_error::<Empty>(&server, late).await;
    assert_eq!((late.0, &*late.1), (Code::DeadlineExceeded, "Timeout"));
}

#[tokio::test]
async fn our_client_understands_the_details() {
    let limits = ServerSettings { event_bytes_max: 90, ..ServerSettings::default() };
    let server = server_with(limits).await;
    let client = client(&server);
    let event = NewEvent::binary("type", vec![0; 83]);
    let why = format!(
        "event `{}` has 91 bytes, the server's limit is 90 (its setting `MaxAppendEventSize`)",
        event.id
    );
    let any = ExpectedRevision::Any;
    let refused = client.append("a", any, vec![event.clone()]).await;
    fails(refused, ErrorKind::Rejected, &format!("append to stream `a`: {why}"));
    let appender = client.appender(1).await.unwrap();
    let refused = appender.append("a", any, vec![event]).await;
    fails(refused, ErrorKind::Rejected, &format!("append to stream `a`: {why}"));
}

#[tokio::test]
async fn an_append_without_events_is_a_check_of_the_revision() {
    let server = server().await;
    append(&client(&server), "a", 2).await;
    let answer =
        async |stream: &str, expected| batch(&server, batch_of(stream, expected, Vec::new())).await;
    use append_resp::success::Current;
    for (stream, expected, right) in [
        ("a", ExpectedRevision::Exact(1), Current::CurrentRevision(1)),
        ("a", ExpectedRevision::Any, Current::CurrentRevision(1)),
        ("b", ExpectedRevision::NoStream, Current::NoStream(Empty {})),
        // the largest number stands for no stream
        ("b", ExpectedRevision::Exact(u64::MAX), Current::NoStream(Empty {})),
    ] {
        let answer = answer(stream, expected).await;
        let batch_append_resp::Result::Success(success) = answer else { panic!("{answer:?}") };
        assert_eq!(success.current, Some(right), "{stream} {expected:?}");
    }
    let answer = answer("a", ExpectedRevision::Exact(0)).await;
    assert!(matches!(answer, batch_append_resp::Result::Error(_)), "{answer:?}");
}

fn group(stream: &str, change: impl FnOnce(&mut groups::Settings)) -> groups::CreateReq {
    let mut settings = groups::Settings {
        max_retry_count: 10,
        live_buffer_size: 500,
        read_batch_size: 20,
        history_buffer_size: 500,
        consumer_strategy: "RoundRobin".to_owned(),
        ..Default::default()
    };
    change(&mut settings);
    let from = Some(stream_from::From::Start(Empty {}));
    let what =
        groups::create_req::options::What::Stream(StreamFrom { stream: Some(name(stream)), from });
    let options = groups::create_req::Options {
        group: "g".to_owned(),
        settings: Some(settings),
        what: Some(what),
        ..Default::default()
    };
    groups::CreateReq { options: Some(options) }
}

#[tokio::test]
async fn a_group_that_cannot_be_is_refused_with_the_reason() {
    let server = server().await;
    let mut groups = persistent(&server).await;
    let create = group("a", |settings| settings.consumer_strategy = "Nonsense".to_owned());
    let refused = groups.create(create.clone()).await.unwrap_err();
    let trailers = ["exception", "stream-name", "group-name", "reason"];
    let reason = "Consumer strategy Nonsense does not exist.";
    let message = format!("Subscription group g on stream a failed: '{reason}'");
    let exception = "persistent-subscription-failed";
    let told = [exception, "a", "g", reason].map(str::to_owned);
    assert_eq!(refusal(&refused, trailers), (Code::Internal, message, told));
    for (what, create) in [
        ("lower case", group("a", |settings| settings.consumer_strategy = "roundrobin".into())),
        ("buffer", group("a", |settings| settings.read_batch_size = 500)),
        ("$all as a stream", group("$all", |_| ())),
    ] {
        let refused = groups.create(create).await.unwrap_err();
        let told = refusal(&refused, ["exception"]);
        assert_eq!((told.0, &*told.2[0]), (Code::Internal, exception), "{what}");
    }
    // an older client has a number instead of a name
    let old = group("a", |settings| {
        settings.consumer_strategy.clear();
        settings.strategy_old = 2;
    });
    groups.create(old).await.unwrap();
    // an update has only numbers
    let unknown = group("a", |settings| settings.strategy_old = 7);
    let refused = groups.update(unknown).await.unwrap_err();
    let reason = "Consumer strategy 7 does not exist.";
    assert_eq!(refusal(&refused, ["reason"]).2[0], reason);
}

#[tokio::test]
async fn the_groups_of_one_stream_are_listed_and_of_a_stream_without_groups_refused() {
    let server = server().await;
    let mut groups = persistent(&server).await;
    for stream in ["a", "b"] {
        groups.create(group(stream, |_| ())).await.unwrap();
    }
    let list = |stream: &str| {
        use groups::list_req::{Options, Source, options::What, source};
        let source = Source { what: Some(source::What::Stream(name(stream))) };
        groups::ListReq { options: Some(Options { what: Some(What::One(source)) }) }
    };
    let listed = groups.list(list("a")).await.unwrap().into_inner().groups;
    assert_eq!((listed.len(), &*listed[0].event_source), (1, "a"));
    let refused = groups.list(list("c")).await.unwrap_err();
    let told = refusal(&refused, ["exception", "stream-name"]);
    let expected = ["persistent-subscription-does-not-exist", "c"].map(str::to_owned);
    assert_eq!((told.0, told.2), (Code::NotFound, expected));
}
