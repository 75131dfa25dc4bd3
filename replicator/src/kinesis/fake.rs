//! A stand-in of the service in this process: stores records, and throttles, fails in part or as a
//! whole, or stays silent on demand.

use std::sync::Arc;

use antiphon_base::task;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A record as the service gets it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stored {
    pub(super) key: String,
    pub(super) data: Value,
}

/// The reaction of the stand-in to a request.
pub(super) enum Reaction {
    /// Stores the records for which there is no error code.
    Each(Vec<Option<&'static str>>),
    /// Refuses the request.
    Refuse(u16, &'static str),
    /// Stores everything and never answers.
    Silence,
}

type Script = dyn Fn(usize, &[Stored]) -> Reaction + Send + Sync;

#[derive(Clone)]
struct Shared {
    script: Arc<Script>,
    log: Arc<Mutex<Log>>,
}

#[derive(Default)]
struct Log {
    requests: Vec<Vec<Stored>>,
    stored: Vec<Stored>,
}

/// A running stand-in.
pub(super) struct Fake {
    pub(super) url: String,
    log: Arc<Mutex<Log>>,
}

impl Fake {
    /// Starts a stand-in. `script` decides by the number of the request and its records.
    pub(super) async fn start(
        script: impl Fn(usize, &[Stored]) -> Reaction + Send + Sync + 'static,
    ) -> Self {
        let log = Arc::new(Mutex::new(Log::default()));
        let shared = Shared { script: Arc::new(script), log: log.clone() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new().fallback(handle).with_state(shared);
        task::spawn("kinesis", async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, log }
    }

    /// The stored records, in order.
    pub(super) fn stored(&self) -> Vec<Stored> {
        self.log.lock().stored.clone()
    }

    /// The requests with records, in order.
    pub(super) fn requests(&self) -> Vec<Vec<Stored>> {
        self.log.lock().requests.clone()
    }
}

async fn handle(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap();
    match headers["x-amz-target"].to_str().unwrap() {
        "Kinesis_20131202.PutRecords" => put_records(&shared, &body).await,
        "Kinesis_20131202.DescribeStreamSummary" => describe(&body),
        other => refuse(400, &format!("UnknownOperationException {other}")),
    }
}

fn describe(body: &Value) -> Response {
    if body["StreamName"] != "ditto" {
        return refuse(400, "ResourceNotFoundException");
    }
    let summary = json!({
        "StreamName": "ditto", "StreamARN": "arn:aws:kinesis:eu-west-1:000000000000:stream/ditto", "StreamStatus": "ACTIVE",
        "RetentionPeriodHours": 24, "StreamCreationTimestamp": 1.0, "EnhancedMonitoring": [], "OpenShardCount": 1,
    });
    json_answer(&json!({ "StreamDescriptionSummary": summary }))
}

async fn put_records(shared: &Shared, body: &Value) -> Response {
    let record = |record: &Value| {
        let data = STANDARD.decode(record["Data"].as_str().unwrap()).unwrap();
        Stored {
            key: record["PartitionKey"].as_str().unwrap().to_owned(),
            data: serde_json::from_slice(&data).expect("every record is JSON"),
        }
    };
    let records: Vec<Stored> = body["Records"].as_array().unwrap().iter().map(record).collect();
    let number = {
        let mut log = shared.log.lock();
        log.requests.push(records.clone());
        log.requests.len() - 1
    };
    match (shared.script)(number, &records) {
        Reaction::Refuse(status, code) => refuse(status, code),
        Reaction::Each(codes) => each(shared, &records, &codes),
        Reaction::Silence => {
            let _ = each(shared, &records, &vec![None; records.len()]);
            std::future::pending().await
        }
    }
}

fn each(shared: &Shared, records: &[Stored], codes: &[Option<&str>]) -> Response {
    assert_eq!(records.len(), codes.len(), "the script answers every record");
    let mut log = shared.log.lock();
    let mut results = Vec::new();
    for (record, code) in records.iter().zip(codes) {
        results.push(match code {
            Some(code) => json!({ "ErrorCode": code, "ErrorMessage": "on demand" }),
            None => {
                log.stored.push(record.clone());
                let number = format!("{:056}", log.stored.len());
                json!({ "SequenceNumber": number, "ShardId": "shardId-000000000000" })
            }
        });
    }
    let failed = codes.iter().flatten().count();
    json_answer(&json!({ "FailedRecordCount": failed, "Records": results }))
}

fn json_answer(body: &Value) -> Response {
    ([("content-type", "application/x-amz-json-1.1")], body.to_string()).into_response()
}

fn refuse(status: u16, code: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    (status, json_answer(&json!({ "__type": code, "message": "on demand" }))).into_response()
}
