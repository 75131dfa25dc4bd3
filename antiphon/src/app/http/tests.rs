//! Requests that are refused before any entity is asked.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::persistence::version::VersionVector;
use crate::sharding::Missing;

/// A type that no request of these tests may reach.
struct Unasked;

impl Asked for Unasked {
    fn choose(&self, id: &str, _target: &Target) -> Result<ReplicaId> {
        assert_eq!(id, "asked", "the request is not refused");
        ReplicaId::new("A")
    }

    fn ask(
        &self,
        _id: &str,
        _replica: &ReplicaId,
        Terms { metadata, session }: Terms,
        body: Option<Value>,
    ) -> std::result::Result<crate::app::entity::Answer, NotAsked> {
        match body.as_ref().and_then(|body| body["test"].as_str()) {
            Some("on_get") => Err(NotAsked::NoGet),
            Some("on_post") => Err(NotAsked::Panicked(
                crate::base::guard::call("on_post", &"x", || panic!("the test wants it"))
                    .map(|(): ()| ())
                    .expect_err("it panics"),
            )),
            Some("trace") => {
                let trace = metadata.get("traceparent").map(str::to_owned);
                Ok(Box::pin(async move { Ok((Answered::Done(json!(trace)), None)) }))
            }
            Some("token") => Ok(Box::pin(async move {
                assert!(matches!(session, InSession::New), "{session:?}");
                let id = ReplicationId::parse("counter|asked").unwrap();
                let token = SessionToken::new(&id, VersionVector::new());
                Ok((Answered::Done(json!(token.to_string())), Some(token)))
            })),
            Some("session") => Ok(Box::pin(async move {
                let InSession::After(token) = session else { panic!("a token: {session:?}") };
                let missing = Missing::between(&VersionVector::new(), token.version());
                Err(AskError::Behind(missing.expect("the token has an event")))
            })),
            Some("request") => {
                let id = metadata.request_id().map(|id| id.to_string());
                Ok(Box::pin(async move { Ok((Answered::Done(json!(id)), None)) }))
            }
            Some("answer") => Ok(Box::pin(async { panic!("the test wants it") })),
            Some(_) | None => panic!("the request is not refused"),
        }
    }

    fn send(
        &self,
        _id: &str,
        _replica: &ReplicaId,
        _terms: Terms,
        encoded: Encoded,
    ) -> std::result::Result<Option<crate::app::entity::EncodedAnswer>, NotAsked> {
        assert!(encoded.is_ask && encoded.time_left.is_none());
        Ok(None)
    }

    fn expected(&self) -> &'static str {
        r#"{"add": 1}"#
    }
}

const JSON: &str = "content-type: application/json\r\n";

/// Posts a body. Returns the status line and the JSON of the answer.
async fn post(path: &str, body: &[u8]) -> (String, Value) {
    post_with(path, JSON, body).await
}

/// The same with further header lines.
async fn post_with(path: &str, headers: &str, body: &[u8]) -> (String, Value) {
    post_traced(path, headers, body, false).await
}

/// The same with this value of `http.trace_commands`.
async fn post_traced(path: &str, headers: &str, body: &[u8], traces: bool) -> (String, Value) {
    let (head, body) = post_whole(path, headers, body, traces).await;
    (head.lines().next().unwrap_or_default().to_owned(), body)
}

/// The same, with the whole head of the answer.
async fn post_whole(path: &str, headers: &str, body: &[u8], traces: bool) -> (String, Value) {
    let unasked: Arc<dyn Asked> = Arc::new(Unasked);
    let routes = entities(BTreeMap::from([("counter".to_owned(), unasked)]), traces);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let serving =
        crate::base::task::spawn("test", async move { axum::serve(listener, routes).await });
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream.write_all(body).await.expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("an answer");
    serving.abort();
    let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
    (head.to_owned(), serde_json::from_str(body).expect("JSON"))
}

