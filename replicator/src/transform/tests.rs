//! The hook over a real connection, and the sink around it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use antiphon_base::task;
use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use parking_lot::Mutex;
use tokio::net::TcpListener;

use super::*;
use crate::config::{RetrySettings, Secret, Settings, TransformSettings};
use crate::event::{Envelope, Event};
use crate::filter::Shaping;
use crate::sink::{Outcome, Sink};

type Reply = dyn Fn(usize, String) -> Response + Send + Sync;

struct Server {
    url: String,
    requests: Arc<AtomicUsize>,
}

/// Starts a hook whose reply depends on the number of the request and its body.
async fn serve(reply: impl Fn(usize, String) -> Response + Send + Sync + 'static) -> Server {
    let requests = Arc::new(AtomicUsize::new(0));
    let state: (Arc<AtomicUsize>, Arc<Reply>) = (requests.clone(), Arc::new(reply));
    let handler = async |State((requests, reply)): State<(Arc<AtomicUsize>, Arc<Reply>)>,
                         headers: HeaderMap,
                         body: Bytes| {
        assert_eq!(headers["content-type"], "application/json");
        let number = requests.fetch_add(1, Ordering::SeqCst);
        reply(number, String::from_utf8(body.to_vec()).unwrap())
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/transform", listener.local_addr().unwrap());
    let routes = Router::new().route("/transform", post(handler)).with_state(state);
    task::spawn("hook", async move { axum::serve(listener, routes).await.unwrap() });
    Server { url, requests }
}

fn hook(url: &str, change: impl FnOnce(&mut TransformSettings)) -> Arc<Hook> {
    let mut settings = TransformSettings {
        url: Some(Secret::new(url)),
        timeout: Duration::from_secs(10),
        ..TransformSettings::default()
    };
    change(&mut settings);
    let retry = RetrySettings {
        delay: Duration::from_millis(1),
        delay_max: Duration::from_millis(2),
        ..RetrySettings::default()
    };
    Arc::new(Hook::new(&settings, &retry).unwrap().unwrap())
}

fn envelope(stream: &str, revision: u64, data: &str) -> Envelope {
    Envelope::of(Event::example(stream, revision, data))
}

/// A sink that keeps its events and refuses payloads that contain `refuse`.
#[derive(Default)]
struct Kept(Mutex<Vec<String>>);

#[async_trait]
impl Sink for Kept {
    async fn write(&self, batch: &[Envelope]) -> Vec<Outcome> {
        let mut kept = self.0.lock();
        let mut failed = false;
        let write = batch.iter().map(|envelope| {
            let data = String::from_utf8_lossy(&envelope.event.data).into_owned();
            match (failed, data.contains("refuse")) {
                (true, _) => Outcome::Untried,
                (false, true) => {
                    failed = true;
                    Outcome::Retryable("refused".to_owned())
                }
                (false, false) => {
                    kept.push(format!("{} {}", envelope.event.stream, data));
                    Outcome::Written(None)
                }
            }
        });
        write.collect()
    }
}

fn sink(hook: Arc<Hook>) -> (ShapingSink, Arc<Kept>) {
    let kept = Arc::new(Kept::default());
    let shaping = Arc::new(Shaping::new(&Settings::default()).unwrap());
    (ShapingSink::new(shaping, Some(hook), kept.clone()), kept)
}

#[tokio::test]
async fn the_hook_changes_drops_and_leaves_events_and_their_order_stays() {
    let server = serve(|_, body| {
        if body.contains("drop") {
            return StatusCode::NO_CONTENT.into_response();
        }
        body.replace("\"n\"", "\"m\"").replace("a-1", "b-1").into_response()
    })
    .await;
    let (sink, kept) = sink(hook(&server.url, |_| {}));

    let batch = [
        envelope("a-1", 0, r#"{"n":0}"#),
        envelope("a-1", 1, r#"{"drop":1}"#),
        envelope("a-1", 2, r#"{"n":2}"#),
    ];
    let outcomes = sink.write(&batch).await;

    assert_eq!(outcomes, [Outcome::Written(None), Outcome::Dropped, Outcome::Written(None)]);
    assert_eq!(*kept.0.lock(), [r#"b-1 {"m":0}"#, r#"b-1 {"m":2}"#]);
}

#[tokio::test]
async fn what_fails_for_now_is_repeated_up_to_the_bound() {
    let server = serve(|number, body| match number {
        0 => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        1 => StatusCode::TOO_MANY_REQUESTS.into_response(),
        _ => body.into_response(),
    })
    .await;
    let answer = hook(&server.url, |_| {}).transform(&envelope("a", 0, "{}").event).await;
    assert!(matches!(answer, Ok(Answer::Event(_))), "{answer:?}");

    let server = serve(|_, _| (StatusCode::BAD_GATEWAY, "no backend").into_response()).await;
    let hook = hook(&server.url, |settings| settings.attempts_max = 2);
    let Err(HookFailure::Failed(reason)) = hook.transform(&envelope("a", 0, "{}").event).await
    else {
        panic!("it did not fail")
    };
    let expected = format!(
        "transform hook {}: expected status 200 or 204, actual 502 Bad Gateway: no backend",
        server.url
    );
    assert_eq!(reason, expected);
    assert_eq!(server.requests.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_bad_answer_is_no_use_repeating_and_its_stream_waits_behind_it() {
    let server =
        serve(
            |_, body| {
                if body.contains("bad") { "nonsense".into_response() } else { body.into_response() }
            },
        )
        .await;
    let (sink, kept) = sink(hook(&server.url, |_| {}));

    let batch = [envelope("a", 0, r#"{"bad":1}"#), envelope("a", 1, "{}"), envelope("b", 0, "{}")];
    let outcomes = sink.write(&batch).await;

    let Outcome::Rejected(reason) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert!(reason.contains("bad answer: expected a JSON object"), "{reason}");
    assert_eq!(outcomes[1..], [Outcome::Untried, Outcome::Written(None)]);
    assert_eq!(*kept.0.lock(), ["b {}"]);
    assert_eq!(server.requests.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn what_was_dropped_behind_a_failure_is_asked_about_again() {
    let server = serve(|_, body| {
        if body.contains("drop") {
            StatusCode::NO_CONTENT.into_response()
        } else {
            body.into_response()
        }
    })
    .await;
    let (sink, _) = sink(hook(&server.url, |_| {}));
    let batch = [envelope("a", 0, r#"{"refuse":1}"#), envelope("a", 1, r#"{"drop":1}"#)];
    let outcomes = sink.write(&batch).await;
    assert_eq!(outcomes, [Outcome::Retryable("refused".to_owned()), Outcome::Untried]);
}

#[tokio::test]
async fn a_hook_that_is_not_there_says_nothing_about_the_event() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://user:geheim@{}/", listener.local_addr().unwrap());
    drop(listener);
    let (sink, _) = sink(hook(&url, |settings| settings.attempts_max = 1));

    let outcomes = sink.write(&[envelope("a", 0, "{}")]).await;
    let Outcome::Unavailable(reason) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert!(reason.contains("user:***@") && !reason.contains("geheim"), "{reason}");
    let probed = sink.probe().await.unwrap_err().to_string();
    assert!(probed.contains("refused"), "{probed}");
}

#[tokio::test]
async fn a_silent_hook_and_a_huge_answer_meet_their_limits() {
    // a listener that accepts and never answers
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let silent = hook(&url, |settings| {
        settings.timeout = Duration::from_millis(50);
        settings.attempts_max = 1;
    });
    let Err(HookFailure::Failed(reason)) = silent.transform(&envelope("a", 0, "{}").event).await
    else {
        panic!("it answered")
    };
    assert!(
        reason.contains("no answer within 50ms, the limit of `Settings:Transform:Timeout`"),
        "{reason}"
    );

    let server = serve(|_, _| "x".repeat(3000).into_response()).await;
    let small = hook(&server.url, |settings| settings.answer_bytes_max = 2000);
    let Err(HookFailure::Bad(reason)) = small.transform(&envelope("a", 0, "{}").event).await else {
        panic!("it was taken")
    };
    assert!(
        reason.contains("larger than 2000 bytes, the limit of `Settings:Transform:AnswerBytesMax`"),
        "{reason}"
    );
}

#[tokio::test]
async fn never_more_requests_are_under_way_than_the_limit() {
    let under_way = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let counted = under_way.clone();
    let handler = async move |body: Bytes| {
        let now = counted.0.fetch_add(1, Ordering::SeqCst) + 1;
        counted.1.fetch_max(now, Ordering::SeqCst);
        tokio::task::yield_now().await;
        counted.0.fetch_sub(1, Ordering::SeqCst);
        body
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let routes = Router::new().route("/", post(handler));
    task::spawn("hook", async move { axum::serve(listener, routes).await.unwrap() });
    let (sink, kept) = sink(hook(&url, |settings| settings.concurrency_max = 3));

    let batch: Vec<Envelope> = (0..50).map(|revision| envelope("a", revision, "{}")).collect();
    sink.write(&batch).await;

    assert_eq!(kept.0.lock().len(), 50);
    let most = under_way.1.load(Ordering::SeqCst);
    assert!((1..=3).contains(&most), "{most}");
}
