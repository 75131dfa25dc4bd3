//! A small HTTP client: one connection, one request at a time.

use std::time::Duration;

use crate::prelude::*;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

pub use crate::client::{Access, AccessArguments};
use crate::header::{POLICY, REPLICA, encode};

/// A client of one node.
#[derive(Debug)]
pub struct Client {
    address: String,
    timeout: Duration,
    access: Access,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    /// A client of the node at `host:port`; it connects at the first request, and again after an
    /// error.
    pub fn new(address: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            timeout: Duration::from_secs(10),
            access: Access::default(),
            connection: None,
        }
    }

    /// Sets the token and the certificates of each request. A token is sent over HTTPS, or to this
    /// machine; other requests are `Rejected`.
    #[must_use]
    pub fn with_access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Sets the timeout of each request.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// The node's address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Reads a path.
    ///
    /// # Errors
    /// `Unavailable` when there is no answer; `Rejected` when a token would be sent in
    /// clear text.
    pub async fn get(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<(StatusCode, Bytes)> {
        self.request("GET", path, headers, Bytes::new()).await
    }

    /// Posts JSON to a path.
    ///
    /// # Errors
    /// `Unavailable` when there is no answer; `Rejected` when a token would be sent in
    /// clear text.
    pub async fn post(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Result<(StatusCode, Bytes)> {
        self.request("POST", path, headers, body.to_string().into()).await
    }

    /// Reads JSON from a path that must exist.
    ///
    /// # Errors
    /// `Unavailable` when there is no answer, or when the answer is not 200 with JSON.
    pub async fn json(&mut self, path: &str, headers: &[(&str, &str)]) -> Result<Value> {
        let (status, body) = self.get(path, headers).await?;
        let text = String::from_utf8_lossy(&body);
        if status != StatusCode::OK {
            return Err(Error::unavailable(format!("{path} of {}: {status} {text}", self.address)));
        }
        serde_json::from_slice(&body).map_err(|error| {
            Error::unavailable(format!("{path} of {}: {error}: {text}", self.address))
        })
    }

    async fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<(StatusCode, Bytes)> {
        self.access.check(&self.address)?;
        let mut request = Request::builder().method(method).uri(path).header("host", &self.address);
        if method == "POST" {
            request = request.header("content-type", "application/json");
        }
        if let Some(value) = self.access.authorization() {
            request = request.header("authorization", value);
        }
        for (name, value) in headers {
            request = match *name {
                // the names of replicas may have any character
                REPLICA | POLICY => request.header(*name, encode(value)),
                _ => request.header(*name, *value),
            };
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| Error::rejected(format!("{method} {path}: {error}")))?;
        let timeout = self.timeout;
        let answered = tokio::time::timeout(timeout, self.send(request)).await;
        let answer = answered.unwrap_or_else(|_| {
            Err(Error::timeout(format!(
                "{method} {path} of {}: no answer in {timeout:?}",
                self.address
            )))
        });
        if answer.is_err() {
            self.connection = None;
        }
        answer
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes)> {
        let broken = |error: &dyn std::fmt::Display| {
            Error::unavailable(format!("no answer of {}: {error}", self.address))
        };
        let mut connection = match self.connection.take() {
            Some(connection) if !connection.is_closed() => connection,
            _ => {
                let stream = TcpStream::connect(&self.address).await.map_err(|e| broken(&e))?;
                let _ = stream.set_nodelay(true);
                match &self.access.tls {
                    None => greet(stream).await.map_err(|e| broken(&e))?,
                    Some(tls) => {
                        let host = self.address.rsplit_once(':').map_or("", |(host, _)| host);
                        let stream = tls.connect(host, stream).await?;
                        greet(stream).await.map_err(|e| broken(&e))?
                    }
                }
            }
        };
        connection.ready().await.map_err(|e| broken(&e))?;
        let response = connection.send_request(request).await.map_err(|e| broken(&e))?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|e| broken(&e))?.to_bytes();
        self.connection = Some(connection);
        Ok((status, body))
    }
}

async fn greet<S>(stream: S) -> hyper::Result<SendRequest<Full<Bytes>>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (connection, driver) = handshake(TokioIo::new(stream)).await?;
    crate::base::task::spawn("http client", async move {
        let _ = driver.await;
    });
    Ok(connection)
}
