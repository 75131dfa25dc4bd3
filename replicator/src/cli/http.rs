//! The HTTP GET of the command `status`.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use crate::{Error, Result};

const TIMEOUT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Sends a GET; returns the status code and the body.
pub(super) async fn get(address: &str, path: &str) -> Result<(u16, String)> {
    let url = format!("http://{address}{path}");
    let failed = |why: String| {
        Error::unavailable(format!(
            "{url}: {why}: is the replicator running, with `Metrics:Enabled` and this port?"
        ))
    };
    let request = Request::get(&url).body(Empty::<Bytes>::new()).map_err(|error| {
        Error::rejected(format!("`--address`: expected `host:port`, actual `{address}`: {error}"))
    })?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let answer = async {
        let response = client.request(request).await.map_err(|error| failed(cause(&error)))?;
        let code = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| failed(error.to_string()))?.to_bytes();
        Ok((code, String::from_utf8_lossy(&body).into_owned()))
    };
    let timeout = tokio::time::timeout(TIMEOUT, answer).await;
    timeout.map_err(|_| failed(format!("no answer within {TIMEOUT:?}")))?
}

fn cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), cause)
}