#[tokio::test]
async fn a_body_with_a_key_twice_is_refused() {
    let (status, body) = post("/entities/counter/x", br#"{"add":1,"add":2}"#).await;
    assert!(status.contains(" 400 "), "{status}");
    assert!(body["error"].as_str().is_some_and(|error| error.contains("twice")), "{body}");
    assert_eq!(body["expected"], r#"{"add": 1}"#);
}

#[tokio::test]
async fn a_session_header_is_a_token_or_refused_and_a_replica_that_is_behind_says_so() {
    for wrong in ["", "x", "00", "ü"] {
        let headers = format!("antiphon-session: {wrong}\r\n{JSON}");
        let (status, body) = post_with("/entities/counter/asked", &headers, b"{}").await;
        assert!(status.contains(" 400 "), "{wrong}: {status} {body}");
        assert!(body["error"].as_str().is_some_and(|error| error.contains("`antiphon-session`")));
    }
    let headers = format!("antiphon-session: new\r\n{JSON}");
    let (head, body) =
        post_whole("/entities/counter/asked", &headers, br#"{"test":"token"}"#, false).await;
    let token = body.as_str().expect("the token of the answer");
    assert!(head.contains(&format!("antiphon-session: {token}")), "{head}");

    let id = ReplicationId::parse("counter|asked").unwrap();
    let seen = VersionVector::from_iter([(ReplicaId::new("A").unwrap(), 2)]);
    let token = SessionToken::new(&id, seen);
    let headers = format!("antiphon-session: {token}\r\n{JSON}");
    let (status, body) =
        post_with("/entities/counter/asked", &headers, br#"{"test":"session"}"#).await;
    assert!(status.contains(" 503 "), "{status}");
    assert_eq!((&body["kind"], &body["without_effect"]), (&json!("behind"), &json!(true)));
    assert!(body["error"].as_str().is_some_and(|error| error.contains("events 1 to 2 of `A`")));
}

#[tokio::test]
async fn a_command_of_a_web_page_is_refused() {
    for origin in ["https://evil.example", "http://x", "null"] {
        let headers = format!("origin: {origin}\r\n{JSON}");
        let (status, body) = post_with("/entities/counter/x", &headers, b"{\"add\":1}").await;
        assert!(status.contains(" 403 "), "{origin}: {status}");
        assert!(body["error"].as_str().is_some_and(|error| error.contains("origin")), "{body}");
    }
}

/// A page sends these types without asking the node first.
#[tokio::test]
async fn a_command_that_is_not_said_to_be_json_is_refused() {
    for types in [
        "",
        "content-type: text/plain\r\n",
        "content-type: text/plain;charset=UTF-8\r\n",
        "content-type: application/x-www-form-urlencoded\r\n",
        "content-type: multipart/form-data; boundary=application/json\r\n",
        "content-type: application/json\r\ncontent-type: text/plain\r\n",
        "content-type: application/jsonp\r\n",
    ] {
        let (status, body) = post_with("/entities/counter/x", types, b"{\"add\":1}").await;
        assert!(status.contains(" 415 "), "{types}: {status}");
        assert!(body["expected"].as_str().is_some_and(|text| text.contains("application/json")));
    }
    for types in [JSON, "content-type: Application/JSON; charset=utf-8\r\n"] {
        let (status, _) = post_with("/entities/counter/x", types, b"no JSON").await;
        assert!(status.contains(" 400 "), "{types}: {status}");
    }
}

#[tokio::test]
async fn an_encoded_command_is_refused_unless_the_type_takes_it() {
    let encoded = "content-type: application/vnd.antiphon.command\r\n";
    let (status, body) = post_with("/entities/counter/asked", encoded, b"x").await;
    assert!(status.contains(" 415 "), "{status}");
    assert!(
        body["error"].as_str().is_some_and(|error| error.contains("`HttpEntity::takes_commands`"))
    );
}

#[tokio::test]
async fn every_refusal_is_json_with_an_error() {
    let large = vec![b' '; 2 * 1024 * 1024 + 1];
    let cases: [(&str, &[u8], &str); 4] = [
        ("/entities/counter/x", b"{", " 400 "),
        ("/entities/counter/%ff", b"{}", " 400 "),
        ("/entities/counter/x", &large, " 413 "),
        ("/entities/nosuch/x", b"{}", " 404 "),
    ];
    for (path, sent, expected) in cases {
        let (status, body) = post(path, sent).await;
        assert!(status.contains(expected), "{path}: {status}");
        assert!(body["error"].is_string() && body["expected"].is_string(), "{path}: {body}");
    }
}

#[tokio::test]
async fn code_of_an_application_that_panics_is_answered_in_json() {
    for (code, expected, without_effect) in [
        ("on_post", "`on_post` panicked", true),
        ("answer", "`the answer of an entity as JSON` panicked", false),
    ] {
        let sent = json!({ "test": code }).to_string();
        let (status, body) = post("/entities/counter/asked", sent.as_bytes()).await;
        assert!(status.contains(" 500 "), "{code}: {status}");
        assert_eq!(body, json!({ "error": expected, "without_effect": without_effect }));
    }
}

/// The first stored metadata ends the way back of a rolling upgrade.
#[tokio::test]
async fn the_trace_of_a_request_is_metadata_of_its_command_only_where_the_setting_says_so() {
    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    assert!(!crate::runtime::admin::HttpSettings::default().trace_commands);
    let body = json!({ "test": "trace" }).to_string();
    for (traces, sent, expected) in
        [(true, TRACE, json!(TRACE)), (true, "00-0", Value::Null), (false, TRACE, Value::Null)]
    {
        let headers = format!("traceparent: {sent}\r\n{JSON}");
        let path = "/entities/counter/asked";
        let answered = post_traced(path, &headers, body.as_bytes(), traces).await;
        assert_eq!(answered.1, expected, "{}", answered.0);
    }
}

#[tokio::test]
async fn an_entity_without_a_get_says_which_method_it_takes() {
    let sent = json!({ "test": "on_get" }).to_string();
    let (status, body) = post("/entities/counter/asked", sent.as_bytes()).await;
    assert!(status.contains(" 405 "), "{status}");
    assert_eq!(body["error"], "the entity answers no GET");
}

/// The functions of an entity are called under the guard.
#[test]
fn an_entity_that_panics_or_answers_no_get_is_not_asked() {
    use crate::app::entity::{Ask, Body, HttpEntity, ask_of};
    struct Silent;
    impl EventSourced for Silent {
        type Command = i64;
        type Event = i64;
        type State = i64;
        fn on_command(&self, _: &CommandContext, _: &i64, command: i64) -> Effect<Self> {
            Effect::persist(command)
        }
        fn on_event(&self, _: &EventContext, _: &mut i64, _: &i64) {}
    }
    impl HttpEntity for Silent {
        fn on_post(_: Body) -> Result<Ask<i64>> {
            panic!("the test wants it")
        }
    }
    assert!(matches!(ask_of::<Silent>("x", None), Err(NotAsked::NoGet)));
    assert!(matches!(ask_of::<Silent>("x", Some(json!(1))), Err(NotAsked::Panicked(_))));
}

#[tokio::test]
async fn an_idempotency_key_is_the_request_id_of_the_command() {
    let asked = async |header: &str| {
        let headers = format!("{JSON}{header}");
        post_with("/entities/counter/asked", &headers, br#"{"test": "request"}"#).await
    };
    for (header, id) in [
        ("", Value::Null),
        ("idempotency-key: order-7\r\n", json!("order-7")),
        ("Idempotency-Key: \"order-7\"\r\n", json!("order-7")),
        ("idempotency-key: order%207\r\n", json!("order 7")),
    ] {
        let (status, answer) = asked(header).await;
        assert!(status.contains("200"), "{status} {answer}");
        assert_eq!(answer, id);
    }
    let twice = "idempotency-key: a\r\nidempotency-key: b\r\n";
    for wrong in [twice, "idempotency-key: \"\"\r\n", "idempotency-key: a%0Ab\r\n"] {
        let (status, answer) = asked(wrong).await;
        assert!(status.contains("400"), "{status} {answer}");
        assert!(answer["error"].as_str().is_some_and(|why| why.contains("`idempotency-key`")));
    }
}
