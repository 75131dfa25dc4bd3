//! A server of log lines that fails on demand.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use antiphon_base::task;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;

/// The reaction to a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reply {
    Status(u16),
    Hang,
    Close,
}

/// A request that came.
#[derive(Clone)]
pub(super) struct Got {
    pub(super) path: String,
    headers: HeaderMap,
    body: String,
    is_taken: bool,
}

impl Got {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    pub(super) fn lines(&self) -> Vec<Value> {
        self.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub(super) fn array(&self) -> Vec<Value> {
        serde_json::from_str(&self.body).unwrap()
    }
}

pub(super) struct Receiver {
    pub(super) url: String,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Receiver {
    /// Starts a server; the script gets the number of the request and its body.
    pub(super) async fn start(
        script: impl Fn(usize, &str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let got = Arc::new(Mutex::new(Vec::new()));
        let (script, log) = (Arc::new(script), got.clone());
        task::spawn("receiver", async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (script, log) = (script.clone(), log.clone());
                let service = service_fn(move |request: Request<Incoming>| {
                    answer(request, script.clone(), log.clone())
                });
                let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                task::spawn("connection", async move { serving.await.ok() });
            }
        });
        Self { url, got }
    }

    pub(super) fn requests(&self) -> Vec<Got> {
        self.got.lock().clone()
    }

    /// The lines of all requests that were answered with success.
    pub(super) fn taken(&self) -> Vec<Value> {
        self.requests().iter().filter(|got| got.is_taken).flat_map(Got::lines).collect()
    }
}

async fn answer(
    request: Request<Incoming>,
    script: Arc<impl Fn(usize, &str) -> Reply>,
    log: Arc<Mutex<Vec<Got>>>,
) -> io::Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let body = String::from_utf8(body.to_vec()).unwrap();
    let reply = {
        let mut log = log.lock();
        let reply = script(log.len(), &body);
        let is_taken = matches!(reply, Reply::Status(200..300));
        log.push(Got { path: head.uri.path().to_owned(), headers: head.headers, body, is_taken });
        reply
    };
    match reply {
        Reply::Status(status) => {
            let mut response = Response::new(Full::default());
            *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap();
            Ok(response)
        }
        Reply::Hang => {
            let never: Infallible = std::future::pending().await;
            match never {}
        }
        Reply::Close => Err(io::Error::other("on demand")),
    }
}
